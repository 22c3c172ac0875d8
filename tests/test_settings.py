"""Settings: merging the layers, and conversion to arguments of the daemon's program and back."""

import os
from dataclasses import MISSING, fields
from logging.handlers import SysLogHandler
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycrond import setting_values, settings
from pycrond.errors import PycrondError
from pycrond.host.daemon_arguments import daemon_command, from_arguments, read_daemon_arguments, to_arguments
from pycrond.setting_values import LABEL_FORM
from pycrond.settings import Settings

NEEDED: dict[str, object] = {"crontabs": ("/c",), "state_dir": "/s", "runtime_dir": "/r", "pidfile": "/p"}


def settle(**layer: object) -> Settings:
    return setting_values.settle([layer, NEEDED])


def test_the_first_layer_that_has_it_decides() -> None:
    layers: list[dict[str, object]] = [{"syslog": "/a"}, {"syslog": "/b", "pidfile": "/mine"}, NEEDED]
    settled = setting_values.settle(layers)
    assert (settled.syslog, settled.pidfile, settled.state_dir) == ("/a", "/mine", "/s")
    assert (settled.syslog_format, settled.log_console) == ("rfc3164", False)


def test_each_has_a_help_text() -> None:
    assert all(field.metadata["help"] for field in fields(Settings))
    assert {field.name for field in fields(Settings) if field.default is MISSING} == set(NEEDED) - {
        "crontabs"
    }


def test_facilities_are_those_of_the_standard_library() -> None:
    known = SysLogHandler.facility_names
    assert {name: known[name] for name in settings.FACILITIES} == settings.FACILITIES
    assert known.keys() - settings.FACILITIES.keys() <= {"console", "ntp", "security", "solaris-cron"}


SYSLOG = (
    "setting 'syslog' must be a path that begins with /, udp://host[:port], tcp://host:port, journal or none"
)
MAILER = "setting 'mailer' must be a program, smtp://[user@]host[:port] or smtps://[user@]host[:port]"


@pytest.mark.parametrize("word", ["1", "yes", "True", "ON", True, 1])
def test_yes(word: object) -> None:
    assert settle(log_console=word).log_console is True


@pytest.mark.parametrize("word", ["0", "no", "FALSE", "off", False, 0])
def test_no(word: object) -> None:
    assert settle(log_stderr=word).log_stderr is False


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("log_console", "maybe", "setting 'log-console': 'maybe' is neither yes nor no"),
        ("log_console", "", "setting 'log-console': '' is neither yes nor no"),
        ("log_stderr", 2, "setting 'log-stderr': '2' is neither yes nor no"),
        ("syslog_format", "json", "setting 'syslog-format': 'json' is not one of rfc3164, rfc5424"),
        ("state_dir", 5, "setting 'state-dir' must be text, not 5"),
        ("pidfile", ["/a"], "setting 'pidfile' must be text, not ['/a']"),
        ("crontabs", 5, "setting 'crontabs' must be a list of directories"),
        ("crontabs", ["/a", 5], "setting 'crontabs' must be a list of directories"),
        ("crontabs", [], "setting 'crontabs' must be a list of directories"),
        ("crontabs", ["/a", ""], "setting 'crontabs' must be a list of directories"),
        ("crontabs", "", "setting 'crontabs' must be a list of directories"),
        ("state_dir", "", "setting 'state-dir' is empty (leave it out for its default)"),
        ("syslog", "", "setting 'syslog' is empty (leave it out for its default)"),
        *[("syslog", value, SYSLOG) for value in ("udp://", "udp://h:65536", "tcp://h", "dev/log")],
        *[("mailer", value, MAILER) for value in ("smtp://", "smtp://u:secret@h", "http://h")],
        ("node", "a b", "setting 'node': 'a b' is not a name of letters, digits and . _ -, at most 64"),
        ("node", "a@b", "setting 'node': 'a@b' is not a name of letters, digits and . _ -, at most 64"),
        ("node_labels", "web,DB", f"setting 'node-labels': 'DB' is not {LABEL_FORM}"),
        ("node_labels", ["one"], f"setting 'node-labels': 'one' is not {LABEL_FORM}"),
        ("node_labels", 5, "setting 'node-labels' must be a list of labels, not 5"),
        ("node_labels", ["web", 5], "setting 'node-labels' must be a list of labels, not ['web', 5]"),
        ("cluster", ["host=h password=x"], "setting 'cluster' must be text, not a value of another kind"),
        ("cluster", "a\npassword=x", "setting 'cluster': it must be one line, without control characters"),
        ("cluster_output", "10k", "setting 'cluster-output' must be a whole number from 0, not '10k'"),
    ],
)
def test_values_that_are_not_allowed(name: str, value: object, message: str) -> None:
    with pytest.raises(PycrondError) as error:
        settle(**{name: value})
    assert str(error.value) == message


def test_an_unknown_facility_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(PycrondError, match=r"'syslog-facility': 'crno' is not one of auth, .*local7$"):
        settle(syslog_facility="crno")


@pytest.mark.parametrize(
    ("value", "expected"), [("/a", ("/a",)), (["/a", "/b"], ("/a", "/b")), (("/a",), ("/a",))]
)
def test_crontabs_in_every_form(value: object, expected: tuple[str, ...]) -> None:
    assert settle(crontabs=value).crontabs == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("web", ("web",)),
        ("web, db-1,web", ("web", "db-1")),
        (["web,db", "x"], ("web", "db", "x")),
        ([], ()),
        ("", ()),
    ],
)
def test_labels_in_every_form(value: object, expected: tuple[str, ...]) -> None:
    settled = settle(node_labels=value)
    assert settled.node_labels == expected
    assert from_arguments(to_arguments(settled)) == settled


@pytest.mark.parametrize(
    ("node", "name"), [("", os.uname().nodename), ("db1.example.org", "db1.example.org")]
)
def test_a_node_is_called_like_its_host_unless_it_has_a_name(node: str, name: str) -> None:
    assert settle(node=node).node_name == name


CONNINFO = "postgresql://u:secret@h/db"


def test_the_daemons_command_has_no_password() -> None:
    settled = settle(cluster=CONNINFO, node="n")
    assert "--cluster=postgresql://u:*****@h/db" in daemon_command(settled)
    assert f"--cluster={CONNINFO}" in to_arguments(settled)


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ([f"--cluster={CONNINFO}"], CONNINFO),
        (["--syslog=none", f"--cluster={CONNINFO}", "--watch=True"], CONNINFO),
        (["--cluster=postgresql://u:secret@other/db"], "postgresql://u:*****@h/db"),
        (["--cluster="], "postgresql://u:*****@h/db"),
        (None, "postgresql://u:*****@h/db"),
    ],
)
def test_the_daemon_has_the_recorded_password(
    tmp_path: Path, recorded: list[str] | None, expected: str
) -> None:
    """It never has the password of another database."""
    if recorded is not None:
        (tmp_path / "settings").write_text("\n".join(recorded))
    settled = settle(cluster=CONNINFO, state_dir=str(tmp_path))
    assert read_daemon_arguments(daemon_command(settled)[6:]).cluster == expected


def test_flags() -> None:
    assert settings.SETTINGS["state_dir"].flag == "--state-dir"
    assert settings.SETTINGS["pidfile"].flag == "--pidfile"


def test_arguments_contain_only_what_differs_from_the_defaults() -> None:
    assert to_arguments(settle(syslog="/l")) == [
        "--crontabs=/c",
        "--state-dir=/s",
        "--runtime-dir=/r",
        "--pidfile=/p",
        "--syslog=/l",
    ]


PATHS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=20)
ANY = st.builds(
    Settings,
    crontabs=st.lists(PATHS, min_size=1, max_size=3).map(tuple),
    state_dir=PATHS,
    runtime_dir=PATHS,
    pidfile=PATHS,
    syslog=PATHS.map("/{}".format),
    syslog_format=st.sampled_from(["rfc3164", "rfc5424"]),
    syslog_facility=st.sampled_from(list(settings.FACILITIES)),
    log_console=st.booleans(),
    log_stderr=st.booleans(),
)


@given(ANY)
def test_arguments_there_and_back(given: Settings) -> None:
    assert from_arguments(to_arguments(given)) == given


def test_paths_that_are_not_utf8_go_there_and_back() -> None:
    given = settle(state_dir="/caf\udce9", pidfile="--x=--y")
    assert from_arguments(to_arguments(given)) == given


def test_other_users_are_not_trusted_with_the_crontabs_of_the_system() -> None:
    assert settle(trust_crontabs=True).trust_crontabs
    with pytest.raises(PycrondError, match=r"'trust-crontabs' must be no with --system.* as root"):
        settle(trust_crontabs="yes", system="yes")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("syslog", value) for value in ("/dev/log", "journal", "none", "udp://h", "udp://[::1]:514")],
        *[("syslog", value) for value in ("tcp://h.example:65535", "tcp://10.0.0.1:1/")],
        *[
            ("mailer", value)
            for value in ("/usr/sbin/sendmail", "sendmail -t", "smtp://h", "smtps://u%40x@h:465")
        ],
    ],
)
def test_addresses_that_are_allowed(name: str, value: str) -> None:
    assert getattr(settle(**{name: value}), name) == value
