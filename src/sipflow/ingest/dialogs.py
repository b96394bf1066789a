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

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import ip_address

from sipflow.ingest.call import Call, Claim, Owner
from sipflow.ingest.datagram import Peer
from sipflow.ingest.flow import Flow
from sipflow.wire.sdp import Description, Media
from sipflow.wire.sip import SipHead

# Messages whose descriptions announce media; those of OPTIONS only say what would be possible (RFC 3261, section 11).
_OFFERING = frozenset({"INVITE", "ACK", "PRACK", "UPDATE"})
_IN_DIALOG = _OFFERING | {"BYE"}
# Final responses after which the caller tries again in the same call.
_TRY_AGAIN = frozenset({401, 407, 422, 491, 494})
_ANNOUNCED, _BEHIND_NAT = 2, 1


class Dialogs:
    """The calls of one file: first every message is noted, then the owner of any packet can be asked for."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._claimed: dict[Peer, dict[str, Call]] = defaultdict(dict)
        self._flow = lru_cache(maxsize=65_536)(self._find_flow)

    def __len__(self) -> int:
        """Count the calls."""
        return len(self._calls)

    def __contains__(self, call_id: object) -> bool:
        """Tell whether a message of that call was noted."""
        return call_id in self._calls

    def __iter__(self) -> Iterator[str]:
        """List the Call-IDs."""
        return iter(self._calls)

    def note(self, head: SipHead, descriptions: Iterable[Description], time_us: int, src: Peer, dst: Peer) -> None:
        """Take notice of one message and the descriptions in it; one without Call-ID says nothing here."""
        if not head.call_id:
            return
        call = self._calls.get(head.call_id)
        if call is None:
            call = self._calls[head.call_id] = Call(head.call_id, time_us)
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

    def _find_flow(self, src: Peer, dst: Peer) -> Flow | None:
        calls = {**self._claimed.get(src, {}), **self._claimed.get(dst, {})}
        return Flow(src, dst, list(calls.values())) if calls else None


def _follow(call: Call, head: SipHead, time_us: int) -> None:
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
