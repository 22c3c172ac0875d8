"""The settings that apply to a line of a crontab: environment, time zone, and options of the next entry."""

from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

from pycrond.crontab.problems import ProblemList
from pycrond.crontab.syntax import split_options
from pycrond.errors import PycrondError
from pycrond.jobs.option_values import CLUSTER_PREFIX
from pycrond.jobs.options import BY_NAME, CRON, Option, Options, Value
from pycrond.schedule.timezone import FORMS, Zone
from pycrond.text import quoted

MAX_NAMES = 1_000
"""The most different names that a file may assign, as in cronie."""

MAX_OPTIONS_PER_LINE = 1_000

PREFIX = "PYCROND_"


class Assignment(NamedTuple):
    """A line that sets a variable. Columns count from 1."""

    line: int
    column: int
    """The start of the name."""
    value_column: int
    name: str
    value: str


class Scope:
    """The effect of the assignments and `#:` lines read so far."""

    def __init__(self, report: ProblemList, *, is_roots: bool, has_cluster: bool) -> None:
        """`is_roots`: options that need root are allowed. `has_cluster`: a bad cluster option is an error."""
        self.zone: str | None = None
        self.bad_zone = 0
        """The line of a CRON_TZ with an unknown zone; 0 if there is none."""
        self._report = report
        self._is_roots = is_roots
        self._has_cluster = has_cluster
        self._invalid: dict[str, int] = {}  # lines of invalid cluster options of the next entry, by attribute
        self._invalid_defaults: dict[str, int] = {}  # the same of assignments
        self._assigned: dict[str, tuple[str, str]] = {}
        self._environment: tuple[tuple[str, str], ...] | None = ()
        self._defaults = CRON
        self._pending: dict[str, Value] = {}  # options for the next entry
        self._places: dict[str, tuple[int, int]] = {}  # line and column of each of them
        self._pending_lines: list[int] = []
        self._unknown_zones: set[str] = set()

    def environment(self) -> tuple[tuple[str, str], ...]:
        """Return the environment, the same object until the next assignment."""
        if self._environment is None:
            self._environment = tuple(self._assigned.values())
        return self._environment

    def options(self, flags: dict[str, Value]) -> Options:
        """Return the options of the current entry; those of `#:` lines override those of its flags."""
        if not flags and not self._pending:
            return self._defaults
        values: dict[str, Any] = {**flags, **self._pending}
        return replace(self._defaults, **values)

    def end_entry(self) -> None:
        """Forget the options that applied to the current entry."""
        if self._pending_lines:
            self._pending, self._places, self._pending_lines, self._invalid = {}, {}, [], {}

    def refuses(self, number: int, column: int) -> bool:
        """Return whether the entry in this line must not run, and report it: a cluster option is invalid."""
        defaults = [line for name, line in self._invalid_defaults.items() if name not in self._pending]
        lines = [*self._invalid.values(), *defaults]
        if not lines or not self._has_cluster:
            return False
        message = f"not run, because of the option in line {lines[0]}: it would run on each machine"
        self._report(number, column, "error", "cluster-option", message)
        return True

    def end_file(self) -> None:
        for line in self._pending_lines:
            self._report(line, 1, "warning", "unbound-options", "no entry follows these options")

    def assign(self, assignment: Assignment) -> bool:
        """Apply an assignment; return False after an error because there are too many names."""
        line, column, value_column, name, value = assignment
        if name.startswith(PREFIX):
            self._set_default(assignment)
        elif not name:
            self._report(line, column, "warning", "bad-name", "an assignment without a name has no effect")
        elif name not in self._assigned and len(self._assigned) == MAX_NAMES:
            self._report(line, column, "error", "too-many-names", f"more than {MAX_NAMES} different names")
            return False
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
        return True

    def _set_zone(self, line: int, column: int, name: str) -> None:
        """Set the time zone; an empty name stands for the daemon's."""
        self.zone, self.bad_zone = name or None, 0
        if not self.is_zone(name or "UTC"):
            self.bad_zone = line
            self._report(line, column, "error", "bad-zone", f"unknown time zone {quoted(name)} ({FORMS})")

    def is_zone(self, name: str) -> bool:
        """Return whether there is such a time zone on this machine."""
        if name not in self._unknown_zones:
            try:
                Zone.of(name)
            except PycrondError:
                self._unknown_zones.add(name)
        return name not in self._unknown_zones

    def _set_default(self, assignment: Assignment) -> None:
        line, column, value_column, variable, text = assignment
        name = variable.removeprefix(PREFIX).lower().replace("_", "-")
        if name == "name":
            message = "a name belongs to one entry: write it in a #: line"
            self._report(line, column, "warning", "bad-option", message)
            return
        invalid = self._invalid_defaults
        invalid.pop(name.replace("-", "_"), None)
        changed: dict[str, Any] = self._parse_option(line, column, value_column, name, text, invalid)
        self._defaults = replace(self._defaults, **changed)

    def add_options(self, line: int, text: str, start: int) -> None:
        """Add the options of a `#:` line, whose words begin at `start`, to those of the next entry."""
        self._pending_lines.append(line)
        try:
            words = list(islice(split_options(text, start), MAX_OPTIONS_PER_LINE))
        except ValueError as error:
            self._report(line, start + 1, "warning", "bad-option", f"these options are ignored: {error}")
            self._invalid["on"] = line  # the option `on` may have been among them
            return
        for offset, name, value in words:
            value_column = offset + len(name) + 2
            parsed = self._parse_option(line, offset + 1, value_column, name, value, self._invalid)
            self._pending |= parsed
            self._places |= dict.fromkeys(parsed, (line, offset + 1))

    def place(self, attribute: str) -> tuple[int, int] | None:
        """Return line and column of an option of the current entry; None if no `#:` line sets it."""
        return self._places.get(attribute)

    def _parse_option(
        self, line: int, column: int, value_column: int, name: str, text: str | None, invalid: dict[str, int]
    ) -> dict[str, Value]:
        """Return the value by its attribute, or nothing after a warning; `invalid` then has the line if the
        option concerns the cluster. ``name=`` sets cron's default.
        """
        option = BY_NAME.get(name)
        if option is None:
            hint = did_you_mean(name) or " (pycrond.crontab(5) describes all options)"
            message = f"unknown option {quoted(name)}{hint}"
            self._report(line, column, "warning", "unknown-option", message)
            return {}
        if text == "":
            return {option.attribute: getattr(CRON, option.attribute)}
        if concerns_cluster(name, text or ""):
            invalid[option.attribute] = line
        try:
            value = option.read(text or "")
        except ValueError as error:
            place, mistake = (
                (value_column, f"bad {name} {quoted(text)}") if text else (column, f"{name} has no value")
            )
            self._report(line, place, "warning", "bad-option", f"{mistake} ({error})")
            return {}
        parsed = self.permitted(line, column, f"{name}={text}", option, value)
        for attribute in parsed:
            invalid.pop(attribute, None)
        return parsed

    def permitted(
        self, line: int, column: int, spelling: str, option: Option, value: Value
    ) -> dict[str, Value]:
        """Return the value by its attribute; nothing, after a warning, if the value needs root."""
        if self._is_roots or not option.needs_root(value):
            return {option.attribute: value}
        message = f"{spelling} is for crontabs that belong to root: it has no effect"
        self._report(line, column, "warning", "needs-root", message)
        return {}


def concerns_cluster(name: str, text: str) -> bool:
    """Return whether a job would run on too many machines, or at the same time, without this option."""
    return name in {"on", "node-loss", "on-partition"} or (name == "lock" and text.startswith(CLUSTER_PREFIX))


def did_you_mean(name: str) -> str:
    """Suggest an option with the same first letter whose set of letters differs in at most one."""
    lower = name.lower().replace("_", "-")
    near = [known for known in BY_NAME if known[0] == lower[:1] and len(set(known) ^ set(lower)) < 2]
    return f" (did you mean {near[0]}?)" if near and len(lower) < 20 else ""
