"""The trials: what an administrator does with a machine, and what must come of it. They run in this order."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.vm.machine import Machine

JOBS = """\
#: name=root-minute
* * * * * root id -un >> /srv/minutes/root
#: name=at-boot
@reboot root echo booted >> /var/log/boots
#: name=seven
0 0 1 1 * root until [ -e /tmp/go ]; do sleep 0.1; done; echo done; exit 7
#: name=eight memory=100M cpu=0.5
0 0 1 1 * root until [ -e /tmp/go ]; do sleep 0.1; done; echo done; exit 8
#: name=forks timeout=3s grace=1s
0 0 1 1 * root setsid bash -c 'exec -a forked sleep 999' & sleep 0.5; env -i setsid bash -c 'exec -a forked sleep 999' & sleep 999
#: name=hungry memory=100M
0 0 1 1 * root for i in 1 2 3; do python3 -c 'b = bytearray(60 << 20); import time; time.sleep(5)' & done; wait
#: name=busy cpu=0.3 timeout=1h
0 0 1 1 * root timeout 20 sh -c 'while :; do :; done' & timeout 20 sh -c 'while :; do :; done' & wait; exit 0
#: name=chatty
0 0 1 1 * root seq 30000
#: name=ends-well
0 0 1 1 * root trap 'sleep 1; echo ended well; exit 5' TERM; echo began; while :; do sleep 0.1; done
#: name=daily missed=once
30 4 * * * root echo daily >> /var/log/daily
"""
BROKEN = "61 * * * * root true\n"
RECORD = "ulimit -n; ulimit -c; cat /proc/self/loginuid; echo LANG=$LANG; echo FROM_ENVIRONMENT=$FROM_ENVIRONMENT; umask; pwd"
EDITOR = "#!/bin/sh\necho '*/7 * * * * true' >> \"$1\"\n"
MAIN_PID = "systemctl show -p MainPID --value pycrond"
DAEMON_PID = "cat /run/pycrond.pid"
BOOTS = "cat /var/log/boots 2>/dev/null | wc -l"
ACTIVE = "systemctl is-active pycrond"
END_TIMEOUT = 120.0  # seconds
SUSPEND_TIME = 180.0  # seconds


class Trials:
    """The trials of one machine, and the facts that later ones need."""

    def __init__(self, machine: Machine, versions: tuple[str, str]) -> None:
        """`versions`: of the package that is installed first, and of that for the upgrade."""
        self.machine = machine
        self.versions = versions
        self.recorded = ""

    def all(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the trials with their titles. A trial returns a remark for the report."""
        return [
            ("boot with Debian's cron", self.boot),
            ("a job of a user under Debian's cron, for comparison", self.record_under_cron),
            ("next and list --system before the first start", self.list_before_start),
            ("install over Debian's cron: the unit is ready, cron is gone", self.install),
            ("@reboot jobs, which cron has run, do not run again", self.no_second_reboot),
            ("journald has each line of a job", self.journal),
            ("jobs of root and three users at the minute", self.minutes),
            ("limits, loginuid and environment as under Debian's cron", self.compare_with_cron),
            ("crontab -e by a user", self.crontab_edit),
            ("reload, and reload of a crontab with an error", self.reload),
            ("restart with running jobs", self.restart),
            ("stop with running jobs that end meanwhile", self.stop),
            ("kill -9 of the daemon", lambda: self.kill(DAEMON_PID)),
            ("kill -9 of the main process", lambda: self.kill(MAIN_PID)),
            ("kill -9 of the keeper", lambda: self.kill(f"ps -o ppid= -p $({DAEMON_PID})")),
            (
                "kill -9 of keeper and daemon",
                lambda: self.kill(f"ps -o ppid= -p $({DAEMON_PID}); {DAEMON_PID}"),
            ),
            ("a drop-in applies to a restart with running jobs", self.drop_in),
            ("memory= is enforced for all processes of a run", self.memory),
            ("cpu= is enforced", self.cpu),
            ("limits hold after a restart", self.limits_after_restart),
            ("timeout ends double-forked children", self.timeout),
            ("upgrade of the package with running jobs", self.upgrade),
            ("timedatectl set-timezone", self.timezone),
            ("date -s, backward and forward", self.clock_steps),
            ("three minutes of suspend", self.suspend),
            ("@reboot once per boot, over two boots", self.boots),
            ("a job that ends in order at a shutdown keeps its exit status", self.shutdown),
            ("switched off over a fire time, missed=once", self.switched_off),
            ("power cut in the middle of a minute with running jobs", self.power_cut),
            ("doctor finds no problem", self.doctor),
            ("back to Debian's cron in two steps", self.back_to_cron),
        ]

    # Before

    def boot(self) -> str:
        seconds = self.machine.boot()
        self.machine.write("/etc/cron.d/trial", JOBS)
        self.machine.run("install -d -m 777 /srv/minutes")
        self.machine.until("systemctl is-active cron")
        return f"{seconds:.0f} s"

    def record_under_cron(self) -> str:
        self.recorded = self._record()
        return " ".join(self.recorded.split())

    def _record(self) -> str:
        """Run a job of ann that records its surroundings, within a minute."""
        run = self.machine.run
        run("rm -f /tmp/record")
        self.machine.write(
            "/tmp/record.tab",
            f"* * * * * ({RECORD}) > /tmp/record.new 2>&1; mv /tmp/record.new /tmp/record\n",
        )
        run("crontab -u ann /tmp/record.tab")
        # Debian's cron does not see a crontab that is installed in the second in which it looks.
        run("sleep 2; touch /var/spool/cron/crontabs")
        text = self.machine.until("cat /tmp/record", 180.0)
        run("crontab -u ann -r")
        return text

    # The installation

    def list_before_start(self) -> str:
        """With the package unpacked beside cron, and not configured."""
        run = self.machine.run
        run(f"dpkg-deb -x {self._package(0)} /opt/beside")
        program = (
            "unshare -m sh -c 'mount --bind /opt/beside/usr/lib /mnt && mkdir -p /usr/lib/pycrond"
            " && mount --bind /mnt/pycrond /usr/lib/pycrond && /usr/lib/pycrond/bin/pycrond %s'"
        )
        for words in ("next --system", "list --system", "check --system"):
            assert "root-minute" in run(program % words, status=None) or "check" in words
        run("rmdir /usr/lib/pycrond; rm -r /opt/beside")
        return ""

    def install(self) -> str:
        run = self.machine.run
        run("cp /opt/deb/cron_*.deb /root/")
        for user in ("ann", "bob", "carl"):
            run(f"echo '* * * * * id -un >> /srv/minutes/{user}' | crontab -u {user} -")
        run(f"apt-get install -y --no-install-recommends {self._package(0)}", timeout=400)
        assert run(ACTIVE) == "active"
        assert run("systemctl is-active cron", status=None) in {"inactive", "failed"}
        assert run("systemctl is-enabled pycrond") == "enabled"
        jobs = self._jobs()
        assert {"root-minute", "daily", "hungry"} <= {str(job["name"]) for job in jobs}, jobs
        return f"{len(jobs)} jobs"

    def no_second_reboot(self) -> str:
        assert "at-boot" not in json.dumps(self._runs())
        return ""

    def journal(self) -> str:
        """30,000 lines, three times what journald takes from a service in 30 s by default."""
        self._run_to_end("chatty")
        count = "journalctl --no-pager --output=cat PYCROND_JOB=chatty | grep -c CMDOUT"
        self.machine.until(f"test $({count}) = 30000", 300.0)
        assert "syslog journal default" in self.machine.run("pycrond config | tr -s ' '")
        return ""

    def minutes(self) -> str:
        self.machine.run("rm -f /srv/minutes/*")
        self.machine.until("test $(ls /srv/minutes | wc -l) = 4 && sleep 2", 180.0)
        printed = self.machine.run("cd /srv/minutes; grep . *").split()
        assert printed == [f"{user}:{user}" for user in ("ann", "bob", "carl", "root")], printed
        return " ".join(printed)

    def compare_with_cron(self) -> str:
        now = self._record()
        assert now == self.recorded, f"cron:\n{self.recorded}\npycrond:\n{now}"
        return ""

    def crontab_edit(self) -> str:
        self.machine.write("/usr/local/bin/add-line", EDITOR, "755")
        run = self.machine.run
        run("su ann -c 'echo \"0 5 * * * true\" | crontab -; EDITOR=/usr/local/bin/add-line crontab -e'")
        assert run("su ann -c 'crontab -l'").splitlines() == ["0 5 * * * true", "*/7 * * * * true"]
        assert run("stat -c '%U %a' /var/spool/cron/crontabs/ann") == "ann 600"
        assert len([job for job in self._jobs() if job["user"] == "ann"]) == 2
        return ""

    # The service

    def reload(self) -> str:
        run = self.machine.run
        self.machine.write("/etc/cron.d/another", "0 5 * * * root true\n")
        run("systemctl reload pycrond")
        jobs = len(self._jobs())
        self.machine.write("/etc/cron.d/another", BROKEN)
        run("systemctl reload pycrond", status=1)
        assert run(ACTIVE) == "active"
        assert len(self._jobs()) == jobs, "the last good version stays"
        assert "another:1" in run("journalctl -u pycrond -n 30 --no-pager")
        run("rm /etc/cron.d/another; systemctl reload pycrond")
        return ""

    def restart(self) -> str:
        self._start_two()
        began = time.monotonic()
        self.machine.run("systemctl restart pycrond")
        seconds = time.monotonic() - began
        assert self._running() == {"seven", "eight"}
        self.machine.run("systemctl reload pycrond")
        self._end_two()
        return f"{seconds:.1f} s"

    def stop(self) -> str:
        self._start_two()
        self.machine.run("systemctl stop pycrond")
        assert self.machine.run(ACTIVE, status=3) == "inactive"
        self.machine.run("touch /tmp/go; sleep 2; systemctl start pycrond")
        self._end_two()
        return ""

    def kill(self, pids: str) -> str:
        self._start_two()
        before = self.machine.run(f"{MAIN_PID}; {DAEMON_PID}")
        self.machine.run(f"kill -9 $({pids})")
        self.machine.until(
            f"test \"$({MAIN_PID}; {DAEMON_PID})\" != '{before}' && {ACTIVE} && pycrond status"
        )
        assert self._running() == {"seven", "eight"}
        self._end_two()
        self.machine.run("systemctl restart pycrond")  # if the keeper was killed, there is no front any more
        return ""

    def drop_in(self) -> str:
        run = self.machine.run
        self._start_two()
        run("mkdir -p /etc/systemd/system/pycrond.service.d")
        self.machine.write(
            "/etc/systemd/system/pycrond.service.d/trial.conf", "[Service]\nNoNewPrivileges=yes\n"
        )
        run("systemctl daemon-reload; systemctl restart pycrond")
        assert "1" in run(f"grep NoNewPrivs /proc/$({DAEMON_PID})/status")
        self._end_two()
        run("rm -r /etc/systemd/system/pycrond.service.d; systemctl daemon-reload; systemctl restart pycrond")
        return ""

    # Limits

    def memory(self) -> str:
        assert "memory by cgroup" in self.machine.run("pycrond status")
        run = self._run_to_end("hungry")
        killed = self.machine.run(
            "journalctl -k --no-pager | grep -c 'Memory cgroup out of memory'", status=None
        )
        assert int(killed) > 0, run
        assert self.machine.run(ACTIVE) == "active"
        return f"{killed} processes killed"

    def cpu(self) -> str:
        run = self._run_to_end("busy")
        share = float(str(run["cpu_s"])) / float(str(run["duration_s"]))
        assert 0.2 < share < 0.4, run
        return f"a share of {share:.2f}"

    def limits_after_restart(self) -> str:
        self._start_two()
        # The directory above those of the runs has limits, too.
        find = "find /sys/fs/cgroup/system.slice/pycrond.service/pycrond-* -mindepth 2 -name memory.max"
        read = f"cd $(dirname $({find} | head -1)); cat memory.max cpu.max"
        before = self.machine.run(read)
        self.machine.run("systemctl restart pycrond")
        after = self.machine.run(read)
        assert before == after == "104857600\n50000 100000", (before, after)
        self._end_two()
        return before.replace("\n", ", ")

    def timeout(self) -> str:
        run = self._run_to_end("forks")
        assert run["state"] == "timed-out", run
        self.machine.until("! pgrep -f ^forked", 30.0)
        return ""

    def upgrade(self) -> str:
        self._start_two()
        self.machine.run(f"apt-get install -y --no-install-recommends {self._package(1)}", timeout=400)
        assert self.machine.run("dpkg-query -Wf '${Version}' pycrond") == self.versions[1]
        assert self.machine.run(ACTIVE) == "active"
        assert self._running() == {"seven", "eight"}
        self._end_two()
        return ""

    # Clocks

    def timezone(self) -> str:
        run = self.machine.run
        for zone, fire in (("Asia/Tokyo", "T19:30:00Z"), ("Etc/UTC", "T04:30:00Z")):
            run(f"timedatectl set-timezone {zone}")
            self.machine.until(f"pycrond status --json | grep -q {zone}")  # it looks before each minute
            assert fire in run("pycrond list daily --json | grep -o '\"next\": [^,]*'")
        return "without a restart"

    def clock_steps(self) -> str:
        run = self.machine.run
        run("timedatectl set-ntp false; rm -f /srv/minutes/root")
        run("date -s '-30 minutes'")
        self.machine.until("test -s /srv/minutes/root", 180.0)
        run("rm -f /srv/minutes/root; date -s '+30 minutes'")
        self.machine.until("test -s /srv/minutes/root", 180.0)
        self._audit()
        return ""

    def suspend(self) -> str:
        run = self.machine.run
        self.machine.suspend(SUSPEND_TIME)
        run("hwclock --hctosys; rm -f /srv/minutes/root")
        self.machine.until("test -s /srv/minutes/root", 180.0)
        return self._audit()

    # Boots

    def boots(self) -> str:
        run = self.machine.run
        count = int(run(BOOTS))
        for boot in (1, 2):
            self.machine.power_off()
            self.machine.boot()
            self.machine.until(ACTIVE)
            run("systemctl restart pycrond; sleep 3")
            assert int(run(BOOTS)) == count + boot
        return ""

    def shutdown(self) -> str:
        self.machine.run("pycrond run ends-well; sleep 2")
        self.machine.power_off()
        self.machine.boot()
        self.machine.until(ACTIVE)
        run = next(run for run in self._runs() if run["name"] == "ends-well")
        assert (run["state"], run["exit_status"]) == ("failed", 5), run
        assert self.machine.run("pycrond logs ends-well").count("began") == 1
        return self.machine.run("pycrond logs ends-well | tail -1")

    def switched_off(self) -> str:
        run = self.machine.run
        run("rm -f /var/log/daily")
        self.machine.power_off()
        now = datetime.now(UTC)
        after = now.replace(hour=5, minute=0, second=0) + timedelta(days=1)
        self.machine.boot(after)
        self.machine.until("test -s /var/log/daily")
        time.sleep(5.0)
        assert run("cat /var/log/daily") == "daily"
        return self._audit()

    def power_cut(self) -> str:
        self._start_two()
        chatty = self._run_to_end("chatty")["id"]
        self.machine.run("sleep 10")
        self.machine.until("test $(date +%-S) -gt 20 && test $(date +%-S) -lt 40")
        self.machine.cut_power()
        self.machine.boot(datetime.now(UTC) + timedelta(days=1, hours=6))
        self.machine.until(ACTIVE)
        states = {
            str(run["name"]): str(run["state"]) for run in self._runs() if run["name"] in {"seven", "eight"}
        }
        assert not self._running() & {"seven", "eight"}, states
        assert self.machine.run(f"pycrond logs {chatty} --lines 1").endswith("30000")
        return self._audit()

    def doctor(self) -> str:
        findings = json.loads(self.machine.run("pycrond doctor --json", status=None))["findings"]
        problems = [finding for finding in findings if finding["level"] == "problem"]
        # Runs that the trials have made fail, or missed, are no problem of the machine.
        assert not [item for item in problems if item["about"] not in {"failing", "missed"}], problems
        return "; ".join(
            f"{item['about']}: {item['text']}" for item in findings if item["level"] == "warning"
        )

    def back_to_cron(self) -> str:
        run = self.machine.run
        boots = run(BOOTS)
        run("echo '* * * * * id -un >> /srv/minutes/ann' | crontab -u ann -")
        run("apt-get install -y --no-install-recommends /root/cron_*.deb", timeout=400)
        assert run("systemctl is-active cron") == "active"
        assert run(ACTIVE, status=None) in {"inactive", "failed"}
        self.minutes()
        assert run(BOOTS) == boots, "@reboot jobs run again"
        self.machine.power_off()
        self.machine.boot(datetime.now(UTC) + timedelta(days=2))
        self.machine.until("systemctl is-active cron")
        assert not run("pgrep -f pycrond", status=None)
        run("rm -f /srv/minutes/root")
        self.machine.until("test -s /srv/minutes/root", 180.0)
        assert run("cat /srv/minutes/root") == "root"
        return "the crontabs were kept, and run once"

    # What they share

    def _package(self, number: int) -> str:
        return f"/opt/deb/pycrond_{self.versions[number]}_all.deb"

    def _jobs(self) -> list[dict[str, object]]:
        jobs: list[dict[str, object]] = json.loads(self.machine.run("pycrond list --json"))["jobs"]
        return jobs

    def _runs(self) -> list[dict[str, object]]:
        runs: list[dict[str, object]] = json.loads(self.machine.run("pycrond history --limit 50 --json"))[
            "runs"
        ]
        return runs

    def _running(self) -> set[str]:
        return {str(run["name"]) for run in self._runs() if run["state"] == "running" and run["name"]}

    def _start_two(self) -> None:
        """Start a job without limits, and one with, which run until /tmp/go exists."""
        self.machine.run("rm -f /tmp/go; pycrond run seven; pycrond run eight; sleep 1")
        running = self._running()
        assert {"seven", "eight"} <= running, running

    def _end_two(self) -> str:
        """Let both end, and check that their exit statuses and their output are known."""
        self.machine.run("touch /tmp/go")
        newest, deadline = self._newest_of_two(), time.monotonic() + END_TIMEOUT
        while not all(run["ended_at"] for run in newest.values()):
            assert time.monotonic() < deadline, newest
            time.sleep(1.0)
            newest = self._newest_of_two()
        ends = {name: run["exit_status"] for name, run in newest.items()}
        for name in newest:
            assert "done" in self.machine.run(f"pycrond logs {name}"), f"the output of {name} is lost"
        assert ends == {"seven": 7, "eight": 8}, newest
        return ""

    def _newest_of_two(self) -> dict[str, dict[str, object]]:
        names = ("seven", "eight")
        return {name: next(run for run in self._runs() if run["name"] == name) for name in names}

    def _run_to_end(self, name: str) -> dict[str, object]:
        self.machine.run(f"pycrond run --wait {name}", status=None)
        return next(run for run in self._runs() if run["name"] == name)

    def _audit(self) -> str:
        return self.machine.run("pycrond audit").splitlines()[-1]
