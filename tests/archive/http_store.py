"""A plain HTTP server that keeps what it is given in a directory: what docs/ARCHIVE.md asks of an endpoint."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class HttpStore(ThreadingHTTPServer):
    """Files by path. `token` is what its requests must carry; `marks` tells whether it reports an MD5."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, directory: Path, *, token: str = "", marks: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.directory = directory
        self.token = token
        self.marks = marks
        self.methods: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpStore

    def do_PUT(self) -> None:
        length = int(self.headers["Content-Length"])
        octets = self.rfile.read(length)
        # Whole or not at all.
        if len(octets) == length and self._begin():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_bytes(octets)
            self._answer(201)

    do_POST = do_PUT  # noqa: N815

    def do_GET(self) -> None:
        if self._begin():
            if self._file.is_file():
                self._answer(200, self._file.read_bytes())
            else:
                self._answer(404)

    do_HEAD = do_GET  # noqa: N815

    def do_DELETE(self) -> None:
        if self._begin():
            self._file.unlink(missing_ok=True)
            self._answer(204)

    @property
    def _file(self) -> Path:
        return self.server.directory / self.path.partition("?")[0].lstrip("/")

    def _begin(self) -> bool:
        self.server.methods.append(self.command)
        if self.server.token and self.headers.get("Authorization") != self.server.token:
            self._answer(401)
            return False
        return True

    def _answer(self, code: int, octets: bytes = b"") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(octets)))
        if self.server.marks and self.command == "HEAD":
            self.send_header("ETag", f'"{hashlib.md5(octets, usedforsecurity=False).hexdigest()}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(octets)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def http_store(directory: Path, *, token: str = "", marks: bool = True) -> Iterator[HttpStore]:
    """Run one on a free port of loopback."""
    directory.mkdir(parents=True, exist_ok=True)
    server = HttpStore(directory, token=token, marks=marks)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
