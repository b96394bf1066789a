"""What machines ask about the server itself: /health, /metrics, and the /report of its senders."""

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sipflow.clock import SECOND_US, format_time, monotonic_us
from sipflow.errors import BadQuery, SipflowError, StorageError
from sipflow.web.account import Account, account_of
from sipflow.web.metrics import CONTENT_TYPE, exposition
from sipflow.web.reply import reply
from sipflow.web.status import RecorderSnapshot, RecorderStatus

# The recorder beats twice a second; ten seconds without a beat is a recorder that hangs or is gone.
SILENCE_US = 10 * SECOND_US
# Below this the next commit may fail: better red while there is still room to act.
REPORT_MAX_OCTETS = 64 << 10


class Health(msgspec.Struct, frozen=True):
    """Whether packets are being recorded, and if not, why; `notes` are what an operator should know all the same."""

    status: str
    reasons: list[str]
    version: str = ""
    started_us: int | None = None
    listening: list[str] = []
    notes: list[str] = []
    account: Account | None = None


class Report(msgspec.Struct, frozen=True):
    """How many packets of a sender arrived since the recorder started."""

    client_id: int
    packets_received: int
    status: str = "success"


class Probes:
    """Routes about the recorder."""

    def __init__(self, recorder: RecorderStatus) -> None:
        self._recorder = recorder
        self.routes = [
            Route("/health", self.health),
            Route("/metrics", self.metrics),
            Route("/report", self.report, methods=["POST"]),
        ]

    def health(self, request: Request) -> Response:
        """Answer 200 when packets are being recorded, 503 with the reasons when not; text, or JSON if asked for."""
        state = self._judge()
        code = 200 if state.status == "ok" else 503
        if not request.scope.get("sipflow.known", False):
            return PlainTextResponse("OK" if code == 200 else "not healthy", code)
        if "application/json" in request.headers.get("accept", ""):
            return reply(state, code)
        return PlainTextResponse("OK" if code == 200 else "\n".join(state.reasons), code)

    def metrics(self, _request: Request) -> Response:
        """Answer the counters, or 503 while the recorder cannot be read."""
        try:
            snapshot = self._recorder.snapshot()
        except StorageError as error:
            return PlainTextResponse(f"{error}\n", 503)
        return PlainTextResponse(exposition(snapshot, monotonic_us()), headers={"Content-Type": CONTENT_TYPE})

    async def report(self, request: Request) -> Response:
        """Tell a sender how many of its packets arrived; a missing or mistyped id reads as 0, as RustPBX has it."""
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > REPORT_MAX_OCTETS:
                raise BadQuery(f"the body is longer than {REPORT_MAX_OCTETS} octets; allowed: a JSON object")
        try:
            asked = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise BadQuery(f"the body is not JSON ({error}); allowed: client_id and sent_count") from None
        value = asked.get("client_id") if isinstance(asked, dict) else None
        client_id = value & 0xFFFFFFFF if isinstance(value, int) and not isinstance(value, bool) else 0
        return reply(Report(client_id, self._recorder.received(client_id)))

    def _judge(self) -> Health:
        try:
            snapshot = self._recorder.snapshot()
        except SipflowError as error:
            return Health("error", [f"the recorder cannot be read: {error}"])
        reasons = list(_reasons(snapshot))
        status = "error" if reasons else "ok"
        return Health(
            status,
            reasons,
            snapshot.version,
            snapshot.started_us,
            snapshot.listening,
            [*snapshot.notes, *_restarts(snapshot)],
            account_of(snapshot),
        )


def _restarts(snapshot: RecorderSnapshot) -> list[str]:
    reader = snapshot.reader
    if reader.died + reader.hung == 0:
        return []
    return [
        f"restarts of the reader: {reader.died + reader.hung}, {reader.hung} of them because it hung; "
        f"the last at {format_time(reader.last_us)}"
    ]


def _reasons(snapshot: RecorderSnapshot) -> list[str]:
    silence_us = monotonic_us() - snapshot.heartbeat_us
    reasons = list(snapshot.faults)
    if silence_us > SILENCE_US:
        reasons.append(f"the recorder (process {snapshot.pid}) gave no sign of life for {silence_us // SECOND_US} s")
    return reasons
