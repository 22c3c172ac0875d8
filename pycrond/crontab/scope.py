"""What is in force at a line of a crontab: environment, time zone, and options for the next entry."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pycrond.crontab.field import quoted
from pycrond.crontab.syntax import split_options
from pycrond.errors import PycrondError, Severity
from pycrond.jobs.options import BY_NAME, CRON, Options, Value
from pycrond.schedule.timezone import Zone

MAX_NAMES = 1_000
"""Different names assigned in one file, as in cronie."""

MAX_OPTIONS_PER_LINE = 1_000
"""Options read from one line."""

PREFIX = "PYCROND_"

Report = Callable[[int, int, Severity, str, str], None]
"""Line, column, severity, code, message."""


class Scope:
    """Grows with the assignments and the `#:` lines read so far."""

    def __init__(self, report: Report) -> None:
        self.zone: str | None = None
        self.bad_zone = 0
        """The line of the CRON_TZ that is unknown, 0 while there is none."""
        self._report = report
        self._assigned: dict[str, tuple[str, str]] = {}
        self._environment: tuple[tuple[str, str], ...] | None = ()
        self._defaults = CRON
        self._waiting: dict[str, Value] = {}
        self._waiting_lines: list[int] = []
        self._unknown_zones: set[str] = set()

    def environment(self) -> tuple[tuple[str, str], ...]:
        """One object until the next assignment."""
        if self._environment is None:
            self._environment = tuple(self._assigned.values())
        return self._environment

    def options(self, meant: dict[str, Value]) -> Options:
        """For the entry that has come; `meant` is what its flags say, over which `#:` lines win."""
        if not meant and not self._waiting:
            return self._defaults
        values: dict[str, Any] = {**meant, **self._waiting}
        return replace(self._defaults, **values)

    def bound(self) -> None:
        """The entry that the `#:` lines waited for is over."""
        if self._waiting_lines:
            self._waiting, self._waiting_lines = {}, []

    def at_end(self) -> None:
        for line in self._waiting_lines:
            self._report(line, 1, "warning", "unbound-options", "no entry follows these options")

    def assign(self, line: int, column: int, value_column: int, name: str, value: str) -> None:
        if name.startswith(PREFIX):
            self._set_default(line, column, value_column, name, value)
        elif not name:
            self._report(line, column, "warning", "bad-name", "an assignment without a name has no effect")
        elif name not in self._assigned and len(self._assigned) == MAX_NAMES:
            self._report(line, column, "error", "too-many-names", f"more than {MAX_NAMES} different names")
        else:
            if self._assigned.get(name) != (name, value):
                self._assigned[name] = (name, value)
                self._environment = None
            if name == "CRON_TZ":
                self._set_zone(line, value_column, value)
            elif name == "MAILTO":
                self._defaults = replace(self._defaults, mailto=value)
            elif name == "MAILFROM":
                self._defaults = replace(self._defaults, mailfrom=value)

    def _set_zone(self, line: int, column: int, name: str) -> None:
        """An empty CRON_TZ is the daemon's zone again."""
        self.zone, self.bad_zone = name or None, 0
        if not self._is_zone(name or "UTC"):
            self.bad_zone = line
            self._report(line, column, "error", "bad-zone", f"unknown time zone {quoted(name)}")

    def _is_zone(self, name: str) -> bool:
        if name not in self._unknown_zones:
            try:
                Zone.of(name)
            except PycrondError:
                self._unknown_zones.add(name)
        return name not in self._unknown_zones

    def _set_default(self, line: int, column: int, value_column: int, variable: str, text: str) -> None:
        name = variable.removeprefix(PREFIX).lower().replace("_", "-")
        if name == "name":
            message = "a name belongs to one entry: write it in a #: line"
            self._report(line, column, "warning", "bad-option", message)
            return
        changed: dict[str, Any] = self._option(line, column, value_column, name, text)
        self._defaults = replace(self._defaults, **changed)

    def option_line(self, line: int, text: str, start: int) -> None:
        """The words of a `#:` line from `start` on."""
        self._waiting_lines.append(line)
        try:
            words = list(split_options(text, start))
        except ValueError as error:
            self._report(line, start + 1, "warning", "bad-option", f"these options are left out: {error}")
            return
        for offset, name, value in words[:MAX_OPTIONS_PER_LINE]:
            self._waiting |= self._option(line, offset + 1, offset + len(name) + 2, name, value)

    def _option(
        self, line: int, column: int, value_column: int, name: str, text: str | None
    ) -> dict[str, Value]:
        """The attribute of `Options` with its value, or nothing after a warning. ``name=`` is cron's own."""
        option = BY_NAME.get(name)
        if option is None:
            message = f"unknown option {quoted(name)}{did_you_mean(name)}"
            self._report(line, column, "warning", "unknown-option", message)
            return {}
        if text == "":
            return {option.attribute: getattr(CRON, option.attribute)}
        try:
            return {option.attribute: option.read(text or "")}
        except ValueError as error:
            message = f"bad {name} {quoted(text or '')} ({error})"
            self._report(line, value_column, "warning", "bad-option", message)
            return {}


def did_you_mean(name: str) -> str:
    """The option that begins with the same letter and has the same letters but one."""
    meant = name.lower().replace("_", "-")
    near = [known for known in BY_NAME if known[0] == meant[:1] and len(set(known) ^ set(meant)) < 2]
    return f" (did you mean {near[0]}?)" if near and len(meant) < 20 else ""
