"""What the SDP of a call says of its RTP payload types, whoever says it and whenever."""

from collections.abc import Sequence

from sipflow.media.announcement import Announcements
from sipflow.media.codec import Payloads
from sipflow.wire.packet import Message


def announced(messages: Sequence[Message]) -> Payloads:
    """Map payload types to codecs for a whole call; what was said first stands, as it does for the open call."""
    return Announcements.of(messages).everything()
