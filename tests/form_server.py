"""A real HTTP server that takes forms, or refuses them when told; what it took is read by Python's MIME parser."""

import threading
from email import message_from_bytes
from email.message import Message
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Form(NamedTuple):
    """The one part of a form, and the headers of the request that brought it."""

    part: str
    file: str
    media_type: str
    octets: bytes
    headers: dict[str, str]


class FormServer:
    """Listens on loopback while a `with` lasts. `refusals` are the statuses of the next answers; then 200."""

    def __init__(self) -> None:
        self.forms: list[Form] = []
        self.refused = 0
        self.refusals: list[int] = []
        self.answer = b"ok"
        self.changed = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.take(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/rec?key=in-the-url"

    def take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        with self.changed:
            status = self.refusals.pop(0) if self.refusals else 200
            if status == 200:
                self.forms.append(_read(dict(request.headers), body))
            else:
                self.refused += 1
            self.changed.notify_all()
        request.send_response(status)
        if 300 <= status < 400:
            request.send_header("Location", self.url)
        request.send_header("Content-Length", str(len(self.answer)))
        request.end_headers()
        request.wfile.write(self.answer)

    def until(self, forms: int = 0, refused: int = 0, seconds: float = 40.0) -> None:
        """Wait until so many forms were taken and so many refused."""
        with self.changed:
            enough = self.changed.wait_for(lambda: len(self.forms) >= forms and self.refused >= refused, seconds)
        assert enough, f"{len(self.forms)} forms, {self.refused} refused; {forms} and {refused} were expected"

    def __enter__(self) -> "FormServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _read(headers: dict[str, str], body: bytes) -> Form:
    whole = message_from_bytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body, policy=HTTP)
    assert whole.get_content_type() == "multipart/form-data"
    (part,) = whole.iter_parts()
    assert isinstance(part, Message)
    assert part.get_content_disposition() == "form-data"
    name = part.get_param("name", header="content-disposition")
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    return Form(str(name), str(part.get_filename()), part.get_content_type(), octets, headers)
