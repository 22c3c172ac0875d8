"""crontab(1): users' crontabs by way of the daemon, and root's access to all of them."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import pycrond
from pycrond.jobs.job import Account
from pycrond.sources.user_crontabs import UserCrontabs
from tests.conftest import Crond, wait_until
from tests.support import packages
from tests.support.system import System

pytestmark = [
    pytest.mark.daemon,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the crontabs of other users"),
]
LINE = "* * * * * true\n"


@pytest.fixture
def crontab() -> Iterator["CrontabProgram"]:
    """The program of a system that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="system.") as directory:
        crond = Crond(Path(directory))
        yield CrontabProgram(System(crond))
        crond.end()


def python_for_users() -> str:
    """Return a Python that other users can execute; the one that runs the tests may be in root's home."""
    real = Path(sys.executable).resolve()
    if all(directory.stat().st_mode & 0o001 for directory in real.parents):
        return sys.executable
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if python is None:
        packages.give_up("there is no Python that another user can execute")
    return python


class CrontabProgram:
    """The program `crontab` on the PATH of a system, as `setup` installs it."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.directory = system.crond.directory / "bin"
        self.directory.mkdir()
        program = self.directory / "crontab"
        path = ":".join([str(Path(pycrond.__file__).parents[1]), sysconfig.get_path("purelib")])
        program.write_text(
            f'#!/bin/sh\nPYTHONPATH={path} exec {python_for_users()} -m pycrond crontab "$@"\n'
        )
        program.chmod(0o755)
        self.program = str(program)
        system.crond.environment["PATH"] = f"{self.directory}:{os.environ['PATH']}"

    def run(self, *words: str, user: str = "root", text: str = "", status: int = 0) -> str:
        """Run the program as a user with a text on standard input; return its output on both streams."""
        done = self.system.as_user(user, self.program, *words, status=status, input=text)
        return done.stdout + done.stderr

    def file(self, user: str) -> Path:
        return self.system.root / "var/spool/cron/crontabs" / user


def test_a_user_installs_lists_and_removes_a_crontab(crontab: CrontabProgram) -> None:
    crontab.system.crond.run("start")
    assert crontab.run("-l", user="nobody", status=1) == "no crontab for nobody\n"
    crontab.run("-", user="nobody", text=LINE)
    assert crontab.run("-l", user="nobody") == LINE
    status = crontab.file("nobody").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (pwd.getpwnam("nobody").pw_uid, 0o600)
    wait_until(lambda: crontab.system.crond.json("list")["jobs"])
    assert crontab.run("-br", user="nobody") == ""
    assert not crontab.file("nobody").exists()
    wait_until(lambda: not crontab.system.crond.json("list")["jobs"])
    assert crontab.run("-r", user="nobody", status=1) == "no crontab for nobody\n"


def test_a_crontab_is_in_force_at_once(crontab: CrontabProgram) -> None:
    crond = crontab.system.crond
    crond.run("start")
    crontab.run("-", user="nobody", text=LINE)
    wait_until(lambda: (crond.status() or {"jobs": 0})["jobs"] == 1)


@pytest.mark.parametrize("action", [["-l"], ["-r"], ["-"]], ids=" ".join)
def test_only_root_names_another_user(crontab: CrontabProgram, action: list[str]) -> None:
    crontab.system.write("var/spool/cron/crontabs/games", LINE)
    crontab.system.crond.run("start")
    printed = crontab.run("-u", "games", *action, user="nobody", text=LINE, status=1)
    assert printed == "must be privileged to use -u\n"
    assert crontab.run("-u", "games", "-l") == LINE


def test_the_daemon_does_not_believe_a_name(crontab: CrontabProgram) -> None:
    """A user who sends requests to the socket without crontab(1) reaches no other crontab either."""
    crontab.system.write("var/spool/cron/crontabs/games", LINE)
    crontab.system.crond.run("start")
    script = (
        "import sys; from pycrond.control.client import ask\n"
        "for action in ('list', 'edit', 'replace', 'delete'):\n"
        "    try: print(ask(sys.argv[1], {'command': 'crontab', 'action': action, 'user': 'games', 'text': ''}))\n"
        "    except Exception as error: print(error)\n"
    )
    socket = str(crontab.system.crond.runtime / "control.sock")
    done = crontab.system.as_user("nobody", sys.executable, "-c", script, socket)
    assert done.stdout.splitlines() == ["must be privileged to use -u"] * 4
    assert crontab.file("games").read_text() == LINE


def test_without_a_daemon_root_works_and_a_user_is_told(crontab: CrontabProgram) -> None:
    crontab.run("-u", "nobody", "-", text=LINE)
    assert crontab.run("-lu", "nobody") == LINE
    assert crontab.run("-l", user="nobody", status=1) == (
        "pycrond is not running: without it only root can read and change crontabs\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("61 * * * * true\n", "errors in crontab file, can't install."),
        ("* * * * * true", "new crontab file is missing newline before EOF, can't install."),
    ],
)
def test_a_broken_crontab_is_not_installed(crontab: CrontabProgram, text: str, message: str) -> None:
    crontab.run("-", text=LINE)
    assert crontab.run("-", text=text, status=1).endswith(f"{message}\n")
    assert crontab.run("-T", "-", text=text, status=1).endswith(f"{message}\n")
    assert crontab.run("-l") == LINE


MANY = "not read: it has more than 1000 entries, at most 1000 (setting max-crontab-entries)"
LARGE = "the crontab has 199998 bytes, at most 131072 (setting max-crontab-size)"
REPEATED = "its entries, each with the options that apply to it, have "


@pytest.mark.parametrize("runs", [True, False], ids=["with-daemon", "without"])
@pytest.mark.parametrize(
    ("text", "error"),
    [
        (LINE * 1001, MANY),
        ("A=1\n" * 1001 + LINE, "more than 1000 assignments"),
        ("#" * 199_997 + "\n", LARGE),
        ("PYCROND_ON_FAILURE=" + "x" * 900 + "\n" + LINE * 900, REPEATED),
    ],
    ids=["entries", "assignments", "size", "repetition"],
)
def test_a_crontab_beyond_the_limits_is_not_installed(
    crontab: CrontabProgram, text: str, error: str, *, runs: bool
) -> None:
    """The daemon would not read it. Root's own crontab has no limits."""
    if runs:
        crontab.system.crond.run("start")
        crontab.run("-", user="nobody", text=LINE)
        assert error in crontab.run("-", user="nobody", text=text, status=1)
        assert crontab.run("-l", user="nobody") == LINE
    assert error in crontab.run("-T", "-", user="nobody", text=text, status=1)
    assert error in crontab.run("-u", "nobody", "-", text=text, status=1)
    crontab.run("-T", "-", text=text)


def test_the_limits_are_those_of_the_daemon(crontab: CrontabProgram) -> None:
    crontab.system.crond.run("start", "--max-crontab-entries=2", "--max-crontab-size=500")
    large = "#" * 200_000 + "\n"
    crontab.run("-", user="nobody", text=large)
    assert crontab.run("-l", user="nobody") == large
    for user, words in (("nobody", ["-"]), ("root", ["-u", "nobody", "-"])):
        assert "more than 2 entries" in crontab.run(*words, user=user, text=LINE * 3, status=1)
    assert crontab.run("-l", user="nobody") == large


def test_checks_only(crontab: CrontabProgram) -> None:
    for option in ("-T", "-n"):
        assert crontab.run(option, "-", text=LINE) == (
            "The syntax of the crontab file was successfully checked.\n"
        )
    assert crontab.run("-l", status=1) == "no crontab for root\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-l", "-r"], "only one operation permitted"),
        (["-l", "file"], "no arguments permitted after this option"),
        (["-x"], "pycrond: "),
        (["-u", "no-such-user", "-l"], "crontab: user `no-such-user' unknown"),
        (["/no/such/file"], "/no/such/file: No such file or directory"),
    ],
)
def test_wrong_use_has_status_1_as_in_both_crons(
    crontab: CrontabProgram, words: list[str], message: str
) -> None:
    assert message in crontab.run(*words, status=1)


def test_asks_before_it_removes(crontab: CrontabProgram) -> None:
    crontab.run("-", text=LINE)
    assert crontab.run("-ir", text="n\n") == "crontab: really delete root's crontab? (y/n) "
    assert crontab.run("-l") == LINE
    crontab.run("-ir", text="y\n")
    assert crontab.run("-l", status=1) == "no crontab for root\n"
    copy = crontab.system.crond.directory / ".cache/crontab/crontab.bak"
    assert copy.read_text() == LINE


@pytest.mark.parametrize(
    ("allow", "deny", "os_id", "is_allowed"),
    [
        (None, None, "debian", True),
        (None, None, "fedora", False),
        ("nobody\n", "nobody\n", "debian", True),
        ("games\n", None, "debian", False),
        ("", None, "debian", False),
        (None, "games\nnobody\n", "debian", False),
        (None, "games\n", "fedora", True),
    ],
)
def test_cron_allow_and_cron_deny(
    crontab: CrontabProgram, allow: str | None, deny: str | None, os_id: str, *, is_allowed: bool
) -> None:
    crontab.system.write("etc/os-release", f"ID={os_id}\n")
    for name, text in (("allow", allow), ("deny", deny)):
        if text is not None:
            crontab.system.write(f"etc/cron.{name}", text)
    crontab.system.crond.run("start")
    printed = crontab.run("-", user="nobody", text=LINE, status=0 if is_allowed else 1)
    if not is_allowed:
        assert printed == (
            "You (nobody) are not allowed to use this program (crontab)\nSee crontab(1) for more information\n"
        )
    assert crontab.run("-l", status=1) == "no crontab for root\n"  # root always may


def test_the_header_of_debians_crontab_is_not_shown(tmp_path: Path) -> None:
    header = "# DO NOT EDIT THIS FILE - edit the master and reinstall.\n# (- installed on Sat)\n"
    header += "# (Cron version -- $Id: crontab.c$)\n"
    account = Account("root", 0, 0, "/root")
    crontabs = UserCrontabs(str(tmp_path), "debian")
    crontabs.write(account, f"{header}# mine\n{LINE}".encode())
    assert crontabs.read(account) == f"# mine\n{LINE}".encode()
    assert (tmp_path / "var/spool/cron/crontabs").is_dir()


def test_python_crontab_manages_jobs(crontab: CrontabProgram) -> None:
    """python-crontab is used by many programs."""
    crontab.system.crond.run("start")
    script = """
import sys
from crontab import CronTab
user = sys.argv[1] if len(sys.argv) > 1 else True
cron = CronTab(user=user)
job = cron.new(command="echo one", comment="first")
job.setall("*/5 * * * *")
cron.new(command="echo two", comment="second").every_reboot()
cron.env["SHELL"] = "/bin/bash"
cron.write()
cron = CronTab(user=user)
next(cron.find_comment("first")).enable(False)
cron.remove_all(comment="second")
cron.new(command="echo three").setall("@hourly")
cron.write()
print(CronTab(user=user).render(), end="")
"""
    expected = ["SHELL=/bin/bash", "# */5 * * * * echo one # first", "@hourly echo three"]
    for user, words in (("nobody", []), ("root", ["games"]), ("root", [])):
        crontab.system.crond.environment["PYTHONPATH"] = sysconfig.get_path("purelib")
        done = crontab.system.as_user(user, python_for_users(), "-c", script, *words)
        assert [line for line in done.stdout.splitlines() if line] == expected
        assert [line for line in crontab.file((*words, user)[0]).read_text().splitlines() if line] == expected


def test_ansible_manages_jobs(crontab: CrontabProgram) -> None:
    """Ansible's cron module adds, changes, disables and removes jobs, and variables."""
    crontab.system.crond.run("start")
    ansible = os.path.join(os.path.dirname(sys.executable), "ansible")

    def cron(arguments: str) -> str:
        shared_memory = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev/shm; exec "$@"', "sh"]
        command = [*shared_memory, ansible, "localhost", "-c", "local", "-m", "ansible.builtin.cron"]
        home = crontab.system.crond.environment["HOME"]
        environment = crontab.system.crond.environment | {
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_REMOTE_TEMP": f"{home}/.ansible/tmp",
        }
        done = subprocess.run(
            [*command, "-a", arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def lines(user: str) -> list[str]:
        return crontab.run("-u", user, "-l").splitlines()

    for user in ("root", "games"):
        cron(f"user={user} name=backup minute=5 hour=2 job='backup --all'")
        assert lines(user) == ["#Ansible: backup", "5 2 * * * backup --all"]
    assert '"changed": false' in cron("user=games name=backup minute=5 hour=2 job='backup --all'")
    cron("user=games name=backup special_time=daily job='backup --all' disabled=true")
    assert lines("games") == ["#Ansible: backup", "#@daily backup --all"]
    cron("user=games name=MAILTO env=true job=ops@example.org")
    cron("user=games name=backup state=absent")
    assert lines("games") == ['MAILTO="ops@example.org"']


class Editor:
    """An editor that writes the next of its texts each time that it is called."""

    def __init__(self, crontab: CrontabProgram) -> None:
        self.crontab = crontab
        self.program = crontab.directory / "editor"
        crontab.system.crond.environment |= {"VISUAL": str(self.program), "XDG_STATE_HOME": "/nonexistent"}

    def writes(self, text: str) -> None:
        self.program.write_text(f"#!/bin/sh\nprintf '%s' '{text}' >\"$1\"\n")
        self.program.chmod(0o755)


def test_edits_a_crontab_and_shows_the_change_of_fire_times(crontab: CrontabProgram) -> None:
    editor = Editor(crontab)
    crontab.system.crond.run("start")
    crontab.run("-", text="0 2 * * * backup\n")
    editor.writes("0 3 * * * backup\n")
    printed = crontab.run("-e")
    assert "0 3 * * * (was 0 2 * * *); 7 fires won in 7 days" in printed
    assert printed.endswith("crontab: installing new crontab\n")
    assert crontab.run("-l") == "0 3 * * * backup\n"
    assert crontab.run("-e").endswith("No modification made\n")


def test_a_broken_edit_is_not_installed_and_not_lost(crontab: CrontabProgram) -> None:
    editor = Editor(crontab)
    crontab.run("-", text=LINE)
    editor.writes("61 * * * * broken\n")
    printed = crontab.run("-e", status=1)
    assert "root:1:1: error: " in printed
    assert "    61 * * * * broken\n    ^\n" in printed
    draft = printed.strip().rpartition("the draft is ")[2]
    assert Path(draft).read_text() == "61 * * * * broken\n"
    os.unlink(draft)
    assert crontab.run("-l") == LINE


def test_a_user_edits_by_way_of_the_daemon(crontab: CrontabProgram) -> None:
    home = crontab.directory / "home"
    home.mkdir()
    os.chown(home, pwd.getpwnam("nobody").pw_uid, -1)
    editor = Editor(crontab)
    crontab.system.crond.environment |= {"HOME": str(home), "XDG_STATE_HOME": str(home)}
    crontab.system.crond.run("start")
    editor.writes(LINE)
    printed = crontab.run("-e", user="nobody")
    assert printed.startswith("no crontab for nobody - using an empty one\n")
    assert crontab.file("nobody").read_text() == LINE
