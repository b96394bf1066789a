"""The first screen: what is arriving now, and when nothing is, why."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sipflow.clock import SECOND_US, monotonic_us, now_us
from sipflow.config import Settings
from sipflow.errors import SipflowError
from sipflow.query.answer import CallSummary, Criteria
from sipflow.query.source import CallSource
from sipflow.query.term import Term
from sipflow.web.account import account_of
from sipflow.web.archiving import ArchiveTold, Archiving
from sipflow.web.asked import only
from sipflow.web.cluster_status import ClusterNode, ClusterNodes, Condition
from sipflow.web.console.rates import RateMeter
from sipflow.web.console.reasons import reason_of
from sipflow.web.console.render import render
from sipflow.web.console.urls import Urls
from sipflow.web.reply import reply
from sipflow.web.status import OpenBucket, PoolState, RecorderSnapshot, RecorderStatus

CALLS_SHOWN: Final = 8
# How long to look for failing calls: the page is asked for every two seconds.
_PATIENCE_S = 0.2
_CALLS_FRESH_S = 1.0
_QUIET_US = 60 * SECOND_US
_SILENCE_US = 10 * SECOND_US


class Sender(msgspec.Struct, frozen=True):
    """An address that datagrams come from: what came since the start, how fast it comes, when it last did."""

    address: str
    sip: int
    rtp: int
    refused: int
    per_second: float
    seen_us: int


class Drop(msgspec.Struct, frozen=True):
    """What was not stored, by reason; `recently` tells that it goes on."""

    reason: str
    count: int
    meaning: str
    advice: str
    recently: bool


class Calls(msgspec.Struct, frozen=True):
    """Calls of the first screen; `fault` says why they could not be listed."""

    newest: list[CallSummary] = []
    failing: list[CallSummary] = []
    fault: str = ""


class NodeTold(msgspec.Struct, frozen=True):
    """A node of the cluster in short: `why` it is silent or not well; a silent one has no rate."""

    name: str
    own: bool
    condition: Condition
    why: list[str]
    packets_per_second: float | None


class State(msgspec.Struct, frozen=True):
    """The answer of /api/v1/now; rates are per second, sizes octets, `why` sentences on why nothing arrives.

    `archive` is None where nothing is archived; `nodes` are none where there is no cluster.
    """

    now_us: int
    status: str
    reasons: list[str]
    notes: list[str]
    version: str
    started_us: int | None
    listening: list[str]
    arriving: bool
    why: list[str]
    sip_per_second: float
    rtp_per_second: float
    octets_per_second: float
    sip: int
    rtp: int
    stored: int
    senders: list[Sender]
    drops: list[Drop]
    pool: PoolState
    open_buckets: list[OpenBucket]
    disk_free: int
    disk_total: int
    calls: Calls
    archive: ArchiveTold | None
    nodes: list[NodeTold]


class Now:
    """Routes of the first screen."""

    def __init__(self, history: CallSource, recorder: RecorderStatus, settings: Settings, nodes: ClusterNodes) -> None:
        self._history = history
        self._recorder = recorder
        self._nodes = nodes
        self._archiving = Archiving(settings)
        self._settings = settings
        self._meter = RateMeter(self._counters)
        self._lock = threading.Lock()
        self._calls: tuple[float, Calls] = (float("-inf"), Calls())
        self.routes = [Route(Urls.now, self.page), Route(Urls.now_json, self.json)]

    def page(self, request: Request) -> Response:
        """Answer the page; with `part` only what changes, with `every` one that asks again by itself."""
        only(request, ("part", "every"))
        name = "now_state.html" if "part" in request.query_params else "now.html"
        state = self.state()
        return render(
            request, name, twin=Urls.now_json, state=state, every="every" in request.query_params,
            host=request.url.hostname or "this-host", port=self._port(), root=str(Path(self._settings.root).resolve()),
            retention=self._settings.retention, hep_port=_hep_port(state.listening),
            key_note=" The sender has to carry hep_key." if self._settings.hep_key else "",
        )  # fmt: skip

    def json(self, request: Request) -> Response:
        """Answer the same as JSON."""
        only(request, ())
        return reply(self.state())

    def state(self) -> State:
        """Look at everything."""
        try:
            snapshot, rates = self._recorder.snapshot(), self._meter.rates()
        except SipflowError as error:
            snapshot, rates = _unseen(str(error)), {}
        silence_us = monotonic_us() - snapshot.heartbeat_us
        reasons = list(snapshot.faults)
        if snapshot.pid and silence_us > _SILENCE_US:
            reasons.append(f"the recorder gave no sign of life for {silence_us // SECOND_US} s")
        count = snapshot.counters.get
        arriving = rates.get("packets", 0) > 0 or any(now_us() - one.seen_us < _QUIET_US for one in snapshot.sources)
        return State(
            now_us=now_us(),
            status="error" if reasons else "ok",
            reasons=reasons,
            notes=snapshot.notes,
            version=snapshot.version,
            started_us=snapshot.started_us or None,
            listening=snapshot.listening,
            arriving=arriving and bool(count("packets_sip", 0) + count("packets_rtp", 0)),
            why=_why(snapshot),
            sip_per_second=rates.get("sip", 0),
            rtp_per_second=rates.get("rtp", 0),
            octets_per_second=rates.get("octets", 0),
            sip=count("packets_sip", 0),
            rtp=count("packets_rtp", 0),
            stored=account_of(snapshot).stored,
            senders=_senders(snapshot, rates),
            drops=_drops(snapshot, rates),
            pool=snapshot.pool,
            open_buckets=snapshot.open_buckets,
            disk_free=snapshot.disk_free,
            disk_total=snapshot.disk_total,
            calls=self._newest(),
            archive=self._archiving.told(),
            nodes=[_node(one, rates.get("packets", 0)) for one in self._nodes.clustered()],
        )

    def _port(self) -> int:
        return self._settings.udp[0].port

    def _counters(self) -> Mapping[str, int]:
        snapshot = self._recorder.snapshot()
        count = snapshot.counters.get
        sip, rtp = count("packets_sip", 0), count("packets_rtp", 0)
        own = {"sip": sip, "rtp": rtp, "packets": sip + rtp, "octets": count("octets", 0)}
        own |= {f"of {one.address}": one.sip + one.rtp for one in snapshot.sources}
        return own | {f"not {word}": number for word, number in _turned_away(snapshot).items()}

    def _newest(self) -> Calls:
        """List calls, at most once a second however many people look."""
        with self._lock:
            at_s, calls = self._calls
            if time.monotonic() - at_s > _CALLS_FRESH_S:
                calls = self._list()
                self._calls = time.monotonic(), calls
            return calls

    def _list(self) -> Calls:
        failed = Criteria(limit=CALLS_SHOWN, terms=(Term("status", "failed"),), patience_s=_PATIENCE_S)
        try:
            newest = self._history.calls(Criteria(limit=CALLS_SHOWN))
            return Calls(newest.calls, self._history.calls(failed).calls)
        except SipflowError as error:
            return Calls(fault=str(error))


def _node(node: ClusterNode, own_rate: float) -> NodeTold:
    rate = None if node.fault else own_rate if node.own else node.packets_per_second
    return NodeTold(node.name, node.own, node.condition, [node.fault] if node.fault else node.reasons, rate)


def _hep_port(listening: list[str]) -> str:
    """Find the port that HEP is taken at by UDP; empty when it is not."""
    return next((one.rpartition(":")[2] for one in listening if one.startswith("hep ")), "")


def _unseen(why: str) -> RecorderSnapshot:
    return RecorderSnapshot("", 0, 0, monotonic_us(), faults=[f"the recorder cannot be read: {why}"])


def _turned_away(snapshot: RecorderSnapshot) -> dict[str, int]:
    return {**snapshot.rejected, **snapshot.dropped, "kernel": snapshot.counters.get("kernel_drops", 0)}


def _senders(snapshot: RecorderSnapshot, rates: Mapping[str, float]) -> list[Sender]:
    return [
        Sender(one.address, one.sip, one.rtp, one.refused, rates.get(f"of {one.address}", 0), one.seen_us)
        for one in sorted(snapshot.sources, key=lambda one: one.seen_us, reverse=True)
    ]


def _drops(snapshot: RecorderSnapshot, rates: Mapping[str, float]) -> list[Drop]:
    return [
        Drop(word, number, *reason_of(word), rates.get(f"not {word}", 0) > 0)
        for word, number in sorted(_turned_away(snapshot).items(), key=lambda one: -one[1])
        if number
    ]


def _why(snapshot: RecorderSnapshot) -> list[str]:
    """Tell what is known of a silence, most telling first."""
    if not snapshot.pid:
        return ["No recorder runs here, or it is just starting."]
    count = snapshot.counters.get
    taken, datagrams = count("packets_sip", 0) + count("packets_rtp", 0), count("datagrams", 0)
    if taken:
        return [
            "Packets came before, and none does now: the senders are silent, or something between them and here is."
        ]
    if not datagrams:
        return [
            "Not one datagram has come since the start. Nobody sends to this address, or a firewall is between.",
        ]
    worst = max(_turned_away(snapshot).items(), key=lambda one: one[1])
    reason = reason_of(worst[0])
    return [
        f"Datagrams came, and none of them could be used: {reason.meaning}.",
        *([reason.advice] if reason.advice else []),
    ]
