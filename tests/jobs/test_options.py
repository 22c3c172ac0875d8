from dataclasses import fields

import pytest

from pycrond.jobs.options import BY_NAME, CRON, OPTIONS, Options, Value, from_json, to_json

HOUR, DAY = 3_600, 86_400


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("name", "nightly-backup", "nightly-backup"),
        ("name", "db.dump:eu+1@x_2", "db.dump:eu+1@x_2"),
        ("name", "\u00fcbung", "\u00fcbung"),
        ("timeout", "90s", 90),
        ("timeout", "5m", 300),
        ("timeout", "2h", 2 * HOUR),
        ("timeout", "1d", DAY),
        ("timeout", "0.5s", 0.5),
        ("timeout", "1.5h", 5_400),
        ("grace", "0", 0),
        ("grace", "0s", 0),
        ("overlap", "allow", "allow"),
        ("overlap", "skip", "skip"),
        ("overlap", "queue", "queue"),
        ("overlap", "replace", "replace"),
        ("lock", "db", "db"),
        ("lock", "global:db", "global:db"),
        ("missed", "skip", "skip"),
        ("missed", "once", "once"),
        ("missed", "all", "all"),
        ("within", "6h", 6 * HOUR),
        ("retries", "3", 3),
        ("retry-delay", "1m", 60),
        ("jitter", "30s", 30),
        ("nice", "-20", -20),
        ("nice", "19", 19),
        ("ionice", "idle", "idle"),
        ("ionice", "best-effort", "best-effort"),
        ("ionice", "best-effort:7", "best-effort:7"),
        ("memory", "512M", 512 << 20),
        ("memory", "2g", 2 << 30),
        ("memory", "1GiB", 1 << 30),
        ("memory", "1000", 1_000),
        ("cpu", "0.5", 0.5),
        ("cpu", "50%", 0.5),
        ("cpu", "2", 2),
        ("success", "0", (0,)),
        ("success", "0,3-5,4", (0, 3, 4, 5)),
        ("mail", "failure", "failure"),
        ("mail", "never", "never"),
        ("on-failure", "echo a | b", "echo a | b"),
        ("on-success", "x", "x"),
        ("on-recovery", "x", "x"),
        ("on-missed", "x", "x"),
        ("alarm-repeat", "1h", HOUR),
        ("expect", "25h", 25 * HOUR),
        ("ping", "https://hc.example/abc?x=1", "https://hc.example/abc?x=1"),
        ("ping", "http://[::1]:8000", "http://[::1]:8000"),
        ("ping", "http://10.0.0.1:65535/?a#b", "http://10.0.0.1:65535/?a#b"),
        ("ping", "https://host_1.example.:443/[x]", "https://host_1.example.:443/[x]"),
        ("ping-output", "always:100k", "always:100k"),
        ("ping-output", "0", "0"),
        ("log", "yes", True),
        ("log", "no", False),
        ("dir", "/srv/app", "/srv/app"),
        ("dir", "~/app x", "~/app x"),
        ("dir", "~", "~"),
        ("env-file", "-app.env", "-app.env"),
        ("umask", "0027", "027"),
        ("umask", "7", "007"),
        ("output", "~/log", "~/log"),
        ("keep-runs", "5", 5),
        ("keep-days", "30", 30),
        ("keep-output", "10M", 10 << 20),
        ("keep-output", "0", 0),
        ("lock", "cluster:db", "cluster:db"),
        ("lock", "cluster:global:db", "cluster:global:db"),
        ("on", "every", "every"),
        ("on", "one", "one"),
        ("on", "web-1.eu_x", "web-1.eu_x"),
        ("on", "one:db", "one:db"),
        ("on", "one:" + "x" * 64, "one:" + "x" * 64),
        ("node-loss", "rerun", "rerun"),
        ("on-partition", "run", "run"),
    ],
)
def test_good_values(name: str, text: str, expected: Value) -> None:
    assert BY_NAME[name].read(text) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("name", "", "a name of letters"),
        ("name", "a b", "a name of letters"),
        ("dir", "", "a path"),
        ("dir", "~ben/x", "a path"),
        ("dir", "a\nb", "a path"),
        ("dir", "/" + "x" * 4000, "a path"),
        ("env-file", "-", "a path"),
        ("umask", "99", "an octal number"),
        ("umask", "1000", "an octal number"),
        ("keep-runs", "0", "a whole number"),
        ("keep-days", "40000", "a whole number"),
        ("keep-output", "1k", "at least 4k"),
        ("name", "a/b", "a name of letters"),
        ("name", "-a", "a name of letters"),
        ("name", "a\n", "a name of letters"),
        ("name", "a\x1b", "a name of letters"),
        ("name", "a\udcff", "a name of letters"),
        ("name", "x" * 101, "at most 100"),
        ("timeout", "90", "a duration such as"),
        ("timeout", "-5m", "a duration such as"),
        ("timeout", "5 m", "a duration such as"),
        ("timeout", "5M", "a duration such as"),
        ("timeout", "0", "more than 0s"),
        ("timeout", "0s", "more than 0s"),
        ("timeout", "\u0665s", "a duration such as"),
        ("timeout", "99999d", "at most 36500d"),
        ("overlap", "Skip", "one of allow, skip, queue, replace"),
        ("missed", "", "one of skip, once, all"),
        ("retries", "-1", "a whole number from 0 to 1000"),
        ("retries", "9" * 5_000, "a whole number from 0 to 1000"),
        ("nice", "20", "a whole number from -20 to 19"),
        ("nice", "1.5", "a whole number from -20 to 19"),
        ("ionice", "idle:3", "idle, best-effort"),
        ("ionice", "best-effort:8", "idle, best-effort"),
        ("memory", "0", "a size such as"),
        ("memory", "lots", "a size such as"),
        ("cpu", "0", "a number of processors"),
        ("cpu", "nan", "a number of processors"),
        ("success", "256", "exit statuses"),
        ("success", "5-3", "exit statuses"),
        ("success", "0,,1", "exit statuses"),
        ("mail", "me@x", "one of always, failure, never"),
        ("on-failure", "  ", "a command"),
        ("lock", "global:", "a name of letters"),
        ("lock", "global:global:db", "a name that begins with global: once at most"),
        ("ping", "ftp://x", "a URL"),
        ("ping-output", "always", "a size"),
        ("ping-output", "2M", "at most 1M"),
        ("ping-output", "always:0", "a size"),
        ("ping", "http://a b", "a URL"),
        ("ping", "http://[::1", "a URL"),
        ("ping", "http://[::1::]/", "a URL"),
        ("ping", "http://h:99999999/", "a URL"),
        ("ping", "http://h:65536/", "a URL"),
        ("ping", "http://h:0/", "a URL"),
        ("ping", "http://h:x/", "a URL"),
        ("ping", "http://", "a URL"),
        ("ping", "http:///path", "a URL"),
        ("ping", "http://a..b/", "a URL"),
        ("ping", "http://user:secret@h/", "a URL"),
        ("ping", f"http://{'x' * 64}/", "a URL"),
        ("log", "true", "one of yes, no"),
        ("lock", "cluster:", "a name of letters"),
        ("lock", "cluster:cluster:db", "a name that begins with cluster: once at most"),
        ("lock", "cluster:global:global:db", "a name that begins with global: once at most"),
        ("lock", "global:cluster:db", "a name that begins with cluster: once at most"),
        ("on", "Web", "every, one, or a label of small letters"),
        ("on", "-web", "every, one, or a label"),
        ("on", "one:", "every, one, or a label"),
        ("on", "one:one", "every, one, or a label"),
        ("on", "every:db", "every, one, or a label"),
        ("on", "x" * 65, "at most 64"),
        ("node-loss", "retry", "one of skip, rerun"),
        ("on-partition", "yes", "one of skip, run"),
    ],
)
def test_bad_values(name: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BY_NAME[name].read(text)


def test_the_table_has_every_field() -> None:
    variables = ["mailto", "mailfrom"]
    assert [option.attribute for option in OPTIONS] + variables == [field.name for field in fields(Options)]


def test_json_has_the_options_that_differ() -> None:
    assert to_json(CRON) == {}
    options = Options(name="a", retry_delay=5, success=(0, 1), log=False, missed="skip")
    assert to_json(options) == {
        "name": "a",
        "retry-delay": 5,
        "success": (0, 1),
        "log": False,
        "missed": "skip",
    }


@pytest.mark.parametrize(
    ("options", "is_shared", "label", "cluster_lock", "is_clustered"),
    [
        (Options(), False, None, None, False),
        (Options(on="one"), True, None, None, True),
        (Options(on="web"), False, "web", None, False),
        (Options(on="one:web"), True, "web", None, True),
        (Options(on="one-web"), False, "one-web", None, False),
        (Options(lock="cluster-db"), False, None, None, False),
        (Options(lock="cluster:db"), False, None, "db", True),
        (Options(lock="cluster:global:db", on="web"), False, "web", "global:db", True),
        (Options(lock="global:db"), False, None, None, False),
    ],
)
def test_the_nodes_and_the_lock_of_a_job(
    options: Options, is_shared: bool, label: str | None, cluster_lock: str | None, is_clustered: bool
) -> None:
    assert (options.is_shared, options.label) == (is_shared, label)
    assert (options.cluster_lock, options.is_clustered) == (cluster_lock, is_clustered)


@pytest.mark.parametrize(
    ("lock", "is_roots"),
    [("db", False), ("cluster:db", False), ("global:db", True), ("cluster:global:db", True)],
)
def test_a_lock_of_all_users_is_for_roots_crontabs(lock: str, is_roots: bool) -> None:
    assert BY_NAME["lock"].needs_root(lock) is is_roots


@pytest.mark.parametrize(
    "options",
    [
        Options(name="a", on="one:web", node_loss="rerun", on_partition="run", lock="cluster:b"),
        Options(on="one"),
    ],
)
def test_options_about_a_cluster_in_json_and_back(options: Options) -> None:
    assert from_json(to_json(options)) == options


def test_impossible_values_of_options_about_a_cluster_are_ignored() -> None:
    document = {"on": 1, "node-loss": "maybe", "on-partition": True, "name": "a"}
    assert from_json(document) == Options(name="a")


@pytest.mark.parametrize(
    "options", [Options(overlap="skip"), Options(mail="never", missed="all", log="split")]
)
def test_words_in_json_and_back(options: Options) -> None:
    assert from_json(to_json(options)) == options
