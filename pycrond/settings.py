"""The table of settings: names, defaults, allowed values."""

import os
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, NamedTuple, TypeVar

_WORDS = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp"
_NAMES = sorted((name, number) for number, name in enumerate(_WORDS.split()))
FACILITIES = dict(_NAMES) | {f"local{number}": 16 + number for number in range(8)}
"""The facilities of syslog, with their numbers in RFC 5424, section 6.2.1."""
NO_SYSLOG = "none"
"""The value of `syslog` that turns syslog off."""
JOURNAL_SOCKET = "/run/systemd/journal/socket"
"""If it exists, the default of `syslog` is `journal`."""
Value = TypeVar("Value")
_DIRECTORY = {"metavar": "DIR", "is_path": True, "locates_daemon": True}


def _setting(default: Value, description: str, **metadata: object) -> Value:
    """Return a field of `Settings`; the metadata are attributes of its `Setting`."""
    return field(default=default, metadata={"help": description, **metadata})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a daemon. `state_dir` identifies the daemon: a state directory has at most one.

    The field `state_dir` is `--state-dir` on the command line, `state-dir` in pycrond.toml and
    PYCROND_STATE_DIR in the environment. Fields with a default are optional everywhere. The metadata of a
    field are attributes of its `Setting`.
    """

    crontabs: tuple[str, ...] = _setting((), "a directory of crontab files (may be repeated)", **_DIRECTORY)
    state_dir: str = field(metadata=_DIRECTORY | {"help": "the directory of the ledger and the jobs' output"})
    runtime_dir: str = field(
        metadata=_DIRECTORY | {"help": "the directory of sockets and FIFOs; best on a tmpfs"}
    )
    pidfile: str = field(
        metadata=_DIRECTORY | {"help": "the file that holds the daemon's pid", "metavar": "FILE"}
    )
    system: bool = _setting(
        False,
        "read /etc/crontab, /etc/cron.d and the users' crontabs, as the system's cron does",
        locates_daemon=True,
    )
    root: str = _setting("/", "with --system: the directory below which these files are read", **_DIRECTORY)
    dialect: str = _setting(
        "auto",
        "the meaning of a line where Debian cron and cronie differ: debian, cronie, or auto",
        allowed=("auto", "debian", "cronie"),
    )
    watch: bool = _setting(False, "read changed files every minute, as --system does")
    trust_crontabs: bool = _setting(
        False,
        "accept crontabs and directories with any owner and any write permissions; not with --system",
        locates_daemon=True,
    )
    require_crontabs: bool = _setting(False, "do not start if no crontab exists or none is accepted")
    stop_jobs: str = _setting(
        "leave",
        "at a stop: leave running jobs to the next daemon, wait for them, or end them (term)",
        allowed=("leave", "wait", "term"),
    )
    stop_grace: int = _setting(8, "with --stop-jobs=term: maximum seconds between TERM and KILL")
    syslog: str = _setting("/dev/log", "a socket's path, udp://host[:514], tcp://host:port, journal or none")
    syslog_format: str = _setting("rfc3164", "rfc3164 or rfc5424", allowed=("rfc3164", "rfc5424"))
    syslog_facility: str = _setting("cron", "the facility of every message", allowed=tuple(FACILITIES))
    spool_limit: int = _setting(
        4096, "maximum MiB of output on disk; the oldest delivered output is deleted first; 0: no limit"
    )
    keep_days: int = _setting(
        90, "days that runs and output are kept; older runs are only counted; 0: no limit"
    )
    keep_runs: int = _setting(
        10_000, "number of runs of a job that are kept; older runs are only counted; 0: no limit"
    )
    keep_output: int = _setting(0, "maximum MiB of delivered output kept for a job; 0: no limit")
    ledger_limit: int = _setting(
        2048, "maximum MiB of the ledger; near it, the oldest runs are only counted; 0: no limit"
    )
    mailer: str = _setting(
        "/usr/sbin/sendmail", "sender of mail: a program, smtp://[user@]host[:port] or smtps://…"
    )
    mailer_password_file: str = _setting(
        "", "with a user in --mailer: the file with its password", metavar="FILE"
    )
    mail_environment: bool = _setting(False, "add the jobs' variables to their mails, as X-Cron-Env")
    max_running: int = _setting(0, "maximum number of jobs that run at once; others wait; 0: no limit")
    max_running_user: int = _setting(
        0, "maximum number of a user's jobs that run at once; 0: some room is left for other users"
    )
    max_waiting_user: int = _setting(
        1000, "maximum number of a user's fires that wait for a run; others are skipped; 0: no limit"
    )
    max_catch_ups_user: int = _setting(
        10_000, "maximum number of a user's missed fires that are caught up after an absence; 0: no limit"
    )
    spool_limit_user: int = _setting(
        1024, "maximum MiB of a user's output that wait for delivery; 0: no limit"
    )
    max_waiting_alarms: int = _setting(
        10_000, "maximum number of a user's mails, hooks and pings that wait for delivery; 0: no limit"
    )
    max_orders: int = _setting(
        100, "maximum orders (run, kill, pause, resume) of a user a minute, except root; 0: no limit"
    )
    max_crontab_size: int = _setting(128, "with --system: maximum KiB of a user's crontab; 0: no limit")
    max_crontab_entries: int = _setting(
        1000, "with --system: maximum entries, and assignments, of a user's crontab; 0: no limit"
    )
    cluster: str = _setting(
        "",
        "the database of a cluster: postgresql://[user@]host[,host]/database, or host=… dbname=…",
        metavar="CONNINFO",
        is_secret=True,
    )
    node: str = _setting("", "with --cluster: the name of this machine; empty: its host name", metavar="NAME")
    node_labels: tuple[str, ...] = _setting(
        (), "with --cluster: the labels of this machine for on=LABEL, separated by commas", metavar="LABELS"
    )
    cluster_output: int = _setting(
        0, "with --cluster: maximum KiB of a run's output copied to the database; 0: none"
    )
    pam: str = _setting("auto", "the PAM service of jobs, or none; auto: that of cron")
    inherit_env: bool = _setting(False, "give jobs the daemon's environment; their crontab overrides it")
    log_console: bool = _setting(False, "write the daemon's messages to the console while syslog fails")
    log_stderr: bool = _setting(False, "write every message to standard error as well")
    log_stdout: bool = _setting(False, "write every message to standard output, none to standard error")
    log_format: str = _setting("text", "text, json or logfmt", allowed=("text", "json", "logfmt"))

    @property
    def node_name(self) -> str:
        """The name of this machine in the cluster."""
        return self.node or os.uname().nodename

    @property
    def ledger_path(self) -> str:
        return os.path.join(self.state_dir, "ledger")

    @property
    def spool_dir(self) -> str:
        """The directory of the runs' output."""
        return os.path.join(self.state_dir, "spool")

    @property
    def last_good_dir(self) -> str:
        """The directory with the last good version of each crontab."""
        return os.path.join(self.state_dir, "crontabs")

    @property
    def lock_path(self) -> str:
        return os.path.join(self.state_dir, "lock")

    @property
    def checkpoint_path(self) -> str:
        """The file with the last minute for which jobs were started."""
        return os.path.join(self.state_dir, "last-turn")

    @property
    def ends_path(self) -> str:
        """The file with the exit statuses that a keeper recorded when it ended."""
        return os.path.join(self.state_dir, "ends")

    @property
    def crash_path(self) -> str:
        """The file with the tracebacks of crashes."""
        return os.path.join(self.state_dir, "crash")

    @property
    def journal_path(self) -> str:
        """The file with starts and ends of runs that may not be in the ledger yet."""
        return os.path.join(self.runtime_dir, "starts")

    @property
    def fifo_dir(self) -> str:
        """The directory with a FIFO for each run that may still write output."""
        return os.path.join(self.runtime_dir, "fifo")

    @property
    def control_socket(self) -> str:
        return os.path.join(self.runtime_dir, "control.sock")

    @property
    def keeper_socket(self) -> str:
        return os.path.join(self.runtime_dir, "keeper.sock")


def recorded_settings_path(state_dir: str) -> str:
    """Return the path of the file with the settings of the latest daemon; commands find the daemon by it."""
    return os.path.join(state_dir, "settings")


class Setting(NamedTuple):
    """A row of the table: a field of `Settings` and the names by which users set it."""

    name: str
    default: Any
    """None if it depends on the user."""
    help: str
    metavar: str = "VALUE"
    allowed: tuple[str, ...] = ()
    is_path: bool = False
    """A path: relative to the working directory, or to the directory of pycrond.toml."""
    locates_daemon: bool = False
    """Accepted by every command; other settings only by commands that start a daemon or read crontabs."""
    is_secret: bool = False
    """May contain a password, so it is neither shown nor passed as an argument of a process."""

    @property
    def key(self) -> str:
        """The name in pycrond.toml."""
        return self.name.replace("_", "-")

    @property
    def may_be_empty(self) -> bool:
        return self.default in ("", ()) and not self.is_path

    @property
    def flag(self) -> str:
        return f"--{self.key}"

    @property
    def variable(self) -> str:
        return f"PYCROND_{self.name.upper()}"

    def to_text(self, value: object) -> str:
        """Return a value as the text of an environment variable."""
        return (":" if self.is_path else ",").join(value) if isinstance(value, tuple) else str(value)


SETTINGS = {
    row.name: Setting(row.name, None if row.default is MISSING else row.default, **row.metadata)
    for row in fields(Settings)
}
"""The table of settings, by the names of the fields."""
