"""How the nodes of the cluster are, as pages, probes and metrics tell it; and a node that records nothing itself."""

import dataclasses
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from sipflow.clock import monotonic_us, now_us
from sipflow.cluster.cluster import Cluster
from sipflow.cluster.exchange import Pulse, SenderNote
from sipflow.cluster.peer import PeerHealth
from sipflow.config import Settings
from sipflow.version import __version__
from sipflow.web.peers import pulse_of
from sipflow.web.senders import Senders
from sipflow.web.status import RecorderSnapshot, RecorderStatus


class Condition(StrEnum):
    """How a node is."""

    ANSWERS = "answers"
    NOT_WELL = "not well"
    SILENT = "silent"


class ClusterNode(msgspec.Struct, frozen=True):
    """A node of the cluster: `fault` says why it is silent, `reasons` why it is not well, `notes` what is odd about it.

    What it said last stays shown while it is silent; `packets_per_second` is None for this node, which rates its own
    on the first screen.
    """

    name: str
    http: str
    own: bool
    fault: str
    reasons: list[str]
    notes: list[str]
    version: str
    started_us: int
    packets: int
    packets_per_second: float | None
    disk_free: int
    disk_total: int
    senders: list[SenderNote]

    @property
    def condition(self) -> Condition:
        """Say in a word how it is."""
        return Condition.SILENT if self.fault else Condition.NOT_WELL if self.reasons else Condition.ANSWERS


class ClusterNodes:
    """Tells how the nodes are: this one, and those that are watched."""

    def __init__(self, cluster: Cluster | None, status: RecorderStatus, senders: Senders, settings: Settings) -> None:
        """Tell of this node alone when there is no cluster."""
        self._cluster = cluster
        self._status = status
        self._senders = senders
        self._settings = settings

    def health(self) -> list[PeerHealth]:
        """Tell how the others are."""
        return [] if self._cluster is None else self._cluster.health()

    def all(self) -> list[ClusterNode]:
        """Tell how all are, this one first."""
        others = [_node(one, self.names()) for one in self.health()]
        if self._settings.type == "remote":
            return others
        pulse = pulse_of(self._status, self._senders, self._settings.node, self.names())
        return [_told(PeerHealth(self._settings.node or "this node", "", "", pulse, 0.0, 0.0), [], own=True), *others]

    def clustered(self) -> list[ClusterNode]:
        """Tell how all are, none where there is no other node."""
        return self.all() if self.health() else []

    def settings(self) -> Settings:
        """Give the settings with the list of nodes as it is by now."""
        if self._cluster is None:
            return self._settings
        return dataclasses.replace(self._settings, nodes=self._cluster.nodes)

    def names(self) -> list[str]:
        """Name the nodes by slot."""
        return [] if self._cluster is None else self._cluster.names


class ClusterStatus:
    """The state of a recorder, with a note for each node that is silent."""

    def __init__(self, recorder: RecorderStatus, cluster: Cluster) -> None:
        """Add to what the recorder tells what the cluster knows."""
        self._recorder = recorder
        self._cluster = cluster

    def snapshot(self) -> RecorderSnapshot:
        """Read the state of the recorder. Raises StorageError."""
        snapshot = self._recorder.snapshot()
        silent = [f"node {one.name} {one.fault}" for one in self._cluster.health() if one.fault]
        return msgspec.structs.replace(snapshot, notes=[*snapshot.notes, *silent]) if silent else snapshot

    def received(self, client_id: int) -> int:
        """Count the packets received from a sender."""
        return self._recorder.received(client_id)


class NoRecorder:
    """The state of a node that records nothing: well as long as any node answers."""

    def __init__(self, cluster: Cluster, listening: Sequence[str], pid: int) -> None:
        """Tell where it answers."""
        self._cluster = cluster
        self._listening = list(listening)
        self._pid = pid
        self._started_us = now_us()

    def snapshot(self) -> RecorderSnapshot:
        """Give the state."""
        health = self._cluster.health()
        faults = ["no node of the cluster answers"] if all(one.fault for one in health) else []
        return RecorderSnapshot(
            __version__, self._pid, self._started_us, monotonic_us(), faults=faults, listening=self._listening
        )

    def received(self, client_id: int) -> int:
        """Nothing is sent here."""
        _ = client_id
        return 0


def _node(health: PeerHealth, names: list[str]) -> ClusterNode:
    notes = []
    pulse = health.pulse
    if pulse is not None and pulse.name is not None and pulse.name != health.name:
        notes.append(f"it calls itself {pulse.name}: the lists of nodes name it differently")
    if pulse is not None and pulse.nodes and pulse.nodes != names:
        notes.append(f"its list of nodes is another one ({', '.join(pulse.nodes)}): it answers from those")
    return _told(health, notes, own=False)


def _told(health: PeerHealth, notes: list[str], *, own: bool) -> ClusterNode:
    pulse = health.pulse or Pulse(None, [], "", 0, [], 0, 0, 0, [])
    return ClusterNode(
        health.name, health.http, own, health.fault, pulse.reasons, notes, pulse.version, pulse.started_us,
        pulse.packets, None if own else health.packets_per_second, pulse.disk_free, pulse.disk_total, pulse.senders,
    )  # fmt: skip
