"""Which call a media packet belongs to, by what the calls' session descriptions announced.

The rule. Every address and port of every description (offer or answer) in the messages of a call is claimed by that
call. A packet belongs to the call that claims its destination or its source; a call that claims both comes before one
that claims one, and one that claims an announced address before one that only claims the announced port at the address
the message came from (a sender behind NAT). Only calls that are going on at the packet's time count, from their
first message (from ever, if that was in the middle of a dialog) until LATE_US after their end; of several equal ones
that whose description was the last before the packet. When no such call is going on, the nearest in time is taken if
it claims both ends, or if it is not farther away than LATE_US.

Leg numbers. Descriptions travel between two SIP peers: a hop. The hops of a call are numbered in the order their
first description was seen, and a packet is on the lowest hop that claims both its ends, or either. On hop h, what the
caller's side sends has leg 2h, what is sent to it 2h + 1: so a call with one hop has the legs 0 and 1, and where a
proxy or B2BUA that keeps the Call-ID relays the media itself, its other side has the legs 2 and 3. The caller is who
sent the first INVITE; a side is known by its tag.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from sipflow.ingest.datagram import Peer
from sipflow.wire.sdp import Description, Media
from sipflow.wire.sip import SipHead

# Media goes on for a moment after the BYE, and packets that wait in a capture's buffers overtake each other.
LATE_US = 30_000_000
# Messages whose descriptions announce media; those of OPTIONS only say what would be possible (RFC 3261, section 11).
_OFFERING = frozenset({"INVITE", "ACK", "PRACK", "UPDATE"})
_IN_DIALOG = _OFFERING | {"BYE"}
# Final responses after which the caller tries again in the same call.
_TRY_AGAIN = frozenset({401, 407, 422, 491, 494})
CALLER, CALLEE = 0, 1
_ANNOUNCED, _BEHIND_NAT = 2, 1


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


class _Call:
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
        begun = self.from_ever or self.first_us <= time_us
        return begun and (self.over_us is None or time_us <= self.over_us + LATE_US)

    def distance(self, time_us: int) -> int:
        """How far outside the call's messages a time lies [us]."""
        return max(self.first_us - time_us, time_us - self.last_us, 0)

    def strength(self, src: Peer, dst: Peer) -> int:
        return sum(max((claim.strength for claim in self.claims.get(peer, ())), default=0) for peer in (src, dst))

    def last_claim(self, src: Peer, dst: Peer, time_us: int) -> tuple[bool, int]:
        """Order by the last announcement before a time; one that came later ranks behind, the soonest first."""
        times = [claim.time_us for peer in (src, dst) for claim in self.claims.get(peer, ())]
        before = [time for time in times if time <= time_us]
        return (True, max(before)) if before else (False, -min(times))

    def leg(self, src: Peer, dst: Peer) -> int:
        ours, theirs = self.claims.get(src, []), self.claims.get(dst, [])
        from_hops, to_hops = {claim.hop for claim in ours}, {claim.hop for claim in theirs}
        hop = min(from_hops & to_hops or from_hops | to_hops)
        for claim in ours:
            if claim.hop == hop:
                return 2 * hop + claim.side
        return 2 * hop + next(1 - claim.side for claim in theirs if claim.hop == hop)

    def owner(self, src: Peer, dst: Peer) -> Owner:
        t38 = any(claim.t38 for peer in (src, dst) for claim in self.claims.get(peer, ()))
        return Owner(self.call_id, self.leg(src, dst), t38)


class Dialogs:
    """The calls of one file: first every message is noted, then the owner of any packet can be asked for."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}
        self._claimed: dict[Peer, dict[str, _Call]] = defaultdict(dict)
        self._flow = lru_cache(maxsize=65_536)(self._find_flow)

    def __len__(self) -> int:
        """Count the calls."""
        return len(self._calls)

    def note(self, head: SipHead, descriptions: Iterable[Description], time_us: int, src: Peer, dst: Peer) -> None:
        """Take notice of one message and the descriptions in it; one without Call-ID says nothing here."""
        if not head.call_id:
            return
        call = self._calls.get(head.call_id)
        if call is None:
            call = self._calls[head.call_id] = _Call(head.call_id, time_us)
        call.first_us = min(call.first_us, time_us)
        call.last_us = max(call.last_us, time_us)
        _follow(call, head, time_us)
        if _method(head) not in _OFFERING:
            return
        side = call.side(head)
        for description in descriptions:
            hop = call.hops.setdefault(frozenset((src, dst)), len(call.hops))
            for media in description.media:
                for peer, strength in _endpoints(media, src):
                    call.claims.setdefault(peer, []).append(Claim(time_us, hop, side, strength, media.kind == "image"))
                    self._claimed[peer][call.call_id] = call

    def owner(self, src: Peer, dst: Peer, time_us: int) -> Owner | None:
        """Find the call that a media packet belongs to; None when none claims it."""
        flow = self._flow(src, dst)
        return flow.owner(time_us) if flow is not None else None

    def _find_flow(self, src: Peer, dst: Peer) -> "_Flow | None":
        calls = {**self._claimed.get(src, {}), **self._claimed.get(dst, {})}
        return _Flow(src, dst, list(calls.values())) if calls else None


class _Flow:
    """The calls that may own the packets from one peer to another.

    Between two of `edges` the set of calls going on and the order of their announcements do not change.
    """

    def __init__(self, src: Peer, dst: Peer, calls: list[_Call]) -> None:
        self.src, self.dst, self.calls = src, dst, calls
        edges: set[int] = set()
        for call in calls:
            edges.add(call.first_us)
            if call.over_us is not None:
                edges.add(call.over_us + LATE_US + 1)
            edges.update(claim.time_us for peer in (src, dst) for claim in call.claims.get(peer, ()))
        self.edges = sorted(edges)
        self.known: dict[int, Owner] = {}

    def owner(self, time_us: int) -> Owner | None:
        span = bisect_right(self.edges, time_us)
        known = self.known.get(span)
        if known is not None:
            return known
        src, dst = self.src, self.dst
        running = [call for call in self.calls if call.going_on(time_us)]
        if running:
            best = max(running, key=lambda call: (call.strength(src, dst), call.last_claim(src, dst, time_us)))
            self.known[span] = owner = best.owner(src, dst)
            return owner
        best = min(self.calls, key=lambda call: (-call.strength(src, dst), call.distance(time_us)))
        both = src in best.claims and dst in best.claims
        return best.owner(src, dst) if both or best.distance(time_us) <= LATE_US else None


def _follow(call: _Call, head: SipHead, time_us: int) -> None:
    """Keep track of who called and whether the call goes on."""
    method, status = _method(head), head.status
    if call.caller_tag is None and method in _IN_DIALOG:
        call.caller_tag = head.from_tag
        # The first message seen has a tag of the called party: the capture began in the middle.
        call.from_ever = bool(head.to_tag)
    if method == "BYE" and status is None:
        call.over_us = call.over_us or time_us
    if method != "INVITE":
        return
    if status is None:
        call.over_us = None
    elif status < 300:
        # An answer that comes again after the end does not undo it; that of a branch after another failed does.
        if not call.established:
            call.over_us = None
        call.established = call.established or status >= 200
    elif not call.established and status not in _TRY_AGAIN:
        call.over_us = time_us


def _method(head: SipHead) -> str:
    return head.method if head.is_request else head.cseq_method


def _endpoints(media: Media, sender: Peer) -> Iterable[tuple[Peer, int]]:
    """List the addresses and ports a medium announces, with the strength of each."""
    ports = media.ports
    packed = _packed(media.connection.address) if media.connection else None
    if packed is not None:
        yield from (((packed, port), _ANNOUNCED) for port in ports)
    # RFC 8839: with ICE the address in c= is only the first choice.
    for candidate in media.candidates:
        address = _packed(candidate.address)
        if candidate.component == 1 and candidate.transport == "udp" and candidate.port and address is not None:
            yield (address, candidate.port), _ANNOUNCED
    if sender[0] != packed and (packed is None or not ip_address(packed).is_global):
        yield from (((sender[0], port), _BEHIND_NAT) for port in ports)


def _packed(address: str) -> bytes | None:
    """Give an announced address in network order; None for host names and 0.0.0.0, which say nothing here."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return None if parsed.is_unspecified else parsed.packed
