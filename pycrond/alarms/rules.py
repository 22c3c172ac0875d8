"""The rules by which alarms follow from the end of a run, or from its absence. Pure."""

from pycrond.jobs.option_values import size as parse_size
from pycrond.jobs.options import EXPECT_TOLERANCE, Options
from pycrond.jobs.run import State
from pycrond.ledger.alarms import Health

FAILURES = {State.FAILED, State.TIMED_OUT, State.LOST, State.UNKNOWN}
"""The states that alarms report as a failure. A run that was killed on request is neither a failure nor a
success.
"""

Call = tuple[str, str]
"""Kind and event of an alarm: `("hook", "failure")`."""


def has_alarms(options: Options) -> bool:
    """Return whether anything but mail follows from the end of a run."""
    values = (options.on_failure, options.on_success, options.on_recovery, options.ping, options.expect)
    return any(value is not None for value in values)


def alarms(options: Options, state: State, health: Health, fire: float) -> tuple[Call, ...]:
    """The alarms after a run's last attempt: for a failure the first time, and repeated where `alarm-repeat`
    says so; for a recovery; pings and successes each time.

    `health` is that of the job before. `fire` is the fire time, as the ends of runs vary; the clock may have
    been turned back since the last failure with an alarm.
    """
    is_failing, alarmed_for = health.failing_since is not None, health.alarmed_for
    if state == State.SUCCEEDED:
        recovery: tuple[Call, ...] = (("hook", "recovery"),) if is_failing else ()
        return (*recovery, ("hook", "success"), ("ping", "success"))
    if state not in FAILURES:
        return ()
    repeat = options.alarm_repeat
    is_due = (
        not is_failing or alarmed_for is None or (repeat is not None and abs(fire - alarmed_for) >= repeat)
    )
    return (("hook", "failure"), ("ping", "failure")) if is_due else (("ping", "failure"),)


def ping_output(options: Options, event: str) -> int:
    """Return how many bytes of the end of the output a ping sends; 0: it has no body."""
    always, _, size = options.ping_output.rpartition(":")
    return parse_size(size) if size != "0" and (event == "failure" or (always and event == "success")) else 0


def is_mailed(options: Options, state: State, printed: int, *, is_last: bool) -> bool:
    """Return whether a run's output goes by mail: as in cron when there is any, with `mail=failure` after a
    last attempt that failed. `printed` is in bytes.
    """
    if not options.may_be_mailed:
        return False
    if options.mail == "failure":
        return is_last and state in {*FAILURES, State.KILLED}
    return printed > 0


def overdue_at(options: Options, health: Health) -> float | None:
    """When a job counts as overdue, because it has not succeeded for the time in `expect`, or when that is
    reported again, in Unix seconds; None: never.
    """
    if health.expect is None:
        return None
    if health.overdue_at is None:
        return (health.succeeded_at or health.since) + health.expect + options.jitter + EXPECT_TOLERANCE
    return None if options.alarm_repeat is None else health.overdue_at + options.alarm_repeat


def hook(options: Options, event: str) -> str | None:
    """The command of a job for an event."""
    hooks = {
        "failure": options.on_failure,
        "success": options.on_success,
        "recovery": options.on_recovery,
        "missed": options.on_missed,
        "overdue": options.on_failure,
    }
    return hooks[event]
