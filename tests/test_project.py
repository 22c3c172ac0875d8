"""The metadata that a package index shows (authors, addresses, the README's picture), and files for
containers.
"""

import re
import tomllib
from pathlib import Path

import yaml

from pycrond.cli.parser import build_parser
from pycrond.settings import SETTINGS

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


def test_files_for_containers_parse_and_name_existing_settings_and_commands() -> None:
    files = {
        name: (ROOT / name).read_text()
        for name in ("contrib/compose.yaml", "contrib/kubernetes.yaml", "Dockerfile")
    }
    variables = {setting.variable for setting in SETTINGS.values()}
    for name, text in files.items():
        named = {*re.findall(r"PYCROND_[A-Z_]+", text)}
        assert named
        assert named <= variables, name
    service = yaml.safe_load(files["contrib/compose.yaml"])["services"]["cron"]
    assert int(service["environment"]["PYCROND_STOP_GRACE"]) + 5 <= int(
        service["stop_grace_period"].rstrip("s")
    )
    crontabs, deployment = yaml.safe_load_all(files["contrib/kubernetes.yaml"])
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {row["name"]: row["value"] for row in container["env"]}
    assert int(environment["PYCROND_STOP_GRACE"]) + 5 <= pod["terminationGracePeriodSeconds"]
    assert SETTINGS["stop_grace"].default + 2 <= 10  # seconds of docker stop
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    assert pod["volumes"][0]["configMap"]["name"] == crontabs["metadata"]["name"]
    for probe in ("startupProbe", "livenessProbe"):
        program, command, *_ = container[probe]["exec"]["command"]
        assert program == "pycrond"
        assert command in build_parser().format_help()
    assert '["pycrond", "status", "--check"]' in files["Dockerfile"]
    assert not SETTINGS["trust_crontabs"].default
