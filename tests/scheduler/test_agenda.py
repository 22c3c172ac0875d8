"""The agenda, compared with cron's loop minute by minute: late loops, clock changes, repeated hours."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycrond.jobs.job import Job
from pycrond.jobs.run import Fire
from pycrond.schedule.fire_times import fire_times
from pycrond.schedule.timezone import MINUTE, ChangedZone, Zone, tick_from
from pycrond.scheduler.agenda import Agenda, DueMinute, initial_minute, minute
from tests.conftest import jobs_of
from tests.support.judge import Judge, runs, ticks

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UTC_ZONE = Zone.of("UTC")
EXPRESSIONS = """\
* * * * *
*/20 2 * * *
0 */2 * * *
7 * * * *
*,5 2 * * *
*/7 0-4 * * 0-3
30 2 * * *
0,30 2 * * *
15 1-3 * * *
0 3 * * *
0-59 2 * * *
0-59 0-23 * * *
0 0 * * *
30 0 * * *
45 1 * * *
15 2 * * *
30 23 * * *
59 23 * * *
0 12 1-31 * *
""".splitlines()
NIGHTS = [
    ("Europe/Berlin", "2025-03-29T22:00", "forward at 02:00"),
    ("Europe/Berlin", "2025-10-25T22:00", "back at 03:00"),
    ("America/New_York", "2025-03-08T22:00", "forward at 02:00"),
    ("America/New_York", "2025-11-01T22:00", "back at 02:00"),
    ("Australia/Lord_Howe", "2025-10-04T22:00", "forward by half an hour"),
    ("Australia/Lord_Howe", "2025-04-05T22:00", "back by half an hour"),
    ("Africa/Cairo", "2025-04-24T22:00", "forward at midnight"),
    ("Africa/Cairo", "2025-10-30T22:00", "back at midnight, into the day before"),
    ("Antarctica/Troll", "2025-03-29T22:00", "forward by two hours"),
    ("Pacific/Apia", "2011-12-29T22:00", "a day left out"),
    ("Asia/Kolkata", "2025-03-29T22:00", "no change, and half an hour off"),
]
NIGHT = 430  # minutes, beyond any change of clocks and its repeated hour
FireName = tuple[datetime, int, int]
"""A fire's time, its wall minute, and the fold of that minute."""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def local(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def wall(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // MINUTE


def agenda(text: str, now: datetime, zone: str = "UTC") -> Agenda:
    return Agenda(jobs_of(text), Zone.of(zone), now)


def due_minutes(table: Agenda, now: datetime) -> list[DueMinute]:
    """Return all minutes that are due when the clock shows `now`, and advance the agenda."""
    minutes_due = []
    while (due := table.due(now)) is not None:
        minutes_due.append(due)
        table.advance(due)
    return minutes_due


def fires_at(table: Agenda, shown: Iterable[datetime]) -> list[tuple[datetime, Fire]]:
    """Return the fires when the clock shows these times, each with the time that the clock shows."""
    return [(now, fire) for now in shown for due in due_minutes(table, now) for fire in due.fires]


def by_schedule(fires: Iterable[tuple[datetime, Fire]]) -> dict[str, list[FireName]]:
    names: dict[str, list[FireName]] = {text: [] for text in EXPRESSIONS}
    for _, fire in fires:
        assert fire.wall is not None
        names[fire.job.entry.schedule_text].append((fire.at, fire.wall, fire.fold))
    return names


def minutes(start: datetime, number: int) -> list[datetime]:
    """Return a time shortly after the beginning of each minute after `start`."""
    return [start + n * MINUTE + timedelta(milliseconds=3) for n in range(1, number + 1)]


def every_expression(zone: str | None = None) -> str:
    lines = [f"{text} true" for text in EXPRESSIONS]
    return "\n".join([f"CRON_TZ={zone}" if zone else "", *lines, ""])


# A night with a clock change, minute by minute, compared with the forecast and with cron.


@pytest.mark.parametrize(("zone", "evening", "why"), NIGHTS)
@pytest.mark.parametrize("of_daemon", [True, False], ids=["the daemon's zone", "CRON_TZ"])
def test_a_night_has_the_fire_times_of_the_forecast(
    zone: str, evening: str, why: str, of_daemon: bool
) -> None:
    start = local(evening, zone)
    text, own = (every_expression(), zone) if of_daemon else (every_expression(zone), "America/Santiago")
    fires = by_schedule(fires_at(agenda(text, start, own), minutes(start, NIGHT)))
    for job in jobs_of(text):
        schedule = job.entry.schedule
        assert schedule is not None
        expected = fire_times(schedule, Zone.of(zone), start + MINUTE, start + (NIGHT + 1) * MINUTE)
        assert fires[job.entry.schedule_text] == [(fire.at, fire.wall, fire.fold) for fire in expected], (
            job.entry.schedule_text,
            why,
        )


@pytest.mark.parametrize(("zone", "evening", "why"), NIGHTS)
def test_a_night_is_as_in_cron(zone: str, evening: str, why: str) -> None:
    start = local(evening, zone)
    fires = by_schedule(fires_at(agenda(every_expression(), start, zone), minutes(start, NIGHT)))
    shown = ticks(ZoneInfo(zone), start + MINUTE, start + (NIGHT + 1) * MINUTE)
    for text in EXPRESSIONS:
        judged = [(EPOCH + tick * MINUTE, named) for tick, named in runs(Judge(text), shown)]
        assert [name[:2] for name in fires[text]] == judged, (text, why)


def test_each_zone_has_a_position_of_its_own() -> None:
    lines = "CRON_TZ=Europe/Berlin\n15 1-3 * * * b\nCRON_TZ=UTC\n15 1-3 * * * u\nCRON_TZ=\n15 1-3 * * * d\n"
    start = at("2025-10-25T22:00Z")
    fires = fires_at(agenda(lines, start, "America/New_York"), minutes(start, 480))
    # While Berlin repeats an hour cronie loses the job of 01:15Z; the daemon's own zone is New York.
    expected = [
        ("u", "01:15"),
        ("u", "02:15"),
        ("u", "03:15"),
        ("d", "05:15"),
        ("b", "23:15"),
        ("b", "00:15"),
        ("b", "02:15"),
    ]
    actual = [(fire.job.entry.command, f"{fire.at:%H:%M}") for _, fire in fires]
    assert sorted(actual) == sorted(expected)


# Late and moved clocks, compared with cron's own loop (the judge).

FAR_STEPS = [
    (10, "wildcard once at the new time, fixed times each"),
    (120, "as before"),
    (178, "the last one that is caught up, with the minute itself"),
    (180, "too far: nothing is caught up"),
    (300, "as before"),
    (-10, "wildcard jobs repeat, fixed ones wait"),
    (-120, "as before"),
    (-179, "as before"),
    (-300, "too far: everything runs again"),
    (1440, "a day, as by a suspended laptop"),
]


def stepped(start: datetime, steps: Iterable[tuple[int, int]]) -> list[datetime]:
    """Return the times that a clock shows, a minute apart. A step is a number of minutes, then a move in
    minutes.
    """
    shown, now = [], start
    for normal, moved in steps:
        for _ in range(normal):
            now += MINUTE
            shown.append(now)
        now += moved * MINUTE
    return shown


def judged(text: str, shown: Iterable[datetime]) -> list[tuple[int, int]]:
    return sorted(runs(Judge(text), list(enumerate((now - EPOCH) // MINUTE for now in shown))))


def assert_as_judged(shown: list[datetime]) -> None:
    """Assert that the agenda has the fires of the judge when the clock shows these times."""
    start = shown[0] - MINUTE
    table = agenda(every_expression(), start)
    fires: dict[str, list[tuple[int, int]]] = {text: [] for text in EXPRESSIONS}
    for number, now in enumerate(shown):
        for _, fire in fires_at(table, [now]):
            assert fire.wall is not None
            fires[fire.job.entry.schedule_text].append((number, fire.wall))
    for text in EXPRESSIONS:
        assert sorted(fires[text]) == judged(text, shown), text


@pytest.mark.parametrize("begin", ["00:20", "02:29", "23:40"])
@pytest.mark.parametrize(("moved", "why"), FAR_STEPS)
def test_a_moved_clock_is_as_in_cron(begin: str, moved: int, why: str) -> None:
    assert_as_judged(stepped(at(f"2025-06-10T{begin}Z"), [(30, moved), (300, 0)]))


@pytest.mark.parametrize("late", [2, 3, 4, 5])
def test_a_little_late_each_minute_is_run(late: int) -> None:
    assert_as_judged(stepped(at("2025-06-10T01:50Z"), [(30, late - 1), (60, late - 1), (60, 0)]))


# Small steps only where the clock is not behind: there cron, late by some minutes, leaves wildcard jobs out
# that the agenda runs.
FAR = st.sampled_from([number for number, _ in FAR_STEPS]) | st.integers(6, 600) | st.integers(-600, -6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 200), FAR), min_size=1, max_size=4), st.integers(0, 1439))
def test_a_clock_moved_several_times_is_as_in_cron(steps: list[tuple[int, int]], begin: int) -> None:
    assert_as_judged(stepped(at("2025-06-10T00:00Z") + begin * MINUTE, [*steps, (60, 0)]))


@pytest.mark.parametrize(
    ("moved", "wild", "fixed", "why"),
    [
        (0, [0], [0], "no step, no era"),
        (300, [0], [0], "forward: no minute comes again"),
        (-10, [0, 1], [0], "wildcard minutes come again, fixed ones do not"),
        (-180, [0, 1], [0], "three hours are not more than three hours"),
        (-300, [0, 1], [0, 1], "all of them come again"),
    ],
)
def test_repeated_minutes_have_different_eras(
    moved: int, wild: list[int], fixed: list[int], why: str
) -> None:
    text = "* * * * * wild\n0-59 0-23 * * * fixed\n"
    table = agenda(text, at("2025-06-10T06:00Z"))
    fires = fires_at(table, stepped(at("2025-06-10T06:00Z"), [(60, moved), (600, 0)]))
    for command, expected in (("wild", wild), ("fixed", fixed)):
        mine = [fire for _, fire in fires if fire.job.entry.command == command]
        assert sorted({fire.era for fire in mine}) == expected, why
        names = [(fire.wall, fire.fold, fire.era) for fire in mine]
        assert len(set(names)) == len(names), why
    assert table.eras == (fixed[-1], wild[-1])


def test_eras_continue_after_a_restart() -> None:
    table = Agenda(jobs_of("* * * * * x\n0-59 0-23 * * * y\n"), UTC_ZONE, at("2025-06-10T06:00Z"), (3, 7))
    assert [fire.era for _, fire in fires_at(table, [at("2025-06-10T06:01Z")])] == [7, 3]


def test_caught_up_fires_keep_their_own_time() -> None:
    table = agenda("0-59 0-23 * * * fixed\n* * * * * wild\n", at("2025-06-10T12:00Z"))
    (due,) = due_minutes(table, at("2025-06-10T12:11:20Z"))
    fixed = [fire for fire in due.fires if fire.job.entry.command == "fixed"]
    wild = [fire for fire in due.fires if fire.job.entry.command == "wild"]
    assert [f"{fire.at:%H:%M:%S}" for fire in fixed] == [f"12:{m:02}:00" for m in range(1, 12)]
    assert [f"{fire.at:%H:%M:%S}" for fire in wild] == ["12:11:00"]


def test_a_skipped_time_is_due_after_the_jump_of_the_clock() -> None:
    start = local("2025-03-30T01:50", "Europe/Berlin")
    fires = fires_at(agenda("0,30 2 * * * x\n", start, "Europe/Berlin"), minutes(start, 60))
    assert [(f"{fire.at:%H:%M}", fire.wall) for _, fire in fires] == [
        ("01:00", wall("2025-03-30T02:00")),
        ("01:00", wall("2025-03-30T02:30")),
    ]


# Other behaviour


def test_the_minute_of_the_start_is_not_run() -> None:
    for second in ("00", "59.999"):
        table = agenda("* * * * * x\n", at(f"2025-06-10T06:14:{second}Z"))
        assert table.due(at("2025-06-10T06:14:59.999999Z")) is None
        assert [due.at for due in due_minutes(table, at("2025-06-10T06:15Z"))] == [at("2025-06-10T06:15Z")]


def test_a_minute_is_run_once() -> None:
    table = agenda("* * * * * x\n", at("2025-06-10T06:14Z"))
    seen = [at("2025-06-10T06:15Z"), at("2025-06-10T06:15:00.001Z"), at("2025-06-10T06:15:59Z")]
    assert len(fires_at(table, seen)) == 1


def test_due_changes_nothing() -> None:
    start = local("2025-10-26T01:00", "Europe/Berlin")
    plain, curious = (agenda(every_expression(), start, "Europe/Berlin") for _ in range(2))
    for now in minutes(start, 240):
        for ahead in (MINUTE, -120 * MINUTE, 90 * MINUTE):
            curious.due(now + ahead)
        coming = curious.due(now)
        assert coming == curious.due(now)
        assert coming is not None
        assert [(due.at, due.fires) for due in due_minutes(plain, now)] == [(coming.at, coming.fires)]
        curious.advance(coming)
        assert (plain.last, plain.eras) == (curious.last, curious.eras)


def test_due_in_advance_returns_the_same_fires() -> None:
    table = agenda(every_expression(), at("2025-06-10T01:58Z"))
    for now in minutes(at("2025-06-10T01:58Z"), 90):
        foreseen = table.due(minute(now))
        (came,) = due_minutes(table, now)
        assert foreseen is not None
        assert (came.at, came.fires) == (foreseen.at, foreseen.fires)


def test_an_agenda_without_jobs_advances() -> None:
    table = agenda("", at("2025-06-10T12:00Z"))
    assert [due.fires for due in due_minutes(table, at("2025-06-10T12:01Z"))] == [()]
    assert table.last == at("2025-06-10T12:01Z")


def test_reboot_jobs_and_impossible_ones_are_never_due() -> None:
    table = agenda("@reboot x\n0 0 30 2 * y\n0 22-2 * * * z\n", at("2025-06-10T12:00Z"))
    assert len(table.jobs) == 3
    assert fires_at(table, minutes(at("2025-06-10T12:00Z"), 1500)) == []


def test_a_jump_of_a_month_has_one_minute() -> None:
    table = agenda("* * * * * x\n0-59 0-23 * * * y\n", at("2025-06-10T12:00Z"))
    assert len(fires_at(table, [at("2025-07-10T12:00Z")])) == 2


# Reloads

Change = Callable[[int], list[Job]]


def fires_with_reloads(
    text: str, start: datetime, zone: str, shown: list[datetime], change: Change
) -> list[Fire]:
    table = agenda(text, start, zone)
    fires = []
    for number, now in enumerate(shown):
        fires += [fire for _, fire in fires_at(table, [now])]
        if number % 5 == 4:
            table = table.replaced_by(change(number))
    return fires


OTHER_JOBS = jobs_of("* * * * * another\nCRON_TZ=Asia/Tokyo\n5 * * * * tokyo\n", file="/etc/crontabs/other")


@pytest.mark.parametrize(("zone", "evening", "why"), NIGHTS)
def test_reloads_change_no_fire_of_a_night(zone: str, evening: str, why: str) -> None:
    start = local(evening, zone)
    text, shown = every_expression(), minutes(start, NIGHT)
    undisturbed = [fire for _, fire in fires_at(agenda(text, start, zone), shown)]
    mine = jobs_of(text)
    for change in (lambda _: mine, lambda number: mine + OTHER_JOBS * (number % 3 == 0)):
        fires = fires_with_reloads(text, start, zone, shown, change)
        same = [fire for fire in fires if fire.job.entry.file != "/etc/crontabs/other"]
        assert sorted(map(identity, same)) == sorted(map(identity, undisturbed)), why


def identity(fire: Fire) -> tuple[str, datetime, int, int, int]:
    return fire.job.key, fire.at, fire.wall or 0, fire.fold, fire.era


@pytest.mark.parametrize("moved", [moved for moved, _ in FAR_STEPS])
def test_reloads_change_no_fire_after_a_step_of_the_clock(moved: int) -> None:
    start = at("2025-06-10T01:50Z")
    text, shown = every_expression(), stepped(start, [(30, moved), (240, 0)])
    undisturbed = [fire for _, fire in fires_at(agenda(text, start), shown)]
    fires = fires_with_reloads(text, start, "UTC", shown, lambda _: jobs_of(text))
    assert sorted(map(identity, fires)) == sorted(map(identity, undisturbed))


def test_a_new_job_is_due_from_the_next_minute() -> None:
    table = agenda("0 0 1 1 * x\n", at("2025-06-10T12:00Z"))
    due_minutes(table, at("2025-06-10T12:05:00Z"))
    table = table.replaced_by(jobs_of("5,6 12 * * * new\n"))
    assert table.due(at("2025-06-10T12:05:30Z")) is None
    assert [fire.at for _, fire in fires_at(table, [at("2025-06-10T12:06:00Z")])] == [at("2025-06-10T12:06Z")]


def test_a_removed_job_has_no_fire() -> None:
    table = agenda("* * * * * x\n", at("2025-06-10T12:00Z")).replaced_by([])
    assert table.jobs == ()
    assert fires_at(table, [at("2025-06-10T12:01Z")]) == []


@pytest.mark.parametrize(
    ("crontab", "zone"),
    [("30 2 * * * x\n", "Europe/Berlin"), ("CRON_TZ=Europe/Berlin\n30 2 * * * x\n", "UTC")],
    ids=["the daemon's zone", "CRON_TZ"],
)
def test_a_fixed_time_is_not_repeated_after_its_jobs_were_away(crontab: str, zone: str) -> None:
    """A crontab is moved away in the repeated hour and back before the time comes a second time."""
    start = local("2025-10-26T01:50", "Europe/Berlin")
    shown = minutes(start, 160)

    def change(number: int) -> list[Job]:
        second_ten_past = 79  # 02:10 the second time
        return [] if number in range(second_ten_past, second_ten_past + 5) else jobs_of(crontab)

    fires = fires_with_reloads(crontab, start, zone, shown, change)
    assert [(f"{fire.at:%H:%M}", fire.fold) for fire in fires] == [("00:30", 0)]


def test_a_step_back_is_remembered_without_jobs() -> None:
    text = "15 12 * * * x\n"
    start = at("2025-06-10T12:00Z")
    shown = stepped(start, [(30, -60), (120, 0)])
    fires = fires_with_reloads(
        text, start, "UTC", shown, lambda n: [] if n in range(35, 40) else jobs_of(text)
    )
    assert [(fire.at, fire.era) for fire in fires] == [(at("2025-06-10T12:15Z"), 0)]


@pytest.mark.parametrize(
    ("last", "now", "expected", "why"),
    [
        (None, "12:00:30", "12:00", "the very first start: the running minute is not run"),
        ("12:00", "12:00:59", "12:00", "a restart within the minute"),
        ("12:00", "12:01:00", "12:00", "a gap of a minute is lateness: 12:01 is run"),
        ("12:00", "12:01:59", "12:00", "still the next minute"),
        ("12:00", "12:02:00", "12:02", "absence: the running minute is not run"),
        ("12:00", "18:00:00", "18:00", "a long absence"),
        ("12:00", "11:59:59", "12:00", "the clock was moved back meanwhile: the first turn sees it"),
    ],
)
def test_initial_minute(last: str | None, now: str, expected: str, why: str) -> None:
    before = at(f"2025-06-10T{last}Z") if last else None
    assert initial_minute(before, at(f"2025-06-10T{now}Z")) == at(f"2025-06-10T{expected}Z"), why


def test_the_initial_minute_in_another_zone() -> None:
    now = datetime.fromisoformat("2025-06-10T14:01:10+02:00")
    assert initial_minute(at("2025-06-10T12:00Z"), now) == at("2025-06-10T12:00Z")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        *(("Europe/Berlin", "Europe/London"), ("Europe/London", "Europe/Berlin"), ("UTC", "Asia/Tokyo")),
        *(("Asia/Tokyo", "UTC"), ("Europe/Berlin", "Europe/Oslo"), ("UTC", "Pacific/Kiritimati")),
    ],
)
def test_in_another_zone_the_fires_are_those_that_audit_expects(before: str, after: str) -> None:
    text = "".join(
        f"{schedule} x{schedule[:4]}\n" for schedule in ("*/20 * * * *", "0-59/7 0-23 * * *", "0 12 * * *")
    )
    jobs = jobs_of(text + "CRON_TZ=Asia/Tokyo\n30 20 * * * y\n")
    start, change, until = (at(f"2025-06-{day}Z") for day in ("10T08:00", "10T11:30", "11T13:00"))
    agenda, now = Agenda(jobs, Zone.of(before), start), start
    seen: set[tuple[str, datetime, int | None]] = set()
    while now < until:
        now += MINUTE
        due = agenda.due(now)
        assert due
        seen |= {(fire.job.key, fire.at, fire.wall) for fire in due.fires}
        agenda.advance(due)
        if now == change:
            agenda = agenda.in_zone(Zone.of(after))
    changed = ChangedZone(Zone.of(before), tick_from(change) + 1, Zone.of(after))
    expected = {
        (job.key, fire.at, fire.wall)
        for job in jobs
        if (schedule := job.entry.schedule)
        for zone in [Zone.of(job.entry.zone) if job.entry.zone else changed]
        for fire in fire_times(schedule, zone, start + MINUTE, until + MINUTE)
    }
    assert seen == expected
    assert agenda.eras == (before == "Asia/Tokyo", before == "Asia/Tokyo" or after == "Europe/London")
