"""Manual control: jobs are started, ended, paused and resumed at the request of their owners."""

import signal
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pycrond import clock
from pycrond.control import requests
from pycrond.control.permissions import Requester, requester
from pycrond.daemon.subsystems import Subsystems
from pycrond.errors import PycrondError
from pycrond.jobs.job import Job
from pycrond.jobs.run import Cause, Fire, Reason, State
from pycrond.ledger.job_words import matching_keys, require_one
from pycrond.runs.active import ActiveRun
from pycrond.runs.launcher import ClaimedRun
from pycrond.runs.policy import Verdict
from pycrond.text import storable

DEFAULT_PAUSE, MAX_PAUSE = 3600.0, 30 * 86400.0  # seconds
MAX_JOBS = 1000  # in one request
MAX_WAITING = 100  # waiting runs of a job; with more, requests for another run are refused
MAX_REASON = 200  # characters
VERDICTS = {Verdict.START: "start", Verdict.SKIP: "skip", Verdict.MISS: "skip"}
Answer = dict[str, Any]


class ManualControl:
    """Carries out `run`, `kill`, `pause` and `resume`. With `--system`, users may control their own jobs."""

    def __init__(self, subsystems: Subsystems) -> None:
        self._system = subsystems.settings.system
        self._log = subsystems.output.log
        self._runs = subsystems.runs
        self._scheduler = subsystems.scheduler
        self._reloader = subsystems.reloader

    def run(self, request: dict[str, Any], uid: int) -> Answer:
        """Start a job now, as its schedule would."""
        client = requester(uid, system=self._system)
        job = self._reloader.jobs[self._key(requests.text(request, "job"), self._loaded(client))]
        if self._scheduler.is_draining:
            raise PycrondError("the daemon is about to stop: it starts no more jobs")
        if self._scheduler.admission.queue.count(job.key) >= MAX_WAITING:
            raise PycrondError(f"{MAX_WAITING} runs of {job.label} wait already")
        now = clock.now()
        claims = self._runs.claim([Fire(job, now, None, trigger="manual")])
        run = claims[0].run.id
        self._log.write("RUN", f"{job.label} run {run} by {client.name}", now)
        decision = self._scheduler.admission.enter_at_once(claims[0], now)
        verdict = VERDICTS.get(decision.verdict, "wait")
        return {
            "run": run,
            "key": job.key,
            "job": job.label,
            "verdict": verdict,
            "reason": decision.cause.text,
        }

    # kill

    def kill(self, request: dict[str, Any], uid: int) -> Answer:
        """End a run or all runs of a job, by TERM and KILL or by one signal; runs that wait are withdrawn."""
        client = requester(uid, system=self._system)
        number = None if request.get("signal") is None else _signal_number(request["signal"])
        running, waiting = self._find_runs(requests.text(request, "what"), client)
        now, details = clock.now(), f"by {client.name}"
        if number:
            details += f", {_signal_name(number)}"
            waiting = []
            running = self._runs.termination.signal(running, number, Cause.of(Reason.SIGNAL, details))
        else:
            cause = Cause.of(Reason.KILL, details)
            self._runs.termination.end(running, cause)
            self._withdraw(waiting, cause, now)
        if not running and not waiting:
            raise PycrondError("none of the processes could be signalled")
        runs = [(active.run, False) for active in running] + [(claimed.run, True) for claimed in waiting]
        for run, _ in runs:
            self._log.write("KILL", f"{run.job.label} run {run.id} {details}", now)
        return {
            "runs": [
                {"run": run.id, "key": run.job.key, "job": run.job.label, "waited": waited}
                for run, waited in runs
            ]
        }

    def _withdraw(self, claims: Iterable[ClaimedRun], cause: Cause, now: datetime) -> None:
        claims = list(claims)
        for claimed in claims:
            self._scheduler.withdraw(claimed)
        self._scheduler.admission.settle([(claimed, cause) for claimed in claims], State.KILLED, now)

    def _find_runs(self, word: str, client: Requester) -> tuple[list[ActiveRun], list[ClaimedRun]]:
        """Return the running and waiting runs of a word: the number of a run, or a job. The entry of a job
        with runs may have been removed.
        """
        actives = self._runs.active.by_pid.values()
        running = [active for active in actives if client.can_access(active.run.job.user)]
        waiting = [claimed for claimed in self._scheduler.waiting if client.can_access(claimed.run.job.user)]
        number = int(word) if word.isdecimal() and len(word) < 19 else 0
        by_number = (
            [active for active in running if active.run.id == number],
            [claimed for claimed in waiting if claimed.run.id == number],
        )
        if any(by_number):
            return by_number
        jobs = {active.run.job.key: active.run.job for active in running} | self._loaded(client)
        if number and not self._matching(word, jobs, whole=True):
            raise PycrondError(f"run {word} is neither running nor waiting")
        key = self._key(word, jobs)
        by_key = (
            [active for active in running if active.run.job.key == key],
            [claimed for claimed in waiting if claimed.run.job.key == key],
        )
        if not any(by_key):
            raise PycrondError(f"no run of {jobs[key].label} is running or waiting")
        return by_key

    # pause and resume

    def pause(self, request: dict[str, Any], uid: int) -> Answer:
        """Pause jobs for a time. If one of the jobs is not found, none is paused."""
        client = requester(uid, system=self._system)
        keys, now = self._keys(request, client), clock.now()
        seconds = _pause_seconds(request.get("seconds", DEFAULT_PAUSE))
        reason = requests.text(request, "reason", "")
        if len(reason) > MAX_REASON:
            raise PycrondError(f"a reason has at most {MAX_REASON} characters")
        until = None if seconds is None else now + timedelta(seconds=seconds)
        self._scheduler.pauses.pause(keys, until.timestamp() if until else None, reason, now)
        end = f"until {until.astimezone():%F %H:%M}" if until else "until it is resumed"
        for label in self._labels(keys):
            self._log.write("PAUSE", f"{label} {end} by {client.name}: {reason}".rstrip(": "), now)
        self._scheduler.admission.recheck(keys)
        return {"keys": keys, "jobs": self._labels(keys), "until": until.timestamp() if until else None}

    def resume(self, request: dict[str, Any], uid: int) -> Answer:
        """End the pauses of jobs; the answer lists the jobs that were not paused separately."""
        client = requester(uid, system=self._system)
        keys, now = self._keys(request, client), clock.now()
        resumed = self._scheduler.pauses.resume(keys, now)
        if not resumed:
            raise PycrondError(f"not paused: {', '.join(self._labels(keys[:10]))}")
        for label in self._labels(resumed):
            self._log.write("RESUME", f"{label} by {client.name}", now)
        self._scheduler.admission.recheck(resumed)
        not_paused = [key for key in keys if key not in resumed]
        labels = {"jobs": self._labels(resumed), "other_jobs": self._labels(not_paused)}
        return {"keys": resumed, "others": not_paused} | labels

    # Jobs by words

    def _loaded(self, client: Requester) -> dict[str, Job]:
        """Return the loaded jobs that the client may control."""
        return {key: job for key, job in self._reloader.jobs.items() if client.can_access(job.user)}

    def _keys(self, request: dict[str, Any], client: Requester) -> list[str]:
        words, jobs = requests.list_of(request, "jobs", requests.text, MAX_JOBS), self._loaded(client)
        return list(dict.fromkeys(self._key(word, jobs) for word in words))

    def _labels(self, keys: Iterable[str]) -> list[str]:
        """Return the names of loaded jobs for people."""
        return [self._reloader.jobs[key].label for key in keys]

    def _key(self, word: str, jobs: Mapping[str, Job]) -> str:
        keys = self._matching(word, jobs)
        return require_one(word, keys, [jobs[key].label for key in keys])

    def _matching(self, word: str, jobs: Mapping[str, Job], *, whole: bool = False) -> list[str]:
        loaded = self._reloader.jobs
        return matching_keys(
            word,
            (
                (key, job.entry.options.name, _place(job, loaded), job.entry.command)
                for key, job in jobs.items()
            ),
            whole=whole,
        )


def _place(job: Job, loaded: Mapping[str, Job]) -> str:
    return f"{storable(job.entry.file)}:{job.entry.line}" if job.key in loaded else ""


def _signal_number(value: object) -> int:
    """Return the number of a signal, given by its name, with or without SIG, or by its number."""
    name = str(value).upper().removeprefix("SIG")
    number = signal.Signals.__members__.get(f"SIG{name}")
    if number is None and name.isdecimal() and len(name) < 4 and int(name) in signal.valid_signals():
        return int(name)
    if number is None:
        raise PycrondError(f"no signal is called '{value}'"[:100])
    return number


def _signal_name(number: int) -> str:
    """Return a name such as `SIGTERM`; for a signal without a name, its number."""
    return signal.Signals(number).name if number in signal.Signals.__members__.values() else str(number)


def _pause_seconds(value: object) -> float | None:
    """Return the duration of a pause in seconds; None: until the job is resumed."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= MAX_PAUSE:
        raise PycrondError("a pause lasts 30 days at most, or forever")
    return float(value)
