"""The names, kinds, owners, modes and sizes with which files are read as crontabs or refused."""

import errno
import grp
import os
import pwd
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pycrond.errors import MissingDirectoryError, PycrondError, UnreadableError
from pycrond.host import safe_paths
from pycrond.sources import files

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
NOBODY = 65534
LINE = b"* * * * * x\n"


@pytest.fixture(autouse=True)
def no_hanging() -> Iterator[None]:
    """Fail a test whose read hangs."""
    signal.alarm(10)
    yield
    signal.alarm(0)


def crontab(directory: Path, mode: int = 0o644, name: str = "jobs", text: bytes = LINE) -> Path:
    file = directory / name
    file.write_bytes(text)
    file.chmod(mode)
    return file


def refusal(file: Path | str) -> str:
    with pytest.raises(UnreadableError) as refused:
        files.read_crontab(str(file))
    assert str(refused.value).startswith("not read: ")
    return str(refused.value).removeprefix("not read: ")


# Kinds of files.


def test_a_plain_file_is_read_as_it_is(tmp_path: Path) -> None:
    every_byte = bytes(range(256)) * 3
    assert files.read_crontab(str(crontab(tmp_path, text=every_byte))) == every_byte
    assert files.read_crontab(str(crontab(tmp_path, text=b""))) == b""


def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o644)
    assert refusal(tmp_path / "fifo") == "it is not a regular file"


def test_a_fifo_that_replaces_a_file_does_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fifo, plain = tmp_path / "fifo", crontab(tmp_path)
    os.mkfifo(fifo, 0o644)
    before = os.stat(plain)
    monkeypatch.setattr(os, "stat", lambda _path: before)
    assert refusal(fifo) == "it is not a regular file"


def test_a_directory_a_socket_and_devices_are_no_crontabs(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "endless").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name in ("directory", "null", "endless", "socket"):
            assert refusal(tmp_path / name) == "it is not a regular file", name


def test_links(tmp_path: Path) -> None:
    crontab(tmp_path)
    (tmp_path / "link").symlink_to("jobs")
    (tmp_path / "dangling").symlink_to("gone")
    (tmp_path / "loop").symlink_to("loop")
    assert files.read_crontab(str(tmp_path / "link")) == LINE
    assert refusal(tmp_path / "dangling") == "it is a link to nothing"
    assert refusal(tmp_path / "loop") == os.strerror(errno.ELOOP)
    assert refusal(tmp_path / "gone") == os.strerror(errno.ENOENT)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = crontab(tmp_path)
    os.truncate(file, 70 << 20)
    assert refusal(file) == f"it has {70 << 20} bytes, at most {64 << 20}"
    assert file.stat().st_blocks == 8  # it is sparse


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    bad = crontab(tmp_path, 0o666, "bad")
    before = os.listdir("/proc/self/fd")
    files.read_crontab(str(crontab(tmp_path)))
    refusal(bad)
    refusal(tmp_path)
    assert os.listdir("/proc/self/fd") == before


# Owners and modes.


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640, 0o444, 0o400, 0o755])
def test_modes_that_let_no_other_user_write(tmp_path: Path, mode: int) -> None:
    assert files.read_crontab(str(crontab(tmp_path, mode))) == LINE


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        (0o666, "everyone may write it (mode 0666)"),
        (0o646, "everyone may write it (mode 0646)"),
        (0o602, "everyone may write it (mode 0602)"),
        (0o1777, "everyone may write it (mode 1777)"),
    ],
)
def test_modes_that_let_everyone_write(tmp_path: Path, mode: int, message: str) -> None:
    assert refusal(crontab(tmp_path, mode)) == message


@AS_ROOT
def test_a_foreign_owner_is_refused(tmp_path: Path) -> None:
    file = crontab(tmp_path)
    os.chown(file, NOBODY, 0)
    name = pwd.getpwuid(NOBODY).pw_name
    assert refusal(file) == f"it belongs to {name}, not to root"
    os.chown(file, 4_000_000, 0)
    assert "it belongs to uid 4000000," in refusal(file)


@AS_ROOT
def test_the_owner_of_a_link_does_not_matter(tmp_path: Path) -> None:
    crontab(tmp_path)
    (tmp_path / "link").symlink_to("jobs")
    os.lchown(tmp_path / "link", NOBODY, NOBODY)
    assert files.read_crontab(str(tmp_path / "link")) == LINE


GROUPS = [  # the group's name, the main group of alice, its other members
    ("alice", 7001, [], True, "the user's own group without other members: umask 002"),
    ("alice", 7001, ["alice"], True, "listed in it herself"),
    ("alice", 7001, ["bob"], False, "it has another member"),
    ("alice", 7001, ["alice", "bob"], False, "another member too"),
    ("staff", 7001, [], False, "her main group, but not her private one"),
    ("alice", 50, [], False, "a group of her name that is not her main one"),
]


@AS_ROOT
@pytest.mark.parametrize("row", GROUPS, ids=lambda row: row[-1])
def test_a_group_that_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: tuple[str, int, list[str], bool, str]
) -> None:
    """Fake a user without a password entry by replacing the two look-ups."""
    name, main, members, read, why = row
    user = pwd.struct_passwd(("alice", "x", 7001, main, "", "/home/alice", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", {7001: user}.__getitem__)
    monkeypatch.setattr(grp, "getgrgid", {7001: grp.struct_group((name, "x", 7001, members))}.__getitem__)
    monkeypatch.setattr(os, "geteuid", lambda: 7001)
    file = crontab(tmp_path, 0o664)
    os.chown(file, 7001, 7001)
    if read:
        assert files.read_crontab(str(file)) == LINE, why
    else:
        assert refusal(file) == "its group may write it (mode 0664)", why


@AS_ROOT
def test_a_group_without_a_name_is_not_private(tmp_path: Path) -> None:
    file = crontab(tmp_path, 0o664)
    os.chown(file, 0, 4_000_000)
    assert refusal(file) == "its group may write it (mode 0664)"


@AS_ROOT
def test_roots_own_group_may_write(tmp_path: Path) -> None:
    assert files.read_crontab(str(crontab(tmp_path, 0o664))) == LINE


def as_nobody(act: Callable[[], str]) -> str:
    """Return the result of a function in a child process without rights."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setegid(NOBODY)
            os.seteuid(NOBODY)
            os.write(writer, act().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as pipe:
        caught = pipe.read()
    os.waitpid(child, 0)
    return caught


@AS_ROOT
def test_files_that_a_user_may_not_read() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        closed = directory / "closed"
        closed.mkdir(0o700)
        file = crontab(directory, 0o000)
        mine = crontab(directory, 0o600, "mine")
        os.chown(mine, NOBODY, NOBODY)
        assert as_nobody(lambda: refusal(file)) == "Permission denied"
        assert as_nobody(lambda: files.read_crontab(str(mine)).decode()) == LINE.decode()
        assert as_nobody(lambda: missing(closed)) == "cannot be read: Permission denied"
        assert as_nobody(lambda: missing(closed / "below")) == "cannot be read: Permission denied"


def missing(directory: Path) -> str:
    with pytest.raises(MissingDirectoryError) as caught:
        files.list_crontabs(str(directory))
    return str(caught.value)


# Directories.


def test_a_directory_of_crontabs_in_order(tmp_path: Path) -> None:
    for name in ("b", "a", "10", "9", "Z", "with space", "a.b", "wei\u00df", "x.bak2"):
        crontab(tmp_path, name=name)
    crontabs, skipped = files.list_crontabs(str(tmp_path))
    assert crontabs == sorted(crontabs)
    assert {os.path.basename(file) for file in crontabs} == set(os.listdir(tmp_path))
    assert skipped == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (".hidden", "begins with '.'"),
        ("#jobs#", "begins with '#'"),
        ("jobs~", "ends in '~'"),
        ("jobs.bak", "ends in '.bak'"),
        (".jobs.swp", "begins with '.'"),
        ("jobs.swp", "ends in '.swp'"),
        ("jobs.orig", "ends in '.orig'"),
        ("jobs.rej", "ends in '.rej'"),
        ("jobs.dpkg-new", "ends in '.dpkg-new'"),
        ("jobs.dpkg-old", "ends in '.dpkg-old'"),
        ("jobs.rpmsave", "ends in '.rpmsave'"),
        ("jobs.rpmnew", "ends in '.rpmnew'"),
    ],
)
def test_names_that_are_skipped(tmp_path: Path, name: str, why: str) -> None:
    crontab(tmp_path, name=name)
    crontab(tmp_path)
    crontabs, skipped = files.list_crontabs(str(tmp_path))
    assert crontabs == [str(tmp_path / "jobs")]
    assert [str(problem) for problem in skipped] == [f"{tmp_path / name}: warning: not read, its name {why}"]


@pytest.mark.parametrize("name", ["jobs.bak.x", "swp", "bak", "my.origin", "dpkg-new", "a~b", "x#"])
def test_similar_names_that_are_read(tmp_path: Path, name: str) -> None:
    crontab(tmp_path, name=name)
    assert files.list_crontabs(str(tmp_path))[0] == [str(tmp_path / name)]


def test_an_empty_directory(tmp_path: Path) -> None:
    assert files.list_crontabs(str(tmp_path)) == ([], [])


@pytest.mark.parametrize("what", ["gone", "file"])
def test_a_directory_that_is_missing_or_a_file(tmp_path: Path, what: str) -> None:
    crontab(tmp_path, name="file")
    with pytest.raises(MissingDirectoryError, match="cannot be read"):
        files.list_crontabs(str(tmp_path / what))


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_directory_that_everyone_may_write(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(UnreadableError, match="no crontab in it is read: everyone may write it") as caught:
        files.list_crontabs(str(tmp_path))
    assert not isinstance(caught.value, MissingDirectoryError)


@AS_ROOT
def test_a_directory_of_another_user(tmp_path: Path) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    with pytest.raises(UnreadableError, match="it belongs to"):
        files.list_crontabs(str(tmp_path))


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"caf\xe9")
    with open(name, "wb") as file:
        file.write(LINE)
    os.chmod(name, 0o644)
    (path,) = files.list_crontabs(str(tmp_path))[0]
    assert os.fsencode(path) == name
    assert files.read_crontab(path) == LINE


# Directories above, and messages.


def test_a_safe_directory(tmp_path: Path) -> None:
    inner = tmp_path / "open" / "inner"
    inner.mkdir(parents=True)
    for directory in ("/", "/usr/bin", str(inner)):
        safe_paths.check_directory(directory)
    inner.parent.chmod(0o777)
    for directory in (str(inner), str(inner.parent)):  # someone could replace the directory above it
        with pytest.raises(safe_paths.UnsafePathError):
            safe_paths.check_directory(directory)


def test_every_reason_is_readable() -> None:
    assert issubclass(MissingDirectoryError, UnreadableError)
    assert issubclass(UnreadableError, PycrondError)
