"""A call as its signalling announces its media."""

from typing import NamedTuple

from sipflow.ingest.datagram import Peer
from sipflow.wire.sip import SipHead

# Media goes on for a moment after the BYE, and packets that wait in a capture's buffers overtake each other.
LATE_US = 30_000_000
CALLER, CALLEE = 0, 1


class Claim(NamedTuple):
    """One announcement of an address and port; `strength` tells an announced one from a guessed one."""

    time_us: int
    hop: int
    side: int
    strength: int
    t38: bool


class Owner(NamedTuple):
    """The call a packet belongs to, and its leg there; `t38` when it announced T.38 fax for one of the ends."""

    call_id: str
    leg: int
    t38: bool


class Call:
    """What the messages of one Call-ID said of its media: who called, from when to when, and where media goes."""

    def __init__(self, call_id: str, time_us: int) -> None:
        self.call_id = call_id
        self.first_us = time_us
        self.last_us = time_us
        self.from_ever = False
        self.over_us: int | None = None
        self.established = False
        self.caller_tag: str | None = None
        self.hops: dict[frozenset[Peer], int] = {}
        self.claims: dict[Peer, list[Claim]] = {}

    def side(self, head: SipHead) -> int:
        """Tell which side sent a message; before RFC 3261 not everyone wrote tags."""
        sender = head.from_tag if head.is_request else head.to_tag
        if not sender:
            return CALLER if head.is_request else CALLEE
        return CALLER if sender == self.caller_tag else CALLEE

    def going_on(self, time_us: int) -> bool:
        """Tell whether a time lies between the beginning of the call and a moment after its end."""
        begun = self.from_ever or self.first_us <= time_us
        return begun and (self.over_us is None or time_us <= self.over_us + LATE_US)

    def distance(self, time_us: int) -> int:
        """Tell how far outside the call's messages a time lies [us]."""
        return max(self.first_us - time_us, time_us - self.last_us, 0)

    def strength(self, src: Peer, dst: Peer) -> int:
        """Tell how well the call's claims fit both ends of a packet; 0 when they do not."""
        return sum(max((claim.strength for claim in self.claims.get(peer, ())), default=0) for peer in (src, dst))

    def _leg(self, src: Peer, dst: Peer) -> int:
        ours, theirs = self.claims.get(src, []), self.claims.get(dst, [])
        from_hops, to_hops = {claim.hop for claim in ours}, {claim.hop for claim in theirs}
        hop = min(from_hops & to_hops or from_hops | to_hops)
        for claim in ours:
            if claim.hop == hop:
                return 2 * hop + claim.side
        return 2 * hop + next(1 - claim.side for claim in theirs if claim.hop == hop)

    def owner(self, src: Peer, dst: Peer) -> Owner:
        """Say how the call owns packets of which it claims at least one end."""
        t38 = any(claim.t38 for peer in (src, dst) for claim in self.claims.get(peer, ()))
        return Owner(self.call_id, self._leg(src, dst), t38)
