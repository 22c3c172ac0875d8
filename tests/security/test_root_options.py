"""Options that raise privileges have no effect in another user's crontab, however they are spelled."""

import json
import os
import pwd
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycrond.crontab import parser
from pycrond.jobs.options import CRON, OPTIONS, to_json
from tests.conftest import SCRIPT, wait_until
from tests.support.system import System

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
VALUES = {
    "nice": ["-1", "-20"],
    "ionice": ["realtime", "realtime:7"],
    "lock": ["global:backup", "cluster:global:backup"],
    "log": ["no"],
    "ping-redirects": ["yes"],
}
"""The values that need root's crontab, by option."""
ALLOWED = {"nice": "19", "ionice": "best-effort:0", "lock": "backup", "log": "yes", "ping-redirects": "no"}


NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def users_directory() -> Iterator[Path]:
    """A directory that belongs to the user nobody, who can reach it."""
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, NOBODY.pw_uid, NOBODY.pw_gid)
        yield Path(name)


def spellings() -> list[str]:
    """Crontabs with one entry, each with an option that needs root."""
    lines = ["* * * * * -q true\n", "* * * * * -nq -s true\n"]
    for name, values in VALUES.items():
        variable = f"PYCROND_{name.upper().replace('-', '_')}"
        for value in values:
            lines += [
                f"#: {name}={value}\n* * * * * true\n",
                f"#: overlap=skip {name}='{value}'\n* * * * * true\n",
                f"{variable}={value}\n* * * * * true\n",
                f"{variable.lower().replace('pycrond', 'PYCROND')} = '{value}'\n* * * * * true\n",
            ]
    return lines


@pytest.mark.parametrize("text", spellings())
def test_a_value_that_needs_root_has_no_effect(text: str) -> None:
    crontab = parser.parse(text.encode(), "nobody", user="nobody", is_roots=False)
    (problem,) = crontab.problems
    assert (problem.severity, problem.code) == ("warning", "needs-root")
    assert problem.column
    assert "is for crontabs that belong to root: it has no effect" in problem.message
    (entry,) = crontab.entries
    assert not to_json(entry.options).keys() & VALUES.keys()
    (of_root,) = parser.parse(text.encode(), "root", user="root").entries
    assert to_json(of_root.options).keys() & VALUES.keys()


def test_a_refused_value_leaves_the_default_of_the_crontab() -> None:
    text = b"PYCROND_NICE=5\n#: nice=-5\n* * * * * true\n"
    (entry,) = parser.parse(text, "nobody", user="nobody", is_roots=False).entries
    assert entry.options.nice == 5


@pytest.mark.parametrize(("name", "value"), ALLOWED.items())
def test_other_values_need_no_root(name: str, value: str) -> None:
    text = f"#: {name}={value}\n* * * * * true\n"
    assert not parser.parse(text.encode(), "nobody", user="nobody", is_roots=False).problems


def test_the_defaults_need_no_root() -> None:
    assert not [o.name for o in OPTIONS if o.needs_root(getattr(CRON, o.attribute))]


@needs_root
@pytest.mark.daemon
def test_a_users_crontab_is_loaded_without_them(system: System) -> None:
    system.write("etc/crontab", "HOME=/\n#: name=roots nice=-3 log=no\n@reboot nobody nice\n")
    spool = system.write(
        "var/spool/cron/crontabs/nobody",
        "HOME=/\nPYCROND_LOG=no\n#: name=job nice=-3 ionice=realtime\n@reboot -q nice; ionice\n",
    )
    done = system.crond.run("start")
    for place in ("2:1: warning: log=no", "3:13: warning: nice=-3", "3:21: warning: ionice=realtime"):
        assert f"{spool}:{place} is for crontabs that belong to root: it has no effect" in done.stderr
    wait_until(lambda: len(system.crond.runs()) == 2 and all(run.ended_at for run in system.crond.runs()))
    lines = {name: system.crond.run("logs", name).stdout for name in ("roots", "job")}
    assert "-3" in lines["roots"]
    assert "-3" not in lines["job"]
    assert "realtime" not in lines["job"]
    jobs = {job["name"]: job["options"] for job in system.crond.json("list")["jobs"]}
    assert jobs["job"] == {"name": "job"}


@needs_root
@pytest.mark.daemon
def test_a_file_that_root_owns_in_the_spool_is_the_users(system: System) -> None:
    """Some versions of crontab(1) give each file in the spool to root."""
    file = system.write("var/spool/cron/crontabs/nobody", "HOME=/\n#: nice=-3\n@reboot nice\n")
    os.chown(file, 0, 0)
    assert "nice=-3 is for crontabs that belong to root" in system.crond.run("start").stderr
    assert system.output() == ["0"]


@needs_root
@pytest.mark.daemon
def test_check_has_an_error_for_each(system: System, users_directory: Path) -> None:
    text = "HOME=/\nPYCROND_NICE=-3\n#: log=no\n* * * * * -q true\n"
    spool = system.write("var/spool/cron/crontabs/nobody", text)
    places = ("2:1: error: nice=-3", "3:4: error: log=no", "4:11: error: -q")
    done = [system.crond.run("check", status=1), system.crond.run("check", str(spool), status=1)]
    draft = users_directory / "draft"
    draft.write_text(text)
    draft.chmod(0o644)
    done.append(system.as_user("nobody", sys.executable, SCRIPT, "check", str(draft), status=1))
    for checked, file in zip(done, (spool, spool, draft), strict=True):
        for place in places:
            assert f"{file}:{place} is for crontabs that belong to root" in checked.stdout
    system.write("etc/cron.d/roots", text.replace("* -q", "* nobody -q"))
    spool.unlink()
    system.crond.run("check")


@needs_root
@pytest.mark.daemon
def test_the_kernel_decides_for_a_daemon_that_is_not_roots(system: System, users_directory: Path) -> None:
    """A user's own daemon does everything that its jobs could do themselves."""
    text = "#: nice=-3 log=no lock=global:x\n* * * * * -q true\n"
    file = users_directory / "jobs"
    file.write_text(text)
    file.chmod(0o644)
    system.crond.environment["PYCROND_SYSTEM"] = "no"
    checked = system.as_user("nobody", sys.executable, SCRIPT, "check", "--verbose", "--json", str(file))
    ((document,),) = json.loads(checked.stdout).values()
    assert not document["problems"]
    assert document["parsed"][0]["options"] == {"nice": -3, "log": False, "lock": "global:x"}
