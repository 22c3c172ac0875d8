"""The system's crontabs that are read: the table in semantics.md, section 4."""

import os
from pathlib import Path

import pytest

from pycrond.errors import UnreadableError
from pycrond.sources import files
from pycrond.sources import system as system_crontabs
from pycrond.sources.file_rules import RULES, SystemCrontab

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
NOBODY = 65534
LINE = b"* * * * * root x\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("etc/cron.d", "var/spool/cron/crontabs"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def list_names(root: Path, dialect: str) -> tuple[list[str], list[str]]:
    """Return the names of the files read and of the files skipped."""
    tabs, problems = system_crontabs.list_system_crontabs(str(root), dialect)
    return [os.path.basename(tab.file) for tab in tabs], [
        os.path.basename(problem.file) for problem in problems
    ]


def refusal(file: str, user: str | None, dialect: str) -> str:
    """Return the reason why a file is refused; empty if it is read."""
    try:
        assert files.read_crontab(file, SystemCrontab(file, user, RULES[dialect]).check) == LINE
    except UnreadableError as error:
        return str(error)
    return ""


def test_an_empty_system(tmp_path: Path) -> None:
    assert list_names(tmp_path, "debian") == list_names(tmp_path, "cronie") == ([], [])


def test_paths(root: Path) -> None:
    (root / "etc/crontab").write_bytes(LINE)
    (root / "etc/cron.d/sysstat").write_bytes(LINE)
    (root / "var/spool/cron/crontabs/nobody").write_bytes(LINE)
    tabs, _ = system_crontabs.list_system_crontabs(str(root), "debian")
    assert tabs == [
        SystemCrontab(f"{root}/etc/crontab", None, RULES["debian"]),
        SystemCrontab(f"{root}/etc/cron.d/sysstat", None, RULES["debian"]),
        SystemCrontab(f"{root}/var/spool/cron/crontabs/nobody", "nobody", RULES["debian"]),
    ]


def test_spool_of_cronie(tmp_path: Path) -> None:
    spool = tmp_path / "var/spool/cron"
    (spool / "atjobs").mkdir(parents=True)
    (spool / "root").write_bytes(LINE)
    assert list_names(tmp_path, "cronie") == (["root"], [])


@pytest.mark.parametrize(
    ("name", "debian", "cronie"),
    [
        ("e2scrub_all", True, True),
        ("php-8_2", True, True),
        ("0hourly", True, True),
        ("a.dpkg-new", False, True),
        ("job.sh", False, True),
        ("#job", False, False),
        ("job~", False, False),
        ("job.rpmsave", False, False),
        ("job.rpmorig", False, False),
        ("job.rpmnew", False, False),
        ("jo b", False, True),
        ("job\u00e9", False, True),
    ],
)
def test_names_in_cron_d(root: Path, name: str, debian: bool, cronie: bool) -> None:
    (root / "etc/cron.d" / name).write_bytes(LINE)
    for dialect, is_read in (("debian", debian), ("cronie", cronie)):
        assert list_names(root, dialect) == (([name], []) if is_read else ([], [name])), dialect


@pytest.mark.parametrize(("name", "is_read"), [("nobody", True), ("no-such-user", False)])
def test_names_in_the_spool(root: Path, name: str, is_read: bool) -> None:
    (root / "var/spool/cron/crontabs" / name).write_bytes(LINE)
    for dialect in RULES:
        assert list_names(root, dialect) == (([name], []) if is_read else ([], [name]))


@pytest.mark.parametrize("file", ["var/spool/cron/crontabs/.nobody", "etc/cron.d/.placeholder"])
def test_hidden_names_are_no_crontabs_and_no_problem(root: Path, file: str) -> None:
    (root / file).write_bytes(LINE)
    assert list_names(root, "debian") == ([], [])


MODES = (
    *((0o644, "", ""), (0o640, "", ""), (0o600, "", ""), (0o444, "", ""), (0o400, "", "")),
    *((0o755, "", "not allowed"), (0o700, "", "not allowed"), (0o000, "", "not allowed")),
    *(
        (0o4644, "", "not allowed"),
        (0o664, "not allowed", "not allowed"),
        (0o646, "not allowed", "not allowed"),
    ),
)


@pytest.mark.parametrize(("mode", "debian", "cronie"), MODES)
@pytest.mark.parametrize("place", ["etc/crontab", "etc/cron.d/job"])
def test_modes_of_system_files(root: Path, place: str, mode: int, debian: str, cronie: str) -> None:
    file = root / place
    file.write_bytes(LINE)
    file.chmod(mode)
    for dialect, reason in (("debian", debian), ("cronie", cronie)):
        problem = refusal(str(file), None, dialect)
        assert reason in problem if reason else not problem, dialect


@pytest.mark.parametrize(
    ("mode", "debian", "cronie"), [(0o600, "", ""), (0o644, "0600", ""), (0o700, "0600", "executable")]
)
def test_modes_in_the_spool(root: Path, mode: int, debian: str, cronie: str) -> None:
    file = root / "var/spool/cron/crontabs/nobody"
    file.write_bytes(LINE)
    os.chown(file, NOBODY, NOBODY)
    file.chmod(mode)
    for dialect, reason in (("debian", debian), ("cronie", cronie)):
        problem = refusal(str(file), "nobody", dialect)
        assert reason in problem if reason else not problem, dialect


@pytest.mark.parametrize("dialect", RULES)
def test_owners(root: Path, dialect: str) -> None:
    system, spool = root / "etc/cron.d/job", root / "var/spool/cron/crontabs/nobody"
    for file, user in ((system, None), (spool, "nobody")):
        file.write_bytes(LINE)
        file.chmod(0o600)
        for uid, allowed in ((0, True), (NOBODY, user is not None), (1, False)):
            os.chown(file, uid, uid)
            assert bool(refusal(str(file), user, dialect)) is not allowed, (file, uid)


@pytest.mark.parametrize(("dialect", "system", "spool"), [("debian", True, False), ("cronie", True, True)])
def test_symbolic_links(root: Path, dialect: str, system: bool, spool: bool) -> None:
    target = root / "target"
    target.write_bytes(LINE)
    target.chmod(0o600)
    for place, user, allowed in (
        ("etc/cron.d/job", None, system),
        ("etc/crontab", None, system),
        ("var/spool/cron/crontabs/root", "root", spool),
    ):
        (root / place).symlink_to(target)
        assert bool(refusal(str(root / place), user, dialect)) is not allowed, place


@pytest.mark.parametrize(("dialect", "system", "spool"), [("debian", False, False), ("cronie", True, False)])
def test_hard_links(root: Path, dialect: str, system: bool, spool: bool) -> None:
    for place, user, allowed in (
        ("etc/cron.d/job", None, system),
        ("var/spool/cron/crontabs/root", "root", spool),
    ):
        file = root / place
        file.write_bytes(LINE)
        file.chmod(0o600)
        os.link(file, root / f"other-{file.name}")
        assert bool(refusal(str(file), user, dialect)) is not allowed, place


@pytest.mark.parametrize("dialect", RULES)
def test_other_kinds_of_files_are_refused_without_hanging(root: Path, dialect: str) -> None:
    os.mkfifo(root / "etc/cron.d/fifo")
    (root / "etc/cron.d/directory").mkdir()
    for name in ("fifo", "directory"):
        assert "not a regular file" in refusal(f"{root}/etc/cron.d/{name}", None, dialect)
