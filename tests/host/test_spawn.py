"""The process of a job: environment, input, output, directory, signals, limits, session; and /proc."""

import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pycrond.errors import PycrondError
from pycrond.host import procfs, spawn
from pycrond.host.spawn import Launch
from pycrond.jobs.job import Account, Job
from pycrond.jobs.run import Fire
from pycrond.runs.command import describe
from tests.conftest import alive, jobs_of, wait_until
from tests.scheduler.test_agenda import at

pytestmark = pytest.mark.process
SEARCH_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
NOON = at("2025-06-10T12:00Z")


@pytest.fixture(autouse=True)
def restore_process() -> Iterator[None]:
    """Restore pytest's directory and limits: a start changes them."""
    directory, mask, limit = os.getcwd(), os.umask(0o022), resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    os.chdir(directory)
    os.umask(mask)
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)


class JobStarter:
    """Starts jobs and reads what they print."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.account = Account("alice", os.geteuid(), os.getegid(), str(directory))
        self.started: list[int] = []
        self.readers: dict[str, int] = {}
        self.status = -1
        self._runs = 0

    def prepare(self, job: Job) -> Launch:
        self._runs += 1
        fifo = str(self.directory / f"fifo{self._runs}")
        launch = describe(Fire(job, NOON, 0), self._runs, self.account, fifo, SEARCH_PATH)
        self.readers[fifo] = spawn.make_fifo(launch)
        return launch

    def start(self, launch: Launch) -> tuple[int, int]:
        with spawn.Starter() as context:
            pid = context.start(launch)
        self.started.append(pid)
        return pid, self.readers[launch.fifo]

    def output(self, text: str | bytes) -> bytes:
        """Return the output of the only job of a crontab, and set `status` to its exit status."""
        (job,) = jobs_of(text, user="alice")
        pid, reader = self.start(self.prepare(job))
        printed = drain(reader)
        self.status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.started.remove(pid)
        return printed

    def words(self, command: str) -> list[str]:
        return self.output(f"* * * * * {command}\n").decode().split()

    def refusal(self, text: str) -> str:
        (job,) = jobs_of(text, user="alice")
        launch = self.prepare(job)
        with pytest.raises(PycrondError) as caught:
            self.start(launch)
        os.close(self.readers[launch.fifo])
        return str(caught.value)

    def end(self) -> None:
        for pid in self.started:
            with suppress(ProcessLookupError, ChildProcessError):
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def drain(reader: int) -> bytes:
    """Return the output up to the end, after which no process has the FIFO open."""
    printed = b""
    while select.select([reader], [], [], 20)[0]:
        part = os.read(reader, 1 << 16)
        if not part:
            break
        printed += part
    os.close(reader)
    return printed


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[JobStarter]:
    starter = JobStarter(tmp_path)
    yield starter
    starter.end()


def environment(starter: JobStarter, crontab: str = "") -> dict[str, str]:
    """Return the environment that the shell gets, before it adds anything."""
    printed = starter.output(f"{crontab}* * * * * cat /proc/$$/environ\n").decode(errors="surrogateescape")
    pairs = [pair.partition("=") for pair in printed.split("\0")[:-1]]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: value for name, _, value in pairs}


OURS = {"PYCROND_JOB", "PYCROND_RUN", "PYCROND_FIRE_TIME", "PYCROND_ATTEMPT"}


def test_the_environment_is_exactly_this(starter: JobStarter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the daemon")
    variables = environment(starter)
    ours = {name: variables.pop(name) for name in OURS}
    assert variables == {
        "SHELL": "/bin/sh",
        "HOME": str(starter.directory),
        "PATH": SEARCH_PATH,
        "LOGNAME": "alice",
        "USER": "alice",
    }
    (job,) = jobs_of("* * * * * cat /proc/$$/environ\n", user="alice")
    assert ours == {
        "PYCROND_JOB": job.key,
        "PYCROND_RUN": "1",
        "PYCROND_FIRE_TIME": "2025-06-10T12:00:00Z",
        "PYCROND_ATTEMPT": "1",
    }


def test_a_time_in_another_zone_is_given_in_utc(starter: JobStarter) -> None:
    (job,) = jobs_of("* * * * * x\n")
    fire = Fire(job, NOON.astimezone(at("2025-06-10T12:00+05:45").tzinfo), 0)
    launch = describe(fire, 1, starter.account, "fifo", SEARCH_PATH)
    assert launch.environment["PYCROND_FIRE_TIME"] == "2025-06-10T12:00:00Z"


@pytest.mark.parametrize(
    ("lines", "name", "value", "why"),
    [
        ("A=b c\n", "A", "b c", "an assignment"),
        ("A=1\nA=2\n", "A", "2", "the last one"),
        ("A=$HOME\n", "A", "$HOME", "nothing is expanded"),
        ("A=\n", "A", "", "an empty value"),
        ("PATH=/opt\n", "PATH", "/opt", "instead of the default"),
        ("LOGNAME=root\n", "LOGNAME", "alice", "cannot be overridden"),
        ("USER=root\n", "USER", "alice", "nor this"),
        ("PYCROND_RUN=99\n", "PYCROND_RUN", "1", "nor ours"),
        ("TZ=Asia/Tokyo\n", "TZ", "Asia/Tokyo", "just a variable"),
        ("CRON_TZ=Asia/Tokyo\n", "CRON_TZ", "Asia/Tokyo", "exported, as in cronie"),
        ("MAILTO=a@b\n", "MAILTO", "a@b", "as any other"),
        ("'A B'='c d'\n", "A B", "c d", "any name"),
        ("A=gr\u00fcn\n", "A", "gr\u00fcn", "UTF-8"),
    ],
)
def test_assignments(starter: JobStarter, lines: str, name: str, value: str, why: str) -> None:
    assert environment(starter, f"PATH=/usr/bin:/bin\n{lines}".replace("PATH=/opt", "PATH=/opt:/bin"))[
        name
    ] in {value, f"{value}:/bin"}, why


def test_a_name_assigned_later_is_not_there(starter: JobStarter) -> None:
    first, _ = jobs_of("* * * * * x\nA=b\n* * * * * y\n")
    assert "A" not in starter.prepare(first).environment


def test_bytes_that_are_not_utf8_arrive(starter: JobStarter) -> None:
    assert starter.output(b"A=\xff\xfe\n* * * * * printf '\xe9%s' \"$A\"\n".replace(b"%", b"\\%")) == (
        b"\xe9\xff\xfe"
    )


ELSEWHERE = r"""
import os, sys
from pathlib import Path
from tests.host.test_spawn import JobStarter
assert sys.getfilesystemencoding() == "ascii"
starter = JobStarter(Path(sys.argv[1]))
text = "A=\u20ac\n* * * * * cat; printf \u20ac$A\\%s%gr\u00fcn\n".encode()
os.write(1, starter.output(text))
"""


def test_bytes_arrive_in_any_locale(tmp_path: Path) -> None:
    """A daemon may run where names are ASCII: the bytes of a crontab are not decoded by the locale."""
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", ELSEWHERE, str(tmp_path)],
        env={**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": os.getcwd()},
        capture_output=True,
        check=False,
    )
    assert done.stdout == "gr\u00fcn\n\u20ac\u20ac".encode(), done.stderr


# Standard input and output.


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("cat", b""),
        ("cat%", b""),
        ("cat%a", b"a\n"),
        ("cat%a%b%%c", b"a\nb\n\nc\n"),
        ("cat%\\%", b"%\n"),
        ("cat%" + "x" * 100_000, b"x" * 100_000 + b"\n"),
    ],
    ids=lambda part: part[:12],
)
def test_standard_input(starter: JobStarter, text: str, given: bytes) -> None:
    assert starter.output(f"* * * * * {text}\n") == given


def test_much_standard_input(starter: JobStarter) -> None:
    (job,) = jobs_of("* * * * * cksum; wc -c\n")
    plain = starter.prepare(job)
    launch = plain._replace(stdin=b"x" * (1 << 20))
    pid, reader = starter.start(launch)
    assert drain(reader).split()[1:] == [b"1048576", b"0"]
    os.waitpid(pid, 0)


def test_standard_input_cannot_be_read_twice_by_two(starter: JobStarter) -> None:
    assert starter.output("* * * * * head -n 1; cat%a%b\n") in {b"a\nb\n", b"a\n"}


def test_output_and_errors_are_one_stream(starter: JobStarter) -> None:
    assert starter.output("* * * * * echo a; echo b >&2; echo c > /dev/stderr; echo d > /dev/stdout\n") == (
        b"a\nb\nc\nd\n"
    )


def test_output_is_a_fifo_that_only_its_user_may_open(starter: JobStarter) -> None:
    assert starter.words("stat -L -c '\\%F \\%a' /proc/self/fd/1") == ["fifo", "600"]


def test_a_job_outlives_the_reader_of_its_output(starter: JobStarter) -> None:
    """When the daemon has died there is no SIGPIPE, and the pipe keeps the output."""
    (job,) = jobs_of("* * * * * read go < go; echo x; echo y; echo alive > proof\n")
    os.mkfifo(starter.directory / "go")
    launch = starter.prepare(job)
    pid, reader = starter.start(launch)
    os.close(reader)
    (starter.directory / "go").write_text("go\n")
    assert os.waitpid(pid, 0)[1] == 0
    starter.started.remove(pid)
    assert (starter.directory / "proof").read_text() == "alive\n"


def test_the_next_daemon_opens_the_fifo_by_its_path(starter: JobStarter) -> None:
    (job,) = jobs_of("* * * * * echo x; read go < go; echo y\n")
    os.mkfifo(starter.directory / "go")
    launch = starter.prepare(job)
    pid, reader = starter.start(launch)
    select.select([reader], [], [], 20)
    again = spawn.open_fifo(launch.fifo)
    assert again is not None
    os.close(reader)
    assert spawn.unread_bytes(again) == 2
    (starter.directory / "go").write_text("go\n")
    assert drain(again) == b"x\ny\n"
    os.waitpid(pid, 0)
    starter.started.remove(pid)
    os.unlink(launch.fifo)
    assert spawn.open_fifo(launch.fifo) == -1


# The process itself.

PROBE = """\
import json, os, resource, signal, sys
stat = open('/proc/self/stat').read().rpartition(')')[2].split()
print(json.dumps({
    'pid': os.getpid(), 'pgid': os.getpgid(0), 'sid': os.getsid(0), 'tty': int(stat[4]),
    'cwd': os.getcwd(), 'umask': os.umask(0), 'files': resource.getrlimit(resource.RLIMIT_NOFILE),
    'open': sorted(os.listdir('/proc/self/fd')), 'kinds': [os.readlink(f'/proc/self/fd/{n}') for n in range(3)],
    'argv': sys.argv, 'ids': [os.getresuid(), os.getresgid()],
}))
"""


def probe(starter: JobStarter, crontab: str = "") -> dict[str, Any]:
    """Return what a program sees that the shell executes in its place."""
    script = starter.directory / "probe.py"
    script.write_text(PROBE)
    printed = starter.output(f"{crontab}* * * * * exec {sys.executable} -S {script}\n")
    report: dict[str, Any] = json.loads(printed)
    return report


def test_a_session_and_group_of_its_own(starter: JobStarter) -> None:
    report = probe(starter)
    assert report["pid"] == report["pgid"] == report["sid"]
    assert report["tty"] == 0
    assert report["sid"] != os.getsid(0)


def test_directory_and_umask(starter: JobStarter) -> None:
    report = probe(starter)
    assert (report["cwd"], report["umask"]) == (str(starter.directory), 0o022)
    assert os.getcwd() == "/", "and the daemon's directory is restored"


def test_home_may_be_another_directory(starter: JobStarter) -> None:
    (starter.directory / "other").mkdir()
    assert probe(starter, f"HOME={starter.directory}/other\n")["cwd"] == f"{starter.directory}/other"


def test_three_descriptors_and_no_more(starter: JobStarter) -> None:
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(50)]
    # Descriptors that pytest inherited do not count.
    before = {descriptor for descriptor in os.listdir("/proc/self/fd") if int(descriptor) not in held}
    report = probe(starter)
    for descriptor in held:
        os.close(descriptor)
    listing = {"3"}
    assert set(report["open"]) - before - listing == set()
    assert len(set(report["open"]) & {"0", "1", "2"}) == 3
    assert report["kinds"][0] == "/dev/null"
    assert report["kinds"][1] == report["kinds"][2] == f"{starter.directory}/fifo1"


def test_the_descriptor_limit_is_the_initial_one(starter: JobStarter) -> None:
    before = spawn.INITIAL_FD_LIMIT
    spawn.raise_fd_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
    assert tuple(probe(starter)["files"]) == before
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]


def test_a_lower_limit_than_the_daemon_has_descriptors(
    starter: JobStarter, monkeypatch: pytest.MonkeyPatch
) -> None:
    hard = spawn.INITIAL_FD_LIMIT[1]
    monkeypatch.setattr(spawn, "INITIAL_FD_LIMIT", (40, hard))
    spawn.raise_fd_limit()
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(60)]
    report = probe(starter)
    for descriptor in held:
        os.close(descriptor)
    assert report["files"] == [40, hard]


def test_standard_input_where_the_limit_is_lower(
    starter: JobStarter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawn, "INITIAL_FD_LIMIT", (40, spawn.INITIAL_FD_LIMIT[1]))
    spawn.raise_fd_limit()
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(60)]
    assert starter.output("* * * * * cat%given\n") == b"given\n"
    for descriptor in held:
        os.close(descriptor)


def test_several_jobs_start_together_each_in_its_directory(starter: JobStarter) -> None:
    for name in ("a", "b"):
        (starter.directory / name).mkdir()
    directories = ["a", "a", "no", "b", "a"]
    launches = [
        starter.prepare(jobs_of(f"HOME={starter.directory}/{directory}\n* * * * * pwd\n", user="alice")[0])
        for directory in directories
    ]
    errors = []
    with spawn.Starter() as context:
        for launch in launches:
            try:
                starter.started.append(context.start(launch))
            except PycrondError as error:
                errors.append(str(error))
    assert errors == [f"cannot enter directory {starter.directory}/no: No such file or directory"]
    printed = [
        drain(starter.readers[launch.fifo]).decode()
        for launch in launches
        if not launch.directory.endswith("no")
    ]
    assert printed == [f"{starter.directory}/{directory}\n" for directory in "aaba"]
    os.close(starter.readers[launches[2].fifo])


def test_no_signal_is_blocked_or_ignored(starter: JobStarter) -> None:
    ignored = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGPIPE, signal.SIGXFSZ)}
    masked = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1}
    )
    try:
        words = starter.words("exec grep -E 'Sig(Blk|Ign)' /proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        for number, before in ignored.items():
            signal.signal(number, before)
    blocked, ignored_there = (int(word, 16) for word in words[1::2])
    assert blocked == 0
    of_libc = 1 << 31 | 1 << 32  # 32 and 33 are the C library's own
    assert ignored_there & ~of_libc == 0


def test_a_broken_pipe_ends_a_program_of_a_job(starter: JobStarter) -> None:
    assert starter.output("* * * * * yes | head -n 1\n") == b"y\n"


def test_user_and_group(starter: JobStarter) -> None:
    assert probe(starter)["ids"] == [list(os.getresuid()), list(os.getresgid())]


@pytest.mark.parametrize(
    ("command", "status"),
    [("true", 0), ("false", 1), ("exit 77", 77), ("kill -9 $$", -9), ("nonsense 2>/dev/null", 127)],
)
def test_exit_status(starter: JobStarter, command: str, status: int) -> None:
    starter.output(f"* * * * * {command}\n")
    assert starter.status == status


def test_another_shell(starter: JobStarter) -> None:
    python = shutil.which("python3") or sys.executable
    assert starter.output(f"SHELL={python}\n* * * * * print(1 + 1)\n") == b"2\n"


def test_an_empty_shell_is_the_usual_one(starter: JobStarter) -> None:
    assert starter.output("SHELL=\n* * * * * echo $0\n") == b"/bin/sh\n"


# Failed starts.


def unchanged(act: Callable[[], object]) -> None:
    """Check that nothing stays open or blocked, and that directory and limits are restored."""
    spawn.raise_fd_limit()
    os.chdir("/")
    before = surroundings()
    act()
    assert (surroundings(), os.getcwd()) == (before, "/")


def surroundings() -> tuple[object, ...]:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return sorted(os.listdir("/proc/self/fd")), resource.getrlimit(resource.RLIMIT_NOFILE), mask


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("SHELL=/no/shell\n", "cannot run /no/shell: No such file or directory"),
        ("SHELL=sh\n", "cannot run sh: No such file or directory"),
        ("SHELL=/etc/passwd\n", "cannot run /etc/passwd: Permission denied"),
        ("SHELL=/tmp\n", "cannot run /tmp: Permission denied"),
        ("HOME=/no/home\n", "cannot enter directory /no/home: No such file or directory"),
        ("HOME=/etc/passwd\n", "cannot enter directory /etc/passwd: Not a directory"),
        ("HOME=\n", "cannot enter directory : No such file or directory"),
    ],
)
def test_messages_of_failed_starts(starter: JobStarter, lines: str, message: str) -> None:
    unchanged(lambda: message_is(starter.refusal(f"{lines}* * * * * x\n"), message))


def message_is(message: str, expected: str) -> None:
    assert message == expected


def test_a_script_without_an_interpreter_line_is_no_shell(starter: JobStarter) -> None:
    script = starter.directory / "script"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    assert starter.refusal(f"SHELL={script}\n* * * * * x\n") == f"cannot run {script}: Exec format error"


def test_an_environment_too_large_for_the_kernel(starter: JobStarter) -> None:
    lines = "".join(f"A{number}={'x' * 100_000}\n" for number in range(60))
    assert starter.refusal(f"{lines}* * * * * x\n") == "cannot run /bin/sh: Argument list too long"


def test_the_longest_allowed_line(starter: JobStarter) -> None:
    start = "* * * * * echo "
    line = start + "x" * (131_071 - len(start))
    assert len(starter.output(line + "\n")) == 131_071 - len(start) + 1


def test_a_fifo_that_was_removed(starter: JobStarter) -> None:
    (job,) = jobs_of("* * * * * x\n")
    launch = starter.prepare(job)
    os.unlink(launch.fifo)

    def start() -> None:
        with pytest.raises(FileNotFoundError), spawn.Starter() as context:
            context.start(launch)

    unchanged(start)
    os.close(starter.readers[launch.fifo])


def test_a_fifo_left_by_an_earlier_run_is_replaced(starter: JobStarter) -> None:
    """The state directory was removed, so run numbers begin again; the runtime directory was not."""
    stale = starter.directory / "fifo1"
    os.mkfifo(stale)
    kept = os.open(stale, os.O_RDWR)
    os.write(kept, b"of another run\n")
    assert starter.output("* * * * * echo mine\n") == b"mine\n"
    os.close(kept)


def test_many_starts_leave_nothing_open(starter: JobStarter) -> None:
    unchanged(lambda: [starter.output("* * * * * echo x%y\n") for _ in range(20)])


# Facts from /proc.


def test_start_ticks_name_a_process(starter: JobStarter) -> None:
    (job,) = jobs_of("* * * * * sleep 60\n")
    pid, reader = starter.start(starter.prepare(job))
    os.close(reader)
    ticks = procfs.start_ticks(pid)
    assert ticks is not None
    assert ticks >= (procfs.start_ticks(os.getpid()) or 0)
    descriptor = procfs.open_pidfd(pid, ticks)
    assert descriptor >= 0
    assert not select.select([descriptor], [], [], 0)[0]
    assert procfs.open_pidfd(pid, ticks + 1) == -1, "the pid belongs to another process"
    os.killpg(pid, signal.SIGKILL)
    assert select.select([descriptor], [], [], 20)[0], "readable once it has ended"
    os.close(descriptor)
    wait_until(lambda: not alive(pid))
    assert procfs.open_pidfd(pid, ticks) == -1, "it has ended and only waits to be reaped"
    assert procfs.start_ticks(pid) == ticks
    os.waitpid(pid, 0)
    starter.started.remove(pid)
    assert procfs.start_ticks(pid) is None
    assert procfs.open_pidfd(pid, ticks) == -1


def test_a_program_name_like_a_stat_line_does_not_mislead(starter: JobStarter) -> None:
    odd = starter.directory / ") R 1 (x"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", odd)
    pid = os.posix_spawn(odd, [str(odd), "60"], {}, setpgroup=0)
    starter.started.append(pid)
    mine = procfs.start_ticks(os.getpid()) or 0
    assert (procfs.start_ticks(pid) or 0) >= mine > 0


def test_a_process_that_does_not_exist() -> None:
    assert procfs.start_ticks(4_194_305) is None
    assert procfs.open_pidfd(4_194_305, 1) == -1


def test_unread_bytes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    both = os.open(tmp_path / "fifo", os.O_RDWR)
    assert spawn.unread_bytes(both) == 0
    os.write(both, b"x" * 60_000)
    assert spawn.unread_bytes(both) == 60_000
    os.close(both)
