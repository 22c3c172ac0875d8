"""The files that options of a job name, used by a process that is the job's user already.

The spawner loads this module before; it imports nothing of pycrond.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator

MAX_VARIABLES_SIZE = 1 << 20  # bytes of a file with variables

_NAME = re.compile(rb"(?!(?:LOGNAME|USER)\Z|PYCROND_)[A-Za-z_][A-Za-z0-9_]*")
"""The names that a file can set. By the others, the processes of a run are recognised."""
_KEY = re.compile(rb"[ \t\r\n]*(?:[#;][^\r\n]*|([^\r\n=]*)(=?))")
_QUOTED = re.compile(rb"""[ \t]*(?:'([^']*)'?|"((?:[^"\\]|\\.)*)(?:"|\\?\Z))""", re.DOTALL)
_ESCAPED = re.compile(rb"\\([\n\"\\`$])")  # in double quotes
_UNQUOTED = re.compile(rb"\\(.)|([ \t]+)|([^\\ \t\r\n]+|\\\Z)", re.DOTALL)


class FileError(OSError):
    """A file that cannot be used; `what` says for what."""

    def __init__(self, error: OSError, what: bytes) -> None:
        super().__init__(*error.args)
        self.what = what


def prepare(directory: bytes, fallback: bytes, variables: bytes, umask: bytes) -> dict[bytes, bytes]:
    """Enter the directory (or stay in this one, if there is a fallback), set the umask, which is an octal
    number, and return the variables in a file; both may be empty. Raises FileError.
    """
    what = b"cannot enter directory " + directory
    try:
        try:
            os.chdir(directory)
        except OSError:
            if not fallback:
                raise
        if umask:
            os.umask(int(umask, 8))
        what = b"cannot read variables from " + variables.removeprefix(b"-")
        return read_variables(variables) if variables else {}
    except OSError as error:
        raise FileError(error, what) from error


def read_variables(path: bytes) -> dict[bytes, bytes]:
    """Return the variables in a file; none if the path begins with `-` and no such file exists.

    Raises OSError, also for what is no regular file, which is not opened, and for one that is too large.
    """
    try:
        node = os.open(path.removeprefix(b"-"), os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        if path.startswith(b"-"):
            return {}
        raise
    try:
        if not stat.S_ISREG(os.fstat(node).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        with open(f"/proc/self/fd/{node}", "rb") as file:
            text = file.read(MAX_VARIABLES_SIZE + 1)
    finally:
        os.close(node)
    if len(text) > MAX_VARIABLES_SIZE:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return {name: value for name, value in assignments(text) if _NAME.fullmatch(name)}


def assignments(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield names and values of a text in the format of systemd's EnvironmentFile= (systemd.exec(5))."""
    text, position = text.partition(b"\0")[0], 0
    while match := _KEY.match(text, position):
        position = match.end()
        if match[2]:
            value, position = _value(text, position)
            yield match[1].rstrip(), value
        elif position == len(text):
            return


def _value(text: bytes, position: int) -> tuple[bytes, int]:
    """Return the value that begins at a position, and where it ends. Parts in quotes come first; the
    whitespace between them does not count, nor does that at the end.
    """
    value = b""
    while match := _QUOTED.match(text, position):
        value += match[1] or _ESCAPED.sub(_unescaped, match[2] or b"")
        position = match.end()
    blank, is_first = b"", True
    while match := _UNQUOTED.match(text, position):
        escaped, space, plain = match.groups()
        position = match.end()
        if space is not None:
            blank += b"" if is_first else space
            continue
        value, blank = value + blank, b""
        if escaped is not None:
            value += escaped.strip(b"\r\n")
        elif plain != b"\\":
            value += plain
        is_first = False
    return value, position


def _unescaped(match: re.Match[bytes]) -> bytes:
    return match[1].strip(b"\n")
