"""The courier: a program that delivers one thing, by a real mailer to a real server, or says why it cannot."""

import contextlib
import email
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from pycrond import __version__
from pycrond.output import spool
from tests.conftest import alive, wait_until
from tests.support.rsyslog import _apt_get
from tests.support.smtpd import Smtpd
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


def courier(document: dict[str, Any], **environment: str) -> tuple[int, str]:
    """Its exit status and what it said: nothing, or one line."""
    done = subprocess.run(
        [sys.executable, "-m", "pycrond.alarms.courier"],
        input=json.dumps(document).encode(),
        capture_output=True,
        env={**os.environ, "no_proxy": "127.0.0.1", **environment},
        timeout=60,
        check=False,
    )
    assert not done.stderr, done.stderr.decode()
    text = done.stdout.decode()
    assert text.count("\n") == (done.returncode != 0)
    return done.returncode, text.rstrip("\n")


def printed(folder: Path, output: bytes, run: int = 7) -> dict[str, Any]:
    """A run's output in a spool, as a document tells of it."""
    for start in range(0, len(output), spool.SEGMENT):
        file = Path(spool.path(str(folder / "spool"), run, start // spool.SEGMENT))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(output[start : start + spool.SEGMENT])
    return {"spool": str(folder / "spool"), "run": run, "bytes": len(output)}


def mail(folder: Path, mailer: str, output: bytes = b"no space\n", **letter: Any) -> dict[str, Any]:
    return {"kind": "mail", "mailer": mailer, "letter": LETTER | letter, **printed(folder, output)}


def payload(content: bytes) -> bytes:
    found = email.message_from_bytes(content).get_payload(decode=True)
    assert isinstance(found, bytes)
    return found


def header(content: bytes) -> Message:
    return email.message_from_bytes(content)


def give_up(why: str) -> None:
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)


# By SMTP


def test_a_mail_by_smtp(tmp_path: Path, smtpd: Smtpd) -> None:
    assert courier(mail(tmp_path, smtpd.url, "Größe\n.\n..\n".encode(), to="ops@example.org, root")) == (
        0,
        "",
    )
    (one,) = smtpd.mails()
    assert (one.sender, one.to) == ("root@web1", ["ops@example.org", "root@web1"])
    assert "BODY=8BITMIME" in one.options
    head = header(one.content)
    assert head["From"] == "root@web1 (Cron Daemon)"
    assert head["Subject"] == "Cron <root@web1> backup --all (exit status 3)"
    assert payload(one.content) == "Größe\n.\n..\n".encode() + BELOW


def test_mailfrom_is_the_envelopes_sender(tmp_path: Path, smtpd: Smtpd) -> None:
    assert courier(mail(tmp_path, smtpd.url, sender="cron@example.org")) == (0, "")
    (one,) = smtpd.mails()
    assert one.sender == header(one.content)["From"] == "cron@example.org"


def test_an_unsafe_mailfrom_keeps_no_mail_back(tmp_path: Path, smtpd: Smtpd) -> None:
    assert courier(mail(tmp_path, smtpd.url, sender="a b@c")) == (0, "")
    (one,) = smtpd.mails()
    assert one.sender == "root@web1"
    assert b"MAILFROM: 'a b@c' is not used: unsafe character ' '" in payload(one.content)


@pytest.mark.parametrize("output", [b"\xff\0\r\n", b"x" * 5000, bytes(range(256)) * 9000], ids=len)
def test_any_output_arrives(tmp_path: Path, smtpd: Smtpd, output: bytes) -> None:
    assert courier(mail(tmp_path, smtpd.url, output)) == (0, "")
    (one,) = smtpd.mails()
    assert payload(one.content).startswith(output)


def test_a_huge_output_and_one_that_is_no_longer_kept(tmp_path: Path, smtpd: Smtpd) -> None:
    document = mail(tmp_path, smtpd.url, b"0123456789abcde\n" * 1_000_000)
    os.unlink(spool.path(document["spool"], 7, 0))
    assert courier(document) == (0, "")
    for segment in spool.segments(document["spool"], 7):
        os.unlink(spool.path(document["spool"], 7, segment))
    assert courier(document) == (0, "")
    some, none = (payload(one.content) for one in smtpd.mails())
    assert some.startswith(b"[pycrond: 1048576 bytes before this are no longer kept]\n0123456789")
    assert b" bytes are left out here]\n" in some
    assert none == b"[pycrond: 16000000 bytes before this are no longer kept]\n" + BELOW


def test_only_so_many_bytes_are_mailed(tmp_path: Path, smtpd: Smtpd) -> None:
    assert courier(mail(tmp_path, smtpd.url, b"first\nsecond\n") | {"bytes": 6}) == (0, "")
    (one,) = smtpd.mails()
    assert payload(one.content) == b"first\n" + BELOW


def test_less_is_there_than_was_said(tmp_path: Path, smtpd: Smtpd) -> None:
    """A machine that lost its power may have lost the end of a file."""
    assert courier(mail(tmp_path, smtpd.url, b"half a l") | {"bytes": 10**12}) == (0, "")
    (one,) = smtpd.mails()
    assert payload(one.content) == b"half a l\n" + BELOW


def test_what_is_sent_again_has_the_same_message_id(tmp_path: Path, smtpd: Smtpd) -> None:
    document = mail(tmp_path, smtpd.url)
    for again in (document, document, document | {"bytes": 2}):
        assert courier(again) == (0, "")
    first, second, other = (header(one.content)["Message-ID"] for one in smtpd.mails())
    assert first == second != other


@pytest.mark.parametrize(
    ("command", "line", "end"),
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
        ("QUIT", "421 never mind", (0, "")),  # it has the mail
    ],
)
def test_what_a_server_refuses(
    tmp_path: Path, smtpd: Smtpd, command: str, line: str, end: tuple[int, str]
) -> None:
    status, said = end
    smtpd.answer(command, line)
    found, text = courier(mail(tmp_path, smtpd.url))
    assert found == status
    assert text.endswith(said)
    assert len(smtpd.mails()) == (status == 0)


@pytest.mark.parametrize(("code", "status"), [(450, os.EX_TEMPFAIL), (550, os.EX_UNAVAILABLE)])
def test_one_of_two_is_refused(tmp_path: Path, smtpd: Smtpd, code: int, status: int) -> None:
    smtpd.answer("RCPT b@example.org", f"{code} not that one")
    found, text = courier(mail(tmp_path, smtpd.url, to="a@example.org,b@example.org"))
    assert (found, text) == (status, f"127.0.0.1:{smtpd.port} refuses b@example.org: {code} not that one")
    assert [one.to for one in smtpd.mails()] == [["a@example.org"]]


def test_a_server_without_8bitmime(tmp_path: Path) -> None:
    server = Smtpd(tmp_path / "seven", "seven")
    try:
        assert courier(mail(tmp_path, server.url, "Größe\n".encode())) == (0, "")
        (one,) = server.mails()
    finally:
        server.end()
    assert one.content.isascii()
    assert payload(one.content) == "Größe\n".encode() + BELOW


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """One that signs itself, for 127.0.0.1."""
    if not shutil.which("openssl"):
        give_up("no openssl to make a certificate with")
    file = tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "30"]
    subprocess.run([*command, "-keyout", f"{file}.key", "-out", file], check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.key").read_text())
    return file


@pytest.mark.parametrize("option", ["tls", "tls-only"])
def test_tls(tmp_path: Path, certificate: Path, option: str) -> None:
    """STARTTLS with any certificate, for it takes nothing away; smtps:// and a login with one that is trusted."""
    server = Smtpd(tmp_path / "smtpd", option)
    try:
        url = server.url if option == "tls" else server.url.replace("smtp", "smtps")
        document = mail(tmp_path, url)
        status, said = courier(document)
        assert (status, "self-signed" in said) == ((0, False) if option == "tls" else (os.EX_TEMPFAIL, True))
        assert courier(document, SSL_CERT_FILE=str(certificate)) == (0, "")
        assert len(server.mails()) == 1 + (option == "tls")
    finally:
        server.end()


@pytest.mark.parametrize("options", [["login"], ["login", "tls"]], ids=["plain", "tls"])
def test_login(tmp_path: Path, certificate: Path, options: list[str]) -> None:
    server = Smtpd(tmp_path / "smtpd", *options)
    secret = tmp_path / "password"
    trusted = {"SSL_CERT_FILE": str(certificate)}
    try:
        document = mail(tmp_path, server.url.replace("//", "//cron@")) | {"password_file": str(secret)}
        status, said = courier(document, **trusted)
        assert (status, "cannot read the password file" in said) == (os.EX_CONFIG, True)
        secret.write_text("wrong\n")
        status, said = courier(document, **trusted)
        assert (status, "535" in said) == (os.EX_CONFIG, True)
        secret.write_text("secret\n")
        assert courier(document, **trusted) == (0, "")
        if "tls" in options:
            assert courier(document)[0] == os.EX_TEMPFAIL  # to whom it cannot be sure it gives no password
        assert len(server.mails()) == 1
    finally:
        server.end()


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
def test_a_mailer_that_is_none(tmp_path: Path, mailer: str) -> None:
    assert courier(mail(tmp_path, mailer))[0] == os.EX_CONFIG


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{bound.getsockname()[1]}"
        status, said = courier(mail(tmp_path, f"smtp://{where}"))
        assert (status, said) == (os.EX_TEMPFAIL, f"{where}: [Errno 111] Connection refused")
        status, said = courier({"kind": "ping", "url": f"http://{where}/id", "event": "success"})
        assert (status, said) == (os.EX_TEMPFAIL, "127.0.0.1: [Errno 111] Connection refused")


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
def test_it_never_hangs(tmp_path: Path, kind: str) -> None:
    """A server that takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
        document = {"kind": "ping", "url": f"http://{where}/", "event": "start"}
        if kind == "mail":
            document = mail(tmp_path, f"smtp://{where}")
        assert courier(document | {"limit": 1.0}) == (os.EX_TEMPFAIL, "given up after 1 s")


@pytest.mark.parametrize("to", ["", "-oQ/tmp", "a,-oQ/tmp", "a b", "a\nBcc: b"])
def test_an_unsafe_address_is_never_tried(tmp_path: Path, smtpd: Smtpd, to: str) -> None:
    status, said = courier(mail(tmp_path, smtpd.url, to=to))
    assert (status, said.startswith("MAILTO ")) == (os.EX_UNAVAILABLE, True)
    assert not smtpd.mails()


def test_what_is_no_document() -> None:
    status, said = courier({"kind": "ping"})
    assert (status, said) == (os.EX_SOFTWARE, "a bug in pycrond: KeyError('url')")


# By the machine's mailer


@pytest.fixture
def msmtp(tmp_path: Path, smtpd: Smtpd) -> str:
    """A sendmail that hands on to the test's server. Where CI runs, a test that cannot have it fails."""
    if not shutil.which("msmtp"):
        why = "no msmtp, and not root with apt-get to install it"
        if os.geteuid() == 0 and shutil.which("apt-get"):
            why = _apt_get("update") or _apt_get("install", "--yes", "--no-install-recommends", "msmtp")
        if why:
            give_up(why)
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
    (one,) = smtpd.mails()
    assert (one.sender, one.to) == ("cron@example.org", ["ops@example.org", "dev@example.org"])
    head = header(one.content)
    assert head["Subject"] == "Cron <root@web1> backup --all (exit status 3)"
    assert head["From"] == "cron@example.org"
    assert payload(one.content) == output + BELOW


def test_a_sendmail_whose_server_refuses(tmp_path: Path, smtpd: Smtpd, msmtp: str) -> None:
    document = mail(tmp_path, msmtp)
    smtpd.answer("RCPT", "450 greylisted")
    status, said = courier(document, HOME=str(tmp_path))
    assert (status, "450 greylisted" in said) == (os.EX_TEMPFAIL, True)
    smtpd.end()
    assert courier(document, HOME=str(tmp_path))[0] == os.EX_TEMPFAIL
    assert not smtpd.mails()


def script(folder: Path, text: str) -> str:
    file = folder / "mailer"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def test_how_a_sendmail_is_called(tmp_path: Path) -> None:
    mailer = script(tmp_path, 'cd "${0%/*}"; printf "%s\\n" "$@" >words; cat >message')
    assert courier(mail(tmp_path, mailer, to="root, b@c")) == (0, "")
    words = (tmp_path / "words").read_text().split("\n")[:-1]
    assert words == ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root", "b@c"]
    assert header((tmp_path / "message").read_bytes())["From"] == "root (Cron Daemon)"


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("cat >/dev/null; exit 0", 0, ""),
        ("exit 0", 0, ""),  # reads nothing
        ("sleep 20 & exit 0", 0, ""),  # goes on in the background
        ("cat >/dev/null; echo full; echo disk >&2; exit 75", os.EX_TEMPFAIL, ": exit status 75: full disk"),
        ("kill -9 $$", os.EX_TEMPFAIL, ": killed by signal 9"),
        ("exit 1", os.EX_TEMPFAIL, ": exit status 1"),  # whatever it means
        ("exit 68", os.EX_TEMPFAIL, ": exit status 68"),  # perhaps no name server
        ("exit 64", os.EX_UNAVAILABLE, ": exit status 64"),
        ("exit 67", os.EX_UNAVAILABLE, ": exit status 67"),
        ("exit 69", os.EX_TEMPFAIL, ": exit status 69"),  # msmtp's for 450, too
        ("exit 78", os.EX_CONFIG, ": exit status 78"),
    ],
)
def test_how_a_sendmail_ends(tmp_path: Path, text: str, status: int, said: str) -> None:
    mailer = script(tmp_path, text)
    assert courier(mail(tmp_path, mailer, b"x\n" * 100_000)) == (status, said and mailer + said)


def test_a_sendmail_that_hangs_is_ended(tmp_path: Path) -> None:
    mailer = script(tmp_path, 'cd "${0%/*}"; sleep 60 & echo $$ $! >pids; wait')
    status, said = courier(mail(tmp_path, mailer) | {"timeout": 1.0})
    assert (status, said) == (os.EX_TEMPFAIL, f"{mailer}: not done after 1 s")
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    wait_until(lambda: not any(map(alive, pids)))


def test_no_sendmail(tmp_path: Path) -> None:
    missing = str(tmp_path / "sendmail")
    assert courier(mail(tmp_path, missing)) == (os.EX_CONFIG, f"{missing}: No such file or directory")
    Path(missing).write_text("")
    assert courier(mail(tmp_path, missing)) == (os.EX_CONFIG, f"{missing}: Permission denied")


# Pings


@pytest.mark.parametrize(
    ("path", "event", "asked"),
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
def test_ping(web: Web, path: str, event: str, asked: str) -> None:
    assert courier({"kind": "ping", "url": web.url + path, "event": event}) == (0, "")
    assert web.asked == [(asked, f"pycrond/{__version__}")]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/201/a", 0, ""),
        ("/302/a", 0, ""),  # moved
        ("/301/a", os.EX_UNAVAILABLE, ""),  # to ftp
        ("/400/a", os.EX_UNAVAILABLE, "127.0.0.1: HTTP 400 Bad Request"),
        ("/404/a", os.EX_UNAVAILABLE, "127.0.0.1: HTTP 404 Not Found"),
        ("/410/a", os.EX_UNAVAILABLE, "127.0.0.1: HTTP 410 Gone"),
        ("/429/a", os.EX_TEMPFAIL, "127.0.0.1: HTTP 429 Too Many Requests"),
        ("/500/a", os.EX_TEMPFAIL, "127.0.0.1: HTTP 500 Internal Server Error"),
        ("/503/a", os.EX_TEMPFAIL, "127.0.0.1: HTTP 503 Service Unavailable"),
    ],
)
def test_what_a_ping_is_answered(web: Web, path: str, status: int, said: str) -> None:
    found, text = courier({"kind": "ping", "url": web.url + path, "event": "success"})
    assert found == status
    assert text == said or (path == "/301/a" and text.startswith("127.0.0.1: "))


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
def test_what_is_no_url(url: str) -> None:
    status, said = courier({"kind": "ping", "url": url, "event": "success"})
    assert (status, said.endswith("is not a URL that can be asked for")) == (os.EX_UNAVAILABLE, True)


def test_an_answer_that_is_no_http_and_one_that_never_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def answer() -> None:
            with server.accept()[0] as link:
                link.sendall(b"220 mail.test\r\n")
            with server.accept()[0] as link, contextlib.suppress(ConnectionError):
                while not stop.wait(0.05):
                    link.sendall(b"H")  # each in time

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
        status, said = courier({"kind": "ping", "url": url, "event": "success", "timeout": 0.3})
    assert (status, said) == (os.EX_TEMPFAIL, "127.0.0.1: timed out")


def test_a_ping_loads_nothing_of_mails(web: Web) -> None:
    program = (
        "import sys, pycrond.alarms.courier as courier\n"
        f"courier.ping({{'url': {web.url!r}, 'event': 'start'}})\n"
        "sys.exit(bool({'smtplib', 'subprocess', 'pycrond.alarms.smtp', 'pycrond.alarms.sendmail'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
