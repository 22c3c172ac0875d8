"""What a package index shows of the project: authors, addresses, and the README's picture."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_project_has_authors_and_addresses_and_its_picture_is_found_from_anywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["authors"]
    source = project["urls"]["Source"]
    assert all(url.startswith(source) for url in project["urls"].values())
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    raw = source.replace("github.com", "raw.githubusercontent.com") + "/main/"
    assert pictures
    for picture in pictures:
        assert picture.startswith(raw)
        assert (ROOT / picture.removeprefix(raw)).is_file()
