"""The alarms of one daemon, which follow from runs and from missing runs, and their delivery."""

import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pycrond import clock
from pycrond.alarms import hook_document, job_mail, rules
from pycrond.alarms.outbox import Outbox
from pycrond.alarms.planned_times import PlannedTimes
from pycrond.alarms.shared_jobs import JUDGE_INTERVAL, Judgement, OtherNodes, SharedJobs
from pycrond.jobs.events import Abandoned, Ended, Event, Missed, Started
from pycrond.jobs.job import Job
from pycrond.jobs.options import CRON
from pycrond.jobs.run import Fire, Outcome, State
from pycrond.ledger import last_runs
from pycrond.ledger.alarms import Alarm, AlarmTable, Health
from pycrond.ledger.codec import decode_job
from pycrond.ledger.database import Work
from pycrond.ledger.writer import Ledger
from pycrond.output.output import Output
from pycrond.runs.command import CommandBuilder
from pycrond.runs.runs import Runs
from pycrond.settings import Settings
from pycrond.text import duration

Facts = Mapping[str, Any]
"""Values about a run, named as in an object of `history`."""


class Alarms:
    """Processes the events of runs and fires, writes alarms to the ledger and gives them to the outbox."""

    def __init__(
        self, settings: Settings, ledger: Ledger, output: Output, builder: CommandBuilder, runs: Runs
    ) -> None:
        self._ledger = ledger
        self._table = AlarmTable(ledger.file)
        self._output = output
        self._builder = builder
        self.outbox = Outbox(settings, ledger, self._table, output, builder, runs)
        self._with_environment = settings.mail_environment
        now = clock.now().timestamp()
        self._health = {key: health.until(now) for key, health in self._table.health().items()}
        self._jobs: Mapping[str, Job] = {}
        self._overdue: PlannedTimes[str] = PlannedTimes()  # when jobs with `expect` are checked
        self._shared: SharedJobs | None = None

    def join(self, nodes: OtherNodes) -> None:
        """Judge shared jobs together with the other nodes of a cluster."""
        self._shared = SharedJobs(nodes, self._job_of, self._overdue_time)

    # Events

    def process(self, events: Iterable[Event], now: datetime) -> None:
        """Make and write the alarms of starts, of missed fires, and of failures that are not retried."""
        alarms: list[Alarm] = []
        failed = []
        for event in events:
            if isinstance(event, Started) and event.fire.attempt == 1:
                alarms += self._calls(event.run, event.fire.job, [("ping", "start")], now, {})
            elif isinstance(event, Missed) and (job := self._jobs.get(event.key)):
                alarms += self._calls(event.run, job, [("hook", "missed")], now, {})
            elif isinstance(event, Abandoned):
                outcome = Outcome(State.FAILED, event.cause)
                failed.append(Ended(event.run, event.fire, outcome, now, None, 0))
        self._write(alarms, [])
        if failed:
            self._ledger.file.write(*self.after(failed, (), now))

    def after(self, ended: Iterable[Ended], retried: Collection[int], now: datetime) -> list[Work]:
        """Make the alarms of ended runs, and return their rows, to be written together with the ends.
        `retried` are the runs that will be tried again.
        """
        alarms: list[Alarm] = []
        changed: dict[str, Health] = {}
        for end in ended:
            job, is_last = end.fire.job, end.run not in retried
            if self._is_mailed(end, is_last=is_last):
                alarms.append(self._mail(end, now))
            options = job.entry.options
            if is_last and (rules.has_alarms(options) or (self._shared and options.is_shared)):
                alarms += self._of_end(end, now)
                changed[job.key] = self._health[job.key]
        return [self._added(alarms), self._table.health_written(changed.values())]

    def replace_jobs(self, jobs: Mapping[str, Job], now: datetime) -> None:
        """Use these jobs from now on. A success of a deleted job with `expect` is still expected."""
        self._jobs = jobs
        changed = []
        for key, job in jobs.items():
            expect = job.entry.options.expect
            if expect is not None or key in self._health:
                before = self._health.get(key) or Health(key, now.timestamp())
                if before.expect != expect or key not in self._health:
                    changed.append(before._replace(expect=expect))
        self._health |= {health.key: health for health in changed}
        self._write([], changed)
        self._plan_all()

    def clock_was_turned(self, seconds: float, now: datetime) -> None:
        """Move all times, so that intervals keep their length."""
        self._health = {
            key: health.moved(seconds).until(now.timestamp()) for key, health in self._health.items()
        }
        self._write([], self._health.values())
        self._plan_all()
        self.outbox.clock_was_turned(seconds)

    # Overdue jobs

    def step(self, now: datetime, elapsed: float) -> None:
        """Report jobs that are overdue, and begin the deliveries that are due."""
        if self._shared:
            self._note_recovered(self._shared, now)
            self._shared.ask(self._health.values(), now, elapsed)
        self._report_overdue(now, elapsed)
        self.outbox.step(now, elapsed)

    def _report_overdue(self, now: datetime, elapsed: float) -> None:
        alarms, changed, seconds = [], [], now.timestamp()
        for key in self._overdue.pop_due(seconds):
            health = self._health[key]
            at = self._overdue_time(health)
            if at is not None and seconds >= at:
                judgement = self._shared.judge(key, at, elapsed) if self._shared else Judgement.REPORT
                if judgement is Judgement.LATER:
                    self._overdue.plan(key, seconds + JUDGE_INTERVAL)
                    continue
                if judgement is Judgement.REPORT:
                    alarms += self._overdue_alarms(health, now)
                self._health[key] = health._replace(overdue_at=seconds)
                changed.append(self._health[key])
            self._plan(key)
        if changed:
            self._write(alarms, changed)

    def _note_recovered(self, shared: SharedJobs, now: datetime) -> None:
        """Note successes on other nodes. A node on which the job has failed reports its recovery."""
        alarms, changed = [], []
        for health, has_failed in shared.take_recovered(self._health, now):
            job = self._jobs.get(health.key)
            if job and has_failed:
                facts = {"name": job.entry.options.name}
                alarms += self._calls(None, job, [("hook", "recovery")], now, facts)
            self._health[health.key] = health
            changed.append(health)
            self._plan(health.key)
        if changed:
            ends = last_runs.succeeded_elsewhere((health.key, health.succeeded_at) for health in changed)
            self._write(alarms, changed, ends)

    def _plan_all(self) -> None:
        self._overdue.clear()
        for key in self._health:
            self._plan(key)

    def _plan(self, key: str) -> None:
        self._overdue.plan(key, self._overdue_time(self._health[key]))

    @property
    def next_at(self) -> datetime | None:
        """The time of the next work for `step`, by the wall clock."""
        first = self._overdue.first
        at = clock.at(first[0]) if first else None
        return min((at for at in (at, self.outbox.next_at) if at), default=None)

    def retry_in(self, elapsed: float) -> float | None:
        """Return the seconds until `step` has something to do by elapsed time; None if there is nothing."""
        return self.outbox.retry_in(elapsed)

    def _overdue_time(self, health: Health) -> float | None:
        job = self._jobs.get(health.key)
        return rules.overdue_at(job.entry.options if job else CRON, health)

    def _overdue_alarms(self, health: Health, now: datetime) -> list[Alarm]:
        job = self._job_of(health.key)
        if job is None:
            return []
        since = clock.at(health.succeeded_at or health.since).astimezone()
        begun = "last" if health.succeeded_at else "expected since"
        gone = "" if health.key in self._jobs else ", and the job is gone"
        detail = f"no success for {duration(health.expect)}, {begun} {since:%F %H:%M}{gone}"
        self._output.log.write("OVERDUE", f"{job.label}: {detail}", now, level="err")
        facts = {"name": job.entry.options.name, "reason": detail}
        alarms = self._calls(None, job, [("ping", "failure"), ("hook", "overdue")], now, facts)
        is_mailed = rules.is_mailed(job.entry.options, State.FAILED, 1, is_last=True)
        if is_mailed and self.outbox.has_mailer:
            alarms.append(self._letter(Fire(job, now, None), None, ("overdue", detail), (), now))
        return alarms

    def _job_of(self, key: str) -> Job | None:
        """Return a job, also one that is gone."""
        if job := self._jobs.get(key):
            return job
        row = self._ledger.jobs.job(key)
        return decode_job(row) if row else None

    # The alarms

    def _of_end(self, end: Ended, now: datetime) -> list[Alarm]:
        """Return the alarms of an end, and update the job's health."""
        job, options, state = end.fire.job, end.fire.job.entry.options, end.outcome.state
        at = end.at.timestamp()
        if self._shared:
            self._shared.ended(end)
        # Catch-ups start one each second, whatever their fire times.
        fire = at if end.fire.trigger == "catch-up" else end.fire.at.timestamp()
        health = self._health.get(job.key) or Health(job.key, at, expect=options.expect)
        calls = rules.alarms(options, state, health, fire)
        if state == State.SUCCEEDED:
            health = health.recovered(at)
        elif state in rules.FAILURES:
            alarmed_for = fire if ("hook", "failure") in calls else health.alarmed_for
            health = health._replace(failing_since=health.failing_since or at, alarmed_for=alarmed_for)
        self._health[job.key] = health
        self._plan(job.key)
        return self._calls(end.run, job, calls, now, hook_document.ending(end))

    def _calls(
        self, run: int | None, job: Job, calls: Iterable[rules.Call], now: datetime, facts: Facts
    ) -> list[Alarm]:
        """Return alarms for those of the hooks and pings that the job has; `facts` are about the run."""
        options, alarms = job.entry.options, []
        for kind, event in calls:
            if kind == "ping" and options.ping:
                alarms.append(self._ping(run, job, event, now, facts))
            elif kind == "hook" and (command := rules.hook(options, event)):
                document = {
                    "command": command,
                    "environment": job.entry.environment,
                    "about": {**hook_document.place(job), **facts},
                }
                alarms.append(self._alarm(run, job, (kind, event), document, now))
        return alarms

    def _ping(self, run: int | None, job: Job, event: str, now: datetime, facts: Facts) -> Alarm:
        options = job.entry.options
        document = {
            "url": options.ping,
            "event": event,
            "redirects": options.ping_redirects,
            "output": rules.ping_output(options, event),
            **{name: facts.get(name) for name in ("state", "reason", "exit_status", "signal")},
        }
        return self._alarm(run, job, ("ping", event), document, now)

    def _is_mailed(self, end: Ended, *, is_last: bool) -> bool:
        """Return whether an end is mailed; if not, its output is no longer kept for a mail."""
        options = end.fire.job.entry.options
        is_mailed = rules.is_mailed(options, end.outcome.state, end.printed, is_last=is_last)
        is_mailed = is_mailed and self.outbox.has_mailer
        if not is_mailed and options.may_be_mailed:
            self._output.delivery.mail_done(end.run)
        return is_mailed

    def _mail(self, end: Ended, now: datetime) -> Alarm:
        event = "output" if end.outcome.state == State.SUCCEEDED else "failure"
        facts = job_mail.facts(end.fire, end.outcome, end.at, end.duration)
        return self._letter(end.fire, end.run, (event, job_mail.ending(end.outcome)), facts, now)

    def _letter(
        self, fire: Fire, run: int | None, about: tuple[str, str], facts: job_mail.Pairs, now: datetime
    ) -> Alarm:
        """Return the mail about a run, or a job if `run` is None; `about` is the event and the ending."""
        variables = fire.job.entry.environment if self._with_environment else ()
        contents = job_mail.new_mail(
            fire, run or 0, about, facts=facts, host=os.uname().nodename, variables=variables
        )
        return self._alarm(run, fire.job, ("mail", about[0]), {"letter": asdict(contents)}, now)

    def _alarm(
        self, run: int | None, job: Job, call: rules.Call, document: dict[str, Any], now: datetime
    ) -> Alarm:
        """Return a new alarm. The uid prevents a delivery as a later user with the same name."""
        at = now.timestamp()
        account = self._builder.accounts.get(job.user)
        text = json.dumps({**document, "uid": account.uid if account else None, "label": job.label})
        return Alarm(self._table.new_id(), run, job.key, *call, at, at, 0, text)

    def _added(self, alarms: list[Alarm]) -> Work:
        """Give alarms to the outbox; return the statement that writes them, without dropped alarms."""
        dropped = {alarm.id for alarm in self.outbox.add(alarms)}
        return self._table.added(alarm for alarm in alarms if alarm.id not in dropped)

    def _write(self, alarms: list[Alarm], changed: Iterable[Health], *more: Work) -> None:
        self._ledger.file.write(self._added(alarms), self._table.health_written(changed), *more)
