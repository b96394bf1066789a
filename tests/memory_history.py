"""A history held in memory, made of real messages and chunks, behind the interface of a data root."""

import fnmatch
import threading
import time

import uvicorn
from starlette.applications import Starlette

from chunks import Rtp, make_chunk
from sipflow.errors import BadQuery, CallUnknown, StorageError
from sipflow.query.answer import CallPage, CallSummary, Criteria, Fault, Flow, MediaParts
from sipflow.query.census import Statistics, count_digests
from sipflow.query.counting import GroupKey
from sipflow.query.registrations import Registrations
from sipflow.query.selection import fits
from sipflow.query.window import Window
from sipflow.web.status import RecorderSnapshot
from sipflow.wire.dialog import CallDigest, digest_of
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Chunk, Message, StreamKey
from sipflow.wire.sip import parse_head

A, B = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)
T0_US = 1_753_000_000_123_456
ALWAYS = Window()
SDP = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)


def sip(call_id: str, start: str, cseq: str, body: str = "", to_tag: str = "") -> bytes:
    """Write a message."""
    lines = [
        start,
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
        "From: <sip:alice@example.org>;tag=f",
        f"To: <sip:bob@example.org>{to_tag}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq}",
        f"Content-Length: {len(body)}",
    ]
    if body:
        lines.append("Content-Type: application/sdp")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class MemoryHistory:
    """Answers from lists; `faults` are added to every answer, `broken` raises instead."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.messages: list[Message] = []
        self.chunks: list[Chunk] = []
        self.faults: list[Fault] = []
        self.broken: StorageError | None = None

    def add(self, call_id: str, offset_us: int, payload: bytes, src: Endpoint = A, dst: Endpoint = B) -> None:
        """Store a message."""
        moment = T0_US + offset_us
        self.messages.append(Message(call_id, moment, moment + 50, src, dst, payload))

    def add_call(self, call_id: str, offset_us: int = 0, status: int = 200) -> None:
        """Store a short call."""
        self.add(call_id, offset_us, sip(call_id, "INVITE sip:bob@example.org SIP/2.0", "1 INVITE", SDP))
        words = {200: "OK", 486: "Busy Here"}[status]
        answer = sip(call_id, f"SIP/2.0 {status} {words}", "1 INVITE", SDP if status == 200 else "", ";tag=t")
        self.add(call_id, offset_us + 1_000_000, answer, B, A)

    def add_audio(self, call_id: str, leg: int = 0, packets: int = 100, missing: int = 0) -> None:
        """Store mu-law at 20 ms, the last `missing` but one packet lost."""
        key = StreamKey(call_id, leg, Endpoint("0.0.0.0", 0), Endpoint("0.0.0.0", 0), 0xCAFEBABE + leg)
        numbers = [n for n in range(packets + missing) if not packets - 1 <= n < packets - 1 + missing]
        sent = [Rtp(T0_US + 1_000_000 + n * 20_000, n, n * 160, bytes([0x80 + leg]) * 160) for n in numbers]
        self.chunks.append(make_chunk(key, sent))

    def _check(self) -> None:
        if self.broken:
            raise self.broken

    def flow(self, call_id: str, window: Window = ALWAYS) -> Flow:
        """Give the messages of a call."""
        self._check()
        found = [each for each in self.messages if each.call_id == call_id and _inside(each.time_us, window)]
        return Flow(call_id, sorted(found, key=lambda each: (each.time_us, each.arrival_us)), list(self.faults))

    def media(self, call_id: str, window: Window = ALWAYS) -> MediaParts:
        """Give the chunks of a call."""
        self._check()
        found = [
            each
            for each in self.chunks
            if each.key.call_id == call_id and any(_inside(int(moment), window) for moment in each.rows["time_us"])
        ]
        return MediaParts(call_id, found, list(self.faults))

    def call(self, call_id: str) -> CallSummary:
        """Sum a call up."""
        self._check()
        flow, parts = self.flow(call_id), self.media(call_id)
        if not flow.messages:
            raise CallUnknown(call_id)
        heads = [parse_head(each.payload) for each in flow.messages]
        final = next((head for head in reversed(heads) if head.status and head.status >= 200), None)
        answered = final is not None and final.status is not None and final.status < 300
        first, last = flow.messages[0], flow.messages[-1]
        return CallSummary(
            call_id, first.time_us, last.time_us, first.time_us, None, last.time_us if answered else None, None,
            heads[0].method, heads[0].from_user, heads[0].to_user, heads[0].from_uri, heads[0].to_uri, "",
            str(first.src), str(first.dst), final.status if final else None, final.reason if final else "",
            "answered" if answered else "failed" if final else "trying", len(heads),
            sum(len(each.rows) for each in parts.chunks), len(parts.chunks),
        )  # fmt: skip

    def calls(self, criteria: Criteria) -> CallPage:
        """List calls."""
        self._check()
        found = [self.call(call_id) for call_id in dict.fromkeys(each.call_id for each in self.messages)]
        found = [each for each in found if _inside(each.first_us, criteria.window) and _fits(each, criteria)]
        found.sort(key=lambda each: -each.first_us)
        if criteria.after and not criteria.after.isdigit():
            raise BadQuery(f"after: found {criteria.after!r}; allowed: the next of an earlier page")
        start = int(criteria.after or 0)
        stop = start + criteria.limit
        return CallPage(found[start:stop], str(stop) if len(found) > stop else None, list(self.faults))

    def statistics(self, window: Window, only: GroupKey | None = None) -> Statistics:
        """Count calls as those of one part that knows them whole."""
        self._check()
        digests: dict[str, CallDigest] = {}
        for each in self.messages:
            one = digest_of(each.call_id, parse_head(each.payload), each.time_us, each.src, each.dst)
            if each.call_id in digests:
                digests[each.call_id].merge(one)
            else:
                digests[each.call_id] = one
        return count_digests(digests.values(), window, list(self.faults), only)

    def registrations(self, _window: Window, _user: str | None = None, _limit: int = 200) -> Registrations:
        """List nobody: no test registers here."""
        self._check()
        return Registrations(0, [], bool(self.faults), list(self.faults))


def _inside(moment: int, window: Window) -> bool:
    after_start = window.start_us is None or moment >= window.start_us
    return after_start and (window.end_us is None or moment <= window.end_us)


def _fits(call: CallSummary, criteria: Criteria) -> bool:
    if criteria.call_id and call.call_id != criteria.call_id:
        return False
    if criteria.user and not any(fnmatch.fnmatchcase(user, criteria.user) for user in (call.from_user, call.to_user)):
        return False
    if not fits(call, criteria.terms):
        return False
    code = str(call.status)
    return not criteria.status or criteria.status in (code, f"{code[0]}xx", call.state)


class SteadyRecorder:
    """A recorder whose state a test sets."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Start anew."""
        self.state = RecorderSnapshot("0.1.0", 7, T0_US, time.monotonic_ns() // 1000)
        self.clients: dict[int, int] = {}
        self.broken: StorageError | None = None

    def snapshot(self) -> RecorderSnapshot:
        """Give the state."""
        if self.broken:
            raise self.broken
        return self.state

    def received(self, client_id: int) -> int:
        """Give the packets of a sender."""
        return self.clients.get(client_id, 0)


class Served:
    """Serves an application on a real socket while a `with` lasts; `url` is where."""

    def __init__(self, app: Starlette) -> None:
        config = uvicorn.Config(app, "127.0.0.1", 0, log_level="warning", proxy_headers=False, ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> str:
        """Start, and give the URL."""
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.should_exit = True
        self._thread.join()
