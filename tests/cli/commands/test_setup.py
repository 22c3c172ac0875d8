"""The command setup below a directory; shells read its completions, systemd its units."""

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pycrond.cli import shell_completion
from pycrond.cli.commands import setup as command
from pycrond.cli.parser import build_parser
from pycrond.cli.settings_layers import from_environment
from pycrond.errors import PycrondError
from pycrond.setting_values import settle
from tests.cli.commands.test_next import load
from tests.conftest import SCRIPT, pycrond
from tests.support import packages

ROOT = Path(__file__).parents[3]
SHARE = "usr/local/share"
UNIT = "etc/systemd/system/pycrond.service"
EXAMPLES = ("crontab", "standard-input", "hardened.conf", "prometheus-rules.yaml")
COMMANDS = {"usr/local/bin/pycrond", "usr/local/bin/crontab"}
PLACED = {
    *COMMANDS,
    UNIT,
    f"{SHARE}/man/man1/crontab.1",
    f"{SHARE}/man/man8/pycrond.8",
    f"{SHARE}/man/man5/pycrond.crontab.5",
    *(f"{SHARE}/doc/pycrond/examples/{name}" for name in EXAMPLES),
}


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() or path.is_symlink()}


def setup(directory: Path, *arguments: str, whose: str = "--system", status: int = 0) -> str:
    words = ("setup", whose, "--root", str(directory / "root"), *arguments)
    done = pycrond(directory, *words, status=status, script=program(directory))
    return done.stdout + done.stderr


def program(directory: Path) -> str:
    """Return the path of a copy of the program, because setup refuses a checkout in a home directory."""
    copy = directory / "bin/pycrond"
    if not copy.exists():
        copy.parent.mkdir()
        shutil.copy(SCRIPT, copy)
    return str(copy)


def test_installed_files_are_listed_and_removed_without_a_trace(tmp_path: Path) -> None:
    printed = setup(tmp_path)
    root = tmp_path / "root"
    assert files(root) == PLACED | {f"{SHARE}/pycrond/setup.json"}
    assert {line.split()[1] for line in printed.splitlines() if line.startswith("write ")} == {
        str(root / name) for name in PLACED
    }
    assert (root / SHARE / "man/man8/pycrond.8").read_bytes() == (ROOT / "man/pycrond.8").read_bytes()
    assert (root / UNIT).stat().st_mode & 0o7777 == 0o644
    assert {(root / name).stat().st_mode & 0o7777 for name in COMMANDS} == {0o755}
    words: list[str | Path] = [root / "usr/local/bin/pycrond", "--version"]
    assert subprocess.run(words, capture_output=True, check=True).stdout.startswith(b"pycrond ")
    assert setup(tmp_path, "--undo").count("remove ") == len(PLACED)
    assert list(root.iterdir()) == []
    assert "nothing was set up" in setup(tmp_path, "--undo", status=1)


def test_a_dry_run_does_nothing(tmp_path: Path) -> None:
    assert setup(tmp_path, "--dry-run").count("would write ") == len(PLACED)
    assert not (tmp_path / "root").exists()
    setup(tmp_path)
    assert setup(tmp_path, "--undo", "--dry-run").count("would remove ") == len(PLACED)
    assert files(tmp_path / "root") >= PLACED


def test_a_second_setup_changes_nothing(tmp_path: Path) -> None:
    setup(tmp_path)
    root = tmp_path / "root"
    before = {name: (root / name).stat().st_mtime_ns for name in files(root)}
    assert "write" not in setup(tmp_path)
    assert {name: (root / name).stat().st_mtime_ns for name in files(root)} == before


def test_for_a_user(tmp_path: Path) -> None:
    setup(tmp_path, whose="--user")
    home = tmp_path / "root" / str(tmp_path).lstrip("/")
    assert (home / ".config/systemd/user/pycrond.service").is_file()
    assert (home / ".local/share/man/man8/pycrond.8").is_file()


def test_a_file_of_another_origin_is_left(tmp_path: Path) -> None:
    unit = tmp_path / "root" / UNIT
    unit.parent.mkdir(parents=True)
    unit.write_text("mine\n")
    assert "not from here: left as it is" in setup(tmp_path, status=1)
    assert unit.read_text() == "mine\n"
    setup(tmp_path, "--undo")
    assert files(tmp_path / "root") == {UNIT}


@pytest.mark.parametrize("changed", ["edit", "link"])
def test_a_changed_file_is_left_and_reported(tmp_path: Path, changed: str) -> None:
    setup(tmp_path)
    unit = tmp_path / "root" / UNIT
    if changed == "edit":
        unit.write_text("[Service]\n")
    else:
        unit.unlink()
        unit.symlink_to("/dev/null")
    message = f"{unit} was changed since it was placed: left as it is"
    assert message in setup(tmp_path, status=1)
    assert message in setup(tmp_path, "--undo", status=1)
    assert files(tmp_path / "root") == {UNIT}


def test_a_setup_that_failed_halfway_can_be_undone(tmp_path: Path) -> None:
    obstacle = tmp_path / "root/etc/systemd"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("in the way\n")
    assert f"{obstacle}: File exists" in setup(tmp_path, status=1)
    assert "remove " in setup(tmp_path, "--undo")
    assert files(tmp_path / "root") == {"etc/systemd"}
    assert not (tmp_path / "root/usr").exists()


def test_a_file_of_an_older_version_is_replaced(tmp_path: Path) -> None:
    setup(tmp_path)
    unit = tmp_path / "root" / UNIT
    older = unit.read_text().replace("\n[Unit]", "\n# older\n[Unit]")
    record = tmp_path / "root" / SHARE / "pycrond/setup.json"
    from pycrond.hashing import digest

    record.write_text(record.read_text().replace(digest(unit.read_bytes()), digest(older.encode())))
    unit.write_text(older)
    assert f"write {unit} in place of an older one" in setup(tmp_path)
    assert "# older" not in unit.read_text()


def test_system_or_user_is_required(tmp_path: Path) -> None:
    assert "one of the arguments --system --user is required" in pycrond(tmp_path, "setup", status=2).stderr


# Unit files


@pytest.mark.parametrize(
    ("whose", "name"), [("--system", UNIT), ("--user", ".config/systemd/user/pycrond.service")]
)
def test_systemd_accepts_the_units(tmp_path: Path, whose: str, name: str) -> None:
    packages.install("systemd", lambda: shutil.which("systemd-analyze"))
    setup(tmp_path, whose=whose)
    home = tmp_path / "root" if whose == "--system" else tmp_path / "root" / str(tmp_path).lstrip("/")
    unit = home / name
    system = "--system " * (whose == "--system")
    assert f"\nExecStart={program(tmp_path)} start {system}--foreground --no-log-stderr\n" in unit.read_text()
    if whose == "--system":
        drop_in = unit.parent / "pycrond.service.d"
        drop_in.mkdir()
        shutil.copy(ROOT / "contrib/hardened.conf", drop_in)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", whose, str(unit)],
        capture_output=True, text=True, check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    # Messages about the machine's own units do not matter.
    assert not [line for line in done.stderr.splitlines() if "pycrond" in line or "hardened" in line], (
        done.stderr
    )


@pytest.mark.parametrize(("name", "system"), [("pycrond.service", "--system "), ("user/pycrond.service", "")])
def test_required_lines_of_a_unit(name: str, system: str) -> None:
    """Without these lines, a stop ends running jobs, and systemd does not know when a start is done."""
    lines = (ROOT / "contrib" / name).read_text().splitlines()
    assert {
        f"ExecStart=/usr/local/bin/pycrond start {system}--foreground --no-log-stderr",
        "ExecReload=/usr/local/bin/pycrond reload",
        "ExecStopPost=-/usr/local/bin/pycrond stop --service",
        *("Type=notify", "NotifyAccess=all", "KillMode=process"),
        *("Restart=on-failure", "OOMPolicy=continue", "Delegate=yes"),
    } <= set(lines)
    assert not [line for line in lines if line.startswith("RuntimeDirectory")]


def test_the_documents_show_lines_of_the_unit() -> None:
    lines = (ROOT / "contrib/pycrond.service").read_text().splitlines()
    table = re.findall(r"^\| (`[A-Z].*?`) \|", (ROOT / "docs/running.md").read_text(), re.MULTILINE)
    shown = [line.strip("`") for cell in table for line in cell.split(", ")]
    assert len(shown) > 5
    assert not [line for line in shown if line not in lines]


@pytest.mark.parametrize("home", ["/home/joe", "/root", "/srv/homes/ann"])
@pytest.mark.parametrize("is_link", [True, False])
def test_the_service_of_root_runs_no_program_in_a_home_directory(
    monkeypatch: pytest.MonkeyPatch, home: str, is_link: bool
) -> None:
    account = pwd.struct_passwd(("ann", "x", 1000, 1000, "", "/srv/homes/ann", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [account])
    program = f"{home}/.local/bin/pycrond"
    monkeypatch.setattr(os.path, "realpath", lambda path: program)
    with pytest.raises(PycrondError, match="below the home directory /"):
        command._check_program("/usr/local/bin/pycrond" if is_link else program)


def test_the_links_that_enable_the_service_are_removed(tmp_path: Path) -> None:
    setup(tmp_path)
    link = tmp_path / "root/etc/systemd/system/multi-user.target.wants/pycrond.service"
    link.parent.mkdir()
    link.symlink_to("/etc/systemd/system/pycrond.service")
    assert f"remove {link}" in setup(tmp_path, "--undo")
    assert not link.is_symlink()


def test_the_dockerfile_uses_existing_settings() -> None:
    text = (ROOT / "Dockerfile").read_text()
    environ = dict(re.findall(r"\b(PYCROND_\w+)=(\S+)", text))
    known = from_environment(environ)
    assert len(known) == len(environ)
    settle([known, {"state_dir": "/s", "runtime_dir": "/r", "pidfile": "/p"}])
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    assert json.loads(entry) == ["pycrond", "start", "--foreground"]
    assert build_parser().parse_args(json.loads(entry)[1:]).foreground


# Completions


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("completions")
    for shell in shell_completion.SHELLS:
        (directory / shell).write_text(shell_completion.script(shell))
    return directory


def run(shell: str, text: str) -> str:
    packages.install(shell, lambda: shutil.which(shell))
    with tempfile.TemporaryDirectory() as home:  # fish keeps files there
        environment = {**os.environ, "HOME": home}
        done = subprocess.run(
            [shell, "-c", text], env=environment, capture_output=True, text=True, check=True
        )
    assert not done.stderr
    return done.stdout


def test_bash_completes_commands_and_options(scripts: Path) -> None:
    text = f"""
    source {scripts}/bash; complete -p pycrond
    COMP_WORDS=(pycrond sta) COMP_CWORD=1; _shtab_pycrond pycrond sta pycrond; echo "${{COMPREPLY[@]}}"
    COMP_WORDS=(pycrond setup --sy) COMP_CWORD=2; _shtab_pycrond pycrond --sy setup; echo "${{COMPREPLY[@]}}"
    """
    registered, commands, options = run("bash", text).splitlines()
    assert registered == "complete -o bashdefault -F _shtab_pycrond pycrond"
    assert commands.split() == ["start", "status"]
    assert options.split() == ["--system"]


def test_zsh_accepts_its_script(scripts: Path) -> None:
    text = f'autoload -U compinit; compinit -D -u; eval "$(cat {scripts}/zsh)"; echo $_comps[pycrond]'
    assert run("zsh", text) == "_shtab_pycrond\n"


def test_fish_completes_commands(scripts: Path) -> None:
    completions = run("fish", f"source {scripts}/fish; complete -C 'pycrond sta'")
    assert [line.split("\t")[0] for line in completions.splitlines()] == ["start", "status"]


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two jobs in a ledger, whose pycrond a shell finds; one of them has no name."""
    load(tmp_path, b"#: name=backup\n5 5 * * * x\n5 6 * * * /opt/report.sh $(touch evil)\n", "UTC")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
    monkeypatch.setenv("PYCROND_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("PYCROND_RUNTIME_DIR", str(tmp_path))


BASH = """source {scripts}/bash
try() {{ COMP_WORDS=(pycrond "$@") COMP_CWORD=$#; _shtab_pycrond pycrond "${{!#}}" x; echo "${{COMPREPLY[@]}}"; }}
"""
ZSH = """autoload -U compinit; compinit -D -u; eval "$(cat {scripts}/zsh)"
compadd() {{ [[ $1 = -a ]] && print -- ${{(P)2}} || print -- $@ }}
"""


@pytest.mark.parametrize(
    ("shell", "text"),
    [
        ("bash", BASH + "try run ba; try pause x rep; try history --state timed"),
        ("zsh", ZSH + "_pycrond_jobs; _pycrond_states; print -- $functions[_shtab_pycrond_run]"),
        ("fish", "source {scripts}/fish; for w in 'run ba' 'pause x rep'; complete -C \"pycrond $w\"; end"),
    ],
)
def test_completions_know_jobs_and_states(scripts: Path, loaded: None, shell: str, text: str) -> None:
    printed = run(shell, text.format(scripts=scripts))
    assert re.search(r"\bbackup\b", printed)
    assert re.search(r"report\.sh~\w{4}", printed)
    assert shell == "fish" or "timed-out" in printed
    assert not os.path.exists("evil")


def test_completions_are_quiet_where_nothing_can_be_read(
    scripts: Path, loaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYCROND_STATE_DIR", "/nonexistent")
    assert run("bash", BASH.format(scripts=scripts) + "try run ba") == "\n"
