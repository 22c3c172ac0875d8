"""The same jobs under Debian's cron and pycrond, through nights with clock changes: both start the same runs."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.conftest import Crond, wait_until
from tests.support import faketime
from tests.support.debian_cron import DebianCron, program

pytestmark = pytest.mark.daemon

WILDCARD = {
    "every": "* * * * *",
    "wild20": "*/20 2 * * *",
    "wild2h": "0 */2 * * *",
    "at7": "7 * * * *",
    "list": "*,5 1 * * *",
}
FIXED = {
    "at230": "30 2 * * *",
    "half": "0,30 2 * * *",
    "quarter": "15 1-3 * * *",
    "at145": "45 1 * * *",
    "at3": "0 3 * * *",
    "at1": "0,59 1 * * *",
    "tens": "0-59/10 0-23 * * *",
    "daily": "@daily",
}
QUIET = 0.12  # seconds without a new line after which a minute's jobs have all been started


class Pair:
    """Both daemons, with the same clock."""

    def __init__(self, crond: Crond, zone: str, start: datetime) -> None:
        self._crond = crond
        self._zone = zone
        self._set(start)
        crond.environment |= {"TZ": zone, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
        names = ("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE", "FAKETIME_NO_CACHE", "TZ")
        self._fake = {name: crond.environment[name] for name in names}
        crond.write("jobs", self._crontab("ours"))
        crond.run("start")
        self._cron = DebianCron(crond.directory / "cron", self._crontab("theirs"), self._fake)

    def _crontab(self, who: str) -> str:
        settings = "".join(f"{name}={value}\n" for name, value in self._fake.items())
        out = self._crond.directory / who
        return settings + "".join(
            f"{schedule} echo {name} $(date '+\\%F \\%H:\\%M \\%Z') >> {out}\n"
            for name, schedule in {**WILDCARD, **FIXED}.items()
        )

    def _set(self, at: datetime) -> None:
        self._crond.at(at.strftime("%Y-%m-%d %H:%M:%S"))

    def to(self, at: datetime) -> None:
        """Set the clock, and wait until both have run the jobs that are due."""
        before = {who: len(self.lines(who, "every")) for who in ("ours", "theirs")}
        self._set(at)

        def both_have_looked() -> bool:
            self._cron.poke()
            return all(len(self.lines(who, "every")) > before[who] for who in before)

        wait_until(both_have_looked)
        seen = -1
        while seen != (seen := sum(len(self.lines(who)) for who in before)) or not self._is_idle():
            time.sleep(QUIET)
            self._cron.poke()

    def _is_idle(self) -> bool:
        """Return whether no job of either daemon runs."""
        status = self._crond.status()
        return status is not None and not status["running"] and self._cron.is_idle

    def lines(self, who: str, name: str = "") -> list[str]:
        try:
            text = (self._crond.directory / who).read_text()
        except FileNotFoundError:
            return []
        return [line for line in text.splitlines() if line.startswith(f"{name} " if name else "")]

    def compare(self) -> None:
        """Assert that wildcard jobs ran in the same wall-clock minutes, and the others as often: cron may be
        late.
        """
        for name in WILDCARD:
            assert Counter(self.lines("ours", name)) == Counter(self.lines("theirs", name)), name
        ran = {who: {name: len(self.lines(who, name)) for name in FIXED} for who in ("ours", "theirs")}
        assert ran["ours"] == ran["theirs"]
        assert sum(ran["ours"].values()), "some fixed jobs have run"

    def end(self) -> None:
        self._cron.end()


@pytest.fixture
def crond(crond: Crond) -> Iterator[Crond]:
    """A pycrond on a machine that has Debian's cron and libfaketime."""
    program()
    faketime.library()
    yield crond


def minutes(pair: Pair, start: datetime, number: int) -> datetime:
    for count in range(number):
        pair.to(start + timedelta(minutes=count))
    return start + timedelta(minutes=number)


@pytest.mark.parametrize(
    ("zone", "begin", "number"),
    [
        ("Europe/Berlin", "2031-03-30T01:57:02+01:00", 8),
        ("America/New_York", "2031-03-09T01:57:02-05:00", 8),
        ("Australia/Lord_Howe", "2031-10-05T01:57:02+10:30", 8),
        ("Europe/Berlin", "2031-10-26T02:57:02+02:00", 66),
        ("America/New_York", "2031-11-02T01:57:02-04:00", 66),
        ("Australia/Lord_Howe", "2031-04-06T01:57:02+11:00", 36),
    ],
)
def test_both_run_the_same_jobs_in_a_night_when_the_clock_changes(
    crond: Crond, zone: str, begin: str, number: int
) -> None:
    start = datetime.fromisoformat(begin).astimezone(UTC)
    turned = [(start + timedelta(minutes=n)).astimezone(ZoneInfo(zone)).utcoffset() for n in (0, number)]
    assert turned[0] != turned[1], "the clock changes within these minutes"
    pair = Pair(crond, zone, start - timedelta(minutes=1))
    try:
        minutes(pair, start, number)
        pair.compare()
        assert len(pair.lines("ours", "every")) == number
    finally:
        pair.end()


@pytest.mark.parametrize("step", [10, 120, 300, -10, -120, -300])
def test_both_run_the_same_jobs_after_the_clock_is_set_by_hand(crond: Crond, step: int) -> None:
    start = datetime(2031, 6, 1, 6, 57, 2, tzinfo=UTC)
    pair = Pair(crond, "UTC", start - timedelta(minutes=1))
    try:
        after = minutes(pair, start, 4)
        minutes(pair, after + timedelta(minutes=step), 16 if step == -10 else 8)
        pair.compare()
        skipped = [run for run in crond.runs() if run.state == "skipped"]
        assert bool(skipped) is (step > 5)
        assert all(run.reason.startswith("clock-step") for run in skipped)
    finally:
        pair.end()
