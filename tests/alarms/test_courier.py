"""The courier: deliveries by real mailers to real servers, and the reasons of failures."""

import contextlib
import email
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from pycrond import __version__
from pycrond.output import spool
from tests.conftest import alive, wait_until
from tests.support import packages
from tests.support.smtpd import Smtpd, Smtpds
from tests.support.web import Web

pytestmark = pytest.mark.process

LETTER = {
    "to": "ops@example.org",
    "sender": None,
    "user": "root",
    "host": "web1",
    "command": "backup --all",
    "name": "backup",
    "event": "failure",
    "ending": "exit status 3",
    "run": 7,
    "fire": 1774746000,
    "facts": [["job", "backup"]],
    "environment": [],
}
BELOW = b"\n-- \njob: backup\n"


NO_LATER_IMPORT = r"""
import os, sys
from pycrond.alarms import courier, identity
become = identity.become
def become_and_watch(*ids):
    become(*ids)
    sys.addaudithook(lambda event, words: os.write(2, f"imports {words[0]}\n".encode()) if event == "import" else 0)
identity.become = become_and_watch
sys.exit(courier.main())
"""
"""The courier; it prints each module that it imports after its change of user: the user may not be able to
read it.
"""


def courier(document: dict[str, Any], **environment: str) -> tuple[int, str]:
    """Return its exit status, and the reason if it failed. Root's courier becomes root."""
    ids = [os.getuid(), os.getgid(), os.getgroups()] if os.geteuid() == 0 else None
    process = subprocess.run(
        [sys.executable, "-c", NO_LATER_IMPORT],
        input=json.dumps({"process": {"ids": ids}, **document}).encode(),
        capture_output=True,
        env={**os.environ, "no_proxy": "127.0.0.1", **environment},
        timeout=60,
        check=False,
    )
    assert not process.stderr, process.stderr.decode()
    reason = process.stdout.decode()
    assert reason.count("\n") == (process.returncode != 0)
    return process.returncode, reason.rstrip("\n")


def spooled(directory: Path, output: bytes, run: int = 7) -> dict[str, Any]:
    """Return the fields of a document about a run's output in a spool."""
    for start in range(0, len(output), spool.SEGMENT_SIZE):
        file = Path(spool.path(str(directory / "spool"), run, start // spool.SEGMENT_SIZE))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(output[start : start + spool.SEGMENT_SIZE])
    return {"spool": str(directory / "spool"), "run": run, "bytes": len(output)}


def mail(directory: Path, mailer: str, output: bytes = b"no space\n", **letter: Any) -> dict[str, Any]:
    return {"kind": "mail", "mailer": mailer, "letter": LETTER | letter, **spooled(directory, output)}


def payload(content: bytes) -> bytes:
    body = email.message_from_bytes(content).get_payload(decode=True)
    assert isinstance(body, bytes)
    return body


def headers(content: bytes) -> Message:
    return email.message_from_bytes(content)


# By SMTP


def test_a_mail_by_smtp(tmp_path: Path, smtpd: Smtpd) -> None:
    assert courier(mail(tmp_path, smtpd.url, "Größe\n.\n..\n".encode(), to="ops@example.org, root")) == (
        0,
        "",
    )
    (received,) = smtpd.mails()
    assert (received.sender, received.to) == ("root@web1", ["ops@example.org", "root@web1"])
    assert "BODY=8BITMIME" in received.options
    head = headers(received.content)
    assert head["From"] == "root@web1 (Cron Daemon)"
    assert head["Subject"] == "Cron <root@web1> backup --all (exit status 3)"
    assert payload(received.content) == "Größe\n.\n..\n".encode() + BELOW


def test_mailfrom_is_the_envelopes_sender(tmp_path: Path, smtpd: Smtpd) -> None:
    assert courier(mail(tmp_path, smtpd.url, sender="cron@example.org")) == (0, "")
    (received,) = smtpd.mails()
    assert received.sender == headers(received.content)["From"] == "cron@example.org"


def test_an_unsafe_mailfrom_keeps_no_mail_back(tmp_path: Path, smtpd: Smtpd) -> None:
    assert courier(mail(tmp_path, smtpd.url, sender="a b@c")) == (0, "")
    (received,) = smtpd.mails()
    assert received.sender == "root@web1"
    assert b"MAILFROM: 'a b@c' is not used: unsafe character ' '" in payload(received.content)


@pytest.mark.parametrize("output", [b"\xff\0\r\n", b"x" * 5000, bytes(range(256)) * 9000], ids=len)
def test_any_output_arrives(tmp_path: Path, smtpd: Smtpd, output: bytes) -> None:
    assert courier(mail(tmp_path, smtpd.url, output)) == (0, "")
    (received,) = smtpd.mails()
    assert payload(received.content).startswith(output.decode("utf-8", "backslashreplace").encode())


def test_a_huge_output_of_bytes_that_are_not_utf_8_is_cut_to_the_limit(tmp_path: Path, smtpd: Smtpd) -> None:
    assert courier(mail(tmp_path, smtpd.url, (b"\xff" * 99 + b"\n") * 50_000)) == (0, "")
    (received,) = smtpd.mails()
    text = payload(received.content)
    assert len(received.content) < 10_240_000
    kept = text.replace(b"\\xff", b"\xff")
    (omitted,) = re.findall(rb"\[pycrond: (\d+) bytes are left out here\]\n", kept)
    shown = kept.partition(b"\n-- \n")[0].count(b"\xff")
    assert shown * 100 // 99 + int(omitted) == pytest.approx(5_000_000, abs=4)


def test_a_huge_output_and_an_output_no_longer_kept(tmp_path: Path, smtpd: Smtpd) -> None:
    document = mail(tmp_path, smtpd.url, b"0123456789abcde\n" * 1_000_000)
    os.unlink(spool.path(document["spool"], 7, 0))
    assert courier(document) == (0, "")
    for segment in spool.segments(document["spool"], 7):
        os.unlink(spool.path(document["spool"], 7, segment))
    assert courier(document) == (0, "")
    with_rest, without = (payload(received.content) for received in smtpd.mails())
    assert with_rest.startswith(b"[pycrond: 1048576 bytes before this are no longer kept]\n0123456789")
    assert b" bytes are left out here]\n" in with_rest
    assert without == b"[pycrond: 16000000 bytes before this are no longer kept]\n" + BELOW


def test_only_so_many_bytes_are_mailed(tmp_path: Path, smtpd: Smtpd) -> None:
    assert courier(mail(tmp_path, smtpd.url, b"first\nsecond\n") | {"bytes": 6}) == (0, "")
    (received,) = smtpd.mails()
    assert payload(received.content) == b"first\n" + BELOW


def test_a_spool_shorter_than_recorded(tmp_path: Path, smtpd: Smtpd) -> None:
    """A power cut may have destroyed the end of a file."""
    assert courier(mail(tmp_path, smtpd.url, b"half a l") | {"bytes": 10**12}) == (0, "")
    (received,) = smtpd.mails()
    assert payload(received.content) == b"half a l\n" + BELOW


def test_a_mail_sent_again_has_the_same_message_id(tmp_path: Path, smtpd: Smtpd) -> None:
    document = mail(tmp_path, smtpd.url)
    for attempt in (document, document, document | {"bytes": 2}):
        assert courier(attempt) == (0, "")
    first, second, changed = (headers(mail.content)["Message-ID"] for mail in smtpd.mails())
    assert first == second != changed


@pytest.mark.parametrize(
    ("command", "line", "result"),
    [
        ("RCPT", "450 greylisted", (os.EX_TEMPFAIL, "refuses ops@example.org: 450 greylisted")),
        ("RCPT", "550 no such user", (os.EX_UNAVAILABLE, "refuses ops@example.org: 550 no such user")),
        ("MAIL", "451 later", (os.EX_TEMPFAIL, "451 later")),
        ("MAIL", "553 not you", (os.EX_UNAVAILABLE, "553 not you")),
        ("DATA", "452 disk full", (os.EX_TEMPFAIL, "452 disk full")),
        ("DATA", "554 spam", (os.EX_UNAVAILABLE, "554 spam")),
        (
            "DATA",
            "554-spam\r\n554 see\x1b[31m http://x/",
            (os.EX_UNAVAILABLE, "554 spam see^[[31m http://x/"),
        ),
        ("QUIT", "421 never mind", (0, "")),  # the server has accepted the mail
    ],
)
def test_a_refusal_of_the_server(
    tmp_path: Path, smtpd: Smtpd, command: str, line: str, result: tuple[int, str]
) -> None:
    expected_status, expected_reason = result
    smtpd.answer(command, line)
    status, reason = courier(mail(tmp_path, smtpd.url))
    assert status == expected_status
    assert reason.endswith(expected_reason)
    assert len(smtpd.mails()) == (status == 0)


@pytest.mark.parametrize(("code", "status"), [(450, os.EX_TEMPFAIL), (550, os.EX_UNAVAILABLE)])
def test_a_refusal_of_one_of_two_recipients(tmp_path: Path, smtpd: Smtpd, code: int, status: int) -> None:
    smtpd.answer("RCPT b@example.org", f"{code} not that one")
    result = courier(mail(tmp_path, smtpd.url, to="a@example.org,b@example.org"))
    assert result == (status, f"127.0.0.1:{smtpd.port} refuses b@example.org: {code} not that one")
    assert [received.to for received in smtpd.mails()] == [["a@example.org"]]


def test_a_server_without_8bitmime(tmp_path: Path, smtpds: Smtpds) -> None:
    server = smtpds.start(tmp_path / "seven", "seven")
    assert courier(mail(tmp_path, server.url, "Größe\n".encode())) == (0, "")
    (received,) = server.mails()
    assert received.content.isascii()
    assert payload(received.content) == "Größe\n".encode() + BELOW


@pytest.fixture
def certificate(tmp_path: Path) -> Iterator[Path]:
    """Return a self-signed certificate for 127.0.0.1 that every user can read; its key is in
    `tmp_path`/cert.pem.
    """
    if not shutil.which("openssl"):
        packages.give_up("no openssl to make a certificate with")
    file = tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "30"]
    subprocess.run([*command, "-keyout", f"{file}.key", "-out", file], check=True, capture_output=True)
    text = file.read_text()
    file.write_text(text + Path(f"{file}.key").read_text())
    with tempfile.NamedTemporaryFile() as public:
        public.write(text.encode())
        public.flush()
        os.chmod(public.name, 0o644)
        yield Path(public.name)


@pytest.mark.parametrize("option", ["tls", "tls-only"])
def test_tls(tmp_path: Path, certificate: Path, smtpds: Smtpds, option: str) -> None:
    """STARTTLS accepts any certificate, smtps:// only a trusted one."""
    server = smtpds.start(tmp_path / "smtpd", option)
    url = server.url if option == "tls" else server.url.replace("smtp", "smtps")
    document = mail(tmp_path, url)
    status, reason = courier(document)
    assert (status, "self-signed" in reason) == ((0, False) if option == "tls" else (os.EX_TEMPFAIL, True))
    assert courier(document, SSL_CERT_FILE=str(certificate)) == (0, "")
    assert len(server.mails()) == 1 + (option == "tls")


@pytest.mark.parametrize("options", [["login"], ["login", "tls"]], ids=["plain", "tls"])
def test_login(tmp_path: Path, certificate: Path, smtpds: Smtpds, options: list[str]) -> None:
    server = smtpds.start(tmp_path / "smtpd", *options)
    secret = tmp_path / "password"
    trusted = {"SSL_CERT_FILE": str(certificate)}
    document = mail(tmp_path, server.url.replace("//", "//cron@")) | {"password_file": str(secret)}
    status, reason = courier(document, **trusted)
    assert (status, "cannot read the password file" in reason) == (os.EX_CONFIG, True)
    secret.write_text("wrong\n")
    status, reason = courier(document, **trusted)
    assert (status, "535" in reason) == (os.EX_CONFIG, True)
    secret.write_text("secret\n")
    assert courier(document, **trusted) == (0, "")
    if "tls" in options:
        assert courier(document)[0] == os.EX_TEMPFAIL  # no password without a trusted certificate
    assert len(server.mails()) == 1


@pytest.mark.parametrize(
    "mailer",
    [
        "smtp://",
        "smtp://:25",
        "smtp://a:99999",
        "smtp://a:b@c",
        "http://a",
        "smtp://[::1",
        "smtp://u@localhost",
    ],
)
def test_an_invalid_mailer(tmp_path: Path, mailer: str) -> None:
    assert courier(mail(tmp_path, mailer))[0] == os.EX_CONFIG


def test_a_closed_port(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{bound.getsockname()[1]}"
        status, reason = courier(mail(tmp_path, f"smtp://{where}"))
        assert (status, reason) == (os.EX_TEMPFAIL, f"{where}: Connection refused")
        status, reason = courier({"kind": "ping", "url": f"http://{where}/id", "event": "success"})
        assert (status, reason) == (os.EX_TEMPFAIL, "127.0.0.1: Connection refused")


@pytest.mark.parametrize(
    "greeting", [b"", b"250 what?\r\n", b"\r\n\r\n", b"421 busy\r\n", b"554 go away\r\n"]
)
def test_a_server_that_hangs_up(tmp_path: Path, greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as link:
                link.sendall(greeting)

        thread = threading.Thread(target=answer)
        thread.start()
        status, _ = courier(mail(tmp_path, f"smtp://127.0.0.1:{server.getsockname()[1]}"))
        thread.join()
    assert status == (os.EX_UNAVAILABLE if greeting.startswith(b"5") else os.EX_TEMPFAIL)


@pytest.mark.parametrize("kind", ["mail", "ping"])
def test_the_time_limit(tmp_path: Path, kind: str) -> None:
    """A server accepts the connection and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
        document = {"kind": "ping", "url": f"http://{where}/", "event": "start"}
        if kind == "mail":
            document = mail(tmp_path, f"smtp://{where}")
        assert courier(document | {"limit": 1.0}) == (os.EX_TEMPFAIL, "given up after 1 s")


@pytest.mark.parametrize("to", ["", "-oQ/tmp", "a,-oQ/tmp", "a b", "a\nBcc: b"])
def test_an_unsafe_address_is_never_tried(tmp_path: Path, smtpd: Smtpd, to: str) -> None:
    status, reason = courier(mail(tmp_path, smtpd.url, to=to))
    assert (status, reason.startswith("MAILTO ")) == (os.EX_UNAVAILABLE, True)
    assert not smtpd.mails()


def test_an_incomplete_document() -> None:
    assert courier({"kind": "ping"}) == (os.EX_SOFTWARE, "a bug in pycrond: KeyError('url')")


# By the machine's mailer


@pytest.fixture
def msmtp(tmp_path: Path, smtpd: Smtpd) -> str:
    """Return the path of msmtp, which sends to the test's server."""
    packages.install("msmtp", lambda: shutil.which("msmtp"))
    configuration = tmp_path / ".msmtprc"
    configuration.write_text(
        f"account default\nhost 127.0.0.1\nport {smtpd.port}\nfrom root@web1\nset_from_header off\n"
        "set_date_header off\nset_msgid_header off\n"
    )
    configuration.chmod(0o600)
    return str(shutil.which("msmtp"))


def test_a_mail_by_sendmail(tmp_path: Path, smtpd: Smtpd, msmtp: str) -> None:
    output = "Größe\n.\nTo: nobody\n".encode()
    document = mail(tmp_path, msmtp, output, to="ops@example.org,dev@example.org", sender="cron@example.org")
    assert courier(document, HOME=str(tmp_path)) == (0, "")
    (received,) = smtpd.mails()
    assert (received.sender, received.to) == ("cron@example.org", ["ops@example.org", "dev@example.org"])
    head = headers(received.content)
    assert head["Subject"] == "Cron <root@web1> backup --all (exit status 3)"
    assert head["From"] == "cron@example.org"
    assert payload(received.content) == output + BELOW


def test_a_sendmail_whose_server_refuses(tmp_path: Path, smtpd: Smtpd, msmtp: str) -> None:
    document = mail(tmp_path, msmtp)
    smtpd.answer("RCPT", "450 greylisted")
    status, reason = courier(document, HOME=str(tmp_path))
    assert (status, "450 greylisted" in reason) == (os.EX_TEMPFAIL, True)
    smtpd.end()
    assert courier(document, HOME=str(tmp_path))[0] == os.EX_TEMPFAIL
    assert not smtpd.mails()


def script(directory: Path, text: str) -> str:
    file = directory / "mailer"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def test_the_arguments_of_sendmail(tmp_path: Path) -> None:
    mailer = script(tmp_path, 'cd "${0%/*}"; printf "%s\\n" "$@" >words; cat >message')
    assert courier(mail(tmp_path, mailer, to="root, b@c")) == (0, "")
    words = (tmp_path / "words").read_text().split("\n")[:-1]
    assert words == ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root", "b@c"]
    assert headers((tmp_path / "message").read_bytes())["From"] == "root (Cron Daemon)"


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("cat >/dev/null; exit 0", 0, ""),
        ("exit 0", 0, ""),  # reads nothing
        ('sleep 20 & echo $! >"${0%/*}/pid"; exit 0', 0, ""),  # continues in the background
        ("cat >/dev/null; echo full; echo disk >&2; exit 75", os.EX_TEMPFAIL, ": exit status 75: full disk"),
        ("kill -9 $$", os.EX_TEMPFAIL, ": killed by signal 9"),
        ("exit 1", os.EX_TEMPFAIL, ": exit status 1"),  # the meaning is not known
        ("exit 68", os.EX_TEMPFAIL, ": exit status 68"),  # perhaps no name server answered
        ("exit 64", os.EX_UNAVAILABLE, ": exit status 64"),
        ("exit 67", os.EX_UNAVAILABLE, ": exit status 67"),
        ("exit 69", os.EX_TEMPFAIL, ": exit status 69"),  # msmtp's also for 450
        ("exit 78", os.EX_CONFIG, ": exit status 78"),
    ],
)
def test_the_exit_status_of_sendmail(tmp_path: Path, text: str, status: int, reason: str) -> None:
    mailer = script(tmp_path, text)
    assert courier(mail(tmp_path, mailer, b"x\n" * 100_000)) == (status, reason and mailer + reason)
    if (tmp_path / "pid").exists():
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_sendmail_that_hangs_is_killed(tmp_path: Path) -> None:
    mailer = script(tmp_path, 'cd "${0%/*}"; sleep 60 & echo $$ $! >pids; wait')
    status, reason = courier(mail(tmp_path, mailer) | {"timeout": 1.0})
    assert (status, reason) == (os.EX_TEMPFAIL, f"{mailer}: not done after 1 s")
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    wait_until(lambda: not any(map(alive, pids)))


def test_no_sendmail(tmp_path: Path) -> None:
    missing = str(tmp_path / "sendmail")
    assert courier(mail(tmp_path, missing)) == (os.EX_CONFIG, f"{missing}: No such file or directory")
    Path(missing).write_text("")
    assert courier(mail(tmp_path, missing)) == (os.EX_CONFIG, f"{missing}: Permission denied")


# Pings


@pytest.mark.parametrize(
    ("path", "event", "requested"),
    [
        ("/id", "start", "/id/start"),
        ("/id", "success", "/id"),
        ("/id", "failure", "/id/fail"),
        ("/id/", "failure", "/id/fail"),
        ("/id/", "success", "/id/"),
        ("/id?create=1&x=a%2Fb", "start", "/id/start?create=1&x=a%2Fb"),
        ("/id?create=1", "success", "/id?create=1"),
        ("", "start", "/start"),
    ],
)
def test_ping(web: Web, path: str, event: str, requested: str) -> None:
    assert courier({"kind": "ping", "url": web.url + path, "event": event}) == (0, "")
    assert web.requests == [(requested, f"pycrond/{__version__}")]


UUID = "/ping/3c1169a0-7b50-11f0-8de9-0242ac120002"
SLUG = "/fqOOd6-F4MMNuCEnzTU01w/nightly-backup"
FAILED = {"event": "failure", "state": "failed", "exit_status": 3, "output": 10240}
SIGNAL = FAILED | {"exit_status": None, "signal": 9}
TIMED_OUT = FAILED | {"state": "timed-out", "reason": "timeout after 5 s"}
NOTE = b"[pycrond: exit status 3]\n"


@pytest.mark.parametrize(
    ("path", "facts", "printed", "expected", "body"),
    [
        (UUID, FAILED, b"no space\n", UUID + "/3", b"no space\n"),
        (SLUG, FAILED, b"no space\n", SLUG + "/3", b"no space\n"),
        (f"{UUID.upper()}/?rid=x", FAILED, b"x", f"{UUID.upper()}/3?rid=x", b"x"),
        ("/id", FAILED, b"no space\n", "/id/fail", NOTE + b"no space\n"),
        ("/id", FAILED, b"", "/id/fail", NOTE),
        (UUID, SIGNAL, b"x", UUID + "/fail", b"[pycrond: signal 9]\nx"),
        (UUID, TIMED_OUT, b"x", UUID + "/fail", b"[pycrond: timeout after 5 s]\nx"),
        (UUID, FAILED | {"event": "success", "exit_status": 1}, b"ok\n", UUID, b"ok\n"),
        (
            UUID,
            FAILED | {"output": 4},
            "12345漢".encode(),
            UUID + "/3",
            "[pycrond: 4 bytes before this are left out]\n5漢".encode(),
        ),
        (UUID, FAILED, b"\xff\0\r\n", UUID + "/3", b"\\xff\0\r\n"),
    ],
)
def test_a_ping_with_output(  # noqa: PLR0917 -- its cases
    tmp_path: Path, web: Web, path: str, facts: dict[str, Any], printed: bytes, expected: str, body: bytes
) -> None:
    assert courier({"kind": "ping", "url": web.url + path, **facts, **spooled(tmp_path, printed)}) == (0, "")
    assert web.posts == [(expected, body)]
    assert len(web.requests) == 1


@pytest.mark.parametrize(
    ("path", "facts", "expected"),
    [
        (UUID, {"output": 0}, UUID + "/fail"),
        (UUID, {"output": 10240, "event": "success"}, UUID),
        ("/post405/id", {"output": 10240}, "/post405/id/fail"),
        ("/post501" + UUID, {"output": 10240}, f"/post501{UUID}/fail"),
    ],
)
def test_a_ping_without_output_is_a_get(
    tmp_path: Path, web: Web, path: str, facts: dict[str, Any], expected: str
) -> None:
    printed = spooled(tmp_path, b"" if "event" in facts else b"x" * 10240)
    assert courier({"kind": "ping", "url": web.url + path, **FAILED, **facts, **printed}) == (0, "")
    assert web.posts == []
    assert [requested for requested, _ in web.requests] == [expected]


@pytest.mark.parametrize(
    ("path", "facts", "printed", "status"),
    [("/404", FAILED, b"x", os.EX_UNAVAILABLE), ("/503", FAILED, b"x", os.EX_TEMPFAIL)],
)
def test_a_ping_that_is_refused_in_all_forms(
    tmp_path: Path, web: Web, path: str, facts: dict[str, Any], printed: bytes, status: int
) -> None:
    document = {"kind": "ping", "url": web.url + path + UUID, **facts, **spooled(tmp_path, printed)}
    assert courier(document)[0] == status
    assert len(web.requests) == (3 if path == "/404" else 1)


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/201/a", 0, ""),
        ("/302/a", os.EX_UNAVAILABLE, "127.0.0.1: HTTP 302 Found, which is not followed (ping-redirects)"),
        ("/400/a", os.EX_UNAVAILABLE, "127.0.0.1: HTTP 400 Bad Request"),
        ("/404/a", os.EX_UNAVAILABLE, "127.0.0.1: HTTP 404 Not Found"),
        ("/410/a", os.EX_UNAVAILABLE, "127.0.0.1: HTTP 410 Gone"),
        ("/429/a", os.EX_TEMPFAIL, "127.0.0.1: HTTP 429 Too Many Requests"),
        ("/500/a", os.EX_TEMPFAIL, "127.0.0.1: HTTP 500 Internal Server Error"),
        ("/503/a", os.EX_TEMPFAIL, "127.0.0.1: HTTP 503 Service Unavailable"),
    ],
)
def test_the_answer_to_a_ping(web: Web, path: str, status: int, reason: str) -> None:
    assert courier({"kind": "ping", "url": web.url + path, "event": "success"}) == (status, reason)


@pytest.mark.parametrize(("path", "status"), [("/302/a", 0), ("/301/a", os.EX_UNAVAILABLE)])
def test_redirects_are_followed_on_request_but_not_to_ftp(web: Web, path: str, status: int) -> None:
    document = {"kind": "ping", "url": web.url + path, "event": "success", "redirects": True}
    assert courier(document)[0] == status
    assert [requested for requested, _ in web.requests] == [path, "/moved"][: 2 - bool(status)]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "id",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://",
        "http://127.0.0.1:x/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/a\r\nX: y",
        "http://127.0.0.1/é",
        "http://[::1",
    ],
)
def test_an_invalid_url(url: str) -> None:
    status, reason = courier({"kind": "ping", "url": url, "event": "success"})
    assert (status, reason.endswith(": invalid URL")) == (os.EX_UNAVAILABLE, True)


def test_an_answer_that_is_not_http_and_an_answer_without_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def answer() -> None:
            with server.accept()[0] as link:
                link.sendall(b"220 mail.test\r\n")
            with server.accept()[0] as link, contextlib.suppress(ConnectionError):
                while not stop.wait(0.05):
                    link.sendall(b"H")  # each within the timeout

        thread = threading.Thread(target=answer)
        thread.start()
        document = {"kind": "ping", "url": f"http://127.0.0.1:{server.getsockname()[1]}/", "event": "success"}
        assert courier(document)[0] == os.EX_TEMPFAIL
        assert courier(document | {"timeout": 0.5, "limit": 2}) == (os.EX_TEMPFAIL, "given up after 2 s")
        stop.set()
        thread.join()


def test_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        status, reason = courier({"kind": "ping", "url": url, "event": "success", "timeout": 0.3})
    assert (status, reason) == (os.EX_TEMPFAIL, "127.0.0.1: timed out")


def test_a_ping_does_not_load_the_mailers(web: Web) -> None:
    program = (
        "import sys, pycrond.alarms.courier as courier\n"
        f"courier.send_ping({{'url': {web.url!r}, 'event': 'start'}})\n"
        "sys.exit(bool({'smtplib', 'subprocess', 'pycrond.alarms.smtp', 'pycrond.alarms.sendmail'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
