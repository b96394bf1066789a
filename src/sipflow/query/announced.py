"""What the SDP of a call says of its RTP payload types."""

import re
from collections.abc import Mapping, Sequence

from sipflow.wire.packet import Message
from sipflow.wire.sip import parse_head

# RFC 8866, section 6.6; lines may end with a bare LF, and a body may be one part of a multipart.
_RTPMAP = re.compile(rb"^a=rtpmap:(\d{1,3})[ \t]+([A-Za-z0-9._-]{1,64})/(\d{1,7})", re.MULTILINE)


def announced(messages: Sequence[Message]) -> Mapping[int, tuple[str, int]]:
    """Map payload types to encoding name and clock [Hz]; what was said first stands, as it does for the open call."""
    found: dict[int, tuple[str, int]] = {}
    for message in messages:
        body = message.payload[parse_head(message.payload).body :]
        for number, name, clock in _RTPMAP.findall(body):
            if int(number) < 128:
                found.setdefault(int(number), (name.decode("ascii"), int(clock)))
    return found
