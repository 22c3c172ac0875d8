"""`pycrond import` of whole systems below a root of ours: the report, and the files that are written."""

import os
import pwd
import re
from pathlib import Path

import pytest

from pycrond.cli.main import main
from tests.conftest import Crond, pycrond, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

DEBIANS = """\
17 *	* * *	root	cd / && run-parts --report /etc/cron.hourly
25 6	* * *	root	test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
"""
STARTER = "30 7-23 * * *   root	[ -x /etc/init.d/anacron ] && if [ ! -d /run/systemd/system ]; then /usr/sbin/invoke-rc.d anacron start >/dev/null; fi\n"


class Machine:
    """The files of a system, and the results of an import."""

    def __init__(self, directory: Path, system: str) -> None:
        self.directory = directory
        self.root = directory / "root"
        self.out = directory / "out"
        self.write("etc/os-release", f"ID={system}\n")

    def write(self, name: str, text: str | bytes, mode: int = 0o644, owner: str = "root") -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(mode)
        os.chown(file, *pwd.getpwnam(owner)[2:4])
        return file

    def spool(self, user: str, text: str | bytes) -> Path:
        return self.write(f"var/spool/cron/crontabs/{user}", text, 0o600, user)

    def report(self, *arguments: str, status: int = 0) -> str:
        done = pycrond(self.directory, "import", "--root", str(self.root), *arguments, status=status)
        return done.stdout + done.stderr

    def after(self, line: str, *arguments: str) -> list[str]:
        """Return the remarks on a line of the report."""
        lines = self.report(*arguments).splitlines()
        at = next(number for number, text in enumerate(lines) if text.startswith("  ") and line in text)
        remarks = []
        for text in lines[at + 1 :]:
            if not text.startswith("      "):
                break
            remarks.append(text.strip())
        return remarks


@pytest.mark.parametrize("root", ["nosuch", "empty"])
def test_a_directory_without_a_system_is_an_error(tmp_path: Path, root: str) -> None:
    (tmp_path / "empty").mkdir()
    done = pycrond(tmp_path, "import", "--root", str(tmp_path / root), status=1)
    assert done.stderr == (
        f"pycrond: {tmp_path / root} has no system: neither {tmp_path / root}/etc"
        f" nor {tmp_path / root}/var/spool/cron\n"
    )
    assert not done.stdout


@pytest.fixture
def debian(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "debian")


@pytest.fixture
def fedora(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "fedora")


def test_where_nothing_differs_nothing_is_said(debian: Machine) -> None:
    file = debian.write("etc/cron.d/job", "0 5 * * * root true\n")
    assert debian.report().splitlines() == [
        "Crontabs of Debian cron, as pycrond would run them: 1 job in 1 file.",
        "",
        f"{file}: 1 job, all as before",
    ]
    assert not debian.out.exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0~9 * * * * root x", "Debian cron refuses ~, and with it the whole file [other-cron]"),
        ("*/7 * * * * root x", "uneven"),
        ("0 5 * * * root date +%F", "[percent]"),
        ("61 * * * * root x", "error: bad minute '61' (0-59) [bad-minute]"),
        ("MAILTO=me@example.org", "no mail is sent"),
    ],
)
def test_what_check_says_stands_below_the_line(debian: Machine, line: str, message: str) -> None:
    debian.write("etc/cron.d/job", f"# one\n{line}\n")
    (remark,) = debian.after(f"2: {line}")
    assert message in remark


def test_a_file_that_debian_cron_ignores_as_a_whole(debian: Machine) -> None:
    debian.write("etc/cron.d/job", "61 * * * * root x\n0 5 * * * root y\n")
    message = "Debian cron runs nothing of it, because of line 1: pycrond runs its 1 other line"
    assert message in debian.report()


def test_another_clock(debian: Machine, tmp_path: Path) -> None:
    debian.write("etc/cron.d/job", "CRON_TZ=Asia/Tokyo\n0 5 * * * root x\n")
    assert debian.after("2: 0 5") == ["Debian cron runs it in the machine's time zone, pycrond in Asia/Tokyo"]


def test_cronie_draws_anew(fedora: Machine) -> None:
    fedora.write("etc/cron.d/job", "0~9 5 * * * root x\n")
    assert "cronie draws the time anew" in fedora.report()


def test_files_that_are_not_read(debian: Machine) -> None:
    debian.write("etc/cron.d/loose", "0 5 * * * root x\n", 0o666)
    debian.write("etc/cron.d/job.bak", "0 5 * * * root x\n")
    printed = debian.report("--output", str(debian.out))
    assert "its mode 0666 is not allowed (writable by root alone), by Debian cron and by pycrond" in printed
    assert "not read: cron does not read files with such a name" in printed
    assert not debian.out.exists() or not [path for path in debian.out.rglob("*") if path.is_file()]


def test_scripts_of_run_parts(debian: Machine) -> None:
    debian.write("etc/crontab", DEBIANS)
    for name, mode in (("logrotate", 0o755), ("backup.sh", 0o755), ("off", 0o644), (".placeholder", 0o644)):
        debian.write(f"etc/cron.daily/{name}", "#!/bin/sh\n", mode)
    assert debian.after("2: 25 6") == [
        "one job for pycrond, too: /etc/cron.daily has 1 script (logrotate)",
        "run-parts leaves out (backup.sh, off): because of their names, or not executable",
    ]
    debian.write("etc/cron.daily/logrotate", "#!/bin/sh\n[ -d /run/systemd/system ] && exit 0\n", 0o755)
    assert debian.after("2: 25 6")[2] == "where systemd runs, a timer may be in the place of (logrotate)"


def test_anacron_on_debian(debian: Machine) -> None:
    debian.write("usr/sbin/anacron", "", 0o755)
    debian.write("etc/crontab", DEBIANS)
    debian.write("etc/cron.d/anacron", STARTER)
    debian.write("etc/anacrontab", "HOME=/root\n1 5 cron.daily run-parts --report /etc/cron.daily\n")
    assert debian.after("2: 25 6") == ["does nothing, because anacron is installed: anacrontab has this job"]
    assert debian.after("1: 30 7-23")[0].startswith("starts anacron, whose jobs pycrond now starts itself")
    printed = debian.report("--output", str(debian.out))
    assert "      5 7 * * * root run-parts --report /etc/cron.daily\n" in printed
    assert (debian.out / "etc/cron.d/anacron").read_text().splitlines()[1].startswith("# starts anacron")
    assert (debian.out / "etc/cron.d/anacrontab").read_text() == (
        f"# From {debian.root}/etc/anacrontab, by pycrond import.\nHOME=/root\n"
        f"# {debian.root}/etc/anacrontab:2\n#: name=cron.daily missed=once within=1d lock=anacron\n"
        "5 7 * * * root run-parts --report /etc/cron.daily\n"
    )


def test_cronies_anacron(fedora: Machine) -> None:
    fedora.write("etc/cron.d/0hourly", "01 * * * * root run-parts /etc/cron.hourly\n")
    fedora.write("etc/cron.hourly/0anacron", "#!/bin/sh\n/usr/sbin/anacron -s\n", 0o755)
    fedora.write(
        "etc/anacrontab",
        "RANDOM_DELAY=45\nSTART_HOURS_RANGE=3-22\n1 5 cron.daily nice run-parts /etc/cron.daily\n",
    )
    printed = fedora.report()
    assert "/etc/cron.hourly/0anacron starts anacron: remove it, or anacrontab's jobs run twice" in printed
    assert "#: name=cron.daily missed=once within=1d lock=anacron jitter=45m" in printed
    assert "missed runs are caught up at any hour" in printed


def test_the_originals_stay_and_the_copies_are_the_same_bytes(debian: Machine) -> None:
    text = b"# caf\xe9\r\n0 5 * * * x\t\n\n30 2 * * * y"
    file = debian.spool("nobody", text)
    before = file.stat()
    debian.report("--output", str(debian.out))
    assert file.read_bytes() == text
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    copy = debian.out / "var/spool/cron/crontabs/nobody"
    assert copy.read_bytes() == f"# From {file}, by pycrond import.\n".encode() + text + b"\n"
    assert (copy.stat().st_mode & 0o7777, copy.stat().st_uid) == (0o600, pwd.getpwnam("nobody").pw_uid)


def test_nothing_is_written_over(debian: Machine) -> None:
    debian.write("etc/cron.d/job", "0 5 * * * root x\n")
    debian.report("--output", str(debian.out))
    assert "is not empty: nothing was written" in debian.report("--output", str(debian.out), status=1)


def test_the_report_in_a_file(debian: Machine, tmp_path: Path) -> None:
    assert debian.report("--report", str(tmp_path / "report")) == ""
    assert (tmp_path / "report").read_text().startswith("Crontabs of Debian cron")


def test_a_user_gets_his_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = tmp_path / "bin/crontab"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n[ \"$*\" = -l ] && echo '*/7 * * * * true'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("nobody").pw_uid)
    assert main(["import", "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "crontab of nobody, of nobody: 1 job\n  1: */7 * * * * true\n      warning: uneven" in printed
    assert f"pycrond start --crontabs {tmp_path}/out" in printed
    assert (tmp_path / "out/nobody").read_text().endswith("\n*/7 * * * * true\n")


@pytest.mark.daemon
def test_what_is_written_is_what_start_takes(debian: Machine, crond: Crond) -> None:
    debian.write("etc/crontab", DEBIANS)
    debian.write("etc/anacrontab", "1 5 cron.daily run-parts /etc/cron.daily\n3 5 three true\n")
    debian.spool("nobody", "HOME=/\n@reboot true\n")
    printed = debian.report("--output", str(debian.out))
    crond.directory.chmod(0o755)
    del crond.environment["PYCROND_CRONTABS"]
    (start,) = [line.split()[1:] for line in printed.splitlines() if "pycrond start" in line]
    assert "5 jobs from 3 files" in crond.run(*start).stdout
    wait_until(lambda: [run.state for run in crond.runs()] == ["succeeded"])
    names = {job["name"] for job in crond.json("list")["jobs"]}
    assert {"cron.daily", "three"} <= names


def test_check_and_import_have_the_same_problems(tmp_path: Path) -> None:
    root, warned = (
        tmp_path / "root",
        "PATH=$PATH:/x\nTZ=UTC 5 5 * * * x\n#: jitter=9m within=1m\n5 5 * * * root \u2013x\n",
    )
    (root / "etc/cron.d").mkdir(parents=True)
    (root / "etc/cron.d/tab").write_text(f"{warned}5 5\u00a0* * * root x\n")
    checked = pycrond(tmp_path, "check", "--system", "--root", str(root), "--as", "cronie", status=1).stdout
    imported = pycrond(tmp_path, "import", "--root", str(root)).stdout
    texts = re.findall(r"(?:error|warning): .*\[[\w-]+\]", checked)
    assert {text.rpartition("[")[2] for text in texts} > {
        "not-expanded]",
        "schedule-in-value]",
        "jitter]",
        "look-alike]",
    }
    assert texts == re.findall(r"(?:error|warning): .*\[[\w-]+\]", imported)
