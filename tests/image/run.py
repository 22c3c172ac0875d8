"""`make test-image`: build the image and run it in every way that users of containers do, and report.

It needs root; buildah, crun and mmdebstrap are installed if they are missing. The containers have no network. The
files stay in dist/image: a second run fetches nothing.
"""

import argparse
import os
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.image.build import ROOT, Image
from tests.image.container import Container, wait_until
from tests.support.trials import run_trial

ARBITRARY = "1000650000:0"  # as under OpenShift: no entry in /etc/passwd, the group root
TERM_JOB = "@reboot trap 'echo got TERM; sleep 0.3; exit 0' TERM; echo waits; while :; do sleep 0.05; done\n"
STUBBORN_JOB = "#: name=stubborn\n@reboot trap '' TERM; echo stays; while :; do sleep 0.05; done\n"
LINES = 20_000
DAEMON = "$(cat /var/lib/pycrond/pycrond.pid)"


class Trials:
    """The trials, each with containers of its own. A trial returns a remark for the report."""

    def __init__(self, image: Image, directory: Path, variables: Mapping[str, str]) -> None:
        """`variables` are set in each container."""
        self.image = image
        self.directory = directory
        self.config = image.config()
        self.variables = variables
        self.containers: list[Container] = []

    def all(self) -> Iterator[tuple[str, Callable[[], str]]]:
        for name, trial in vars(type(self)).items():
            if trial.__doc__ and not name.startswith("_") and name not in {"all", "close"}:
                yield trial.__doc__.rstrip("."), getattr(self, name)

    def close(self) -> None:
        for container in self.containers:
            container.close()

    def _crontabs(self, text: str = "* * * * * true\n", *, mode: int = 0o777, owner: int = 4321) -> Path:
        """Make a directory as a bind mount of Docker Desktop or of another machine shows it."""
        directory = Path(tempfile.mkdtemp(dir=self.directory))
        file = directory / "jobs"
        file.write_text(text)
        for path in (file, directory):
            os.chown(path, owner, owner)
            path.chmod(mode)
        return directory

    def _state(self) -> Path:
        """Make a directory as an emptyDir is: it belongs to root, and everyone may write to it."""
        directory = Path(tempfile.mkdtemp(dir=self.directory))
        directory.chmod(0o777)
        return directory

    def _start(
        self, crontabs: Path | None, state: Path | None = None, *, is_ready: bool = True, **options: Any
    ) -> Container:
        binds = {"/var/lib/pycrond": state or self._state()}
        if crontabs:
            binds["/crontabs:ro"] = crontabs
        directory = self.directory / f"c{len(self.containers)}"
        options["environment"] = {**self.variables, **options.get("environment", {})}
        container = Container(self.image.root_file_system, self.config, directory, binds, **options)
        self.containers.append(container)
        container.start()
        if is_ready:
            wait_until(lambda: container.has_ended or container.is_ready)
            assert not container.has_ended, container.log
        return container

    def _fails_to_start(self, crontabs: Path | None, **options: Any) -> str:
        container = self._start(crontabs, is_ready=False, **options)
        assert container.process
        status = container.process.wait(20)
        lines = container.log.splitlines()
        assert status == 1, f"status {status}: {lines}"
        return lines[-1].partition("pycrond: ")[2]

    # What a user does

    def from_the_box(self) -> str:
        """A 0777 directory of another owner, a read-only root file system, the user of the image."""
        jobs = "@reboot echo uid $(id -u) pid1 $(cat /proc/1/comm) $GREETING; touch /x 2>/dev/null || echo read-only\n"
        began = time.monotonic()
        container = self._start(self._crontabs(jobs), environment={"GREETING": "hello"})
        seconds = time.monotonic() - began
        wait_until(lambda: "read-only" in container.log)
        assert re.search("uid 10001 pid1 python[0-9.]* hello", container.log), container.log
        check = self.config["Healthcheck"]["Test"][1:]
        health = container.execute(*check)
        plain = container.execute("pycrond", "status")
        assert plain.returncode == 0, plain.stderr
        return f"ready after {seconds:.1f} s; {' '.join(check)}: {health.returncode} {health.stderr.strip()}"

    def arbitrary_uid(self) -> str:
        """An arbitrary uid of group 0, with the state on an emptyDir."""
        container = self._start(self._crontabs("@reboot id\n"), user=ARBITRARY)
        wait_until(lambda: "uid=1000650000" in container.log)
        assert container.execute("pycrond", "list").returncode == 0
        return next(line for line in container.log.splitlines() if "uid=" in line).partition("(uid")[2]

    def everything_on_tmpfs(self) -> str:
        """State and runtime directory on tmpfs, an arbitrary uid."""
        container = self._start(
            self._crontabs("@reboot echo runs\n"),
            user=ARBITRARY,
            tmpfs=("/tmp", "/run"),
            environment={"PYCROND_STATE_DIR": "/tmp/state", "PYCROND_RUNTIME_DIR": "/run/pycrond"},
        )
        wait_until(lambda: "(runs)" in container.log or "runs" in container.log)
        return ""

    def config_map(self) -> str:
        """The links of a ConfigMap, exchanged as kubelet does: seen by HUP, and by itself at the next minute."""
        directory = self._state()

        def exchange(number: int) -> None:
            version = directory / f"..2026_{number}"
            version.mkdir()
            (version / "jobs").write_text(f"#: name=version{number}\n0 0 1 1 * true\n")
            new = directory / "..data_tmp"
            new.symlink_to(version.name)
            new.rename(directory / "..data")
            if number > 1:
                shutil.rmtree(directory / f"..2026_{number - 1}")
            else:
                (directory / "jobs").symlink_to("..data/jobs")

        exchange(1)
        container = self._start(directory, user=ARBITRARY)

        def has(number: int) -> bool:
            return f"version{number}" in container.execute("pycrond", "list").stdout

        assert has(1), container.log
        exchange(2)
        container.signal(signal.SIGHUP)
        wait_until(lambda: has(2))
        exchange(3)
        began = time.monotonic()
        wait_until(lambda: has(3), 70)
        assert "not read" not in container.log, container.log
        return f"without a signal after {time.monotonic() - began:.0f} s"

    def nothing_to_run(self) -> str:
        """No crontab, one that is not trusted, and no directory: the start fails with the reason."""
        empty = self._crontabs()
        (empty / "jobs").unlink()
        reasons = [
            self._fails_to_start(empty),
            self._fails_to_start(self._crontabs(), environment={"PYCROND_TRUST_CRONTABS": "no"}),
            self._fails_to_start(self._crontabs("61 * * * * true\n")),
            self._fails_to_start(None),
        ]
        assert all(reasons), reasons
        return "; ".join(reasons)

    def idle_stop(self) -> str:
        """The stop of an idle container takes less than 0.5 s."""
        crontabs, state, seconds = self._crontabs(), self._state(), []
        for _ in range(5):
            container = self._start(crontabs, state)
            took, status = container.stop()
            assert status == 0, f"{status}: {container.log}"
            seconds.append(took)
        assert statistics.median(seconds) < 0.5, seconds
        return " ".join(f"{took:.2f}" for took in seconds)

    def stop_with_jobs(self) -> str:
        """A job that ends at TERM, one that does not, and one that waits for a retry, within docker's 10 s."""
        jobs = f"{TERM_JOB}{STUBBORN_JOB}#: name=fails retries=3 retry-delay=10m\n@reboot exit 3\n"
        crontabs, state = self._crontabs(jobs), self._state()
        container = self._start(crontabs, state)
        wait_until(lambda: "stays" in container.log and "waits" in container.log)
        wait_until(lambda: "status=3" in container.log)
        took, status = container.stop()
        assert status == 0, f"{status} after {took:.1f} s"
        assert took < 10, took
        assert "got TERM" in container.log, container.log
        (crontabs / "jobs").write_text(jobs.replace("@reboot", "0 0 1 1 *"))
        again = self._start(crontabs, state)
        runs = again.execute("pycrond", "history").stdout
        assert re.search("stubborn +killed .*the daemon was stopped", runs), runs
        assert "unknown" not in runs, runs
        assert re.search("fails +waiting", runs), runs
        return f"{took:.1f} s"

    def restart(self) -> str:
        """@reboot runs at each start of the container on the same state, and not when the daemon was killed."""
        crontabs, state = self._crontabs("#: name=boot\n@reboot true\n"), self._state()

        def boots(container: Container) -> int:
            return container.execute("pycrond", "history", "--json", "boot").stdout.count('"reboot"')

        container = self._start(crontabs, state)
        wait_until(lambda: boots(container) == 1)
        container.stop()
        container = self._start(crontabs, state)
        wait_until(lambda: boots(container) == 2)
        container.execute("sh", "-c", f"kill -9 {DAEMON}")
        wait_until(lambda: "after signal 9" in container.log)
        wait_until(lambda: container.is_ready)
        assert boots(container) == 2
        return ""

    def killed(self) -> str:
        """Process 1 is killed while a job runs: the next start says that its end is unknown."""
        crontabs, state = self._crontabs(f"#: name=long\n{TERM_JOB}"), self._state()
        container = self._start(crontabs, state)
        wait_until(lambda: "waits" in container.log)
        container.signal(signal.SIGKILL)
        assert container.process
        container.process.wait(10)
        again = self._start(crontabs, state)
        wait_until(lambda: "unknown" in again.execute("pycrond", "history", "long").stdout)
        return ""

    def daemon_killed_during_the_stop(self) -> str:
        """The daemon is killed while a stop waits for a job: another ends the job, and writes its end down."""
        crontabs, state = self._crontabs(STUBBORN_JOB), self._state()
        container = self._start(crontabs, state, environment={"PYCROND_STOP_GRACE": "4"})
        wait_until(lambda: "stays" in container.log)
        container.signal(signal.SIGTERM)
        wait_until(lambda: "STOP" in container.log)
        container.execute("sh", "-c", f"kill -9 {DAEMON}")
        wait_until(lambda: "after signal 9" in container.log)
        assert container.process
        status = container.process.wait(10)
        (crontabs / "jobs").write_text("* * * * * true\n")
        runs = self._start(crontabs, state).execute("pycrond", "history").stdout
        assert status == 0, status
        assert "stubborn" in runs, runs
        assert "unknown" not in runs, runs
        return ""

    def another_first_process(self) -> str:
        """Process 1 is an init (docker run --init): jobs get TERM too, and the keeper may be killed."""
        init = "pycrond start --foreground & p=$!; trap 'kill -TERM $p' TERM; while kill -0 $p; do wait $p; done 2>&-"
        container = self._start(self._crontabs(TERM_JOB), command=("sh", "-c", init))
        wait_until(lambda: "waits" in container.log)
        container.execute("sh", "-c", f"kill -9 $(ps -o ppid= -p {DAEMON})")
        wait_until(lambda: container.log.count("STARTUP") == 2)
        wait_until(lambda: container.is_ready)
        took, _ = container.stop()
        assert "got TERM" in container.log, container.log
        assert took < 3, took
        return f"{took:.1f} s"

    def slow_reader(self) -> str:
        """The reader of standard output stands still for 3 s: no line is lost, none comes twice."""
        reader, writer = os.pipe()
        jobs = f"@reboot seq -f line\\%.0f. {LINES}\n"
        container = self._start(self._crontabs(jobs), stdout=writer)
        os.close(writer)
        time.sleep(3)
        text = b""
        while text.count(b"line") < LINES or b"line%d." % LINES not in text:
            os.set_blocking(reader, False)
            deadline = time.monotonic() + 10
            part = b""
            while not part and time.monotonic() < deadline:
                try:
                    part = os.read(reader, 65536)
                except BlockingIOError:
                    time.sleep(0.01)
            if not part:
                break
            text += part
        container.stop()
        os.close(reader)
        numbers = [int(number) for number in re.findall(rb"line(\d+)\.", text)]
        assert sorted(numbers) == [*range(1, LINES + 1)], (
            f"{len({*numbers})} of {LINES}, {len(numbers)} in all"
        )
        return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trials", nargs="*", help="only trials whose titles contain one of these words")
    parser.add_argument(
        "--set", action="append", default=[], metavar="VARIABLE=VALUE", help="in each container"
    )
    parser.add_argument("--no-build", action="store_true", help="use the image that is there")
    parser.add_argument("--directory", type=Path, default=ROOT / "dist/image", help="where the files are")
    options = parser.parse_args()
    if os.geteuid():
        parser.error("only root can build and run images in this way")
    image = Image(options.directory)
    began, failed = time.monotonic(), 0
    image.build(is_built=options.no_build)
    print(f"     {time.monotonic() - began:6.1f} s  built {ROOT / 'Dockerfile'}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        trials = Trials(image, Path(directory), dict(word.split("=", 1) for word in options.set))
        try:
            for title, trial in trials.all():
                if options.trials and not any(word in title for word in options.trials):
                    continue
                failed += not run_trial(title, trial).passed
        finally:
            trials.close()
            image.close()
    print(f"{failed} failed" if failed else "all passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
