"""The kinds of jobs. Each start and each end is a line in the tally of its node, outside the database."""

from dataclasses import dataclass

UPTIME = "read -r u _ </proc/uptime"
START = f'{UPTIME}; echo "S $PYCROND_JOB $PYCROND_FIRE_TIME $PYCROND_ATTEMPT $PYCROND_RUN $$ $u" >>"$TALLY"'
END = f'{UPTIME}; echo "E $PYCROND_JOB $PYCROND_FIRE_TIME $PYCROND_ATTEMPT $PYCROND_RUN $$ $u" >>"$TALLY"'


@dataclass(frozen=True)
class Kind:
    """`options` of the `#:` line; `seconds` that a run takes, which tells of its end if they are not 0."""

    share: int
    """Jobs of twenty."""
    options: str = ""
    seconds: float = 0
    command: str = ""
    """Between the lines of the start and of the end, in place of a sleep."""

    def __post_init__(self) -> None:
        assert "lock=" not in self.options or self.seconds

    @property
    def script(self) -> str:
        if self.command:
            return f"{START}; {self.command}"
        return f"{START}; sleep {self.seconds:g}; {END}" if self.seconds else START

    @property
    def may_repeat(self) -> bool:
        """A fire may be started twice."""
        return "rerun" in self.options or "partition=run" in self.options

    @property
    def is_every(self) -> bool:
        return "on=every" in self.options

    def lock(self, job: str) -> str | None:
        """The name of what no two runs may hold at once."""
        for word in self.options.replace("{group}", _group(job)).split():
            if word.startswith("lock=cluster:"):
                return word
        return f"overlap {job}" if "overlap=" in self.options else None


def _group(job: str) -> str:
    """Return the number of the group of three jobs that share a lock."""
    return str(int("".join(filter(str.isdigit, job))) // 3)


KINDS = {
    "plain": Kind(9, "on=one"),
    "late": Kind(3, "on=one jitter=40s"),
    "again": Kind(1, "on=one node-loss=rerun"),
    "redo": Kind(1, "on=one node-loss=rerun", seconds=20),
    "partition": Kind(1, "on=one on-partition=run"),
    "lock": Kind(1, "on=one lock=cluster:l{group}", seconds=1.5),
    "hold": Kind(1, "on=one lock=cluster:h{group} node-loss=rerun", seconds=14),
    "single": Kind(1, "on=one overlap=skip", seconds=61.5),
    "queue": Kind(1, "on=one overlap=queue jitter=5s", seconds=3),
    "retry": Kind(1, "on=one retries=2 retry-delay=1s", command="[ $PYCROND_ATTEMPT = 2 ]"),
    "every": Kind(0, "on=every"),
}
CONTROL = ("every",)
"""The kinds of the node that belongs to no cluster."""


def jobs(count: int, every: int) -> dict[str, str]:
    """Return the kinds of jobs by their names: `count` that the cluster shares, and `every` that it does not."""
    turns = [kind for kind, traits in KINDS.items() for _ in range(traits.share)]
    numbers = dict.fromkeys(KINDS, 0)
    named: dict[str, str] = {}
    for index in range(count):
        kind = turns[index * 7 % len(turns)]
        named[f"{kind}{numbers[kind]}"] = kind
        numbers[kind] += 1
    return named | {f"every{number}": "every" for number in range(every)}


def is_prompt(name: str, spread: int) -> bool:
    """Return whether a job starts at its minute, though the others are spread over so many seconds (0: none is)."""
    return not spread or name.endswith("0") or name.startswith("every")


def crontab(named: dict[str, str], tally: str, spread: int) -> str:
    """Return the text of a crontab of these jobs, each of which fires every minute."""
    lines = [f"TALLY={tally}"]
    for name, kind in named.items():
        options = KINDS[kind].options.replace("{group}", _group(name))
        if "jitter=" not in options and not is_prompt(name, spread):
            options += f" jitter={spread}s"
        lines += [f"#: name={name} {options}", f"* * * * * {KINDS[kind].script}"]
    return "\n".join(lines) + "\n"
