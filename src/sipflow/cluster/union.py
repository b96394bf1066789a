"""What several nodes know of one call, put together: parts of it are added up, copies of it count once.

Nodes hold parts of a call when SIP and RTP went to different ones (as RustPBX 0.5 senders do), or when the list of
nodes changed while it lasted; they hold copies when senders keep `replicas`. A copy carries the capture times of the
sender, so both have the same moments, to the microsecond.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from sipflow.query.answer import Flow, together
from sipflow.query.asking import merge
from sipflow.query.listed import Listed
from sipflow.wire.dialog import CallDigest
from sipflow.wire.packet import Message

_MOMENTS = (
    "first_us", "last_us", "invite_us", "ring_us", "answer_us", "cancel_us", "bye_us", "bye_answer_us", "status_us",
)  # fmt: skip


def union_of_flows(call_id: str, flows: Sequence[Flow]) -> Flow:
    """Put the messages of a call together: one that two nodes have is one message, one that a node has twice is two."""
    faults = together(*(flow.faults for flow in flows))
    if sum(bool(flow.messages) for flow in flows) <= 1:
        return Flow(call_id, next((flow.messages for flow in flows if flow.messages), []), faults)
    have: Counter[tuple[object, ...]] = Counter()
    found: list[Message] = []
    for flow in flows:
        here: Counter[tuple[object, ...]] = Counter()
        for message in flow.messages:
            seen = (message.time_us, message.src, message.dst, message.payload, message.leg, message.client_id)
            here[seen] += 1
            if here[seen] > have[seen]:
                found.append(message)
        have |= here
    found.sort(key=lambda message: (message.time_us, message.arrival_us))
    return Flow(call_id, found, faults)


def union_of_listed(found: Sequence[Listed]) -> Listed:
    """Put together what nodes know of a call, one of them at least."""
    whole = found[0]
    for other in found[1:]:
        whole = _copies(whole, other) if is_copy(whole.digest, other.digest) else merge(whole, other) or whole
    return whole


def is_copy(a: CallDigest, b: CallDigest) -> bool:
    """Tell whether two nodes recorded the same packets: some moment of the call is the same in both."""
    return any(getattr(a, name) is not None and getattr(a, name) == getattr(b, name) for name in _MOMENTS)


def _copies(a: Listed, b: Listed) -> Listed:
    """Count once what both have; media is judged by the fuller copy, which lost less on its way."""
    both = merge(a, b) or a
    digest = msgspec.structs.replace(both.digest, sip_messages=max(a.digest.sip_messages, b.digest.sip_messages))
    fuller = a if a.rtp_packets >= b.rtp_packets else b
    return both._replace(digest=digest, rtp_packets=fuller.rtp_packets, worst=fuller.worst, erased_us=fuller.erased_us)
