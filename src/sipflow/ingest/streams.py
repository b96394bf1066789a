"""Tells RTP from look-alikes where no session description announced it: by sequence numbers that count up."""

from collections import OrderedDict

from sipflow.ingest.content import RtpHead
from sipflow.ingest.datagram import Peer

# Streams that have not proven themselves; the one that was silent longest goes first.
CANDIDATES_MAX = 65_536
# A step farther than this is no loss but another kind of number.
_STEP_MAX = 1000
# RFC 3551, table 4 and 5: given out, or dynamic, or may be used as dynamic. 72 to 76 would be RTCP.
_NEVER = frozenset(range(72, 77))

Key = tuple[Peer, Peer, int]


class _Candidate:
    __slots__ = ("counted_up", "first_us", "near", "sequence", "steps")

    def __init__(self, sequence: int, time_us: int) -> None:
        self.sequence = sequence
        self.first_us = time_us
        self.steps = 0
        self.near = 0
        self.counted_up = 0

    @property
    def proven(self) -> bool:
        return self.counted_up > 0 and 2 * self.near >= self.steps


class Streams:
    """The streams of a file by (source, destination, SSRC), and which pairs of peers they join.

    A stream is proven by at least two packets of which one follows the other by number, and no more than half of whose
    steps are wild. Needs memory per stream, not per packet.
    """

    def __init__(self) -> None:
        self._unproven: OrderedDict[Key, _Candidate] = OrderedDict()
        self._proven: dict[Key, _Candidate] = {}
        self._pairs: dict[frozenset[Peer], tuple[int, Peer, Peer]] = {}

    def note(self, src: Peer, dst: Peer, head: RtpHead, time_us: int) -> None:
        """Take notice of one packet that looks like RTP."""
        if head.payload_type in _NEVER:
            return
        key = (src, dst, head.ssrc)
        candidate = self._proven.get(key) or self._unproven.get(key)
        if candidate is None:
            self._unproven[key] = _Candidate(head.sequence, time_us)
            if len(self._unproven) > CANDIDATES_MAX:
                self._unproven.popitem(last=False)
            return
        step = (head.sequence - candidate.sequence) & 0xFFFF
        candidate.sequence = head.sequence
        candidate.steps += 1
        candidate.counted_up += step == 1
        candidate.near += step <= _STEP_MAX or step >= 0x10000 - _STEP_MAX
        if key in self._unproven:
            self._unproven.move_to_end(key)
            if candidate.proven:
                self._proven[key] = self._unproven.pop(key)

    def close(self) -> None:
        """Decide: from now on `direction` answers."""
        self._unproven.clear()
        for (src, dst, _), candidate in self._proven.items():
            first = self._pairs.get(frozenset((src, dst)))
            if candidate.proven and (first is None or candidate.first_us < first[0]):
                self._pairs[frozenset((src, dst))] = (candidate.first_us, src, dst)

    def pair(self, src: Peer, dst: Peer, ssrc: int) -> tuple[Peer, Peer] | None:
        """Give the two peers a proven stream joins, the one that was heard first at the front; None if unproven."""
        candidate = self._proven.get((src, dst, ssrc))
        if candidate is None or not candidate.proven:
            return None
        _, first, second = self._pairs[frozenset((src, dst))]
        return first, second
