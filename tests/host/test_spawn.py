"""What a job finds when it starts: environment, input, output, folder, signals, limits, session; and /proc."""

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
from dataclasses import replace
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
def own_surroundings() -> Iterator[None]:
    """Starting moves the daemon's folder and limits: here that is pytest's own process."""
    folder, mask, limit = os.getcwd(), os.umask(0o022), resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    os.chdir(folder)
    os.umask(mask)
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)


class Shop:
    """Starts jobs and reads what they print."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.account = Account("alice", os.geteuid(), os.getegid(), str(folder))
        self.started: list[int] = []
        self.readers: dict[str, int] = {}
        self.status = -1
        self._runs = 0

    def prepare(self, job: Job) -> Launch:
        self._runs += 1
        fifo = str(self.folder / f"fifo{self._runs}")
        launch = describe(Fire(job, NOON, 0), self._runs, self.account, fifo, SEARCH_PATH)
        self.readers[fifo] = spawn.make_fifo(launch)
        return launch

    def start(self, launch: Launch) -> tuple[int, int]:
        with spawn.Spawner() as spawner:
            pid = spawner.start(launch)
        self.started.append(pid)
        return pid, self.readers[launch.fifo]

    def output(self, text: str | bytes) -> bytes:
        """All that the one job of a crontab prints; its exit status is then in `status`."""
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
        with pytest.raises(PycrondError) as said:
            self.start(launch)
        os.close(self.readers[launch.fifo])
        return str(said.value)

    def end(self) -> None:
        for pid in self.started:
            with suppress(ProcessLookupError, ChildProcessError):
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def drain(reader: int) -> bytes:
    """Everything until no process has the FIFO open any more."""
    printed = b""
    while select.select([reader], [], [], 20)[0]:
        part = os.read(reader, 1 << 16)
        if not part:
            break
        printed += part
    os.close(reader)
    return printed


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    one = Shop(tmp_path)
    yield one
    one.end()


def environment(shop: Shop, crontab: str = "") -> dict[str, str]:
    """What the shell itself was given, before it adds anything."""
    printed = shop.output(f"{crontab}* * * * * cat /proc/$$/environ\n").decode(errors="surrogateescape")
    pairs = [pair.partition("=") for pair in printed.split("\0")[:-1]]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: value for name, _, value in pairs}


OURS = {
    "PYCROND_JOB",
    "PYCROND_RUN",
    "PYCROND_FIRE_TIME",
    "PYCROND_ATTEMPT",
}


def test_the_environment_is_exactly_this(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the daemon")
    found = environment(shop)
    ours = {name: found.pop(name) for name in OURS}
    assert found == {
        "SHELL": "/bin/sh",
        "HOME": str(shop.folder),
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


def test_a_time_in_another_zone_is_given_in_utc(shop: Shop) -> None:
    (job,) = jobs_of("* * * * * x\n")
    fire = Fire(job, NOON.astimezone(at("2025-06-10T12:00+05:45").tzinfo), 0)
    launch = describe(fire, 1, shop.account, "fifo", SEARCH_PATH)
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
def test_assignments(shop: Shop, lines: str, name: str, value: str, why: str) -> None:
    assert environment(shop, f"PATH=/usr/bin:/bin\n{lines}".replace("PATH=/opt", "PATH=/opt:/bin"))[name] in {
        value,
        f"{value}:/bin",
    }, why


def test_a_name_assigned_later_is_not_there(shop: Shop) -> None:
    first, _ = jobs_of("* * * * * x\nA=b\n* * * * * y\n")
    assert "A" not in shop.prepare(first).environment


def test_bytes_that_are_not_utf8_arrive(shop: Shop) -> None:
    assert shop.output(b"A=\xff\xfe\n* * * * * printf '\xe9%s' \"$A\"\n".replace(b"%", b"\\%")) == (
        b"\xe9\xff\xfe"
    )


ELSEWHERE = r"""
import os, sys
from pathlib import Path
from tests.host.test_spawn import Shop
assert sys.getfilesystemencoding() == "ascii"
shop = Shop(Path(sys.argv[1]))
text = "A=\u20ac\n* * * * * cat; printf \u20ac$A\\%s%gr\u00fcn\n".encode()
os.write(1, shop.output(text))
"""


def test_whatever_the_locale_bytes_arrive(tmp_path: Path) -> None:
    """A daemon may run where names are ASCII: a crontab's bytes are none of its business."""
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
def test_standard_input(shop: Shop, text: str, given: bytes) -> None:
    assert shop.output(f"* * * * * {text}\n") == given


def test_much_standard_input(shop: Shop) -> None:
    (job,) = jobs_of("* * * * * cksum; wc -c\n")
    plain = shop.prepare(job)
    launch = replace(plain, stdin=b"x" * (1 << 20))
    pid, reader = shop.start(launch)
    assert drain(reader).split()[1:] == [b"1048576", b"0"]
    os.waitpid(pid, 0)


def test_standard_input_cannot_be_read_twice_by_two(shop: Shop) -> None:
    assert shop.output("* * * * * head -n 1; cat%a%b\n") in {b"a\nb\n", b"a\n"}


def test_output_and_errors_are_one_stream(shop: Shop) -> None:
    assert shop.output("* * * * * echo a; echo b >&2; echo c > /dev/stderr; echo d > /dev/stdout\n") == (
        b"a\nb\nc\nd\n"
    )


def test_output_is_a_fifo_that_nobody_else_may_open(shop: Shop) -> None:
    assert shop.words("stat -L -c '\\%F \\%a' /proc/self/fd/1") == ["fifo", "600"]


def test_it_is_its_own_reader_of_last_resort(shop: Shop) -> None:
    """The daemon is gone: no SIGPIPE, and the pipe keeps what it takes."""
    (job,) = jobs_of("* * * * * read go < go; echo x; echo y; echo alive > proof\n")
    os.mkfifo(shop.folder / "go")
    launch = shop.prepare(job)
    pid, reader = shop.start(launch)
    os.close(reader)
    (shop.folder / "go").write_text("go\n")
    assert os.waitpid(pid, 0)[1] == 0
    shop.started.remove(pid)
    assert (shop.folder / "proof").read_text() == "alive\n"


def test_a_next_daemon_reads_by_the_name(shop: Shop) -> None:
    (job,) = jobs_of("* * * * * echo x; read go < go; echo y\n")
    os.mkfifo(shop.folder / "go")
    launch = shop.prepare(job)
    pid, reader = shop.start(launch)
    select.select([reader], [], [], 20)
    again = spawn.open_fifo(launch.fifo)
    assert again is not None
    os.close(reader)
    assert spawn.unread_bytes(again) == 2
    (shop.folder / "go").write_text("go\n")
    assert drain(again) == b"x\ny\n"
    os.waitpid(pid, 0)
    shop.started.remove(pid)
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


def probe(shop: Shop, crontab: str = "") -> dict[str, Any]:
    """What a program sees that the shell executes in its own place."""
    script = shop.folder / "probe.py"
    script.write_text(PROBE)
    printed = shop.output(f"{crontab}* * * * * exec {sys.executable} -S {script}\n")
    found: dict[str, Any] = json.loads(printed)
    return found


def test_a_session_and_group_of_its_own(shop: Shop) -> None:
    found = probe(shop)
    assert found["pid"] == found["pgid"] == found["sid"]
    assert found["tty"] == 0
    assert found["sid"] != os.getsid(0)


def test_folder_and_umask(shop: Shop) -> None:
    found = probe(shop)
    assert (found["cwd"], found["umask"]) == (str(shop.folder), 0o022)
    assert os.getcwd() == "/", "and the daemon is back where it stands"


def test_home_may_be_another_folder(shop: Shop) -> None:
    (shop.folder / "other").mkdir()
    assert probe(shop, f"HOME={shop.folder}/other\n")["cwd"] == f"{shop.folder}/other"


def test_three_descriptors_and_no_more(shop: Shop) -> None:
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(50)]
    # Those that pytest was started with are not the product's to close here.
    before = {one for one in os.listdir("/proc/self/fd") if int(one) not in held}
    found = probe(shop)
    for one in held:
        os.close(one)
    listing = {"3"}
    assert set(found["open"]) - before - listing == set()
    assert len(set(found["open"]) & {"0", "1", "2"}) == 3
    assert found["kinds"][0] == "/dev/null"
    assert found["kinds"][1] == found["kinds"][2] == f"{shop.folder}/fifo1"


def test_the_descriptor_limit_is_the_one_from_before(shop: Shop) -> None:
    before = spawn.INITIAL_FD_LIMIT
    spawn.raise_fd_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
    assert tuple(probe(shop)["files"]) == before
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]


def test_a_lower_limit_than_the_daemon_has_descriptors(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    hard = spawn.INITIAL_FD_LIMIT[1]
    monkeypatch.setattr(spawn, "INITIAL_FD_LIMIT", (40, hard))
    spawn.raise_fd_limit()
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(60)]
    found = probe(shop)
    for one in held:
        os.close(one)
    assert found["files"] == [40, hard]


def test_standard_input_where_the_limit_is_lower(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "INITIAL_FD_LIMIT", (40, spawn.INITIAL_FD_LIMIT[1]))
    spawn.raise_fd_limit()
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(60)]
    assert shop.output("* * * * * cat%given\n") == b"given\n"
    for one in held:
        os.close(one)


def test_several_are_started_at_once_each_in_its_folder(shop: Shop) -> None:
    for name in ("a", "b"):
        (shop.folder / name).mkdir()
    folders = ["a", "a", "no", "b", "a"]
    launches = [
        shop.prepare(jobs_of(f"HOME={shop.folder}/{folder}\n* * * * * pwd\n", user="alice")[0])
        for folder in folders
    ]
    said = []
    with spawn.Spawner() as starter:
        for launch in launches:
            try:
                shop.started.append(starter.start(launch))
            except PycrondError as error:
                said.append(str(error))
    assert said == [f"cannot enter directory {shop.folder}/no: No such file or directory"]
    printed = [drain(shop.readers[one.fifo]).decode() for one in launches if not one.directory.endswith("no")]
    assert printed == [f"{shop.folder}/{folder}\n" for folder in "aaba"]
    os.close(shop.readers[launches[2].fifo])


def test_no_signal_is_blocked_or_ignored(shop: Shop) -> None:
    ignored = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGPIPE, signal.SIGXFSZ)}
    masked = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1}
    )
    try:
        words = shop.words("exec grep -E 'Sig(Blk|Ign)' /proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        for number, before in ignored.items():
            signal.signal(number, before)
    blocked, ignored_there = (int(word, 16) for word in words[1::2])
    assert blocked == 0
    of_libc = 1 << 31 | 1 << 32  # 32 and 33 are the C library's own
    assert ignored_there & ~of_libc == 0


def test_a_broken_pipe_ends_a_jobs_part(shop: Shop) -> None:
    assert shop.output("* * * * * yes | head -n 1\n") == b"y\n"


def test_who_it_is(shop: Shop) -> None:
    assert probe(shop)["ids"] == [list(os.getresuid()), list(os.getresgid())]


@pytest.mark.parametrize(
    ("command", "status"),
    [("true", 0), ("false", 1), ("exit 77", 77), ("kill -9 $$", -9), ("nonsense 2>/dev/null", 127)],
)
def test_how_it_ends(shop: Shop, command: str, status: int) -> None:
    shop.output(f"* * * * * {command}\n")
    assert shop.status == status


def test_another_shell(shop: Shop) -> None:
    python = shutil.which("python3") or sys.executable
    assert shop.output(f"SHELL={python}\n* * * * * print(1 + 1)\n") == b"2\n"


def test_an_empty_shell_is_the_usual_one(shop: Shop) -> None:
    assert shop.output("SHELL=\n* * * * * echo $0\n") == b"/bin/sh\n"


# What cannot be started.


def unchanged(act: Callable[[], object]) -> None:
    """Nothing is left open or blocked, and the daemon stands where it stood, with its limits."""
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
        ("HOME=/no/home\n", "cannot enter directory /no/home: No such file or directory"),
    ],
)
def test_what_cannot_be_started_says_why(shop: Shop, lines: str, message: str) -> None:
    unchanged(lambda: message_is(shop.refusal(f"{lines}* * * * * x\n"), message))


def message_is(said: str, expected: str) -> None:
    assert said == expected


def test_a_file_without_a_first_line_is_no_shell(shop: Shop) -> None:
    script = shop.folder / "script"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    assert shop.refusal(f"SHELL={script}\n* * * * * x\n") == f"cannot run {script}: Exec format error"


def test_more_environment_than_the_kernel_takes(shop: Shop) -> None:
    lines = "".join(f"A{number}={'x' * 100_000}\n" for number in range(60))
    assert shop.refusal(f"{lines}* * * * * x\n") == "cannot run /bin/sh: Argument list too long"


def test_the_longest_line_there_may_be(shop: Shop) -> None:
    start = "* * * * * echo "
    line = start + "x" * (131_071 - len(start))
    assert len(shop.output(line + "\n")) == 131_071 - len(start) + 1


def test_a_fifo_that_is_gone(shop: Shop) -> None:
    (job,) = jobs_of("* * * * * x\n")
    launch = shop.prepare(job)
    os.unlink(launch.fifo)

    def start() -> None:
        with pytest.raises(FileNotFoundError), spawn.Spawner() as spawner:
            spawner.start(launch)

    unchanged(start)
    os.close(shop.readers[launch.fifo])


def test_a_fifo_that_an_earlier_life_left_is_replaced(shop: Shop) -> None:
    """The state directory was removed, and numbers begin anew; the runtime directory was not."""
    stale = shop.folder / "fifo1"
    os.mkfifo(stale)
    kept = os.open(stale, os.O_RDWR)
    os.write(kept, b"of another run\n")
    assert shop.output("* * * * * echo mine\n") == b"mine\n"
    os.close(kept)


def test_many_starts_leave_nothing_open(shop: Shop) -> None:
    unchanged(lambda: [shop.output("* * * * * echo x%y\n") for _ in range(20)])


# Facts from /proc.


def test_start_ticks_name_a_process(shop: Shop) -> None:
    (job,) = jobs_of("* * * * * sleep 60\n")
    pid, reader = shop.start(shop.prepare(job))
    os.close(reader)
    ticks = procfs.start_ticks(pid)
    assert ticks is not None
    assert ticks >= (procfs.start_ticks(os.getpid()) or 0)
    descriptor = procfs.open_pidfd(pid, ticks)
    assert descriptor >= 0
    assert not select.select([descriptor], [], [], 0)[0]
    assert procfs.open_pidfd(pid, ticks + 1) == -1, "the number is another's by now"
    os.killpg(pid, signal.SIGKILL)
    assert select.select([descriptor], [], [], 20)[0], "readable once it has ended"
    os.close(descriptor)
    wait_until(lambda: not alive(pid))
    assert procfs.open_pidfd(pid, ticks) == -1, "it has ended and only waits to be reaped"
    assert procfs.start_ticks(pid) == ticks
    os.waitpid(pid, 0)
    shop.started.remove(pid)
    assert procfs.start_ticks(pid) is None
    assert procfs.open_pidfd(pid, ticks) == -1


def test_a_name_like_a_stat_line_does_not_mislead(shop: Shop) -> None:
    odd = shop.folder / ") R 1 (x"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", odd)
    pid = os.posix_spawn(odd, [str(odd), "60"], {}, setpgroup=0)
    shop.started.append(pid)
    mine = procfs.start_ticks(os.getpid()) or 0
    assert (procfs.start_ticks(pid) or 0) >= mine > 0


def test_there_is_no_such_process() -> None:
    assert procfs.start_ticks(4_194_305) is None
    assert procfs.open_pidfd(4_194_305, 1) == -1


def test_waiting_bytes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    both = os.open(tmp_path / "fifo", os.O_RDWR)
    assert spawn.unread_bytes(both) == 0
    os.write(both, b"x" * 60_000)
    assert spawn.unread_bytes(both) == 60_000
    os.close(both)
