"""Which alarms follow: from starts and ends, and from fires and successes that did not come."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from pycrond.alarms import mail
from pycrond.alarms.outbox import Outbox
from pycrond.jobs.job import Job
from pycrond.jobs.options import CRON, Options
from pycrond.jobs.run import Fire
from pycrond.ledger.alarms import Alarm, AlarmTable, Health
from pycrond.ledger.codec import job_of
from pycrond.ledger.database import Work
from pycrond.ledger.writer import Ledger
from pycrond.output.delivery import Delivery
from pycrond.runs import policy
from pycrond.runs.active import ActiveRun, EndedRun
from pycrond.settings import Settings


class Alarms:
    """Writes them down, with what they are about, and hands them to the outbox."""

    def __init__(
        self, ledger: Ledger, book: AlarmTable, deliveries: Delivery, outbox: Outbox, settings: Settings
    ) -> None:
        self._ledger = ledger
        self._book = book
        self._delivery = deliveries
        self._outbox = outbox
        self._with_environment = settings.mail_environment
        self._health = book.health()
        self._overdue_at: float | None = 0.0  # no later than the first job is; None: never
        self._jobs: Mapping[str, Job] = {}

    # What comes

    def begun(self, several: Iterable[ActiveRun], now: datetime) -> None:
        """Runs that were started; of a job's attempts only the first is told of."""
        made = [
            self._ping(one.run, one.fire.job, "start", now)
            for one in several
            if one.fire.job.entry.options.ping and one.fire.attempt == 1
        ]
        self._write(made, [])

    def after(self, ended: Iterable[EndedRun], retried: set[int], now: datetime) -> list[Work]:
        """What is to be written together with the ends, some of which are tried again."""
        made: list[Alarm] = []
        changed: dict[str, Health] = {}
        for one in ended:
            job, is_last = one.fire.job, one.run not in retried
            if self._is_mailed(one, is_last=is_last):
                made.append(self._mail(one, now))
            if is_last and policy.has_alarms(job.entry.options):
                made += self._of_end(one, now)
                changed[job.key] = self._health[job.key]
        self._outbox.add(made)
        return [self._book.added(made), self._book.healthy(changed.values())]

    def missed(self, several: Iterable[tuple[str, int]], now: datetime) -> None:
        """Fires that nobody will run: key, and the row of the ledger that says so."""
        made = []
        for key, run in several:
            job = self._jobs.get(key)
            if job and job.entry.options.on_missed:
                made.append(self._hook(run, job, "missed", job.entry.options.on_missed, now))
        self._write(made, [])

    def load(self, jobs: Mapping[str, Job], now: datetime) -> None:
        """These are the jobs from now on. Of one that is gone what was expected of it is still expected."""
        self._jobs = jobs
        changed = []
        for key, job in jobs.items():
            expect = job.entry.options.expect
            if expect is not None or key in self._health:
                before = self._health.get(key) or Health(key, now.timestamp())
                if before.expect != expect or key not in self._health:
                    changed.append(before._replace(expect=expect))
        self._health |= {one.key: one for one in changed}
        self._write([], changed)
        self._overdue_at = 0.0

    # What does not come

    def tick(self, now: datetime) -> None:
        """Say of jobs that they have not succeeded for too long."""
        if self._overdue_at is None or now.timestamp() < self._overdue_at:
            return
        made, changed = [], []
        for one in [one for one in self._health.values() if one.expect is not None]:
            at = self._due(one)
            if at is not None and now.timestamp() >= at:
                made += self._overdue(one, now)
                changed.append(one._replace(overdue_at=now.timestamp()))
        self._health |= {one.key: one for one in changed}
        self._write(made, changed)
        due = [at for one in self._health.values() if (at := self._due(one)) is not None]
        self._overdue_at = min(due, default=None)

    @property
    def next_at(self) -> datetime | None:
        """When `tend` has something to do."""
        return datetime.fromtimestamp(self._overdue_at, UTC) if self._overdue_at else None

    def _due(self, one: Health) -> float | None:
        job = self._jobs.get(one.key)
        repeat = job.entry.options.alarm_repeat if job else None
        options = replace(CRON, expect=one.expect, alarm_repeat=repeat)
        return policy.overdue_at(options, one.since, one.succeeded_at, one.overdue_at)

    def _overdue(self, one: Health, now: datetime) -> list[Alarm]:
        job = self._jobs.get(one.key) or self._gone(one.key)
        if job is None:
            return []
        last = datetime.fromtimestamp(one.succeeded_at or one.since, UTC).astimezone()
        begun = "last" if one.succeeded_at else "expected since"
        gone = "" if one.key in self._jobs else ", and the job is gone"
        said = f"no success for {one.expect:g} s, {begun} {last:%F %H:%M}{gone}"
        self._delivery.say("OVERDUE", f"{one.key}: {said}", now, level="err")
        options = job.entry.options
        made = [self._ping(None, job, "failure", now)] if options.ping else []
        if options.on_failure:
            made.append(self._hook(None, job, "overdue", options.on_failure, now))
        if policy.is_mailed(options, "failed", 1, is_last=True) and self._outbox.has_mailer:
            made.append(self._letter(Fire(job, now, None), None, ("overdue", said), (), now))
        return made

    def _gone(self, key: str) -> Job | None:
        row = self._ledger.jobs.job(key)
        return job_of(row) if row else None

    # What is made of it

    def _of_end(self, one: EndedRun, now: datetime) -> list[Alarm]:
        """Alarms after an end, and what it means for the job's health."""
        job, options, state = one.fire.job, one.fire.job.entry.options, one.outcome.state
        at = one.at.timestamp()
        before = self._health.get(job.key) or Health(job.key, at, expect=options.expect)
        failing = before.failing_since is not None
        calls = policy.alarms(options, state, failing=failing, alarmed_at=before.alarmed_at, now=at)
        if state == "succeeded":
            before = before._replace(failing_since=None, alarmed_at=None, succeeded_at=at, overdue_at=None)
        elif state in policy.FAILURES:
            alarmed = at if ("hook", "failure") in calls else before.alarmed_at
            before = before._replace(failing_since=before.failing_since or at, alarmed_at=alarmed)
        self._health[job.key] = before
        self._overdue_at = 0.0 if before.expect is not None else self._overdue_at
        return [alarm for kind, event in calls if (alarm := self._call(one.run, job, kind, event, now))]

    def _call(self, run: int, job: Job, kind: str, event: str, now: datetime) -> Alarm | None:
        if kind == "ping":
            return self._ping(run, job, event, now) if job.entry.options.ping else None
        command = hook(job.entry.options, event)
        return self._hook(run, job, event, command, now) if command else None

    def _ping(self, run: int | None, job: Job, event: str, now: datetime) -> Alarm:
        return self._alarm(run, job, ("ping", event), {"url": job.entry.options.ping, "event": event}, now)

    def _hook(self, run: int | None, job: Job, event: str, command: str, now: datetime) -> Alarm:
        entry = job.entry
        document = {
            "command": command,
            "user": job.user,
            "environment": entry.environment,
            "about": {"file": entry.file, "line": entry.line, "command": entry.command},
        }
        return self._alarm(run, job, ("hook", event), document, now)

    def _is_mailed(self, one: EndedRun, *, is_last: bool) -> bool:
        telling = one.running.output.log if one.running else None
        printed = 1 if telling is None or telling.output_open else telling.spool.size
        options = one.fire.job.entry.options
        wanted = policy.is_mailed(options, one.outcome.state, printed, is_last=is_last)
        wanted = wanted and self._outbox.has_mailer
        if telling and not wanted and telling.mailed:
            telling.mailed = False
            self._delivery.touch(telling)
        return wanted

    def _mail(self, one: EndedRun, now: datetime) -> Alarm:
        event = "output" if one.outcome.state == "succeeded" else "failure"
        facts = mail.facts(one.fire, one.outcome, one.at, one.duration)
        return self._letter(one.fire, one.run, (event, mail.ending(one.outcome)), facts, now)

    def _letter(
        self, fire: Fire, run: int | None, about: tuple[str, str], facts: mail.Pairs, now: datetime
    ) -> Alarm:
        """`about` is the event and how it ended."""
        variables = fire.job.entry.environment if self._with_environment else ()
        contents = mail.job_mail(
            fire, run or 0, about, facts=facts, host=os.uname().nodename, variables=variables
        )
        return self._alarm(run, fire.job, ("mail", about[0]), {"letter": asdict(contents)}, now)

    def _alarm(
        self, run: int | None, job: Job, call: policy.Call, document: dict[str, Any], now: datetime
    ) -> Alarm:
        at = now.timestamp()
        return Alarm(self._book.number(), run, job.key, *call, at, at, 0, document)

    def _write(self, made: list[Alarm], changed: Iterable[Health]) -> None:
        self._outbox.add(made)
        self._ledger.file.do(self._book.added(made), self._book.healthy(changed))


def hook(options: Options, event: str) -> str | None:
    """The command for an event."""
    hooks = {"failure": options.on_failure, "success": options.on_success, "recovery": options.on_recovery}
    return hooks[event]
