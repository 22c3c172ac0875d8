"""The scheduler: claims due fires in the second before their minute, and starts them at the minute."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pycrond import clock
from pycrond.host import machine, reboot_marks
from pycrond.host.local_zone import LocalZone
from pycrond.host.names import NAMES
from pycrond.jobs.events import Event
from pycrond.jobs.job import Job
from pycrond.jobs.run import Fire
from pycrond.ledger.pauses import Pauses
from pycrond.ledger.writer import Ledger
from pycrond.output.daemon_log import DaemonLog
from pycrond.runs.launcher import ClaimedRun
from pycrond.runs.runs import Runs
from pycrond.schedule.timezone import MINUTE, Zone
from pycrond.scheduler.admission import Admission
from pycrond.scheduler.agenda import Agenda, initial_minute, minute
from pycrond.scheduler.checkpoint import Checkpoint, boot_mark
from pycrond.scheduler.clock_changes import ClockChanges
from pycrond.scheduler.delayed import DelayedStarts
from pycrond.scheduler.minute_claims import MinuteClaims
from pycrond.settings import Settings

if TYPE_CHECKING:
    from pycrond.cluster.cluster import Cluster

CLAIM_AHEAD = timedelta(seconds=1)  # so that the first start of a minute need not wait for the disk


class Scheduler:
    """The agenda, the claims of its next minute, and the fires that wait."""

    def __init__(
        self, settings: Settings, ledger: Ledger, log: DaemonLog, runs: Runs, dialect: str, now: datetime
    ) -> None:
        """Raises PycrondError if the checkpoint cannot be written. `dialect` is `debian` or `cronie`."""
        self._ledger = ledger
        self._runs = runs
        self._settings, self._local_zone = settings, LocalZone()
        self.checkpoint = Checkpoint(settings.checkpoint_path)
        self._last_record = self.checkpoint.read_after_boot(ledger.jobs)
        self._zone: Zone = machine.local_zone()
        zone, first = machine.known_zone(ledger.jobs.zone) or self._zone, initial_minute(self.last_turn, now)
        self.agenda = Agenda((), zone, first, self._last_record.eras)
        self.absence = abs(now - (self.last_turn or now))
        """The time from the last turn of the previous daemon to the start of this one."""
        self._was_down_since: datetime | None = None
        self.pauses = Pauses(ledger.file, now)
        self.clock_changes = ClockChanges(ledger, log, runs.shares, now)
        self.admission = Admission(log, runs, self.pauses, settings.max_running)
        self.delayed = DelayedStarts(ledger, runs, self.admission, machine.machine_id(), dialect)
        self.cluster: Cluster | None = None
        """Set at the start of a daemon that is a node of a cluster."""
        self.is_draining = False
        """True while the daemon starts no more runs and waits for the running ones, to stop then."""
        self._jobs: Mapping[str, Job] = {}
        self._claims = MinuteClaims(runs, self.delayed)

    # The start of a daemon

    def join(self, cluster: "Cluster") -> None:
        """Share fires with the other nodes of a cluster."""
        self.cluster = self._claims.cluster = cluster
        self.clock_changes.node_labels = cluster.labels

    @property
    def last_turn(self) -> datetime | None:
        """The last turn of the previous daemon; None if there was none."""
        return self._last_record.at

    def account_for_absence(self, now: datetime) -> None:
        """Record the fires of the previous daemon's jobs since its last turn."""
        last, eras, unwritten_since, _, latest, _ = self._last_record
        if last is not None and unwritten_since is not None:
            self.clock_changes.record_unwritten_claims(unwritten_since, last, eras, now)
            self.checkpoint.unwritten_since = unwritten_since if self._ledger.file.has_pending else None
        if last is not None:
            if self._last_record.boot != boot_mark() and last <= now:
                latest = None  # after a boot, the clock is right: the later time before was wrong
            decided = latest if latest and (latest < now or self._was_turned(last, now)) else None
            self.clock_changes.record_absence(last, self.agenda.last, eras, now, decided)
            if self.agenda.last > now:
                self.clock_changes.record_clock_behind(last, now)
            latest = max(last, latest or last)
            self._was_down_since = self.checkpoint.latest = latest if latest > now else None
        if self.agenda.zone.name != self._zone.name:
            self._change_zone(self._zone, now)
        # Jobs that are loaded after this have no missed fires before it.
        self.checkpoint.write(self.agenda.last, self.agenda.eras)

    def _was_turned(self, last: datetime, now: datetime) -> bool:
        """Return whether the clock was changed while no daemon ran, in this boot."""
        passed = timedelta(seconds=clock.elapsed() - self._last_record.elapsed)
        return abs(now - last - passed) > 2 * MINUTE

    def resume(self, now: datetime) -> None:
        """Restore the runs that waited when the previous daemon ended."""
        self.delayed.restore(self._jobs, now)
        self._share_delayed(now)

    def catch_up(self, now: datetime) -> None:
        """Claim the missed fires that are to be caught up."""
        if catch_ups := self.clock_changes.take_catch_ups():
            self.delayed.catch_up(catch_ups, self._jobs, now)
            self._share_delayed(now)

    def _share_delayed(self, now: datetime) -> None:
        """Ask the cluster about delayed fires that need its consent."""
        if self.cluster:
            self.cluster.resume(self.delayed.take_clustered(), now)

    def run_at_boot(self, jobs: Iterable[Job], now: datetime) -> None:
        """Start the @reboot jobs, once per boot of the machine or container."""
        boot, mark = machine.boot_id(), boot_mark()
        if self.checkpoint.boot == mark:
            return  # the jobs have run, even if the ledger with their runs was set aside
        due = reboot_marks.due(jobs, self._settings, mark.decode())
        claims = self._runs.claim([Fire(job, now, None, trigger="reboot") for job in due], boot)
        self.checkpoint.boot = mark
        self.checkpoint.write(self.agenda.last, self.agenda.eras)
        reboot_marks.write(self._settings, mark.decode())
        self.admission.enter(claims, now)

    # The minutes

    def turn(self, now: datetime) -> None:
        """Start the jobs of all due minutes, one minute after the other."""
        self._note_corrected_clock(now)
        while (due := self.agenda.due(now)) is not None:
            claims = self._claims.claims_of(due, now)
            self.clock_changes.turn(self.agenda.last, due, now, self.checkpoint.latest)
            # Before the first start: see `runs.recovery`.
            is_unwritten = self._ledger.file.has_pending
            self.checkpoint.write_turn(due.at, due.eras, self.agenda.last, is_unwritten=is_unwritten)
            self.admission.enter(self.delayed.add(claims), now)
            self.agenda.advance(due)
            self.catch_up(now)
        self._step_cluster(now)
        self.pauses.drop_expired(now)
        self.delayed.step(now)
        self.admission.step(now)

    def _step_cluster(self, now: datetime) -> None:
        """Start the shared fires that this node is to run."""
        if self.cluster:
            if since := self.clock_changes.take_away_since():
                self.cluster.was_away(since, now)
            self.cluster.step(now, clock.elapsed())
            if starting := self.cluster.take_starting():
                self.admission.enter(starting, now)

    def drain(self, now: datetime) -> None:
        """Report ended runs to the cluster; called instead of `turn` while the daemon stops."""
        if self.cluster:
            self.cluster.suspend()
            self.cluster.step(now, clock.elapsed())

    def _note_corrected_clock(self, now: datetime) -> None:
        """Record the absence of the daemon once a clock that was behind at the start is set forward."""
        since, current = self._was_down_since, minute(now)
        if since is None or current <= since:
            return
        self._was_down_since = None
        if current - self.agenda.last > MINUTE:
            last, eras = self.agenda.last, self.agenda.eras
            self.cancel()
            self.clock_changes.record_absence(last, current, eras, now, self.checkpoint.latest)
            self.agenda = Agenda(self.agenda.jobs, self.agenda.zone, current, eras)
            self.checkpoint.latest = None
            self.checkpoint.write(current, eras)
            self.catch_up(now)

    def claim_ahead(self, now: datetime) -> None:
        """Claim the fires of the next minute if it begins within a second."""
        coming = self.agenda.last + MINUTE
        is_near = timedelta(0) < coming - now <= CLAIM_AHEAD
        if is_near and not self._claims.are_made and (due := self.agenda.due(coming)):
            for user in {fire.job.user for fire in due.fires}:
                self._runs.is_settled(user)  # begins a lookup, which runs while the claims are written
            NAMES.step()
            self._claims.make(due, now)

    def cancel(self) -> None:
        """Undo the claims of the next minute."""
        self._claims.cancel()

    def suspend(self) -> None:
        """Leave claimed runs that have not started to the next daemon."""
        self._claims.cancel()
        self.admission.suspend()

    # The time until the next minute

    def has_time(self, now: datetime) -> bool:
        """Return whether no minute is about to begin."""
        return not self._claims.are_made and self.agenda.last + MINUTE - now > CLAIM_AHEAD

    def has_room(self, now: datetime, duration: timedelta) -> bool:
        """Return whether nothing is claimed for the next minute, and work of this duration ends before it."""
        return not self._claims.are_made and now + duration < self.agenda.last + MINUTE

    def is_due(self, now: datetime) -> bool:
        """Return whether a minute has come that was not processed yet."""
        return now >= self.agenda.last + MINUTE

    def next_time(self) -> datetime:
        """Return the next time to act: the next minute, the second before it, or a delayed start."""
        coming = self.agenda.last + MINUTE
        if not self._claims.are_made:
            due = self.agenda.due(coming)
            if due and due.fires:
                coming -= CLAIM_AHEAD
        later = [self.delayed.next_at, self.admission.next_at(self.agenda.last)]
        if self.cluster and (at := self.cluster.next_at) is not None:
            later.append(clock.at(at))
        return min([coming, *(at for at in later if at)])

    # The clock

    def clock_was_turned(self, seconds: float) -> None:
        """Move all waiting times by `seconds`; the next minute is claimed again later."""
        self.cancel()
        step = timedelta(seconds=seconds)
        for claimed in self.waiting:
            claimed.turned += step
        self.delayed.clock_was_turned(step)
        if self.cluster:
            self.cluster.clock_was_turned(step)
        self.admission.queue.clock_was_turned(step)
        self.pauses.clock_was_turned(seconds)

    def follow_zone(self, now: datetime) -> bool:
        """Use the machine's time zone if it has changed; return whether it has.

        After a jump of the clock this waits: the minutes before belong to the old zone.
        """
        if not timedelta(0) <= minute(now) - self.agenda.last <= MINUTE:
            return False
        zone = self._local_zone.poll()
        if zone is None:
            return False
        self._change_zone(zone, now)
        return True

    def _change_zone(self, zone: Zone, now: datetime) -> None:
        self.cancel()
        self.clock_changes.record_zone_change(self.agenda.zone, zone, self.agenda.last, now)
        self.agenda = self.agenda.in_zone(zone)

    # The jobs

    def replace_jobs(self, jobs: Mapping[str, Job], now: datetime) -> None:
        """Use these jobs, by key, from now on; the next minute is claimed again later."""
        self.cancel()
        self._jobs = jobs
        self.agenda = self.agenda.replaced_by(jobs.values())
        self.delayed.replace_jobs(jobs, now)
        self.admission.replace_jobs(jobs, now)
        if self.cluster:
            self.cluster.replace_jobs(jobs, self.admission.update_jobs(self.cluster.claims, jobs, now))

    def withdraw(self, claimed: ClaimedRun) -> None:
        """Remove a run from the queue in which it waits, and undo the preparation of its start."""
        self.delayed.withdraw(claimed)
        if self.cluster:
            self.cluster.withdraw(claimed)
        self.admission.queue.remove(claimed)
        self._runs.launcher.withdraw(claimed)
        self._runs.launcher.discard([claimed])

    @property
    def waiting(self) -> list[ClaimedRun]:
        """All runs that wait for a time, for another run, or for descriptors, memory or the disk."""
        admission = self.admission
        waiting = [*admission.user_turns.claims, *admission.queue.claims, *self._runs.launcher.retrying]
        return [*self.delayed.claims, *waiting, *(self.cluster.claims if self.cluster else ())]

    def take_events(self) -> list[Event]:
        """Return the fires that were skipped or missed since the last call."""
        shared = self.cluster.take_events() if self.cluster else ()
        return [*self.clock_changes.take_events(), *self.admission.take_events(), *shared]
