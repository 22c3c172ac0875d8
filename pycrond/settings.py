"""The table of settings: names, defaults, allowed values."""

import os
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, NamedTuple

_WORDS = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp"
_NAMES = sorted((name, number) for number, name in enumerate(_WORDS.split()))
FACILITIES = dict(_NAMES) | {f"local{number}": 16 + number for number in range(8)}
"""The facilities of syslog, with their numbers in RFC 5424, section 6.2.1."""
NO_SYSLOG = "none"
"""The value of `syslog` for no syslog at all."""
JOURNAL_SOCKET = "/run/systemd/journal/socket"
"""Where it exists, the default of `syslog` is `journal`."""
_DIRECTORY = {"metavar": "DIR", "is_path": True, "locates_daemon": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The values a daemon is started with. `state_dir` is its identity: one daemon for a state directory.

    A field `state_dir` is `--state-dir` on the command line, `state-dir` in pycrond.toml and
    PYCROND_STATE_DIR in the environment. Fields with a default are optional everywhere. The metadata of a
    field are attributes of its `Setting`.
    """

    crontabs: tuple[str, ...] = field(
        default=(), metadata=_DIRECTORY | {"help": "a directory of crontab files (may be repeated)"}
    )
    state_dir: str = field(metadata=_DIRECTORY | {"help": "where the ledger and the jobs' output are kept"})
    runtime_dir: str = field(
        metadata=_DIRECTORY | {"help": "where sockets and FIFOs are made; best on a tmpfs"}
    )
    pidfile: str = field(
        metadata=_DIRECTORY | {"help": "the file that holds the daemon's pid", "metavar": "FILE"}
    )
    system: bool = field(
        default=False,
        metadata={
            "help": "read /etc/crontab, /etc/cron.d and the users' crontabs, as the system's cron does",
            "locates_daemon": True,
        },
    )
    root: str = field(
        default="/", metadata=_DIRECTORY | {"help": "with --system: the directory that these three lie below"}
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
    trust_crontabs: bool = field(
        default=False,
        metadata={
            "help": "accept crontabs and directories whoever owns them or may write there; not with --system",
            "locates_daemon": True,
        },
    )
    require_crontabs: bool = field(
        default=False, metadata={"help": "do not start where no crontab exists or none is accepted"}
    )
    stop_jobs: str = field(
        default="leave",
        metadata={
            "help": "at a stop: leave running jobs to the next start, wait for them, or end them (term)",
            "allowed": ("leave", "wait", "term"),
        },
    )
    stop_grace: int = field(
        default=8, metadata={"help": "with --stop-jobs=term: most seconds between TERM and KILL"}
    )
    syslog: str = field(
        default="/dev/log",
        metadata={"help": "a socket's path, udp://host[:514], tcp://host:port, journal or none"},
    )
    syslog_format: str = field(
        default="rfc3164", metadata={"help": "rfc3164 or rfc5424", "allowed": ("rfc3164", "rfc5424")}
    )
    syslog_facility: str = field(
        default="cron", metadata={"help": "the facility of every message", "allowed": tuple(FACILITIES)}
    )
    spool_limit: int = field(
        default=4096,
        metadata={
            "help": "most MiB of output on disk: what is delivered is deleted first, the oldest; 0: no limit"
        },
    )
    keep_days: int = field(
        default=90, metadata={"help": "days after which a run is only counted, without output; 0: no limit"}
    )
    keep_runs: int = field(
        default=10_000,
        metadata={"help": "most runs of a job that are kept, older ones are only counted; 0: no limit"},
    )
    keep_output: int = field(
        default=0, metadata={"help": "most MiB of a job's delivered output that are kept; 0: no limit"}
    )
    ledger_limit: int = field(
        default=2048,
        metadata={"help": "most MiB of the ledger: beyond, the oldest runs are only counted; 0: no limit"},
    )
    mailer: str = field(
        default="/usr/sbin/sendmail",
        metadata={"help": "what sends mail: a program, smtp://[user@]host[:port] or smtps://…"},
    )
    mailer_password_file: str = field(
        default="",
        metadata={"help": "with a user in --mailer: the file with its password", "metavar": "FILE"},
    )
    mail_environment: bool = field(
        default=False, metadata={"help": "add the jobs' variables to their mails, as X-Cron-Env"}
    )
    max_running: int = field(
        default=0, metadata={"help": "most jobs that run at once, the others wait; 0: no limit"}
    )
    max_running_user: int = field(
        default=0,
        metadata={"help": "most jobs of a user that run at once; 0: as many as leave room for other users"},
    )
    max_waiting_user: int = field(
        default=1000,
        metadata={
            "help": "most fires of a user that wait for a run to end, the others are skipped; 0: no limit"
        },
    )
    max_catch_ups_user: int = field(
        default=10_000,
        metadata={"help": "most missed fires of a user that are caught up after an absence; 0: no limit"},
    )
    spool_limit_user: int = field(
        default=1024, metadata={"help": "most MiB of a user's output that may wait for delivery; 0: no limit"}
    )
    max_waiting_alarms: int = field(
        default=10_000,
        metadata={
            "help": "most mails, hooks and pings of a user that may wait for their delivery; 0: no limit"
        },
    )
    max_orders: int = field(
        default=100,
        metadata={
            "help": "most orders (run, kill, pause, resume) of a user a minute, root apart; 0: no limit"
        },
    )
    max_crontab_size: int = field(
        default=128, metadata={"help": "with --system: most KiB of a user's crontab; 0: no limit"}
    )
    max_crontab_entries: int = field(
        default=1000,
        metadata={"help": "with --system: most entries, and assignments, of a user's crontab; 0: no limit"},
    )
    cluster: str = field(
        default="",
        metadata={
            "help": "the database of a cluster: postgresql://[user@]host[,host]/database, or host=… dbname=…",
            "metavar": "CONNINFO",
            "is_secret": True,
        },
    )
    node: str = field(
        default="",
        metadata={
            "help": "with --cluster: the name of this machine; empty: its host name",
            "metavar": "NAME",
        },
    )
    node_labels: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "with --cluster: the labels of this machine for on=LABEL, separated by commas",
            "metavar": "LABELS",
        },
    )
    cluster_output: int = field(
        default=0,
        metadata={"help": "with --cluster: most KiB of a run's output copied to the database; 0: none"},
    )
    pam: str = field(default="auto", metadata={"help": "PAM service of jobs; none; auto: that of cron"})
    inherit_env: bool = field(
        default=False, metadata={"help": "give jobs the daemon's own environment, below their crontab's"}
    )
    log_console: bool = field(
        default=False, metadata={"help": "write the daemon's messages to the console without syslog"}
    )
    log_stderr: bool = field(
        default=False, metadata={"help": "write every message to standard error as well"}
    )
    log_stdout: bool = field(default=False, metadata={"help": "write every message to standard output"})
    log_format: str = field(
        default="text", metadata={"help": "text, json or logfmt", "allowed": ("text", "json", "logfmt")}
    )

    @property
    def node_name(self) -> str:
        """The name of this machine in the cluster."""
        return self.node or os.uname().nodename

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
    def lock_path(self) -> str:
        return os.path.join(self.state_dir, "lock")

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


def recorded_settings_path(state_dir: str) -> str:
    """Return where the settings of the latest daemon are recorded, by which commands find it."""
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
    """Relative to the working directory, or to the directory of pycrond.toml."""
    locates_daemon: bool = False
    """Accepted by every command; the others only by the commands that start a daemon or read crontabs."""
    is_secret: bool = False
    """May contain a password, which is neither shown nor an argument of a process."""

    @property
    def key(self) -> str:
        """The name in pycrond.toml."""
        return self.name.replace("_", "-")

    @property
    def flag(self) -> str:
        return f"--{self.key}"

    @property
    def variable(self) -> str:
        return f"PYCROND_{self.name.upper()}"

    def to_text(self, value: object) -> str:
        """Return a value in the form that a variable has."""
        return (":" if self.is_path else ",").join(value) if isinstance(value, tuple) else str(value)


SETTINGS = {
    row.name: Setting(row.name, None if row.default is MISSING else row.default, **row.metadata)
    for row in fields(Settings)
}
"""The table, by the fields' names."""
