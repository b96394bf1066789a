"""The queries of RustPBX's consoles and nodes: /flow, /media and /diag, under its names, with honest status codes."""

from collections.abc import Callable
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sipflow.errors import BadQuery
from sipflow.media.statistics import StreamStatistics
from sipflow.query.announced import announced
from sipflow.query.answer import Fault, Flow, MediaParts, together
from sipflow.query.question import parse_leg
from sipflow.query.source import CallSource
from sipflow.query.wanted import Wanted
from sipflow.query.window import Window
from sipflow.web.asked import call_ids, diagnosed_window, window
from sipflow.web.diagnosis import NotFound, diagnose, without_brackets
from sipflow.web.recorded import unreadable
from sipflow.web.reply import reply
from sipflow.web.sound import Sound
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
            raise unreadable(flow.faults)
        items = [flow_item(seq, message) for seq, message in enumerate(flow.messages)]
        return reply(FlowAnswer(call_id, items, span, bool(flow.faults), flow.faults))

    def media(self, request: Request) -> Response:
        """Answer the audio of a call as WAV, or with stats=1 the figures of its streams."""
        span = window(request)
        leg = parse_leg(request.query_params.get("leg"))
        call_id, parts = self._first(request, lambda spelling: self._history.media(spelling, span), _is_silent)
        if request.query_params.get("stats", "").lower() not in ("1", "true"):
            return self._sound.play(request, parts, Wanted(leg))
        if not parts.chunks and parts.faults:
            raise unreadable(parts.faults)
        measured, faults = self._sound.measure(parts)
        return reply(StatsAnswer(call_id, [_stream(each) for each in measured], span, bool(faults), faults))

    def diag(self, request: Request) -> Response:
        """Answer everything at once: messages, streams, and what happened to the packets."""
        span = diagnosed_window(request)
        call_id, (flow, parts) = self._first(
            request,
            lambda spelling: (self._history.flow(spelling, span), self._history.media(spelling, span)),
            lambda found: _is_empty(found[0]) and _is_silent(found[1]),
        )
        if not flow.messages and not parts.chunks:
            faults = [*flow.faults, *parts.faults]
            if faults:
                raise unreadable(faults)
            return reply(NotFound(call_id))
        whole = self._history.flow(call_id)
        known = Flow(call_id, flow.messages, together(flow.faults, whole.faults))
        return reply(diagnose(known, parts, announced(whole.messages)))

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
            raise BadQuery("no call was named")
        return first


def _is_empty(flow: Flow) -> bool:
    return not flow.messages and not flow.faults


def _is_silent(parts: MediaParts) -> bool:
    return not parts.chunks and not parts.faults


def _stream(each: StreamStatistics) -> StreamItem:
    return StreamItem(
        each.leg,
        without_brackets(each.src),
        each.packet_count,
        each.lost,
        each.expected,
        each.loss_percent,
        each.jitter_ms,
        each.ssrc,
        each.payload_type,
        each.clock_rate,
    )


def flow_item(seq: int, message: Message) -> FlowItem:
    """Write a message as RustPBX does; `seq` is its place among those of its call."""
    return FlowItem(
        message.time_us,
        seq,
        message.leg,
        "Sip",
        without_brackets(message.src),
        without_brackets(message.dst),
        message.text,
    )
