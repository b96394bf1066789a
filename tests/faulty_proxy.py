"""A proxy in front of a real server that fails when it is told to, once for each kind of request for example."""

import re
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal
from urllib.parse import urlsplit

# answer: 500 at once; stall: takes the request and answers nothing; cut: closes in the middle of the request;
# lose: hands the request on and closes before the answer; loris: answers an octet at a time, never the last;
# skewed: what S3 says when the clock of the client is off; delay: hands the request on after `delay_s`.
Fault = Literal["answer", "stall", "cut", "lose", "loris", "skewed", "delay"]
Chooser = Callable[[str, str], Fault | None]
SKEWED = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>RequestTimeTooSkewed</Code><Message>The difference between '
    b"the request time and the server's time is too large.</Message></Error>"
)


class FaultyProxy:
    """Hands on requests of HTTP/1.1, one for each connection; `chooser` is told method and path of each.

    It is a forward proxy too, all of whose requests go to the one server, whatever host they name (RFC 9112, 3.2.2).
    What fails does so after `after` octets of its body, of a longer one in the middle.
    """

    def __init__(self, target: str, chooser: Chooser, after: int | None = None) -> None:
        self.after = after
        parts = urlsplit(target)
        self.target = (parts.hostname or "", parts.port or 80)
        self.chooser = chooser
        self.requests: list[tuple[str, str]] = []
        # Their headers, names in lower case, in the same order.
        self.headers: list[dict[str, str]] = []
        self.faults: list[tuple[str, str, Fault]] = []
        self.closing = threading.Event()
        self.delay_s = 0.0
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64
    block_on_close = False
    proxy: FaultyProxy


class _Handler(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        proxy = self.server.proxy
        head, body = self._head()
        if not head:
            return
        lines = head.split(b"\r\n")
        method, path, version = lines[0].decode().split(" ", 2)
        path = re.sub("^http://[^/]*", "", path)
        lines[0] = f"{method} {path} {version}".encode()
        length = next((int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")), 0)
        proxy.requests.append((method, path))
        named = (line.decode("latin-1").partition(":") for line in lines[1:])
        proxy.headers.append({name.lower(): value.strip() for name, _, value in named})
        fault = proxy.chooser(method, path)
        if fault is not None:
            proxy.faults.append((method, path, fault))
        if fault is not None and proxy.after is not None:
            length = min(length, proxy.after)
        if fault == "cut":
            self._body(body, length if proxy.after is not None else 0)
            # A reset, not an orderly end.
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return
        if any(line.lower() == b"expect: 100-continue" for line in lines):
            self.request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            lines = [line for line in lines if line.lower() != b"expect: 100-continue"]
        body = self._body(body, length)
        if fault == "stall":
            proxy.closing.wait(30)
        elif fault == "answer":
            self._answer(b"500 Internal Server Error", b"")
        elif fault == "skewed":
            self._answer(b"403 Forbidden", SKEWED)
        elif fault == "loris":
            for octet in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 600:
                self.request.sendall(bytes([octet]))
                if proxy.closing.wait(0.05):
                    return
        else:
            proxy.closing.wait(proxy.delay_s if fault == "delay" else 0.0)
            self._hand_on(lines, body, lose=fault == "lose")

    def _head(self) -> tuple[bytes, bytes]:
        head = b""
        while b"\r\n\r\n" not in head:
            some = self.request.recv(65536)
            if not some:
                return b"", b""
            head += some
        head, _, body = head.partition(b"\r\n\r\n")
        return head, body

    def _body(self, body: bytes, length: int) -> bytes:
        while len(body) < length and (some := self.request.recv(1 << 20)):
            body += some
        return body

    def _answer(self, status: bytes, body: bytes) -> None:
        self.request.sendall(
            b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body)
        )

    def _hand_on(self, lines: list[bytes], body: bytes, *, lose: bool) -> None:
        kept = [line for line in lines if not line.lower().startswith(b"connection:")]
        with socket.create_connection(self.server.proxy.target) as there:
            there.sendall(b"\r\n".join([*kept, b"Connection: close", b"", b""]) + body)
            answer = b""
            while some := there.recv(1 << 20):
                answer += some
        if not lose:
            self.request.sendall(answer)


@contextmanager
def faulty_proxy(target: str, chooser: Chooser, after: int | None = None) -> Iterator[FaultyProxy]:
    """Run a proxy in front of a server."""
    proxy = FaultyProxy(target, chooser, after)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


def once_each(fault: Fault) -> Chooser:
    """Choose a fault for the first request of each method and path, their queries apart."""

    def point_of(method: str, path: str) -> tuple[str, str]:
        return method, path.partition("?")[0]

    return _first(fault, point_of)


def at_step(fault: Fault, step: str, times: int) -> Chooser:
    """Choose a fault for so many requests of a step of multipart uploads: "partNumber=2", or "complete"."""

    def point_of(method: str, path: str) -> tuple[str, str] | None:
        queried = path.partition("?")[2].split("&")
        completes = method == "POST" and any(one.startswith("uploadId=") for one in queried)
        return (method, step) if (completes if step == "complete" else step in queried) else None

    return _first(fault, point_of, times)


def _first(fault: Fault, point_of: Callable[[str, str], tuple[str, str] | None], times: int = 1) -> Chooser:
    seen: Counter[tuple[str, str]] = Counter()

    def chooser(method: str, path: str) -> Fault | None:
        point = point_of(method, path)
        if point is None or seen[point] == times:
            return None
        seen[point] += 1
        return fault

    return chooser
