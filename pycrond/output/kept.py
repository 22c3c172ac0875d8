"""The delivered output of runs, which stays on disk for users until there is no room for it.

No other record of it exists: after a start the files are counted, a directory at a time.
"""

import contextlib
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Mapping

from pycrond import clock
from pycrond.output import spool

MAX_TURN_TIME = 0.002  # seconds in a turn of the loop for counting files
MAX_DELETED = 100  # runs whose output is deleted at once


class KeptOutput:
    """Counts the delivered output, and deletes the oldest output of the user with the most."""

    def __init__(
        self, directory: str, is_open: Callable[[int], bool], users: Callable[[int, int], Mapping[int, str]]
    ) -> None:
        """`is_open` returns whether the output of a run is not delivered in full, so that it does not count.
        `users` returns the users of the runs from a first to a last number.
        """
        self._directory = directory
        self._is_open = is_open
        self._users = users
        self._uncounted = deque(self._thousands())
        self._sizes: dict[str, Counter[int]] = {}  # bytes of each user in each directory
        self._oldest: dict[str, deque[int]] = {}  # some runs of each user, the oldest first
        self._of_user: Counter[str] = Counter()  # bytes
        self.size = 0
        """Bytes on disk that were counted so far."""

    def _thousands(self) -> list[int]:
        """Return the numbers of the directories, each of a thousand runs, in order."""
        with contextlib.suppress(OSError):
            return sorted(int(name) for name in os.listdir(self._directory) if name.isdigit())
        return []

    def count(self) -> bool:
        """Count the output that earlier daemons left, for MAX_TURN_TIME; return whether there is more."""
        give_up_at = clock.elapsed() + MAX_TURN_TIME
        while self._uncounted and clock.elapsed() < give_up_at:
            self._count_directory()
        return bool(self._uncounted)

    def _count_directory(self) -> None:
        thousand = self._uncounted.popleft()
        users = self._users_in(thousand)
        for run, size in self._runs(thousand).items():
            self.add(run, size, users.get(run, ""))

    def _users_in(self, thousand: int) -> Mapping[int, str]:
        return self._users(thousand * 1000, thousand * 1000 + 999)

    def _runs(self, thousand: int) -> dict[int, int]:
        """Return the bytes on disk of the kept output of each run in a directory, the oldest first."""
        sizes: dict[int, int] = {}
        with (
            contextlib.suppress(OSError),
            os.scandir(os.path.join(self._directory, str(thousand))) as entries,
        ):
            for entry in entries:
                run = int(entry.name.partition(".")[0])
                if not self._is_open(run):
                    with contextlib.suppress(FileNotFoundError):
                        sizes[run] = sizes.get(run, 0) + spool.on_disk(entry.stat())
        return dict(sorted(sizes.items()))

    def user_of(self, run: int) -> str:
        """Return the user of a run; empty if the ledger does not have it."""
        return self._users(run, run).get(run, "")

    def add(self, run: int, size: int, user: str) -> None:
        """Count output of a run that has become kept output; a negative size means deleted output."""
        thousand = run // 1000
        if thousand in self._uncounted:
            return
        sizes = self._sizes.setdefault(user, Counter())
        change = max(spool.whole_blocks(size), -sizes[thousand])
        sizes[thousand] += change
        self._change(user, change)

    def _change(self, user: str, change: int) -> None:
        self._of_user[user] += change
        self.size += change

    def remove(self, run: int, user: str, size: int = sys.maxsize) -> int:
        """Delete the kept output of a run; return its bytes on disk. `size` is the number of bytes that the
        run printed, if known: to search for segments takes longer than to delete a single one.
        """
        is_single = size < spool.SEGMENT_SIZE
        segments = [0] if is_single else spool.segments(self._directory, run)
        freed = sum(spool.remove_segment(self._directory, run, segment) for segment in segments)
        if freed:
            spool.remove_empty_directory(self._directory, run // 1000)
            self.add(run, -freed, user)
        return freed

    def free(self, size: int) -> int:
        """Delete at least `size` bytes of kept output, always of the user with the most. Return the number of
        deleted bytes: less if there are no more, or after MAX_DELETED runs.
        """
        freed = deleted = 0
        while freed < size and deleted < MAX_DELETED and (user := self._greatest_user()) is not None:
            run = self._oldest[user].popleft()
            if not self._is_open(run):
                freed += self.remove(run, user)
                deleted += 1
        return freed

    def _greatest_user(self) -> str | None:
        """Return the user with the most kept output, and find its oldest runs; None if there is no output."""
        while True:
            user, size = max(self._of_user.items(), key=lambda item: item[1], default=("", 0))
            if size and self._find_oldest(user):
                return user
            if not size and not self._uncounted:
                return None
            if not size:
                self._count_directory()

    def _find_oldest(self, user: str) -> bool:
        """Find the oldest runs of a user; return False if there are none, and correct its count."""
        sizes, oldest = self._sizes[user], self._oldest.setdefault(user, deque())
        while not oldest and sizes:
            thousand = min(sizes)
            users = self._users_in(thousand)
            oldest.extend(run for run in self._runs(thousand) if users.get(run, "") == user)
            if not oldest or not sizes[thousand]:
                self._change(user, -sizes.pop(thousand))
        return bool(oldest)
