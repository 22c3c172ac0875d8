"""The command line: the table of commands, its help, and errors that suggest the nearest command or option."""

import subprocess
import sys
from pathlib import Path

import pytest

from pycrond.cli import parser
from pycrond.cli.parser import COMMANDS
from pycrond.settings import SETTINGS

COMMANDS_DIRECTORY = Path(parser.__file__).parent / "commands"


def usage_error(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The lines printed for a wrong command line."""
    with pytest.raises(SystemExit) as exit_:
        parser.parse(words)
    assert exit_.value.code == 2
    captured = capsys.readouterr()
    assert not captured.out
    return captured.err.splitlines()


def test_each_command_has_a_module_of_its_name() -> None:
    modules = {path.stem.removesuffix("_") for path in COMMANDS_DIRECTORY.glob("[!_]*.py")}
    assert modules == COMMANDS.keys()


def test_a_command_imports_only_what_it_needs() -> None:
    program = (
        "import sys; from pycrond.cli.parser import parse; parse(['list', '--json']);"
        " print(*(name for name in sys.modules if name.startswith('pycrond.cli')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("pycrond.cli.commands.")} == {
        "pycrond.cli.commands.list"
    }
    assert not loaded & {"pycrond.cli.daemon_start", "pycrond.cli.daemon_stop", "pycrond.cli.describe"}


def test_without_arguments_it_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parser.parse([])
    assert exit_.value.code == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("usage: pycrond ")
    assert not captured.err
    for name in COMMANDS:
        assert f"\n    {name} " in captured.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lst"], "'lst' is no command of pycrond; did you mean 'list'?"),
        (["histroy", "--json"], "'histroy' is no command of pycrond; did you mean 'history'?"),
        (["xyzzy"], "'xyzzy' is no command of pycrond"),
        (["--versoin"], "'--versoin' is no option of pycrond; did you mean '--version'?"),
        (["-x"], "'-x' is no option of pycrond"),
        (
            ["--state-dir", "/x", "list"],
            "'--state-dir' comes after the command, as in 'pycrond list --state-dir ...'",
        ),
    ],
)
def test_no_such_command(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert usage_error(capsys, *words) == [
        f"pycrond: {message}",
        "usage: pycrond [-h] [--version] COMMAND ...",
        "see 'pycrond --help'",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["kill", "--singal", "9"], "'--singal' is no option of pycrond kill; did you mean '--signal'?"),
        (["kill", "1", "--singal=9"], "'--singal' is no option of pycrond kill; did you mean '--signal'?"),
        (["kill", "--state", "1"], "'--state' is no option of pycrond kill; did you mean '--state-dir'?"),
        (["kill", "1", "--xyzzy"], "'--xyzzy' is no option of pycrond kill"),
        (["kill", "1", "2"], "unrecognized arguments: 2"),
        (["kill"], "the following arguments are required: RUN|JOB"),
    ],
)
def test_an_error_shows_the_usage_of_its_command(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert usage_error(capsys, *words) == [
        f"pycrond: {message}",
        "usage: pycrond kill [-h] [--signal S] RUN|JOB",
        "see 'pycrond kill --help'",
    ]


@pytest.mark.parametrize("words", [["help", "--", "--xyzzy"], ["explain", "a --b c"]])
def test_words_that_only_look_like_options(words: list[str]) -> None:
    parser.parse(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["history", "--limit=0"], "argument --limit: '0' is not a whole number from 1"),
        (["history", "--limit=x"], "argument --limit: 'x' is not a whole number from 1"),
        (["list", "--watch=0"], "argument --watch: '0' is not a number of seconds from 0.1 to 86400"),
        (["stop", "--wait=soon"], "argument --wait: 'soon' is not a number of seconds from 0 to 999999999"),
        (["pause", "a", "--for=1"], "argument --for: '1': "),
        (
            ["check", "--ignore=percnt"],
            "argument --ignore: 'percnt' is the code of no warning; did you mean 'percent'?",
        ),
        (
            ["check", "--ignore=percent,nonsense"],
            "argument --ignore: 'nonsense' is the code of no warning; see 'check'",
        ),
    ],
)
def test_a_bad_value_is_explained(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert usage_error(capsys, *words)[0].startswith(f"pycrond: {message}")


@pytest.mark.parametrize(
    ("words", "argument"),
    [
        (["kill", ""], "RUN|JOB"),
        (["run", ""], "JOB"),
        (["pause", "a", ""], "JOB"),
        (["resume", ""], "JOB"),
        (["list", ""], "JOB"),
        (["logs", ""], "JOB|RUN"),
        (["history", ""], "JOB"),
        (["why", "", "02:30"], "JOB"),
        (["next", ""], "JOB|EXPRESSION"),
        (["next", "--file="], "--file"),
        (["next", "--until", ""], "--until"),
        (["calendar", ""], "JOB"),
        (["timeline", "--job", "a", ""], "--job"),
        (["list", "--user="], "--user"),
        (["cluster", "drain", ""], "NODE"),
        (["config", "--syslog="], "--syslog"),
        (["list", "--state-dir", ""], "--state-dir"),
        (["list", "--crontabs", ""], "--crontabs"),
        (["list", "--config", ""], "--config"),
    ],
)
def test_an_empty_value_is_refused(
    capsys: pytest.CaptureFixture[str], words: list[str], argument: str
) -> None:
    """A script has it for a variable that is not set; it would select all jobs, or the working directory."""
    assert usage_error(capsys, *words)[0] == f"pycrond: argument {argument}: the value is empty"


@pytest.mark.parametrize("words", [["pause", "a", "--reason="], ["start", "--node=", "--cluster="]])
def test_an_empty_value_that_says_something(words: list[str]) -> None:
    parser.parse(words)


@pytest.mark.parametrize("value", ["-1", "9" * 20, "9" * 5000, "9223372036854775807", "nan", "inf", "1e400"])
@pytest.mark.parametrize(
    "words",
    [
        ["next", "--count"],
        ["calendar", "--count"],
        ["cluster", "migrate", "--keep"],
        ["list", "--watch"],
        ["stop", "--wait"],
        ["pause", "a", "--for"],
    ],
    ids=" ".join,
)
def test_a_number_beyond_all_bounds_is_refused(
    capsys: pytest.CaptureFixture[str], words: list[str], value: str
) -> None:
    *others, option = words
    assert f"argument {option}: '{value}'" in usage_error(capsys, *others, f"{option}={value}")[0]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_accepts_the_options_that_locate_a_daemon(command: parser.Command) -> None:
    arguments = {
        "pause": ["a"],
        "resume": ["a"],
        "run": ["a"],
        "kill": ["a"],
        "edit": ["a"],
        "why": ["a", "b"],
        "cluster": ["status"],
    }
    words = [*arguments.get(command.name, []), *(["*"] if command.name == "explain" else [])]
    words += ["--user"] if command.name == "setup" else []
    for setting in SETTINGS.values():
        if setting.locates_daemon and setting.name not in command.own_flags:
            value = [] if setting.default is False else ["/x"]
            _, options = parser.parse([command.name, *words, setting.flag, *value, "--config", "/y"])
            assert getattr(options, setting.name) in (True, "/x", ["/x"])
