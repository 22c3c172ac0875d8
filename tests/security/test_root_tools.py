"""Root's commands in directories and on files that an ordinary user controls change no other files."""

import fcntl
import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycrond.alarms import delivery_command, smtp
from pycrond.alarms.errors import MailerConfigError
from pycrond.cli.parser import COMMANDS
from pycrond.control.client import connect
from pycrond.errors import PycrondError
from pycrond.host import pidfile, safe_paths
from pycrond.host.daemon_arguments import daemon_command, from_arguments
from pycrond.keeper import start as keeper_start
from pycrond.sources import file_rules, files
from tests.conftest import SCRIPT, Crond, alive, wait_until
from tests.support.system import System

pytestmark = [pytest.mark.daemon, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
NOBODY = pwd.getpwnam("nobody")
JOB = "0 0 * * * true\n"


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A directory of an ordinary user, who can enter it."""
    directory = Path(tempfile.mkdtemp(prefix="pycrond-theirs-", dir="/tmp"))
    os.chown(directory, NOBODY.pw_uid, NOBODY.pw_gid)
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def sticky() -> Iterator[Path]:
    """A directory like /tmp."""
    directory = Path(tempfile.mkdtemp(prefix="pycrond-sticky-", dir="/tmp"))
    directory.chmod(0o1777)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of root, in a directory whose name a user knows."""
    file = tmp_path / "victim" / "shadow"
    file.parent.mkdir()
    file.write_text("secret\n")
    file.chmod(0o600)
    return file


def is_untouched(victim: Path) -> bool:
    status = victim.stat()
    facts = status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), victim.read_text()
    return facts == (0, 0, 0o600, "secret\n") and os.listdir(victim.parent) == ["shadow"]


def as_nobody(script: str) -> None:
    become = ["setpriv", "--reuid=nobody", f"--regid={NOBODY.pw_gid}", "--clear-groups"]
    subprocess.run([*become, "sh", "-euc", script], check=True, timeout=60)


def test_edit_does_not_follow_a_draft_that_was_swapped(crond: Crond, theirs: Path, victim: Path) -> None:
    """The file's owner exchanges the draft while root edits: the target must not get a new owner."""
    as_nobody(f"echo '{JOB}' > {theirs}/jobs")
    editor = crond.directory / "editor"
    swap = f"cd {theirs} && for draft in .jobs.*; do rm -f $draft; ln -s {victim} $draft; done"
    editor.write_text(
        f"#!/bin/sh\necho '1 {JOB}' > $1\nsetpriv --reuid=nobody --clear-groups --regid=nogroup sh -c '{swap}'\n"
    )
    editor.chmod(0o755)
    crond.environment["VISUAL"] = str(editor)
    done = crond.run("edit", str(theirs / "jobs"), status=1)
    assert f"{theirs} is not used: it belongs to nobody" in done.stderr
    assert is_untouched(victim)


def test_edit_of_a_users_crontab_in_the_spool(system: System) -> None:
    """The honest case: the directory is root's, the file keeps its owner, and no draft lies in the spool."""
    file = system.write("var/spool/cron/crontabs/nobody", JOB)
    file.parent.chmod(0o1730)
    editor = system.crond.directory / "editor"
    editor.write_text(f'#!/bin/sh\nls -A {file.parent} > {editor}.seen\necho "# more" >> "$1"\n')
    editor.chmod(0o755)
    system.crond.environment["VISUAL"] = str(editor)
    system.crond.run("edit", str(file))
    status = file.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (NOBODY.pw_uid, 0o600)
    assert file.read_text() == f"{JOB}# more\n"
    assert Path(f"{editor}.seen").read_text() == "nobody\n"


WRITERS = {
    "import --report": (["import", "--report", "{}/file"], "file"),
    "import --output": (["import", "--output", "{}/new"], "new"),
    "import --output, below": (["import", "--output", "{}/link/new"], "link"),
    "timeline --svg": (["timeline", "--svg", "{}/file"], "file"),
    "init": (["init", "--directory", "{}/link"], "link"),
    "setup": (["setup", "--system", "--root", "{}/link"], "link"),
    "setup, below": (["setup", "--system", "--root", "{}"], "usr"),
    "edit": (["edit", "{}/file"], "file"),
    "config": (["config", "--config", "{}/file"], "file"),
    "start --pidfile": (["start", "--pidfile", "{}/file"], "file"),
    "start --runtime-dir": (["start", "--runtime-dir", "{}/link/run"], "link"),
    "start --state-dir": (["start", "--state-dir", "{}/link/state"], "link"),
    "import --root": (["import", "--root", "{}"], "etc"),
}


@pytest.mark.parametrize("place", ["theirs", "sticky"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_link_of_a_user_is_not_followed(
    crond: Crond, victim: Path, place: str, name: str, request: pytest.FixtureRequest
) -> None:
    """In a user's directory, and in a directory like /tmp."""
    directory: Path = request.getfixturevalue(place)
    words, entry = WRITERS[name]
    crond.write("jobs", JOB)
    if words[0] == "timeline":
        crond.run("start")
    crond.environment["VISUAL"] = "true"
    target = victim if entry == "file" else victim.parent
    as_nobody(f"ln -s {target} {directory}/{entry}")
    done = crond.run(*[word.format(directory) for word in words], status=1)
    assert "belongs to nobody" in done.stderr or "not used" in done.stderr or "symbolic link" in done.stderr
    assert is_untouched(victim)
    assert os.listdir(directory) == [entry]
    assert os.readlink(directory / entry) == str(target)


@pytest.mark.parametrize("name", ["import --report", "import --output", "timeline --svg", "init"])
def test_a_new_entry_in_a_sticky_directory_is_fine(crond: Crond, sticky: Path, name: str) -> None:
    crond.write("jobs", JOB)
    crond.run("start")
    crond.run(*[word.format(sticky) for word in WRITERS[name][0]])
    (made,) = sticky.iterdir()
    assert (made.stat().st_uid, made.stat().st_mode & 0o022) == (0, 0)


def test_crontabs_of_another_users_copy_are_not_given_away(crond: Crond, theirs: Path, victim: Path) -> None:
    """A link in the spool of an imported tree would become a copy that the user may read."""
    victim.chmod(0o400)  # cronie accepts such a file, and links to it
    as_nobody(f"mkdir -p {theirs}/var/spool/cron; ln -s {victim} {theirs}/var/spool/cron/nobody")
    output = crond.directory / "copies"
    done = crond.run("import", "--root", str(theirs), "--output", str(output), status=1)
    assert f"{theirs} is not used: it belongs to nobody" in done.stderr
    assert not output.exists()


class FakeDaemon(threading.Thread):
    """A listener at a path, which counts its clients and answers with success."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.clients = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        path.chmod(0o777)
        self.listener.listen()
        self.start()

    def run(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.clients += 1
            with client:
                client.recv(65536)
                client.sendall(b'{"pid": 1, "start": 1, "keeper": true}\n')

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join()


NEEDS = {
    "run": ["job"],
    "kill": ["job"],
    "pause": ["job"],
    "resume": ["job"],
    "why": ["job", "12:00"],
    "edit": ["/dev/null"],
    "cluster": ["status"],
}
STATELESS = {"explain", "help", "init", "setup"}
"""Commands that read no file of a daemon."""


def test_no_command_uses_a_state_directory_of_another_user(crond: Crond, theirs: Path) -> None:
    """The directory has all files with which a user could have root signal a process or talk to a socket."""
    state = theirs / "state"
    settings = f"--state-dir={state}\n--runtime-dir={state}\n--pidfile={state}/pid"
    as_nobody(f"mkdir -m 700 {state}; cd {state}; printf '%s' '{settings}' > settings; touch lock")
    for name in ("PYCROND_RUNTIME_DIR", "PYCROND_PIDFILE"):
        del crond.environment[name]
    sockets = [FakeDaemon(state / name) for name in ("control.sock", "keeper.sock")]
    words = [sys.executable, "-c", "input()", "pycrond.daemon", f"--state-dir={state}"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process, (state / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (state / "pid").write_text(f"{process.pid}\n")
        for command in sorted(COMMANDS.keys() - STATELESS):
            done = crond.run(command, *NEEDS.get(command, []), "--state-dir", str(state), status=1)
            refusals = (
                f"{state} must belong to the daemon's user",
                f"{theirs} is not used: it belongs to nobody",
            )
            assert any(refusal in done.stderr for refusal in refusals), f"{command}: {done.stderr}"
            assert done.stdout == "", command
        assert alive(process.pid)
        process.kill()
    assert [server.clients for server in sockets] == [0, 0]
    for server in sockets:
        server.close()
    assert sorted(os.listdir(state)) == ["control.sock", "keeper.sock", "lock", "pid", "settings"]


@pytest.mark.parametrize("kind", ["theirs", "sticky"])
def test_no_client_talks_to_a_socket_that_a_user_could_have_made(
    request: pytest.FixtureRequest, kind: str
) -> None:
    path = request.getfixturevalue(kind) / "control.sock"
    server = FakeDaemon(path)
    os.chown(path, NOBODY.pw_uid, -1)
    with pytest.raises(PycrondError, match="belongs to nobody"):
        connect(str(path), 1.0)
    server.close()
    assert server.clients == 0


def test_the_kernel_says_who_listens(tmp_path: Path) -> None:
    """The socket's file belongs to root, its process does not."""
    script = (
        "import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]);"
        f"os.setgroups([]); os.setgid({NOBODY.pw_gid}); os.setuid({NOBODY.pw_uid});"
        "s.listen(); print('ready', flush=True); input()"
    )
    path = tmp_path / "control.sock"
    words = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(PycrondError, match="belongs to a process of nobody"):
            connect(str(path), 5.0)
        process.kill()


def test_a_password_file_of_another_user_is_not_read(theirs: Path) -> None:
    as_nobody(f"echo theirs > {theirs}/password")
    with pytest.raises(MailerConfigError, match="belongs to nobody"):
        smtp.parse_url("smtp://me@localhost", str(theirs / "password"))


@pytest.mark.parametrize(
    ("directory", "mode", "owner", "is_read"),
    [
        ("etc/cron.d", 0o755, 0, True),
        ("etc/cron.d", 0o777, 0, False),
        ("etc/cron.d", 0o1777, 0, False),
        ("etc/cron.d", 0o755, NOBODY.pw_uid, False),
        ("etc", 0o777, 0, False),
        ("var/spool/cron/crontabs", 0o1730, 0, True),
        ("var/spool/cron/crontabs", 0o1777, 0, False),
        ("var/spool/cron/crontabs", 0o777, 0, False),
        ("var/spool/cron/crontabs", 0o700, NOBODY.pw_uid, False),
        ("var/spool/cron", 0o755, NOBODY.pw_uid, False),
    ],
)
def test_directories_of_the_system(
    system: System, directory: str, mode: int, owner: int, is_read: bool
) -> None:
    """In a directory that others may write to, they can replace root's files or make files disappear."""
    system.write("etc/cron.d/jobs", "0 0 * * * root true\n")
    system.write("var/spool/cron/crontabs/nobody", JOB)
    path = system.root / directory
    os.chown(path, owner, 62000)  # a group that may have members
    path.chmod(mode)
    done = system.crond.run("check", status=0 if is_read else 1)
    assert ("no crontab in it is read" in done.stdout) is not is_read


@pytest.mark.parametrize(
    ("mode", "owner", "is_read"),
    [(0o755, 0, True), (0o1777, 0, True), (0o777, 0, False), (0o1777, NOBODY.pw_uid, False)],
)
def test_crontabs_of_the_working_directory(
    crond: Crond, sticky: Path, mode: int, owner: int, is_read: bool
) -> None:
    """Below a directory like /tmp nobody else can replace an entry of root's, but its owner can."""
    crond.environment.pop("PYCROND_CRONTABS")
    (sticky / "clone" / "crontabs").mkdir(parents=True)
    (sticky / "clone" / "crontabs" / "jobs").write_text(JOB)
    clone, above = sticky / "clone", sticky
    clone.chmod(0o755)
    above.chmod(mode)
    os.chown(above, owner, 0)
    done = crond.run("start", cwd=clone, status=0 if is_read else 1)
    if is_read:
        assert f"crontabs: {clone}/crontabs (./crontabs of the working directory)\n" in done.stdout
    else:
        assert f"; {above} is not used: " in done.stderr


@pytest.mark.parametrize(("mode", "is_read"), [(0o755, True), (0o777, False)])
def test_a_directory_above_the_crontabs(crond: Crond, mode: int, is_read: bool) -> None:
    directory = crond.directory / "above" / "crontabs"
    directory.mkdir(parents=True)
    (directory / "jobs").write_text(JOB)
    directory.parent.chmod(mode)
    done = crond.run("check", "--crontabs", str(directory), status=0 if is_read else 1)
    assert ("no crontab in it is read" in done.stdout) is not is_read


def test_the_owner_of_a_crontab_is_that_of_the_open_file(tmp_path: Path) -> None:
    """A user replaces its crontab by a link to root's, after it is read and before its owner is checked."""
    file = tmp_path / "crontab"
    file.write_text(JOB)
    os.chown(file, NOBODY.pw_uid, -1)

    def swap(_: os.stat_result) -> None:
        (tmp_path / "roots").write_text("# root's\n")
        (tmp_path / "roots").rename(file)

    assert files.read_with_owner(str(file), file_rules.PermissionCheck(swap)) == (JOB.encode(), NOBODY.pw_uid)


def test_a_users_last_good_crontab_is_not_read_as_roots(system: System) -> None:
    system.write("etc/crontab", "#: name=other lock=global:shared\n0 0 * * * root true\n")
    file = system.write(
        "var/spool/cron/crontabs/nobody", "#: name=theirs lock=global:shared\n0 0 * * * true\n"
    )
    crond = system.crond
    crond.run("start")
    assert {job["options"].get("lock") for job in crond.json("list")["jobs"]} == {"global:shared", None}
    os.chown(file, 0, 0)
    file.write_text("61 * * * * true\n")
    crond.run("reload", status=None)
    assert [job["name"] for job in crond.json("list")["jobs"]] == ["other"]


@pytest.mark.parametrize("words", [["start"], ["start", "--foreground"]])
def test_nothing_is_writable_by_others_under_umask_0(crond: Crond, words: list[str]) -> None:
    crond.write("jobs", "@reboot echo output\n")
    for name in ("state", "runtime"):
        crond.environment[f"PYCROND_{name.upper()}_DIR"] = str(crond.directory / "new" / name / "below")
    crond.state = crond.directory / "new/state/below"
    crond.runtime = crond.directory / "new/runtime/below"
    command = ["sh", "-c", f"umask 0; exec {SCRIPT} {' '.join(words)}"]
    with subprocess.Popen(
        command, env=crond.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ):
        wait_until(lambda: crond.status() and [run for run in crond.runs() if run.bytes and run.ended_at])
        paths = [crond.directory / "new", *(crond.directory / "new").rglob("*"), crond.pidfile]
        modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in paths}
        crond.run("stop")
    open_to_all = {path.name for path, mode in modes.items() if mode & 0o022}
    assert open_to_all == {"control.sock"}
    assert len(modes) > 10
    assert {modes[crond.state], modes[crond.state / "lock"], modes[crond.state / "settings"]} == {
        0o700,
        0o600,
    }


def test_python_takes_no_module_from_the_working_directory(tmp_path: Path, sticky: Path) -> None:
    """`python -m pycrond` finds a package in the working directory before the installed one."""
    (tmp_path / "difflib.py").write_text("raise SystemExit('imported')\n")
    words = [sys.executable, "-m", "pycrond", "lst"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "did you mean 'list'" in done.stderr
    done = subprocess.run(words, cwd=sticky, capture_output=True, text=True, check=False)
    assert (done.returncode, "python -P -m pycrond" in done.stderr) == (1, True)
    done = subprocess.run(
        [words[0], "-P", *words[1:]], cwd=sticky, capture_output=True, text=True, check=False
    )
    assert "did you mean 'list'" in done.stderr


def test_every_python_that_pycrond_starts_is_isolated() -> None:
    settings = from_arguments(["--state-dir=/s", "--runtime-dir=/r", "--pidfile=/p"])
    with socket.socket() as listener:
        keeper = keeper_start.KeeperStart("/k", "/s", [], 3, listener).command()
    assert "-P" in daemon_command(settings)[1:2]
    assert delivery_command.COURIER[1] == "-P"
    assert keeper[1:3] == ["-I", "-S"]


def test_a_setuid_program_is_no_daemon(theirs: Path) -> None:
    """It is a process of root, with arguments that the user who started it chose."""
    program = theirs / "cat"
    shutil.copy("/bin/cat", program)
    os.chown(program, 0, 0)
    program.chmod(0o4755)
    become = ["setpriv", "--reuid=nobody", f"--regid={NOBODY.pw_gid}", "--clear-groups"]
    words = [*become, str(program), "-", "--", "pycrond.daemon", "--state-dir=/state"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        wait_until(lambda: Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(os.fsencode(program)))
        owner, found = os.stat(f"/proc/{process.pid}").st_uid, pidfile._state_dir_of(process.pid)
        process.kill()
    if owner != 0:
        pytest.skip("this file system has no setuid programs")
    assert found is None


def test_links_and_parents_on_a_path(tmp_path: Path, theirs: Path) -> None:
    """Links of root are followed, `..` after a link is the target's parent."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "a/file").write_text("content")
    assert safe_paths.read_file(f"{tmp_path}/link/../file") == b"content"
    with pytest.raises(OSError, match="symbolic links"):
        safe_paths.read_file(f"{tmp_path}/loop/x")
    with pytest.raises(safe_paths.IrregularFileError, match="a is not a regular file"):
        safe_paths.read_file(f"{tmp_path}/a")
    as_nobody(f"ln -s {tmp_path} {theirs}/link")
    with pytest.raises(safe_paths.UnsafePathError):
        safe_paths.read_file(f"{theirs}/link/a/file")
