"""The kinds of jobs. Each line that they print has the name of the job, the fire time and a number."""

import os
from dataclasses import dataclass

BEGIN = (
    'echo "$PYCROND_FIRE_TIME" >>{tally}; '
    'echo "$PYCROND_FIRE_TIME/$PYCROND_ATTEMPT" >>{tally}.attempts; '
    'say() { n=$1; while [ $n -le $2 ]; do echo "{name} $PYCROND_FIRE_TIME $n"; n=$((n+1)); done; }; '
)
ALONE = "mkdir {lock} || echo $PYCROND_FIRE_TIME >>{tally}.beside; "  # records a second run at the same time
LEAVE = "rmdir {lock}"
PADDING = 880  # bytes after each line of a big job; the line still fits into one message to syslog


@dataclass(frozen=True)
class Kind:
    """`script` prints the lines 1 to `lines`, in any order, and then `rest`; it ends with `status` or by `signal`."""

    script: str
    lines: int
    status: int | None = 0
    signal: int | None = None
    rest: str = ""
    padding: int = 0
    rare: bool = False  # a single job of this kind, with a rare schedule
    options: str = ""
    """The options of the `#:` line. With them the end and the output depend on when the faults come."""

    @property
    def attempts(self) -> bool:
        """Return whether a fire may have several runs."""
        return "retries=" in self.options

    @property
    def quick(self) -> bool:
        return not self.rare and not self.options and "sleep" not in self.script

    def command(self, name: str, tally: str) -> str:
        lock = f"{os.path.dirname(tally)}/db.lock" if "lock=" in self.options else f"{tally}.lock"
        script = BEGIN + self.script
        return script.replace("{name}", name).replace("{tally}", tally).replace("{lock}", lock)

    def size(self, name: str, fire: str) -> int:
        """Return how many bytes a run prints."""
        digits = sum(len(str(number)) for number in range(1, self.lines + 1))
        return self.lines * (len(f"{name} {fire} \n") + self.padding) + digits + len(self.rest)


KINDS = {
    "short": Kind("say 1 1", 1),
    "silent": Kind("true", 0),
    "failing": Kind("say 1 2; exit 3", 2, status=3),
    "chatty": Kind("say 1 300", 300),
    "long": Kind("say 1 1; sleep 0.7; say 2 2", 2),
    "half": Kind("say 1 2; printf half", 2, rest="half"),
    "pausing": Kind(  # half lines
        'printf "{name} "; sleep 0.2; printf "$PYCROND_FIRE_TIME "; sleep 0.2; echo 1; printf "{name} "; sleep 0.2; '
        'echo "$PYCROND_FIRE_TIME 2"',
        2,
    ),
    "killed": Kind("say 1 3; kill -KILL $$", 3, status=None, signal=9),
    "terminated": Kind("say 1 3; kill -TERM $$", 3, status=None, signal=15),
    "crashed": Kind("say 1 1; kill -SEGV $$", 1, status=None, signal=11),
    "forking": Kind("say 1 1; (sleep 0.4; say 2 3) & say 4 4", 4),
    "leaving": Kind(  # a process in a session of its own, which ends after the run
        "say 1 1; (setsid sh -c 'sleep 0.8; echo \"{name} $PYCROND_FIRE_TIME 2\"; exit 9' &); say 3 3; exit 4",
        3,
        status=4,
    ),
    "stubborn": Kind("trap '' TERM; say 1 1; sleep 0.3; say 2 2", 2),
    "closing": Kind("say 1 2; exec >&- 2>&-; sleep 0.2", 2),
    "limited": Kind("say 1 1; exec sleep 5", 1, options="timeout=1s grace=0.3s"),
    "deaf": Kind(
        "trap '' TERM; say 1 1; n=0; while [ $((n+=1)) -lt 50 ]; do sleep 0.1; done",
        1,
        options="timeout=0.5s grace=0.3s",
    ),
    "single": Kind(ALONE + "say 1 1; sleep 0.6; " + LEAVE, 1, options="overlap=skip"),
    "queued": Kind(ALONE + "say 1 1; sleep 0.6; " + LEAVE, 1, options="overlap=queue"),
    "locked": Kind(ALONE + "say 1 1; sleep 0.2; " + LEAVE, 1, options="lock=db within=10m"),
    "replaced": Kind("say 1 1; exec sleep 5", 1, options="overlap=replace grace=0.5s timeout=3s"),
    "again": Kind("say 1 1; [ $PYCROND_ATTEMPT = 3 ]", 1, options="retries=3 retry-delay=0.2s"),
    "late": Kind("say 1 1", 1, options="jitter=3s"),
    "caught": Kind("say 1 1", 1, options="missed=all within=20m"),
    "alarming": Kind(
        "say 1 1; exit 3",
        1,
        options="on-failure='echo $PYCROND_EVENT >>{tally}.hook' alarm-repeat=1m expect=5m",
    ),
    "big": Kind(  # 10 MB
        f'p=$(head -c {PADDING} /dev/zero | tr "\\0" x); seq 11000 | sed "s/.*/{{name}} $PYCROND_FIRE_TIME &$p/"',
        11_000,
        padding=PADDING,
        rare=True,
    ),
}
