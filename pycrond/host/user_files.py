"""Use of the files that a job's options name, by a process that already runs as the job's user.

The spawner loads this module in advance; the module imports nothing of pycrond.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator

TYPE_CHECKING = False  # as in spawner_program.py
if TYPE_CHECKING:
    from typing import NoReturn

    from pycrond.host.spawner_program import Request

MAX_VARIABLES_SIZE = 1 << 20  # bytes of a file with variables

CHUNK_SIZE = 1 << 16  # bytes
MAX_LINKS = 40
APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Flags of open(2). O_NONBLOCK: do not wait for the reader of a FIFO."""

_NAME = re.compile(rb"(?!(?:LOGNAME|USER)\Z|PYCROND_)[A-Za-z_][A-Za-z0-9_]*")
"""The names of variables that a file can set. The other names identify the processes of a run."""
_KEY = re.compile(rb"[ \t\r\n]*(?:[#;][^\r\n]*|([^\r\n=]*)(=?))")
_QUOTED = re.compile(rb"""[ \t]*(?:'([^']*)'?|"((?:[^"\\]|\\.)*)(?:"|\\?\Z))""", re.DOTALL)
_ESCAPED = re.compile(rb"\\([\n\"\\`$])")  # in double quotes
_UNQUOTED = re.compile(rb"\\(.)|([ \t]+)|([^\\ \t\r\n]+|\\\Z)", re.DOTALL)


class FileError(OSError):
    """A file that cannot be used; `failure` says what failed."""

    def __init__(self, error: OSError, failure: bytes) -> None:
        super().__init__(*error.args)
        self.failure = failure


def prepare(request: "Request", stdin: int) -> dict[bytes, bytes]:
    """Enter the directory of a request, set its umask, and return the variables in its file. If the directory
    cannot be entered and the request has a fallback, stay in the current one. Without a program to execute,
    append the data from `stdin` to its output, and do not return. Raises FileError.
    """
    directory, variables = request.directory, request.variables
    text = b"cannot enter directory " + directory
    try:
        try:
            os.chdir(directory)
        except OSError:
            if not request.fallback:
                raise
        if request.umask:
            os.umask(int(request.umask, 8))
        text = b"cannot read variables from " + variables.removeprefix(b"-")
        if not request.arguments:
            append(request.output, stdin)
        return read_variables(variables) if variables else {}
    except OSError as error:
        raise FileError(error, text) from error


def read_variables(path: bytes) -> dict[bytes, bytes]:
    """Return the variables in a file; none if the path begins with `-` and no such file exists.

    Raises OSError, also if it is not a regular file, which is then not opened, or if it is too large.
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
    """Return the value that begins at a position, and its end. Quoted parts come first; whitespace between
    them and at the end is ignored.
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


def append(path: bytes, descriptor: int) -> "NoReturn":
    """Append the data from a socket to a file, until the end of the data. After each write, send the number
    of bytes written; after an error, send an error number below 0 and stop. Close all other descriptors: if
    this process kept the spawner's socket open, the daemon would not notice the spawner's end.
    """
    channel = os.dup2(descriptor, 0)
    os.closerange(1, 256)
    with contextlib.suppress(OSError):  # the daemon has ended
        _append(path, channel)
    os._exit(0)


def _append(path: bytes, channel: int) -> None:
    file = -1
    while data := os.read(channel, CHUNK_SIZE):
        try:
            file = _reopen(path, file)
            while data:
                written = os.write(file, data)
                os.write(channel, written.to_bytes(8, "little", signed=True))
                data = data[written:]
        except OSError as error:
            os.write(channel, (-(error.errno or errno.EIO)).to_bytes(8, "little", signed=True))
            return


def _reopen(path: bytes, file: int) -> int:
    """Return the open file if `path` still names it; else close it, and open or make the file at `path`."""
    if file >= 0:
        try:
            if os.path.samestat(os.stat(path), os.fstat(file)):
                return file
        except OSError:
            pass
        os.close(file)
    opened = _open_for_append(path)
    os.set_blocking(opened, True)
    return opened


def _open_for_append(path: bytes) -> int:
    """Open a file. If the path ends in a link, follow it only if it belongs to this user or to root."""
    for _ in range(MAX_LINKS):
        try:
            return os.open(path, APPEND | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        link = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(link).st_uid not in {0, os.geteuid()}:
                break
            path = os.path.join(os.path.dirname(path), os.readlink(b"", dir_fd=link))
        finally:
            os.close(link)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
