"""The queries of RustPBX's consoles and nodes: /flow, /media and /diag, under its names, with honest status codes."""

from collections.abc import Callable
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sipflow.errors import NothingToPlay, StorageError
from sipflow.query.answer import Fault, Flow
from sipflow.query.question import parse_leg
from sipflow.query.source import CallSource
from sipflow.query.window import Window
from sipflow.web.asked import call_ids, window
from sipflow.web.diagnosis import Diagnosis, NotFound, diagnose
from sipflow.web.reply import reply
from sipflow.web.sound import Sound
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Message

T = TypeVar("T")


class FlowItem(msgspec.Struct, frozen=True):
    """One SIP message; `timestamp` in microseconds, `seq` its place in the answer."""

    timestamp: int
    seq: int
    leg: int | None
    msg_type: str
    src_addr: str
    dst_addr: str
    payload: str


class FlowAnswer(msgspec.Struct, frozen=True):
    """The answer of /flow; `window` is the one that was used, `faults` name what could not be read."""

    callid: str
    flow: list[FlowItem]
    window: Window
    partial: bool = False
    faults: list[Fault] = []
    status: str = "success"


class StreamItem(msgspec.Struct, frozen=True):
    """One stream of /media?stats=1."""

    leg: int
    src: str
    packet_count: int
    lost_packets: int
    expected_packets: int
    loss_percent: float
    jitter_ms: float | None
    ssrc: int | None
    payload_type: int | None
    clock_rate: int | None


class StatsAnswer(msgspec.Struct, frozen=True):
    """The answer of /media?stats=1."""

    callid: str
    stats: list[StreamItem]
    window: Window
    partial: bool = False
    faults: list[Fault] = []
    status: str = "success"


class RustPbx:
    """Routes that RustPBX knows."""

    def __init__(self, history: CallSource, sound: Sound) -> None:
        self._history = history
        self._sound = sound
        self.routes = [Route("/flow", self.flow), Route("/media", self.media), Route("/diag", self.diag)]

    def flow(self, request: Request) -> Response:
        """Answer the SIP messages of a call; an empty list only when there are truly none."""
        span = window(request)
        call_id, flow = self._first(request, lambda spelling: self._history.flow(spelling, span), _is_empty)
        if not flow.messages and flow.faults:
            raise StorageError("read", flow.faults[0].where, "; ".join(fault.what for fault in flow.faults))
        items = [_item(seq, message) for seq, message in enumerate(flow.messages)]
        return reply(FlowAnswer(call_id, items, span, bool(flow.faults), flow.faults))

    def media(self, request: Request) -> Response:
        """Answer the audio of a call as WAV, or with stats=1 the figures of its streams."""
        span = window(request)
        if request.query_params.get("stats", "").lower() in ("1", "true"):
            return self._stats(request, span)
        leg = parse_leg(request.query_params.get("leg"))
        *doubtful, last = call_ids(request)
        for call_id in doubtful:
            if self._history.media(call_id, span).chunks:
                return self._sound.play(request, call_id, span, leg)
        return self._sound.play(request, last, span, leg)

    def diag(self, request: Request) -> Response:
        """Answer everything at once: messages, streams, and what happened to the packets."""
        span = window(request)
        call_id, flow = self._first(request, lambda spelling: self._history.flow(spelling, span), _is_empty)
        parts = self._history.media(call_id, span)
        if not flow.messages and not parts.chunks:
            faults = [*flow.faults, *parts.faults]
            if faults:
                raise StorageError("read", faults[0].where, "; ".join(fault.what for fault in faults))
            return reply(NotFound(call_id))
        answer: Diagnosis = diagnose(flow, parts)
        return reply(answer)

    def _stats(self, request: Request, span: Window) -> Response:
        call_id, parts = self._first(
            request, lambda spelling: self._history.media(spelling, span), lambda found: not found.chunks
        )
        if not parts.chunks and parts.faults:
            raise StorageError("read", parts.faults[0].where, "; ".join(fault.what for fault in parts.faults))
        flow = self._history.flow(call_id)
        figures = self._sound.figures_of(flow, parts)
        stats = [
            StreamItem(
                each.leg,
                without_brackets(each.source),
                each.packets,
                each.lost,
                each.expected,
                each.loss_percent,
                each.jitter_ms,
                each.ssrc,
                each.payload_type,
                each.clock_rate,
            )
            for each in figures
        ]
        return reply(StatsAnswer(call_id, stats, span, bool(parts.faults), parts.faults))

    @staticmethod
    def _first(request: Request, ask: Callable[[str], T], is_empty: Callable[[T], bool]) -> tuple[str, T]:
        """Ask for each thing that `callid` may mean, until one is there; else give the first one's answer."""
        first: tuple[str, T] | None = None
        for spelling in call_ids(request):
            answer = ask(spelling)
            if not is_empty(answer):
                return spelling, answer
            first = first or (spelling, answer)
        if first is None:
            raise NothingToPlay("no call was named")
        return first


def without_brackets(endpoint: Endpoint) -> str:
    """Write ip:port as RustPBX does, IPv6 without brackets."""
    return f"{endpoint.ip}:{endpoint.port}"


def _is_empty(flow: Flow) -> bool:
    return not flow.messages and not flow.faults


def _item(seq: int, message: Message) -> FlowItem:
    return FlowItem(
        message.time_us,
        seq,
        message.leg,
        "Sip",
        without_brackets(message.src),
        without_brackets(message.dst),
        message.text,
    )
