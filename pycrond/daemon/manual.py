"""Control by hand: jobs started, ended, paused and resumed by order of whom they belong to."""

import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pycrond import clock
from pycrond.control import requests
from pycrond.control.requests import Requester
from pycrond.daemon.reload import Reloader
from pycrond.daemon.stopping import Shutdown
from pycrond.errors import PycrondError
from pycrond.jobs.job import Job
from pycrond.jobs.run import Fire
from pycrond.ledger.paused import Pauses
from pycrond.ledger.rows import matching_keys, require_one
from pycrond.output.delivery import Delivery
from pycrond.runs.active import ActiveRun, ActiveRuns
from pycrond.runs.launcher import ClaimedRun, Launcher
from pycrond.runs.policy import Verdict
from pycrond.runs.termination import Termination
from pycrond.scheduler.admission import Admission
from pycrond.scheduler.delayed import DelayedStarts
from pycrond.text import storable

PAUSE, PAUSE_MOST = 3600.0, 30 * 86400.0  # seconds: unless told otherwise, and at most
JOBS_MOST = 1000  # of one order
WAITING_MOST = 100  # runs of a job, when another is asked for
REASON_MOST = 200  # characters
ENDING = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
"""Signals of which a run that ends is said to have been killed by hand."""
VERDICTS = {Verdict.START: "start", Verdict.SKIP: "skip", Verdict.MISS: "skip"}


@dataclass(frozen=True, slots=True)
class ManualControl:
    """The parts of the daemon that such orders are carried out by."""

    deliveries: Delivery
    runs: ActiveRuns
    launching: Launcher
    endings: Termination
    pauses: Pauses
    admission: Admission
    waiting: DelayedStarts
    reloading: Reloader
    stopping: Shutdown
    system: bool
    """Whether users may act on their own jobs."""

    @property
    def orders(self) -> dict[str, Callable[[dict[str, Any], int], dict[str, Any]]]:
        """By the word that a request has as its command."""
        return {"run": self.run, "kill": self.kill, "pause": self.pause, "resume": self.resume}

    def run(self, request: dict[str, Any], uid: int) -> dict[str, Any]:
        """Have a job run now, as its schedule would have it."""
        asker = requests.requester(uid, system=self.system)
        job = self.reloading.jobs[self._key(requests.text(request, "job"), self._loaded(asker))]
        if self.stopping.is_wanted:
            raise PycrondError("the daemon is about to stop: nothing is started any more")
        line = self.admission.line.waiting
        if sum(one.fire.job.key == job.key for one in line) >= WAITING_MOST:
            raise PycrondError(f"{WAITING_MOST} runs of {job.key} wait already")
        now = clock.now()
        claimed = self.launching.claim([Fire(job, now, None, trigger="manual")])
        self.deliveries.say("RUN", f"{job.key} run {claimed[0].run} by {asker.name}", now)
        (decision,) = self.admission.enter(claimed, now)
        verdict = VERDICTS.get(decision.verdict, "wait")
        return {"run": claimed[0].run, "key": job.key, "verdict": verdict, "reason": decision.reason}

    def kill(self, request: dict[str, Any], uid: int) -> dict[str, Any]:
        """End a run, or all of a job, in its way or by one signal; what waits is withdrawn."""
        asker = requests.requester(uid, system=self.system)
        number = None if request.get("signal") is None else _signal(request["signal"])
        running, waiting = self._meant(requests.text(request, "what"), asker)
        now, reason = clock.now(), f"kill: by {asker.name}"
        if number:
            reason += f", {_name(number)}"
            running, waiting = self._signal(running, number, reason), []
        else:
            self.endings.end(running, "killed", reason)
            self._withdraw(waiting, reason, now)
        if not running and not waiting:
            raise PycrondError("nothing of it runs")
        found = [(one.run, one.fire.job.key, False) for one in running]
        found += [(one.run, one.fire.job.key, True) for one in waiting]
        for run, key, _ in found:
            self.deliveries.say("KILL", f"{key} run {run} {reason.removeprefix('kill: ')}", now)
        return {"runs": [{"run": run, "key": key, "waited": waited} for run, key, waited in found]}

    def _signal(self, running: Sequence[ActiveRun], number: int, reason: str) -> list[ActiveRun]:
        """That alone, to each group; those that got it."""
        reached = [one for one in running if self.runs.signal(one, number)]
        if number in ENDING:
            self.endings.note_signal(reached, reason)
        return reached

    def _withdraw(self, waiting: Iterable[ClaimedRun], reason: str, now: datetime) -> None:
        for one in waiting:
            for part in (self.waiting, self.admission.line, self.launching):
                part.withdraw(one)
            self.launching.discard([one])
        self.admission.close([(one, reason) for one in waiting], "killed", now)

    def _meant(self, word: str, asker: Requester) -> tuple[list[ActiveRun], list[ClaimedRun]]:
        """What runs and waits: the run of that number, else all of a job. Also of one whose line is gone."""
        running = [one for one in self.runs.living.values() if asker.can_access(one.fire.job.user)]
        lines = (self.waiting.all, self.admission.line.waiting, self.launching.again)
        waiting = [one for line in lines for one in line if asker.can_access(one.fire.job.user)]
        run = int(word) if word.isdecimal() and len(word) < 19 else 0
        of_run = [one for one in running if one.run == run], [one for one in waiting if one.run == run]
        if any(of_run):
            return of_run
        known = {one.fire.job.key: one.fire.job for one in running} | self._loaded(asker)
        if run and not self._matching(word, known):
            raise PycrondError(f"no run {word} runs or waits")
        key = self._key(word, known)
        found = [one for one in running if one.fire.job.key == key]
        held = [one for one in waiting if one.fire.job.key == key]
        if not found and not held:
            raise PycrondError(f"nothing of {key} runs or waits")
        return found, held

    def pause(self, request: dict[str, Any], uid: int) -> dict[str, Any]:
        """Have no fire of some jobs start for a while; all of them are there, or nothing is done."""
        asker = requests.requester(uid, system=self.system)
        keys, now = self._keys(request, asker), clock.now()
        seconds = _seconds(request.get("seconds", PAUSE))
        reason = requests.text(request, "reason", "")
        if len(reason) > REASON_MOST:
            raise PycrondError(f"a reason has at most {REASON_MOST} characters")
        until = None if seconds is None else now + timedelta(seconds=seconds)
        self.pauses.pause(keys, until.timestamp() if until else None, reason, now)
        how = f"until {until.astimezone():%F %H:%M}" if until else "until it is resumed"
        for key in keys:
            self.deliveries.say("PAUSE", f"{key} {how} by {asker.name}: {reason}".rstrip(": "), now)
        self.admission.look_again(now)
        return {"keys": keys, "until": until.timestamp() if until else None}

    def resume(self, request: dict[str, Any], uid: int) -> dict[str, Any]:
        """End pauses; jobs that were not paused are told apart."""
        asker = requests.requester(uid, system=self.system)
        keys, now = self._keys(request, asker), clock.now()
        resumed = self.pauses.resume(keys, now)
        if not resumed:
            raise PycrondError(f"not paused: {', '.join(keys[:10])}")
        for key in resumed:
            self.deliveries.say("RESUME", f"{key} by {asker.name}", now)
        self.admission.look_again(now)
        return {"keys": resumed, "others": [key for key in keys if key not in resumed]}

    def _loaded(self, asker: Requester) -> dict[str, Job]:
        """Those that are the asker's to act on."""
        return {key: job for key, job in self.reloading.jobs.items() if asker.can_access(job.user)}

    def _keys(self, request: dict[str, Any], asker: Requester) -> list[str]:
        words, known = requests.texts(request, "jobs", JOBS_MOST), self._loaded(asker)
        return list(dict.fromkeys(self._key(word, known) for word in words))

    def _key(self, word: str, known: dict[str, Job]) -> str:
        return require_one(word, self._matching(word, known))

    def _matching(self, word: str, known: dict[str, Job]) -> list[str]:
        loaded = self.reloading.jobs
        return matching_keys(
            word, ((key, job.entry.options.name, _place(job, loaded)) for key, job in known.items())
        )


def _place(job: Job, loaded: Mapping[str, Job]) -> str:
    return f"{storable(job.entry.file)}:{job.entry.line}" if job.key in loaded else ""


def _signal(wanted: object) -> int:
    """A signal by name, with or without SIG, or by number."""
    name = str(wanted).upper().removeprefix("SIG")
    found = signal.Signals.__members__.get(f"SIG{name}")
    if found is None and name.isdecimal() and len(name) < 4 and int(name) in signal.valid_signals():
        return int(name)
    if found is None:
        raise PycrondError(f"no signal is called '{wanted}'"[:100])
    return found


def _name(number: int) -> str:
    """`SIGTERM`; of one without a name its number."""
    return signal.Signals(number).name if number in signal.Signals.__members__.values() else str(number)


def _seconds(wanted: object) -> float | None:
    """How long a pause is to last; None: until it is ended."""
    if wanted is None:
        return None
    if isinstance(wanted, bool) or not isinstance(wanted, (int, float)) or not 0 < wanted <= PAUSE_MOST:
        raise PycrondError("a pause lasts 30 days at most, unless it is for ever")
    return float(wanted)
