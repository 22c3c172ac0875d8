"""The table of commands, and the parser of the command line, which imports only the command's module."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

from pycrond import __version__
from pycrond.cli.arguments import not_empty
from pycrond.settings import SETTINGS
from pycrond.text import printable

MAX_SUGGESTIONS = 2
SUGGESTION_SIMILARITY = 0.7  # from 0 to 1, as difflib measures it


class Command(NamedTuple):
    """A row of the table; its module in `pycrond.cli.commands` has `add_arguments` and `run`."""

    name: str
    summary: str
    every_setting: bool = False
    """Accepts all settings, not only those that locate the daemon."""
    own_flags: tuple[str, ...] = ()
    """Settings whose flag is an option of the command with another meaning."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        self._module().add_arguments(parser)

    def run(self, options: argparse.Namespace) -> int:
        """Carry out the command and return the exit status."""
        status: int = self._module().run(options)
        return status

    def _module(self) -> Any:
        name = "import_" if self.name == "import" else self.name  # `import` is a word of Python
        return import_module(f"pycrond.cli.commands.{name}")


COMMANDS = {
    command.name: command
    for command in (
        Command("start", "start the daemon, and return when it is ready", every_setting=True),
        Command("stop", "stop the daemon; running jobs go on"),
        Command(
            "restart",
            "restart the daemon in place, with the installed program; with other settings, stop and start it",
            every_setting=True,
        ),
        Command("reload", "read the crontabs again"),
        Command("status", "show whether the daemon runs, and its load"),
        Command("metrics", "print figures for Prometheus, or write them for its node_exporter"),
        Command("list", "list jobs, with their next fire times and last runs"),
        Command("history", "list runs, the newest first"),
        Command("logs", "show the output of jobs"),
        Command("run", "run a job now, as its schedule would"),
        Command("kill", "end a run, or all runs of a job"),
        Command("pause", "suspend the starts of jobs for a while"),
        Command("resume", "let paused jobs start again"),
        Command("check", "check crontabs for errors and warnings", every_setting=True),
        Command("next", "show coming fire times of jobs, of a file or of an expression"),
        Command("explain", "explain an expression in words, with its next times"),
        Command("why", "explain why a job is due at a time, or not, and how its run ended"),
        Command("diff", "show the changes that a reload would make"),
        Command("edit", "edit a crontab; it is put in place only without errors"),
        Command("crontab", "install, show, edit or remove a user's crontab, as crontab(1) does"),
        Command("audit", "check that every fire time has its verdict in the ledger"),
        Command("cluster", "set up, watch and drain the cluster that shares jobs over PostgreSQL"),
        Command("help", "print the help of a command, an option of a job or a setting"),
        Command("calendar", "print coming fire times as iCalendar"),
        Command("timeline", "draw the runs of a day, and the jobs that start together"),
        Command(
            "import",
            "report what would change if pycrond ran this machine's crontabs, and write crontabs for it",
            own_flags=("root",),
        ),
        Command("init", "write a commented pycrond.toml and a first crontab"),
        Command("config", "list all settings with their values and origins", every_setting=True),
        Command("doctor", "look for common problems, and name remedies"),
        Command(
            "setup",
            "put manual pages, completions, a unit file and examples in place",
            own_flags=("system", "root"),
        ),
    )
}


class CommandLineParser(argparse.ArgumentParser):
    """A parser whose errors name the nearest option, and show the usage without the settings."""

    def __init__(self, **arguments: object) -> None:
        super().__init__(allow_abbrev=False, **arguments)  # type: ignore[arg-type]
        self.register("type", None, not_empty)  # of arguments without a type
        self.usage_status = 2
        """The exit status of a usage error."""
        self._settings: list[argparse.Action] = []

    def add_settings(self, command: Command) -> None:
        """Add --config and the settings that a command accepts."""
        group = self.add_argument_group("settings")
        about = "read settings from this file instead of pycrond.toml"
        self._settings.append(group.add_argument("--config", metavar="FILE", help=about))
        for setting in SETTINGS.values():
            if setting.name in command.own_flags or not (command.every_setting or setting.locates_daemon):
                continue
            kind: dict[str, Any] = {"metavar": setting.metavar}
            if isinstance(setting.default, bool):
                kind = {"action": argparse.BooleanOptionalAction, "default": None}
            elif isinstance(setting.default, tuple):
                kind["action"] = "append"
            if setting.may_be_empty:
                kind["type"] = str
            self._settings.append(group.add_argument(setting.flag, help=setting.help, **kind))

    def check_options(self, words: Iterable[str]) -> None:
        """End with an error at a long option that the command does not have."""
        for word in words:
            if word == "--":
                return
            option = word.partition("=")[0]
            if option.startswith("--") and " " not in word and option not in self._option_string_actions:
                near = suggestion(option, self._option_string_actions)
                self.error(f"'{option}' is no option of {self.prog}{near}")

    def error(self, message: str) -> NoReturn:
        for action in self._settings:
            action.help = argparse.SUPPRESS  # not in the usage below
        # Words of the command line must not begin new lines.
        message = f"pycrond: {printable(message)}\n{self.format_usage()}see '{self.prog} --help'\n"
        self.exit(self.usage_status, message)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help, a version or an error through `printing`; argparse calls this method."""
        from pycrond.cli.printing import print_text

        print_text(message.removesuffix("\n"), file or sys.stderr)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a hint to similar words for the end of a message, or an empty text."""
    import difflib

    near = difflib.get_close_matches(word, known, MAX_SUGGESTIONS, SUGGESTION_SIMILARITY)
    return f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""


def parse(words: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """Return the command and its options; raise SystemExit after printing help, the version or an error."""
    if not words:
        build_parser(with_arguments=False).print_help()
        raise SystemExit(0)
    name = words[0]
    if name not in COMMANDS:
        _parse_without_command(name)
    command = COMMANDS[name]
    parser = CommandLineParser(prog=f"pycrond {name}", description=command.summary)
    _add_arguments(parser, command)
    parser.check_options(words[1:])
    return command, parser.parse_args(words[1:])


def _parse_without_command(word: str) -> NoReturn:
    """Handle --help and --version; anything else is an error."""
    parser = build_parser(with_arguments=False)
    if word in {"-h", "--help", "--version"}:
        parser.parse_args([word])  # prints and exits
    option = word.partition("=")[0]
    if option == "--config" or option in {setting.flag for setting in SETTINGS.values()}:
        parser.error(f"'{option}' comes after the command, as in 'pycrond list {word} ...'")
    parser.check_options([word])
    kind = "option" if word.startswith("-") else "command"
    parser.error(f"'{word}' is no {kind} of pycrond{suggestion(word, COMMANDS)}")


def build_parser(*, with_arguments: bool = True) -> CommandLineParser:
    """Return the parser of the whole command line; without arguments it knows the commands' names only."""
    parser = CommandLineParser(
        prog="pycrond", description="A cron daemon that can prove what ran and what did not."
    )
    parser.add_argument("--version", action="version", version=f"pycrond {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS.values():
        subparser = subparsers.add_parser(command.name, help=command.summary, description=command.summary)
        if with_arguments:
            _add_arguments(subparser, command)
    return parser


def _add_arguments(parser: CommandLineParser, command: Command) -> None:
    command.add_arguments(parser)
    parser.add_settings(command)
