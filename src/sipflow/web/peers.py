"""What other nodes ask of this one: its own history and nothing more, so that a question never goes round.

Who may ask is decided by the same door as everything else; what a server hides from people it hides from nodes.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sipflow.clock import SECOND_US
from sipflow.cluster.exchange import (
    CONTENTS_OCTETS,
    MEDIA_TYPE,
    PREFIX,
    MediaNote,
    OfCall,
    OfCalls,
    OfSearch,
    OfWindow,
    Pulse,
)
from sipflow.cluster.remote_chunk import note_of
from sipflow.cluster.tallied import UNFINISHED_MAX, count_note
from sipflow.config import Settings
from sipflow.errors import BadQuery, SipflowError
from sipflow.export.parcel import without_digits
from sipflow.media.hidden import masked_message
from sipflow.query.answer import Flow
from sipflow.query.census import settled
from sipflow.query.source import Holding
from sipflow.query.stored_chunk import StoredChunk
from sipflow.query.window import Window
from sipflow.version import __version__
from sipflow.web.probes import reasons_of
from sipflow.web.senders import Senders
from sipflow.web.status import RecorderStatus
from sipflow.wire.packet import Chunk

Q = TypeVar("Q")

QUESTION_MAX_OCTETS: Final = 4 << 20
# Keys are found by what sounds before and after: so much is looked at beside what is asked for.
_MARGIN_US: Final = 5 * SECOND_US


class Peers:
    """Routes under PREFIX; questions and answers are those of exchange.py."""

    def __init__(
        self,
        own: Holding,
        status: RecorderStatus,
        senders: Senders,
        settings: Settings,
        names: Callable[[], list[str]],
    ) -> None:
        """Answer from the history of this node; `names` tells what its list of nodes is by now."""
        self._names = names
        self._own = own
        self._status = status
        self._senders = senders
        self._settings = settings
        self.routes = [
            Route(f"{PREFIX}/pulse", self.pulse),
            _route("flow", OfCall, self.flow),
            _route("media", OfCall, self.media),
            _route("contents", OfCall, self.contents),
            _route("known", OfCalls, lambda asked: own.known(asked.call_ids)),
            _route("calls", OfSearch, lambda asked: own.calls(asked.criteria)),
            _route("count", OfWindow, self.count),
            _route(
                "registrations",
                OfWindow,
                lambda asked: own.enrolled(asked.window, asked.user, asked.limit, asked.share),
            ),
        ]

    def pulse(self, _request: Request) -> Response:
        """Tell how this node is."""
        return _packed(pulse_of(self._status, self._senders, self._settings.node, self._names()))

    def flow(self, asked: OfCall) -> Flow:
        """Give the messages of a call."""
        flow = self._own.flow(asked.call_id, asked.window)
        if not self._settings.hide_digits:
            return flow
        return msgspec.structs.replace(flow, messages=[masked_message(message) for message in flow.messages])

    def media(self, asked: OfCall) -> MediaNote:
        """Tell which chunks there are of a call; what is live comes whole, because it will have moved."""
        parts = self._own.media(asked.call_id, asked.window)
        live = {_told(chunk): chunk for chunk in parts.chunks if not isinstance(chunk, StoredChunk)}
        if live and self._settings.hide_digits:
            since_us = min(chunk.first_us() for chunk in live.values()) - _MARGIN_US
            near = [chunk for chunk in parts.chunks if chunk.last_us >= since_us]
            live = {_told(chunk): chunk for chunk in self._shown(asked.call_id, near) if _told(chunk) in live}
        chunks = [*(chunk for chunk in parts.chunks if isinstance(chunk, StoredChunk)), *live.values()]
        streams, notes = note_of(chunks, lambda chunk: not isinstance(chunk, StoredChunk), printed=asked.printed)
        return MediaNote(streams, notes, parts.faults)

    def contents(self, asked: OfCall) -> MediaNote:
        """Give stored chunks of a call that begin in a window, with their content, the first ones if it is much."""
        start_us, end_us = asked.window.start_us, asked.window.end_us
        if start_us is None or end_us is None:
            raise BadQuery("window: found no bounds; allowed: a start and an end")
        wide = Window(start_us - _MARGIN_US, end_us + _MARGIN_US) if self._settings.hide_digits else asked.window
        parts = self._own.media(asked.call_id, wide)
        chunks = self._shown(asked.call_id, parts.chunks) if self._settings.hide_digits else parts.chunks
        within = [chunk for chunk in chunks if start_us <= _filed_us(chunk) <= end_us]
        sent: list[Chunk] = []
        octets = 0
        for chunk in sorted(within, key=_filed_us):
            if sent and octets > CONTENTS_OCTETS and _filed_us(chunk) > start_us:
                break
            sent.append(chunk)
            octets += len(chunk.data)
        streams, notes = note_of(sent, lambda _: True)
        return MediaNote(streams, notes, parts.faults)

    def count(self, asked: OfWindow) -> msgspec.Struct:
        """Count the calls of a window."""
        found = self._own.count(asked.window, asked.share, asked.only)
        return count_note(found._replace(total=settled(found.total, UNFINISHED_MAX, asked.window, asked.only)))

    def _shown(self, call_id: str, chunks: list[Chunk]) -> list[Chunk]:
        """Mask the keys that were pressed; what tells chunks apart stays."""
        return list(without_digits(self._own.flow(call_id).messages, chunks)[1])


def pulse_of(status: RecorderStatus, senders: Senders, name: str | None, names: list[str]) -> Pulse:
    """Tell how this node is, which is called `name` and knows nodes by these `names`."""
    try:
        snapshot = status.snapshot()
    except SipflowError as error:
        return Pulse(name, names, __version__, 0, [str(error)], 0, 0, 0, senders.notes())
    packets = snapshot.counters.get("packets_sip", 0) + snapshot.counters.get("packets_rtp", 0)
    return Pulse(
        name, names, snapshot.version, snapshot.started_us, reasons_of(snapshot), packets,
        snapshot.disk_free, snapshot.disk_total, senders.notes(),
    )  # fmt: skip


def _told(chunk: Chunk) -> tuple[object, ...]:
    """Tell a chunk from the others of its call, masked or not."""
    return chunk.key, chunk.first_us(), chunk.first_us(by_arrival=True), chunk.packets


def _filed_us(chunk: Chunk) -> int:
    return chunk.first_us(by_arrival=chunk.clock_skew)


def _route(name: str, kind: type[Q], answer: Callable[[Q], msgspec.Struct]) -> Route:
    async def respond(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > QUESTION_MAX_OCTETS:
                raise BadQuery(f"the question is longer than {QUESTION_MAX_OCTETS} octets")
        try:
            asked = msgspec.msgpack.decode(body, type=kind)
        except msgspec.DecodeError as error:
            raise BadQuery(f"found a question of another version of sipflow ({error}); this is {__version__}") from None
        return await run_in_threadpool(lambda: _packed(answer(asked)))

    return Route(f"{PREFIX}/{name}", respond, methods=["POST"])


def _packed(answer: msgspec.Struct) -> Response:
    return Response(msgspec.msgpack.encode(answer), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})
