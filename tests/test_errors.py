"""The texts of errors of the operating system."""

import errno
import os
from pathlib import Path

import pytest

from pycrond.errors import os_message, os_reason

PACKAGE = Path(__file__).parent.parent / "pycrond"


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (OSError(errno.EROFS, "Read-only file system", "/x"), "the file system is read-only", "/x: "),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device", ""),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", b"/\xff"), "No such file or directory", "/\udcff: "),
        (OSError("timed out"), "timed out", ""),
        (TimeoutError(), "TimeoutError", ""),
        (ValueError("bad"), "bad", ""),
    ],
)  # fmt: skip
def test_the_words_of_an_error(error: Exception, reason: str, message: str) -> None:
    assert os_reason(error) == reason
    assert os_message(error) == message + reason


def test_all_modules_use_these_words() -> None:
    """Exceptions are the two programs that import nothing of pycrond, and code that raises such an error."""
    programs = [PACKAGE / "errors.py", PACKAGE / "keeper/__main__.py", PACKAGE / "host/spawner_program.py"]
    for path in {*PACKAGE.rglob("*.py")}.difference(programs):
        assert ".strerror" not in path.read_text().replace("os.strerror(", ""), os.fspath(path)
