"""The thirty jobs of the simulated server: of root and four users, of all kinds, and how each of them ends."""

from typing import NamedTuple

USERS = ("ada", "ben", "cleo", "dan")
GOING = "cleo"  # the user who comes and goes
FAILS, WORKS, MAY_FAIL = "fails", "works", "may fail"
WAIT = (
    'gate="{directory}/gates/{name}@$PYCROND_FIRE_TIME@{minutes}"; '
    """trap 'rm -f "$gate"; exit 1' TERM; mkfifo "$gate"; read -r _ <"$gate"; rm -f "$gate"; """
)
"""A script that waits until the driver writes to its FIFO: jobs have the real clock."""
ENDLESS = 100_000  # minutes


class SimulatedJob(NamedTuple):
    """A line of a crontab. `end` says how its runs end; a file is a name below /etc, None the user's own crontab."""

    user: str
    name: str
    schedule: str
    script: str
    end: str = WORKS
    options: str = ""
    file: str | None = None
    minutes: int = 0  # for which it waits first

    @property
    def wall_schedule(self) -> str:
        """The schedule without a macro."""
        return {"@daily": "0 0 * * *", "@hourly": "0 * * * *"}.get(self.schedule, self.schedule)

    def command(self, directory: str) -> str:
        """Return the command: it records the run, waits if it has to, and runs the script."""
        tally = 'echo "$PYCROND_FIRE_TIME $PYCROND_ATTEMPT" >>{directory}/tally/{name}; '
        text = tally + (WAIT if self.minutes else "") + self.script
        names = {"directory": directory, "name": self.name, "minutes": str(self.minutes)}
        for name, value in names.items():
            text = text.replace(f"{{{name}}}", value)
        return text


JOBS = [
    SimulatedJob("root", "rotate", "25 6 * * *", "echo rotated", options="missed=once", file="crontab"),
    SimulatedJob(
        "root", "backup", "0 2 * * *", "seq 5000", options="missed=once expect=200h", file="cron.d/backup"
    ),
    SimulatedJob("root", "weekly", "47 6 * * 7", "true", file="crontab"),
    SimulatedJob(
        "root",
        "sync",
        "*/10 * * * *",
        "[ $PYCROND_ATTEMPT -ge 3 ]",
        options="retries=5 retry-delay=20s",
        file="cron.d/sync",
    ),
    SimulatedJob("root", "metrics", "* * * * *", "true", file="cron.d/metrics"),
    SimulatedJob("root", "daily", "@daily", "echo midnight", file="crontab"),
    SimulatedJob(
        "ada",
        "report",
        "*/15 * * * *",
        "echo no report; exit 3",
        FAILS,
        "alarm-repeat=1h on-failure='echo $PYCROND_FIRE_TIME >>{directory}/tally/report.alarms'",
    ),
    SimulatedJob("ada", "poll", "*/5 * * * *", "exit 1", FAILS, "overlap=skip", minutes=9),
    SimulatedJob("ada", "tidy", "17 * * * *", "echo tidied"),
    SimulatedJob("ada", "digest", "30 2 * * *", "true", options="missed=all within=12h"),
    SimulatedJob("ada", "feed", "*/20 * * * *", "seq 300"),
    SimulatedJob("ada", "crash", "*/30 * * * *", "kill -SEGV $$", FAILS),
    SimulatedJob("ben", "mirror", "*/7 * * * *", "true", options="overlap=queue", minutes=10),
    SimulatedJob("ben", "load", "*/12 * * * *", "true", options="lock=db within=10m", minutes=2),
    SimulatedJob("ben", "unload", "*/12 * * * *", "true", options="lock=db within=10m", minutes=1),
    SimulatedJob("ben", "endless", "*/40 * * * *", "true", FAILS, "timeout=5m grace=1s", minutes=ENDLESS),
    SimulatedJob("ben", "newest", "*/25 * * * *", "true", MAY_FAIL, "overlap=replace grace=1s", minutes=40),
    SimulatedJob("ben", "spread", "0 */2 * * *", "true", options="jitter=10m"),
    SimulatedJob("ben", "late", "11 * * * *", "(setsid sh -c 'sleep 0.3; echo later' &); echo now"),
    SimulatedJob("cleo", "visit", "*/6 * * * *", "true"),
    SimulatedJob("cleo", "broken", "*/9 * * * *", "echo broken >&2; exit 2", FAILS),
    SimulatedJob("cleo", "night", "15 3 * * *", "true", options="missed=once"),
    SimulatedJob("cleo", "hour", "@hourly", "true"),
    SimulatedJob("dan", "overdue", "*/10 * * * *", "exit 4", FAILS, "expect=2h"),
    SimulatedJob("dan", "forking", "*/8 * * * *", "(sleep 0.2; echo child) & echo parent"),
    SimulatedJob("dan", "big", "0 */6 * * *", "head -c 2000000 /dev/zero | tr '\\0' x"),
    SimulatedJob("dan", "lost", "33 * * * *", "no-such-program", FAILS),
    SimulatedJob("dan", "nightly", "13 1 * * *", "true", options="missed=once"),
    SimulatedJob("dan", "office", "0 9-17 * * 1-5", "true"),
    SimulatedJob("dan", "tick", "* * * * *", "true"),
]
