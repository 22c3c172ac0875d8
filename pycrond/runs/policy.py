"""What is to be done about a fire that has come, and about a run that has ended: verdicts. Pure."""

import enum
from dataclasses import dataclass, replace

from pycrond.hashing import digest
from pycrond.jobs.job import Job
from pycrond.jobs.options import Options
from pycrond.jobs.run import Fire, Outcome, State

LONGEST_DELAY = 3600.0  # seconds between two attempts, however often it failed
SPREAD = 10  # per cent by which a retry may come later, so that what failed together is not retried together


class Verdict(enum.Enum):
    """What becomes of a fire now."""

    START = enum.auto()
    SKIP = enum.auto()
    WAIT = enum.auto()
    REPLACE = enum.auto()
    """End the job's running runs, and wait for that."""
    MISS = enum.auto()


@dataclass(frozen=True, slots=True)
class Situation:
    """What there is when a fire has come. Runs are those that live, but for this one."""

    running: tuple[int, ...] = ()
    """Runs of the same job."""
    waiting: int = 0
    """How many fires of the same job wait already, before this one."""
    holder: int = 0
    """The run that holds the job's lock; 0: nobody."""
    full: bool = False
    """As many run as may (`max-running`), or others wait for a place before this one."""
    paused: str | None = None
    """Why the job is paused; None: it is not."""
    late: float = 0.0
    """Seconds since the fire time."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and, but for a start, its reason: one of the words of `history` and details."""

    verdict: Verdict
    reason: str = ""


START = Decision(Verdict.START)


def is_plain(options: Options) -> bool:
    """Whether a fire of such a job starts whatever else there is, a pause and `max-running` apart."""
    return options.overlap == "allow" and options.lock is None and options.within is None


def admit(fire: Fire, now: Situation) -> Decision:
    """Whether a fire starts. A pause does not hold up what is started by hand."""
    options = fire.job.entry.options
    by_hand = fire.trigger == "manual"
    if now.paused is not None and not by_hand:
        return Decision(Verdict.SKIP, f"paused: {now.paused}".rstrip(": "))
    if options.within is not None and now.late > options.within and not by_hand:
        return Decision(Verdict.MISS, f"within: it could not start within {options.within:g} s")
    busy = _busy(fire, options, now)
    if busy:
        return busy
    return Decision(Verdict.WAIT, "max-running: as many run as may") if now.full else START


def _busy(fire: Fire, options: Options, now: Situation) -> Decision | None:
    """Of a job that is running, or whose lock is held; None where neither stands in the way."""
    others = now.running if options.overlap != "allow" else ()
    if others:
        why = f"overlap: run {others[-1]} still runs"
        if options.overlap == "replace":
            return Decision(Verdict.REPLACE, why)
    elif now.holder:
        why = f"lock: run {now.holder} holds {options.lock}"
    else:
        return None
    if options.overlap == "skip":
        return Decision(Verdict.SKIP, why)
    if now.waiting and fire.trigger == "schedule":
        return Decision(Verdict.SKIP, f"queue-full: one waits already, {why}")
    return Decision(Verdict.WAIT, why)


def lock_of(job: Job) -> str | None:
    """The name under which a job's lock is held: per user, but for `global:`."""
    lock = job.entry.options.lock
    if lock is None or lock.startswith("global:"):
        return lock
    return f"{job.user}/{lock}"


def judged(
    end: Outcome, success: tuple[int, ...], *, ended_by: tuple[State, str] | None = None, signalled: str = ""
) -> Outcome:
    """The same end, as the exit statuses that count as success have it, and whoever ended it.

    `ended_by`: what that makes of it, and why; `signalled`: by whom, with a signal that ends most programs.
    """
    if end.state in {"succeeded", "failed"} and end.exit_status is not None:
        end = replace(end, state="succeeded" if end.exit_status in success else "failed")
    if ended_by and (end.state != "succeeded" or ended_by[0] == "timed-out"):
        return replace(end, state=ended_by[0], reason=ended_by[1])
    if signalled and end.state == "failed":
        return replace(end, state="killed", reason=signalled)
    return end


def retry_in(options: Options, fire: Fire, end: Outcome) -> float | None:
    """Seconds until a failed run is tried again; None: it is not. The delay doubles, up to an hour, and
    is longer by up to a tenth, drawn from job and fire, so that a restart does not draw again.
    """
    if end.state not in {"failed", "timed-out"} or fire.attempt > options.retries:
        return None
    # The delays of the ninth attempt on are an hour even from one of 10 s: 2**40 only keeps the number small.
    delay: float = min(options.retry_delay * 2 ** min(fire.attempt - 1, 40), LONGEST_DELAY)
    drawn = int(digest(f"{fire.job.key} {fire.at.timestamp():.0f} {fire.attempt}".encode(), 4), 16)
    return delay * (1 + SPREAD / 100 * (drawn % 1001) / 1000)


# Alarms

FAILURES = {"failed", "timed-out", "lost", "unknown"}
"""What alarms tell of as a failure. A run that was killed by order is neither that nor a success."""

Call = tuple[str, str]
"""Kind and event of an alarm: `("hook", "failure")`."""


def has_alarms(options: Options) -> bool:
    """Whether anything follows from an end, mail apart."""
    hooks = (options.on_failure, options.on_success, options.on_recovery, options.ping, options.expect)
    return any(one is not None for one in hooks)


def alarms(
    options: Options, state: str, *, failing: bool, alarmed_at: float | None, now: float
) -> tuple[Call, ...]:
    """What is to be called after a run that nothing more is tried of: the first failure, its repetition where
    one is wished, the recovery; successes, and pings, each time.
    """
    if state == "succeeded":
        recovery: tuple[Call, ...] = (("hook", "recovery"),) if failing else ()
        return (*recovery, ("hook", "success"), ("ping", "success"))
    if state not in FAILURES:
        return ()
    repeat = options.alarm_repeat
    due = not failing or alarmed_at is None or (repeat is not None and now - alarmed_at >= repeat)
    return (("hook", "failure"), ("ping", "failure")) if due else (("ping", "failure"),)


def may_be_mailed(options: Options) -> bool:
    """Whether the output may go by mail."""
    return options.mail != "never" and options.mailto != ""


def is_mailed(options: Options, state: str, printed: int, *, is_last: bool) -> bool:
    """Whether the output goes by mail: as in cron when there is any, or of a failure in the end."""
    if not may_be_mailed(options):
        return False
    if options.mail == "failure":
        return is_last and state in {*FAILURES, "killed"}
    return printed > 0


def overdue_at(
    options: Options, since: float, succeeded_at: float | None, said_at: float | None
) -> float | None:
    """When it is to be said that a job has not succeeded for too long, in Unix seconds; None: never."""
    if options.expect is None:
        return None
    if said_at is None:
        return (succeeded_at or since) + options.expect
    return None if options.alarm_repeat is None else said_at + options.alarm_repeat
