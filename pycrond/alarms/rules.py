"""The rules for alarms after the end of a run, or after a missing run. Pure."""

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
    """Return whether the end of a run can cause an alarm other than mail."""
    values = (options.on_failure, options.on_success, options.on_recovery, options.ping, options.expect)
    return any(value is not None for value in values)


def alarms(options: Options, state: State, health: Health, fire: float) -> tuple[Call, ...]:
    """Return the alarms after a run's last attempt: for the first failure, repeated after `alarm-repeat`;
    for a recovery; for a success and pings each time.

    `health` is the job's health before the run. `fire` is the fire time, because the ends of runs vary; the
    clock may have been turned back since the last failure with an alarm.
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
    """Return the number of last bytes of the output that a ping sends; 0: the ping has no body."""
    always, _, size = options.ping_output.rpartition(":")
    return parse_size(size) if size != "0" and (event == "failure" or (always and event == "success")) else 0


def is_mailed(options: Options, state: State, printed: int, *, is_last: bool) -> bool:
    """Return whether a run's output is mailed: as in cron, if there is any; with `mail=failure`, after a last
    attempt that failed. `printed` is in bytes.
    """
    if not options.may_be_mailed:
        return False
    if options.mail == "failure":
        return is_last and state in {*FAILURES, State.KILLED}
    return printed > 0


def overdue_at(options: Options, health: Health) -> float | None:
    """Return the time, in Unix seconds, at which a job without a success in `expect` seconds is overdue, or
    at which that is reported again; None: never.
    """
    if health.expect is None:
        return None
    if health.overdue_at is None:
        return (health.succeeded_at or health.since) + health.expect + options.jitter + EXPECT_TOLERANCE
    return None if options.alarm_repeat is None else health.overdue_at + options.alarm_repeat


def hook(options: Options, event: str) -> str | None:
    """Return the hook of a job for an event; None without one."""
    hooks = {
        "failure": options.on_failure,
        "success": options.on_success,
        "recovery": options.on_recovery,
        "missed": options.on_missed,
        "overdue": options.on_failure,
    }
    return hooks[event]
