"""Where the data is: this node, the parts of its storage, and what retention does to them next."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sipflow.clock import format_time, now_us
from sipflow.config import Retention, Settings
from sipflow.errors import SipflowError
from sipflow.storage.catalog import Catalog, Part
from sipflow.storage.layout import CATALOG
from sipflow.storage.retention import Plan
from sipflow.storage.sweep import Sweep
from sipflow.web.archiving import ArchiveTold, Archiving
from sipflow.web.asked import only
from sipflow.web.cluster_status import ClusterNode, ClusterNodes
from sipflow.web.console.render import render
from sipflow.web.console.urls import Urls
from sipflow.web.reply import reply
from sipflow.web.status import RecorderSnapshot, RecorderStatus

_PARTS_SHOWN: Final = 24
_DAYS_SHOWN: Final = 60
_STEPS_SHOWN: Final = 50


class StoredPart(msgspec.Struct, frozen=True):
    """A part of the storage; sizes in octets, None where nobody has counted yet."""

    path: str
    start_us: int
    end_us: int
    state: str
    calls: int | None
    sip_messages: int | None
    rtp_packets: int | None
    octets: int | None
    erased_us: int | None
    imported_us: int | None


class Day(msgspec.Struct, frozen=True):
    """The parts of one day together, in UTC."""

    day: str
    parts: int
    calls: int
    sip_messages: int
    rtp_packets: int
    octets: int


class PlannedStep(msgspec.Struct, frozen=True):
    """What retention would do now, to which part, what that frees and why."""

    path: str
    action: str
    octets: int
    why: str


class Limits(msgspec.Struct, frozen=True):
    """What retention keeps: ages, octets, None for no limit, and in words what stays free on the disk."""

    sip_age_us: int | None
    rtp_age_us: int | None
    sip_octets: int | None
    rtp_octets: int | None
    min_free: str


class Node(msgspec.Struct, frozen=True):
    """The answer of /api/v1/nodes for this node; `fault` says why its storage could not be looked at.

    `archive` is None where nothing is archived.
    """

    version: str
    pid: int
    started_us: int
    listening: list[str]
    root: str
    disk_free: int
    disk_total: int
    days: list[Day]
    parts: list[StoredPart]
    steps: list[PlannedStep]
    shortfalls: list[str]
    retention: Limits
    archive: ArchiveTold | None
    fault: str = ""


class NodesAnswer(msgspec.Struct, frozen=True):
    """This node, unless it stores nothing, and all of the cluster, none where there is none."""

    nodes: list[Node]
    cluster: list[ClusterNode]


class Nodes:
    """Routes of the nodes."""

    def __init__(self, recorder: RecorderStatus, settings: Settings, nodes: ClusterNodes) -> None:
        self._recorder = recorder
        self._nodes = nodes
        self._settings = settings
        self._root = Path(settings.root)
        self._archiving = Archiving(settings)
        self.routes = [Route(Urls.nodes, self.page), Route(Urls.nodes_json, self.json)]

    def page(self, request: Request) -> Response:
        """Answer the page; with `part` only what changes."""
        only(request, ("part",))
        every = self._nodes.all()
        if "part" in request.query_params:
            return render(request, "cluster_state.html", cluster=every, now_us=now_us())
        return render(
            request, "nodes.html", twin=Urls.nodes_json, node=self._own(), cluster=every, now_us=now_us(),
            parts_shown=_PARTS_SHOWN, days_shown=_DAYS_SHOWN, steps_shown=_STEPS_SHOWN,
        )  # fmt: skip

    def json(self, request: Request) -> Response:
        """Answer the same as JSON, nothing left out."""
        only(request, ())
        own = self._own()
        return reply(NodesAnswer([] if own is None else [own], self._nodes.all()))

    def _own(self) -> Node | None:
        return None if self._settings.type == "remote" else self._node()

    def _node(self) -> Node:
        parts: list[Part] = []
        plan, fault = Plan([], []), ""
        try:
            parts, plan = self._stored()
        except SipflowError as error:
            fault = str(error)
        try:
            snapshot = self._recorder.snapshot()
        except SipflowError as error:
            snapshot, fault = RecorderSnapshot("", 0, 0, 0), fault or str(error)
        return Node(
            snapshot.version, snapshot.pid, snapshot.started_us, snapshot.listening, str(self._root.resolve()),
            snapshot.disk_free, snapshot.disk_total, _days(parts), [_told(part) for part in parts],
            [PlannedStep(step.part.path, str(step.action), step.octets, step.why) for step in plan.steps],
            plan.shortfalls, _limits(self._settings.retention), self._archiving.told(), fault,
        )  # fmt: skip

    def _stored(self) -> tuple[list[Part], Plan]:
        if not (self._root / CATALOG).exists():
            return [], Plan([], [])
        catalog = Catalog(self._root, readonly=True)
        try:
            parts = sorted(catalog.standing(), key=lambda part: (part.start_us, part.id), reverse=True)
        finally:
            catalog.close()
        return parts, Sweep(self._root, self._settings.retention, upload=self._settings.upload).plan()


def _limits(kept: Retention) -> Limits:
    return Limits(kept.sip_age, kept.rtp_age, kept.sip_bytes, kept.rtp_bytes, str(kept.min_free))


def _told(part: Part) -> StoredPart:
    return StoredPart(
        part.path, part.start_us, part.end_us, part.state, part.calls, part.sip_messages, part.rtp_packets,
        part.octets, part.erased_us, part.imported_us,
    )  # fmt: skip


def _days(parts: Sequence[Part]) -> list[Day]:
    """Sum parts up by their days, newest first."""
    by_day: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        by_day[format_time(part.start_us)[:10]].append(part)
    return [
        Day(
            day,
            len(some),
            sum(part.calls or 0 for part in some),
            sum(part.sip_messages or 0 for part in some),
            sum(part.rtp_packets or 0 for part in some),
            sum(part.octets or 0 for part in some),
        )
        for day, some in by_day.items()
    ]
