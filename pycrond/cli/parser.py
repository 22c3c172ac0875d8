"""The commands and their options, as argparse has them."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import fields
from importlib import import_module

from pycrond import __version__
from pycrond.jobs.options import positive_duration
from pycrond.settings import Settings, flag

FINDING = ("crontabs", "state_dir", "pidfile", "system")
"""Every command takes these, to find the daemon."""


def _later(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    """A command whose module is imported only when it is called: `list` must not pay for `start`."""

    def call(wanted: argparse.Namespace) -> int:
        result: int = getattr(import_module(f"pycrond.cli.commands.{module}"), function)(wanted)
        return result

    return call


def build_parser(version: str = __version__) -> argparse.ArgumentParser:
    """The whole command line."""
    whole = argparse.ArgumentParser(
        prog="pycrond",
        description="A cron daemon that can prove what ran and what did not.",
        allow_abbrev=False,
    )
    whole.add_argument("--version", action="version", version=f"pycrond {version}")
    commands = whole.add_subparsers(metavar="COMMAND", required=True)

    def command(
        name: str, module: str, about: str, *, everything: bool = False, without: str = ""
    ) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        one.set_defaults(call=_later(module, name))
        _add_settings(one, everything=everything, without=without)
        return one

    status = _add_control(command)
    listing, history = _add_ledger(command)
    _add_by_hand(command)
    check = command("check", "check", "every error and warning in crontabs", everything=True)
    check.add_argument("files", nargs="*", metavar="FILE", help="instead of the daemon's own crontabs")
    check.add_argument("--system-format", action="store_true", help="the files have a user column")
    other = "tell also what this cron would read otherwise"
    check.add_argument("--as", dest="other", choices=("debian", "cronie"), help=other)
    check.add_argument(
        "--ignore", action="append", default=[], metavar="CODE", help="leave out warnings with this code"
    )
    check.add_argument("--verbose", action="store_true", help="with --json: also what was understood")
    coming = command("next", "next", "the coming fire times of jobs, of a file or of an expression")
    coming.add_argument(
        "what", nargs="*", metavar="JOB|EXPRESSION", help="jobs, or one expression; all jobs without"
    )
    coming.add_argument("--file", help="the lines of this file, whether it is in use or not")
    coming.add_argument("--from", dest="since", metavar="TIME", help="from this time on (now)")
    coming.add_argument("--until", metavar="TIME", help="up to but not including this time")
    coming.add_argument("--count", type=_count, metavar="N", help="so many a job (5; all with --until)")
    explain = command("explain", "explain", "an expression in words, and its next times")
    explain.add_argument("expression", nargs="+", help="such as '*/5 9-17 * * mon-fri'")
    for one in (coming, explain):
        one.add_argument("--tz", metavar="ZONE", help="the zone that the daemon is taken to run in")
    why = command("why", "explain", "why a job is due at a time, or not, and what became of it")
    why.add_argument("job", help="a job's name, the beginning of its key, or file:line")
    why.add_argument("time", help="such as '02:30', 'yesterday 02:30', 2026-03-29T02:30")
    diff = command("diff", "changes", "what a reload would change")
    diff.add_argument("directory", nargs="?", metavar="DIR", help="as if these were the crontabs")
    edit = command("edit", "changes", "edit a crontab; only one without errors is put in place")
    edit.add_argument("file", metavar="FILE")
    audit = command("audit", "audit", "whether every fire time that should have been has its verdict")
    audit.add_argument("--since", metavar="TIME", help="only what was due after this time")
    about = "print the help of a command, an option of a job or a setting"
    command("help", "help", about).add_argument("word", nargs="?", metavar="WORD", help="its name")
    timeline = _add_pictures(command)
    _add_installation(command)
    for one in (status, listing, history, check, coming, explain, why, diff, audit, timeline):
        one.add_argument("--json", action="store_true", help="print one JSON document")
    return whole


def _add_control(command: Callable[..., argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """start, stop, restart, reload and status, which is returned."""
    start = command("start", "control", "start the daemon, and return when it is ready", everything=True)
    start.add_argument("--foreground", action="store_true", help="stay in the terminal")
    stop = command("stop", "stopping", "stop the daemon; running jobs go on")
    about = "start nothing more, stop when nothing runs; after SECONDS in any case"
    stop.add_argument("--wait", type=float, nargs="?", const=0.0, metavar="SECONDS", help=about)
    about = "end what runs: TERM, after 10 s KILL, to each job's process group"
    stop.add_argument("--kill-jobs", action="store_true", help=about)
    about = "have the daemon execute the installed program, in place; started anew with other settings"
    command("restart", "stopping", about, everything=True)
    reload = command("reload", "control", "read the crontabs again")
    reload.add_argument("--dry-run", action="store_true", help="only say what would change, as diff does")
    return command("status", "status", "say whether the daemon runs, and how it does")


def _add_ledger(command: Callable[..., argparse.ArgumentParser]) -> Sequence[argparse.ArgumentParser]:
    """list, history and logs; the first two are returned."""
    listing = command("list", "show", "every job, when it runs next and how it ended last")
    about = "these alone: names, beginnings of keys, file:line, patterns such as 'backup*'"
    listing.add_argument("jobs", nargs="*", metavar="JOB", help=about)
    listing.add_argument("--failed", action="store_true", help="those whose last run did not end well")
    listing.add_argument("--running", action="store_true", help="those that run; with --failed, either")
    listing.add_argument("--user", metavar="NAME", help="those of this user")
    about = "by the next fire time, by the last start, the newest first, or by name; without by file and line"
    listing.add_argument("--sort", choices=("next", "last", "name"), help=about)
    about = "draw it anew every so many seconds (2), on a terminal, until interrupted"
    listing.add_argument(
        "--watch", dest="every", type=_seconds, nargs="?", const=2.0, metavar="SECONDS", help=about
    )
    history = command("history", "history", "what ran, the newest first")
    about = "a job's name, the beginning of its key, file:line, or a pattern such as 'backup*'"
    history.add_argument("job", nargs="?", metavar="JOB", help=about)
    about = "runs in these states, by commas; failed: any bad end"
    history.add_argument("--state", type=_states, default=(), metavar="S", help=about)
    about = "so many runs at most (20; all with --since)"
    history.add_argument("--limit", type=_count, metavar="N", help=about)
    logs = command("logs", "logs", "what the jobs printed")
    about = "a job, a pattern of names, or a run's number"
    logs.add_argument("what", nargs="?", metavar="JOB|RUN", help=about)
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what they print from now on")
    about = "so many lines at most (100; all with --since)"
    logs.add_argument("--lines", type=_count, metavar="N", help=about)
    for one in (history, logs):
        about = "what went on at this time or later, such as 02:00, 'yesterday 22:00', 2h (ago)"
        one.add_argument("--since", metavar="TIME", help=about)
        one.add_argument("--until", metavar="TIME", help="what was due before this time")
    return listing, history


def _add_by_hand(command: Callable[..., argparse.ArgumentParser]) -> None:
    """run, kill, pause and resume."""
    job = "a job's name, the beginning of its key, or file:line"
    run = command("run", "byhand", "run a job now, as its schedule would")
    run.add_argument("job", metavar="JOB", help=job)
    run.add_argument("--wait", action="store_true", help="until it is over, and exit with its status")
    run.add_argument("--follow", action="store_true", help="print what it prints; waits too")
    kill = command("kill", "byhand", "end a run, or all that runs of a job")
    kill.add_argument("what", metavar="RUN|JOB", help="a run's number, or a job")
    about = "send this signal, by name or number, and nothing else (TERM, and after the grace KILL)"
    kill.add_argument("--signal", metavar="S", help=about)
    pause = command("pause", "byhand", "have jobs not start for a while")
    pause.add_argument("jobs", nargs="+", metavar="JOB", help=job)
    how_long = pause.add_mutually_exclusive_group()
    about = "for so long, as 90s, 5m, 2h, 1d; 30d at most (1h)"
    how_long.add_argument(
        "--for", dest="duration", type=_duration, default=3600, metavar="DURATION", help=about
    )
    how_long.add_argument("--forever", action="store_true", help="until they are resumed")
    pause.add_argument("--reason", default="", metavar="TEXT", help="shown by list and history")
    resume = command("resume", "byhand", "have paused jobs start again")
    resume.add_argument("jobs", nargs="+", metavar="JOB", help=job)


def _duration(text: str) -> float:
    try:
        return positive_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}': {error} is wanted") from error


def _add_pictures(command: Callable[..., argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """The commands calendar and timeline, which is returned."""
    calendar = command("calendar", "calendar", "the coming fire times as iCalendar")
    calendar.add_argument("jobs", nargs="*", metavar="JOB", help="only these jobs")
    calendar.add_argument("--from", dest="since", metavar="TIME", help="from this time on (now)")
    calendar.add_argument("--until", metavar="TIME", help="up to but not including this time (7 days on)")
    calendar.add_argument("--count", type=_count, metavar="N", help="so many a job at most")
    timeline = command("timeline", "timeline", "a day as a picture: what ran when, and what starts together")
    when = timeline.add_mutually_exclusive_group()
    when.add_argument("--day", default="today", metavar="DAY", help="such as yesterday, 2026-03-29 (today)")
    when.add_argument("--next", action="store_true", help="the coming 24 hours, by the schedules")
    about = "only jobs whose name or key is like this"
    timeline.add_argument("--job", dest="jobs", nargs="+", action="extend", metavar="GLOB", help=about)
    timeline.add_argument("--svg", metavar="FILE", help="write the picture to this file")
    return timeline


def _add_installation(command: Callable[..., argparse.ArgumentParser]) -> None:
    """What is said once, when pycrond comes to a machine."""
    about = "what would change if pycrond ran this machine's crontabs, and crontabs for it"
    taken = command("import", "import_", about)
    taken.set_defaults(call=_later("import_", "import_crontabs"))  # a command's name that is no function's
    taken.add_argument("--root", default="/", metavar="DIR", help="of the machine whose crontabs they are")
    taken.add_argument("--output", metavar="DIR", help="write crontabs for pycrond there")
    taken.add_argument("--report", metavar="FILE", help="write the report there")
    init = command("init", "init", "write a commented pycrond.toml and a first crontab")
    about = "where to write them, instead of /etc/pycrond or ~/.config/pycrond"
    init.add_argument("--directory", metavar="DIR", help=about)
    config = command(
        "config", "config", "every setting, its value and where that comes from", everything=True
    )
    config.add_argument("--json", action="store_true", help="print one JSON document")
    doctor = command("doctor", "doctor", "what usually goes wrong, whether it does here, and what to do")
    doctor.add_argument("--json", action="store_true", help="print one JSON document")
    about = "put manual pages, completions, a unit file and examples in place"
    setup = command("setup", "setup", about, without="system")
    whose = setup.add_mutually_exclusive_group(required=True)
    whose.add_argument("--system", action="store_true", help="below /usr/local and /etc/systemd/system")
    whose.add_argument("--user", action="store_true", help="below ~/.local/share and ~/.config/systemd/user")
    setup.add_argument("--undo", action="store_true", help="remove what setup has put there")
    setup.add_argument("--dry-run", action="store_true", help="only say what would be done")
    setup.add_argument("--root", default="/", metavar="DIR", help="the directory that all lies below")


def _states(text: str) -> tuple[str, ...]:
    from pycrond.cli import selectors

    return selectors.states(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError("0.1 to 86400 are wanted")
    return seconds


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _add_settings(one: argparse.ArgumentParser, *, everything: bool, without: str) -> None:
    """`without` is a setting whose flag means something else to this command."""
    group = one.add_argument_group("settings")
    group.add_argument(
        "--config", metavar="FILE", help="read settings from this file instead of pycrond.toml"
    )
    for setting in fields(Settings):
        if setting.name == without or (not everything and setting.name not in FINDING):
            continue
        about = setting.metadata["help"]
        if isinstance(setting.default, bool):
            group.add_argument(
                flag(setting.name), action=argparse.BooleanOptionalAction, default=None, help=about
            )
        else:
            action = "append" if setting.name == "crontabs" else "store"
            metavar = "DIR" if setting.name.endswith(("crontabs", "_dir")) else "VALUE"
            group.add_argument(flag(setting.name), action=action, metavar=metavar, help=about)
