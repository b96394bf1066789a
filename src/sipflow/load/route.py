"""Where calls go: to the nodes that keep their Call-IDs, through several senders to each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipflow._fast import LINES_MAX, Mould
from sipflow.node import Node, NodeList, read_nodes

_ALL_LINES = (1 << LINES_MAX) - 1


@dataclass(frozen=True)
class Route:
    """The nodes of a cluster, or the one server there is, and how many senders each of them is sent to by."""

    cluster: NodeList
    senders: int = 1

    @classmethod
    def to(cls, udp: str, http: str = "") -> "Route":
        """Go to one server at HOST:PORT. Raises ConfigError."""
        return cls(read_nodes([{"udp": udp, "http": http}], key="to"))

    @property
    def nodes(self) -> list[Node]:
        """Give the nodes that are there, in the order of their slots."""
        return self.cluster.present

    @property
    def lanes(self) -> list[Node]:
        """Give the node of each sender, in the order of divide()."""
        return [node for node in self.nodes for _ in range(self.senders)]

    def owners(self, call_id: str) -> list[Node]:
        """Give the nodes that keep a call."""
        slots = self.cluster.placement.owner_slots(call_id)
        return [node for slot in slots if (node := self.cluster.nodes[slot]) is not None]

    def divide(
        self, calls: NDArray[np.void], numbers: NDArray[np.uint64], moulds: Sequence[Mould]
    ) -> list[NDArray[np.void]]:
        """Give each sender its calls (SENT_CALL), with the lines of them that its node keeps."""
        parts = []
        turns = (numbers % np.uint64(self.senders)).astype(np.int64)
        lines = self._lines(calls, moulds)
        for node in range(len(self.nodes)):
            for turn in range(self.senders):
                kept = (lines[:, node] != 0) & (turns == turn)
                part = calls[kept]
                part["lines"] = lines[kept, node]
                parts.append(part)
        return parts

    def _lines(self, calls: NDArray[np.void], moulds: Sequence[Mould]) -> NDArray[np.uint32]:
        """Give, a row per call and a column per node that is there, a bit for each line that the node keeps."""
        slots = len(self.cluster.nodes)
        if slots == 1:
            return np.full((calls.size, 1), _ALL_LINES, np.uint32)
        lines = np.zeros((calls.size, slots), np.uint32)
        simple = self.cluster.placement.replicas == 1 and None not in self.cluster.nodes
        for number in np.unique(calls["mould"]):
            own = calls["mould"] == number
            keys = np.ascontiguousarray(calls["key"][own])
            placed = np.zeros((keys.size, slots), np.uint32)
            if simple:
                moulds[number].place(keys, placed)
            else:
                self._place(moulds[number], keys, placed)
            lines[own] = placed
        present = [slot for slot, node in enumerate(self.cluster.nodes) if node is not None]
        return lines[:, present]

    def _place(self, mould: Mould, keys: NDArray[np.uint64], placed: NDArray[np.uint32]) -> None:
        """Place calls where slots are empty, or where two nodes keep each."""
        for row, key in enumerate(keys.tolist()):
            for line, call_id in enumerate(mould.call_ids(key)):
                for slot in self.cluster.placement.owner_slots(call_id.decode()):
                    placed[row, slot] |= 1 << line
