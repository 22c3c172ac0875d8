"""A real HTTP server for tests, on the loopback interface, that records the requests."""

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest


class Web:
    """A server and its requests, as path and User-Agent; requests that are a POST also as path and body.

    It answers `/404/…` with 404, a POST of `/post405/…` with 405 without reading it, and others with 200.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.posts: list[tuple[str, bytes]] = []
        requests, posts = self.requests, self.posts

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append((self.path, self.headers["User-Agent"]))
                directory = self.path.split("/")[1]
                self.answer(int(directory) if directory.isdigit() else 200)

            def do_POST(self) -> None:
                refused = self.path.split("/")[1].removeprefix("post")
                if refused.isdigit() and self.path.startswith("/post"):
                    self.answer(int(refused))
                    return
                posts.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                self.do_GET()

            def answer(self, code: int) -> None:
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
