"""What machines ask about the server itself: /health, /metrics, and the /report of its senders."""

from collections.abc import Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sipflow.archive.call_upload import CallUploads
from sipflow.clock import SECOND_US, format_time, monotonic_us, now_us
from sipflow.cluster.peer import PeerHealth
from sipflow.errors import BadQuery, SipflowError, StorageError
from sipflow.storage.packing_state import Packing
from sipflow.web.account import Account, account_of
from sipflow.web.archiving import Archiving
from sipflow.web.metrics import CONTENT_TYPE, NodesTold, exposition, uploads_exposition
from sipflow.web.reply import reply
from sipflow.web.senders import Senders
from sipflow.web.status import RecorderSnapshot, RecorderStatus

# The recorder beats twice a second; ten seconds without a beat is a recorder that hangs or is gone.
SILENCE_US = 10 * SECOND_US
# Below this the next commit may fail: better red while there is still room to act.
REPORT_MAX_OCTETS = 64 << 10
# An upload that failed once may succeed in a moment.
PATIENCE_US = 60 * SECOND_US


class Health(msgspec.Struct, frozen=True):
    """Whether packets are being recorded, and if not, why; `notes` are what an operator should know all the same."""

    status: str
    reasons: list[str]
    version: str = ""
    started_us: int | None = None
    listening: list[str] = []
    notes: list[str] = []
    account: Account | None = None
    packing: Packing | None = None


class Report(msgspec.Struct, frozen=True):
    """How many packets of a sender arrived since the recorder started."""

    client_id: int
    packets_received: int
    status: str = "success"


class Probes:
    """Routes about the recorder."""

    def __init__(
        self,
        recorder: RecorderStatus,
        archiving: Archiving,
        uploads: CallUploads | None,
        senders: Senders,
        health: Callable[[], Sequence[PeerHealth]],
        node: str = "",
    ) -> None:
        """Tell of a recorder, its archive and uploads, what its senders report, and how the other nodes are.

        `node` names this one.
        """
        self._recorder = recorder
        self._archiving = archiving
        self._uploads = uploads
        self._senders = senders
        self._health = health
        self._node = node
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
            nodes = NodesTold(self._node, self._senders.notes(), self._health())
            text = exposition(snapshot, monotonic_us(), self._archiving.state(), nodes)
            if self._uploads is not None:
                text += uploads_exposition(self._uploads.counts(), now_us())
        except StorageError as error:
            return PlainTextResponse(f"{error}\n", 503)
        return PlainTextResponse(text, headers={"Content-Type": CONTENT_TYPE})

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
        received = self._recorder.received(client_id)
        sent = asked.get("sent_count") if isinstance(asked, dict) else None
        if client_id and isinstance(sent, int) and not isinstance(sent, bool) and sent >= 0:
            self._senders.reported(client_id, sent, received)
        return reply(Report(client_id, received))

    def _waiting(self) -> list[str]:
        """Tell of calls whose upload fails for a while; no reason to be red, because packets are recorded."""
        if self._uploads is None:
            return []
        try:
            counts = self._uploads.counts()
        except StorageError as error:
            return [f"uploads of calls: {error}"]
        if counts.oldest_us is None or now_us() - counts.oldest_us < PATIENCE_US:
            return []
        return [f"uploads of calls wait: {counts.waiting} files, the oldest since {format_time(counts.oldest_us)}"]

    def _judge(self) -> Health:
        try:
            snapshot = self._recorder.snapshot()
        except SipflowError as error:
            return Health("error", [f"the recorder cannot be read: {error}"])
        reasons = reasons_of(snapshot)
        status = "error" if reasons else "ok"
        return Health(
            status,
            reasons,
            snapshot.version,
            snapshot.started_us,
            snapshot.listening,
            [*snapshot.notes, *_restarts(snapshot), *self._archiving.notes(), *self._waiting()],
            account_of(snapshot),
            snapshot.packing,
        )


def _restarts(snapshot: RecorderSnapshot) -> list[str]:
    reader = snapshot.reader
    if reader.died + reader.hung == 0:
        return []
    return [
        f"restarts of the reader: {reader.died + reader.hung}, {reader.hung} of them because it hung; "
        f"the last at {format_time(reader.last_us)}"
    ]


def reasons_of(snapshot: RecorderSnapshot) -> list[str]:
    """Say in sentences why no packets are being recorded; none when all is well."""
    silence_us = monotonic_us() - snapshot.heartbeat_us
    reasons = list(snapshot.faults)
    if silence_us > SILENCE_US:
        reasons.append(f"the recorder (process {snapshot.pid}) gave no sign of life for {silence_us // SECOND_US} s")
    return reasons
