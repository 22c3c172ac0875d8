"""A real HTTP server for tests, on loopback, that remembers what it was asked."""

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest


class Web:
    """What has been asked of a server, and what it answers: `/404/…` with 404, the others with 200."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        asked = self.asked

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.path, self.headers["User-Agent"]))
                first = self.path.split("/")[1]
                code = int(first) if first.isdigit() else 200
                self.send_response(code)
                if 300 <= code < 400:
                    self.send_header("Location", "/moved" if code == 302 else "ftp://127.0.0.1/x")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def end(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.end()
