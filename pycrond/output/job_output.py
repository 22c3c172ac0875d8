"""The option and setting `keep-output`: the limit of a job's delivered output on disk."""

from collections.abc import Mapping

from pycrond.ledger.archive import Archive
from pycrond.output.kept import KeptOutput
from pycrond.output.run_log import RunLog
from pycrond.output.spool import SEGMENT_SIZE, Spool, whole_blocks
from pycrond.settings import Settings

MAX_DELETED = 100  # runs whose output is deleted at once


def smaller(option: int | None, setting: int) -> int | None:
    """Return the limit of a job: a user's option cannot exceed the setting; a setting of 0 is no limit."""
    return min((limit for limit in (option, setting or None) if limit is not None), default=None)


class JobOutput:
    """Deletes the oldest delivered output of a job beyond its limit, also of running runs."""

    def __init__(
        self, settings: Settings, archive: Archive, kept: KeptOutput, logs: Mapping[int, RunLog]
    ) -> None:
        """`logs` has the runs whose output is not delivered in full yet."""
        self._directory = settings.spool_dir
        self._limit = settings.keep_output << 20  # bytes; 0: no limit
        self._archive = archive
        self._kept = kept
        self._logs = logs
        self._sizes: dict[str, dict[int, int]] = {}  # bytes of each run of the jobs with a limit
        self._mailed: set[int] = set()  # runs whose output may be mailed

    def enforce(self, log: RunLog) -> None:
        """Delete delivered output of a run's job down to the job's limit, of ended runs first. Output that
        may be mailed stays.
        """
        limit = smaller(log.keep_output, self._limit)
        if limit is None or not log.key:
            self._sizes.pop(log.key, None)
            return
        sizes = self._sizes.get(log.key)
        if sizes is None:
            sizes = self._sizes[log.key] = self._read(log.key, limit)
        sizes[log.run] = _delivered(log)
        if log.mailed:
            self._mailed.add(log.run)
        else:
            self._mailed.discard(log.run)
        excess = sum(sizes.values()) - limit
        oldest = sorted(sizes.keys() - self._mailed, key=lambda run: (run in self._logs, run))
        for run in oldest[:MAX_DELETED] if excess > 0 else ():
            size = sizes[run]
            if open_log := self._logs.get(run):
                front = whole_blocks(open_log.done - max(0, size - excess))
                open_log.spool.give_back(min(front, open_log.done))
                sizes[run] = _delivered(open_log)
            elif not (left := self._shorten(run, size, excess, log.user)):
                del sizes[run]
            else:
                sizes[run] = left
            excess -= size - sizes.get(run, 0)
            if excess <= 0:
                break

    def mail_done(self, run: int) -> None:
        """Note that no mail needs the output of a run any more."""
        self._mailed.discard(run)

    def _read(self, key: str, limit: int) -> dict[int, int]:
        """Return the sizes of a job's kept output by run: only the last segment of each is kept."""
        sizes: dict[int, int] = {}
        total = 0
        for run, size in self._archive.printed(key):
            if run not in self._logs:
                sizes[run] = (size - 1) % SEGMENT_SIZE + 1
                total += sizes[run]
            if total > limit and len(sizes) > MAX_DELETED:
                break
        return sizes

    def _shorten(self, run: int, size: int, excess: int, user: str) -> int:
        """Delete the kept output of a run, or only its beginning if that is enough; return the bytes left."""
        front = whole_blocks(excess)
        if front < size:
            spool = Spool(self._directory, run)
            if spool.give_back(spool.kept_start + front):
                self._kept.add(run, -front, user)
                return size - front
        self._kept.remove(run, user)
        return 0


def _delivered(log: RunLog) -> int:
    """Return the delivered bytes of a run's output on disk that no mail needs."""
    sent = log.done
    size = max(0, sent - log.spool.kept_start)
    return min(size, (sent - 1) % SEGMENT_SIZE + 1) if log.mailed else size
