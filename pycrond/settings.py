"""The daemon's settings: their names, defaults and readers. One name each, as flag, key and variable."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from pycrond.errors import PycrondError

FACILITIES = (
    *("auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp"),
    *(f"local{number}" for number in range(8)),
)
TRUE, FALSE = ("1", "yes", "true", "on"), ("0", "no", "false", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a daemon is started with. `state_dir` is its identity: one daemon for a state directory.

    A field `state_dir` is `--state-dir` on the command line, `state-dir` in pycrond.toml and
    PYCROND_STATE_DIR in the environment. Fields with a default are optional everywhere.
    """

    crontabs: tuple[str, ...] = field(
        default=(), metadata={"help": "a directory of crontab files (may be repeated)"}
    )
    state_dir: str = field(metadata={"help": "where the ledger and the jobs' output are kept"})
    runtime_dir: str = field(metadata={"help": "where sockets and FIFOs are made; best on a tmpfs"})
    pidfile: str = field(metadata={"help": "the file that holds the daemon's pid"})
    system: bool = field(
        default=False,
        metadata={
            "help": "read /etc/crontab, /etc/cron.d and the users' crontabs, as the system's cron does"
        },
    )
    root: str = field(
        default="/", metadata={"help": "with --system: the directory that these three lie below"}
    )
    dialect: str = field(
        default="auto",
        metadata={
            "help": "what a line means where Debian cron and cronie differ: debian, cronie, or auto",
            "allowed": ("auto", "debian", "cronie"),
        },
    )
    watch: bool = field(
        default=False, metadata={"help": "look each minute for changed files and read them, as --system does"}
    )
    syslog: str = field(
        default="/dev/log", metadata={"help": "a socket's path, udp://host[:514] or tcp://host:port"}
    )
    syslog_format: str = field(
        default="rfc3164", metadata={"help": "rfc3164 or rfc5424", "allowed": ("rfc3164", "rfc5424")}
    )
    syslog_facility: str = field(
        default="cron", metadata={"help": "the facility of every message", "allowed": FACILITIES}
    )
    spool_limit: int = field(
        default=4096, metadata={"help": "MiB of output that wait for syslog at most; 0: no limit"}
    )
    mailer: str = field(
        default="/usr/sbin/sendmail",
        metadata={"help": "what sends mail: a program, smtp://[user@]host[:port] or smtps://…"},
    )
    mailer_password_file: str = field(
        default="", metadata={"help": "with a user in --mailer: the file whose first line is the password"}
    )
    mail_environment: bool = field(
        default=False, metadata={"help": "add the jobs' variables to their mails, as X-Cron-Env"}
    )
    max_running: int = field(
        default=0, metadata={"help": "so many jobs at once at most, the others wait; 0: no limit"}
    )
    inherit_env: bool = field(
        default=False,
        metadata={"help": "give jobs the daemon's own environment too, below what their crontab sets"},
    )
    log_console: bool = field(
        default=False, metadata={"help": "write the daemon's messages to the console when syslog is away"}
    )
    log_stderr: bool = field(
        default=False, metadata={"help": "write every message to standard error as well"}
    )

    @property
    def ledger_path(self) -> str:
        return os.path.join(self.state_dir, "ledger")

    @property
    def spool_dir(self) -> str:
        """The output of the runs."""
        return os.path.join(self.state_dir, "spool")

    @property
    def last_good_dir(self) -> str:
        """The last good version of each crontab."""
        return os.path.join(self.state_dir, "crontabs")

    @property
    def checkpoint_path(self) -> str:
        """The minute up to which jobs have run."""
        return os.path.join(self.state_dir, "last-turn")

    @property
    def ends_path(self) -> str:
        """The exit statuses that a keeper wrote down when it ended."""
        return os.path.join(self.state_dir, "ends")

    @property
    def crash_path(self) -> str:
        """The tracebacks of crashes."""
        return os.path.join(self.state_dir, "crash")

    @property
    def journal_path(self) -> str:
        """The starts and ends of runs that the ledger may not have."""
        return os.path.join(self.runtime_dir, "starts")

    @property
    def fifo_dir(self) -> str:
        """A FIFO for each run whose output may still come."""
        return os.path.join(self.runtime_dir, "fifo")

    @property
    def control_socket(self) -> str:
        return os.path.join(self.runtime_dir, "control.sock")

    @property
    def keeper_socket(self) -> str:
        return os.path.join(self.runtime_dir, "keeper.sock")


NAMES = tuple(one.name for one in fields(Settings))
PATHS = ("crontabs", "state_dir", "runtime_dir", "pidfile", "root")


def flag(name: str) -> str:
    """The command line's spelling of a setting, also its key in pycrond.toml (less the dashes before it)."""
    return "--" + name.replace("_", "-")


def from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    """The settings named in the environment; PYCROND_CRONTABS separates directories by colons."""
    found: dict[str, object] = {}
    for name in NAMES:
        text = environ.get("PYCROND_" + name.upper(), "")
        # An empty name in the list would be the directory we happen to be in.
        value = tuple(part for part in text.split(":") if part) if name == "crontabs" else text
        if value:
            found[name] = value
    return found


def from_toml(document: Mapping[str, object], file: str) -> dict[str, object]:
    """The settings of a parsed pycrond.toml; an unknown key is an error, so that no typo stays silent."""
    known = {flag(name)[2:]: name for name in NAMES}
    for key in document:
        if key not in known:
            raise PycrondError(f"{file}: unknown setting '{key}' (known: {', '.join(known)})")
    return {known[key]: value for key, value in document.items()}


def settle(layers: Iterable[Mapping[str, object]]) -> Settings:
    """One value a setting, from the first layer that has it; raises PycrondError for a value not allowed."""
    merged: dict[str, object] = {}
    for layer in layers:
        for name, value in layer.items():
            merged.setdefault(name, value)
    values: dict[str, Any] = {name: _read(name, value) for name, value in merged.items()}
    return Settings(**values)


def _read(name: str, value: object) -> object:
    if name == "crontabs":
        several = (value,) if isinstance(value, str) else value
        if (
            isinstance(several, (list, tuple))
            and (several or several == ())
            and all(one and isinstance(one, str) for one in several)
        ):
            return tuple(several)
        raise PycrondError("setting 'crontabs': a list of directories is wanted")
    about = next(one for one in fields(Settings) if one.name == name)
    if isinstance(about.default, bool):
        return _read_bool(name, value)
    if isinstance(about.default, int):
        return _read_number(name, value)
    if not isinstance(value, str) or (name in PATHS and not value):
        raise PycrondError(f"setting '{flag(name)[2:]}': text is wanted, not {value!r}")
    allowed = about.metadata.get("allowed")
    if allowed and value not in allowed:
        raise PycrondError(f"setting '{flag(name)[2:]}': '{value}' is not one of {', '.join(allowed)}")
    return value


def _read_bool(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word not in TRUE + FALSE:
        raise PycrondError(f"setting '{flag(name)[2:]}': '{value}' is neither yes nor no")
    return word in TRUE


def _read_number(name: str, value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or len(text) > 9:
        raise PycrondError(f"setting '{flag(name)[2:]}': a whole number from 0 is wanted, not '{value}'")
    return int(text)


def to_arguments(settings: Settings) -> list[str]:
    """The settings as arguments of the daemon's own program, only what differs from the defaults."""
    arguments = []
    for one in fields(Settings):
        value = getattr(settings, one.name)
        if one.default is not MISSING and value == one.default:
            continue
        several = value if isinstance(value, tuple) else (value,)
        arguments += [f"{flag(one.name)}={part}" for part in several]
    return arguments


def from_arguments(arguments: Iterable[str]) -> Settings:
    """The inverse of `to_arguments`."""
    layer: dict[str, object] = {}
    for argument in arguments:
        key, _, text = argument.removeprefix("--").partition("=")
        name = key.replace("-", "_")
        if name == "crontabs":
            before = layer.get(name, ())
            layer[name] = (*before, text) if isinstance(before, tuple) else (text,)
        else:
            layer[name] = text
    return settle([layer])
