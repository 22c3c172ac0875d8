"""The files that options of a job name, used by a process that is the job's user already.

The spawner loads this module before; it imports nothing of pycrond.
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
"""Not waiting for a reader of a FIFO."""

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


def prepare(request: "Request", stdin: int) -> dict[bytes, bytes]:
    """Enter the directory of a request (or stay in this one, if it has a fallback), set its umask, and return
    the variables in its file. Without a program to execute, append what comes from `stdin` to its output, and
    do not return. Raises FileError.
    """
    directory, variables = request.directory, request.variables
    what = b"cannot enter directory " + directory
    try:
        try:
            os.chdir(directory)
        except OSError:
            if not request.fallback:
                raise
        if request.umask:
            os.umask(int(request.umask, 8))
        what = b"cannot read variables from " + variables.removeprefix(b"-")
        if not request.arguments:
            append(request.output, stdin)
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


def append(path: bytes, descriptor: int) -> "NoReturn":
    """Append to a file what comes from a socket until its end, and answer each time how many bytes were
    written, or an error number below 0, after which nothing more is written. Closes all other descriptors:
    the end of the daemon's socket to the spawner shows that this has ended.
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
            file = _current(path, file)
            while data:
                written = os.write(file, data)
                os.write(channel, written.to_bytes(8, "little", signed=True))
                data = data[written:]
        except OSError as error:
            os.write(channel, (-(error.errno or errno.EIO)).to_bytes(8, "little", signed=True))
            return


def _current(path: bytes, file: int) -> int:
    """Return the open file if it still has this name, else close it, and open or make that of this name."""
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
    """Open a file. A link at the end of the path is followed if it belongs to this user or to root."""
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
