"""Carrying out the agenda: what is due is claimed in the second before its minute and started at it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pycrond.jobs.job import Job
from pycrond.runs.launcher import ClaimedRun, Launcher
from pycrond.scheduler.admission import Admission
from pycrond.scheduler.agenda import MINUTE, Agenda, DueMinute, minute
from pycrond.scheduler.checkpoint import Checkpoint
from pycrond.scheduler.clock_changes import ClockChanges
from pycrond.scheduler.delayed import DelayedStarts

AHEAD = timedelta(seconds=1)  # so that no disk stands between the minute and the first start


class Scheduler:
    """The agenda, what is claimed of its next minute, and the runs that come of it."""

    def __init__(
        self,
        agenda: Agenda,
        last_turn: Checkpoint,
        launching: Launcher,
        *,
        admission: Admission,
        jumps: ClockChanges,
        waiting: DelayedStarts,
    ) -> None:
        self.agenda = agenda
        self._last_turn = last_turn
        self._launcher = launching
        self._admission = admission
        self._jumps = jumps
        self._waiting = waiting
        self._jobs: Mapping[str, Job] = {}  # those of the agenda, by key
        self._coming: DueMinute | None = None  # that of the next minute, worked out once
        self._ahead: tuple[DueMinute, Sequence[ClaimedRun]] | None = None
        self._phase: tuple[datetime, bool] | None = None

    def take(self, now: datetime) -> None:
        """Start what is due, a turn a minute when late."""
        while (turn := self._due(now)) is not None:
            claimed = self._claimed(turn)
            self._jumps.at_turn(self.agenda.last, turn, now)
            self._note_what_is_owed(turn.at)
            self._last_turn.write(turn.at, turn.eras)  # before the first start: see `Recovery`
            self._admission.enter(self._waiting.add(claimed), now)
            self.agenda.done(turn)
            self._coming = None
            if missed := self._jumps.missed():
                self._waiting.catch_up(missed, self._jobs, now)
        self._waiting.take(now)
        self._admission.take(now)

    def _due(self, now: datetime) -> DueMinute | None:
        if minute(now) == self.agenda.last + MINUTE:
            return self._next()
        return self.agenda.due(now)

    def _next(self) -> DueMinute | None:
        if self._coming is None:
            self._coming = self.agenda.due(self.agenda.last + MINUTE)
        return self._coming

    def _note_what_is_owed(self, at: datetime) -> None:
        """From which turn on the ledger would not tell the next daemon, after a crash, what was started."""
        if not self._launcher.are_owed:
            self._last_turn.owed = None
        elif self._last_turn.owed is None:
            self._last_turn.owed = at

    def _claimed(self, turn: DueMinute) -> Sequence[ClaimedRun]:
        ahead, self._ahead = self._ahead, None
        if ahead and ahead[0].at == turn.at and ahead[0].fires == turn.fires:
            return ahead[1]
        if ahead:  # the clock was turned meanwhile
            self._launcher.cancel(ahead[1])
        return self._claim(turn)

    def _claim(self, turn: DueMinute) -> Sequence[ClaimedRun]:
        return self._launcher.claim(self._waiting.delayed(turn.fires)) if turn.fires else ()

    def look_ahead(self, now: datetime) -> None:
        """Claim the next minute's fires, if that is no more than a second away."""
        coming = self.agenda.last + MINUTE
        if self._ahead is None and timedelta(0) < coming - now <= AHEAD:
            turn = self._next()
            if turn:
                self._ahead = (turn, self._claim(turn))

    def has_time(self, now: datetime) -> bool:
        """Whether no minute is about to begin."""
        return self._ahead is None and self.agenda.last + MINUTE - now > AHEAD

    def has_room(self, now: datetime, took: timedelta) -> bool:
        """Whether nothing is claimed for the next minute, and what takes so long ends before that comes."""
        return self._ahead is None and now + took < self.agenda.last + MINUTE

    def is_due(self, now: datetime) -> bool:
        """Whether a minute has come that did not have its turn yet."""
        return now >= self.agenda.last + MINUTE

    def is_new_phase(self, now: datetime) -> bool:
        """Whether this is the first look within a second of the next minute, or the first after it came."""
        coming = self.agenda.last + MINUTE
        phase = (self.agenda.last, now >= coming) if now >= coming - AHEAD or now < self.agenda.last else None
        new, self._phase = phase is not None and phase != self._phase, phase
        return new

    def next_look(self) -> datetime:
        """When there is something to do again: the next minute, or the second before it to claim."""
        coming = self.agenda.last + MINUTE
        if self._ahead is None:
            turn = self._next()
            if turn and turn.fires:
                coming -= AHEAD
        later = [self._waiting.next_at, self._admission.line.look_at]
        return min([coming, *(at for at in later if at)])

    def replace(self, jobs: Mapping[str, Job], now: datetime) -> None:
        """Other jobs from now on, by key; what had been claimed for the next minute is claimed anew."""
        self.cancel()
        self._jobs = jobs
        self.agenda, self._coming = self.agenda.replaced_by(jobs.values()), None
        self._waiting.replace(jobs, now)
        self._admission.replace(jobs, now)

    def cancel(self) -> None:
        """Take back what is claimed but not started."""
        if self._ahead:
            self._launcher.cancel(self._ahead[1])
            self._ahead = None
