"""Loading jobs that one node of a cluster runs: when the cluster becomes known, and when two jobs have the
same name.
"""

import os
from pathlib import Path

import pytest

from pycrond.jobs.job import Account
from pycrond.jobs.shared_identity import SharedIdentity
from pycrond.settings import Settings
from pycrond.sources.load_result import LoadResult
from pycrond.sources.loader import Loader

PROD = SharedIdentity("prod", "Asia/Tokyo")
SHARED, PLAIN = "#: name=a on=one\nH H * * * one\n", "H H * * * two\n"


@pytest.fixture
def crontabs(tmp_path: Path) -> Path:
    directory = tmp_path / "crontabs"
    directory.mkdir()
    (tmp_path / "state").mkdir()
    return directory


def write(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o644)
    os.utime(file, (1, 1))


def loader(crontabs: Path, cluster: str = "host=db") -> Loader:
    settings = Settings(
        crontabs=(str(crontabs),),
        state_dir=str(crontabs.parent / "state"),
        runtime_dir="/r",
        pidfile="/p",
        cluster=cluster,
    )
    return Loader(settings, Account("me", os.geteuid(), os.getegid(), "/"))


def problems(loaded: LoadResult) -> list[tuple[str, str, str]]:
    return [(os.path.basename(found.file), found.severity, found.code) for found in loaded.problems]


def test_the_identity_of_the_cluster_changes_shared_jobs_alone(crontabs: Path) -> None:
    write(crontabs / "shared", SHARED)
    write(crontabs / "plain", PLAIN)
    crontab_loader = loader(crontabs)
    assert crontab_loader.identity == SharedIdentity()
    before = crontab_loader.load()
    assert not crontab_loader.has_changes()
    crontab_loader.identity = PROD
    assert crontab_loader.has_changes()
    after = crontab_loader.load()
    assert not crontab_loader.has_changes()
    plain, shared = after.sources
    assert plain == before.sources[0]
    assert shared.stamp != before.sources[1].stamp
    assert [job.entry.zone for job in after.jobs] == [None, "Asia/Tokyo"]
    assert [job.key for job in after.jobs] == [job.key for job in before.jobs]


def test_the_same_identity_changes_nothing(crontabs: Path) -> None:
    write(crontabs / "shared", SHARED)
    crontab_loader = loader(crontabs)
    crontab_loader.identity = PROD
    before = crontab_loader.load()
    crontab_loader.identity = SharedIdentity(*PROD)
    assert not crontab_loader.has_changes()
    after = crontab_loader.load()
    for old, new in zip(before.sources, after.sources, strict=True):
        assert (new.jobs, new.stamp) == (old.jobs, old.stamp)  # it is read again if it was written just now


def test_a_later_daemon_that_knows_the_identity_has_the_same_stamps(crontabs: Path) -> None:
    write(crontabs / "shared", SHARED)
    stamps = []
    for _ in range(2):
        crontab_loader = loader(crontabs)
        crontab_loader.identity = PROD
        stamps.append(crontab_loader.load().sources[0].stamp)
    assert stamps[0] == stamps[1]


def test_a_time_zone_that_becomes_known_repairs_a_file(crontabs: Path) -> None:
    write(crontabs / "shared", SHARED)
    crontab_loader = loader(crontabs)
    crontab_loader.identity = SharedIdentity("prod", "Mars/Phobos")
    assert problems(crontab_loader.load()) == [("shared", "error", "bad-zone")]
    crontab_loader.identity = PROD
    loaded = crontab_loader.load()
    assert (problems(loaded), [job.entry.zone for job in loaded.jobs]) == ([], ["Asia/Tokyo"])


def test_an_edit_that_a_cluster_cannot_run_keeps_the_last_good_version(crontabs: Path) -> None:
    write(crontabs / "shared", SHARED)
    crontab_loader = loader(crontabs)
    crontab_loader.load()
    write(crontabs / "shared", SHARED.replace("name=a ", ""))
    loaded = crontab_loader.load()
    assert [job.key for job in loaded.jobs] == ["me/a"]
    assert problems(loaded) == [("shared", "error", "cluster-option"), ("shared", "warning", "kept")]


@pytest.mark.parametrize(
    ("cluster", "keys", "errors"),
    [("host=db", ["me/a"], [("second", "error", "cluster-option")]), ("", ["me/a", "me/HASH"], [])],
)
def test_a_shared_job_whose_name_another_file_has(
    crontabs: Path, cluster: str, keys: list[str], errors: list[tuple[str, str, str]]
) -> None:
    """Its key would be a hash of the line, which differs between nodes while the line is being edited."""
    write(crontabs / "first", "#: name=a\n1 1 * * * one\n")
    write(crontabs / "second", SHARED)
    loaded = loader(crontabs, cluster).load()
    assert [job.key if job.has_own_name else "me/HASH" for job in loaded.jobs] == keys
    assert loaded.by_key.keys() == {job.key for job in loaded.jobs}
    assert problems(loaded) == errors
