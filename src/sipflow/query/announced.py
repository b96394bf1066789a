"""What the SDP of a call says of its RTP payload types."""

from collections.abc import Mapping, Sequence

from sipflow.wire.packet import Message
from sipflow.wire.sdp import find_descriptions
from sipflow.wire.sip import parse_head


def announced(messages: Sequence[Message]) -> Mapping[int, tuple[str, int]]:
    """Map payload types to encoding name and clock [Hz]; what was said first stands, as it does for the open call."""
    found: dict[int, tuple[str, int]] = {}
    for message in messages:
        head = parse_head(message.payload)
        for description in find_descriptions(head.content_type, message.payload[head.body :]):
            for media in description.media:
                for codec in media.codecs if media.is_rtp else ():
                    found.setdefault(codec.payload_type, (codec.name, codec.clock_rate))
    return found
