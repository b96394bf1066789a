"""From the plain values of the C core to the packets the rest of sipflow knows."""

import numpy as np

from sipflow._fast import arena_messages
from sipflow.wire.endpoint import from_packed
from sipflow.wire.packet import RTP_ROW, Chunk, Message, StreamKey

# Call id, leg, client id, source address and port, destination address and port, SSRC, clock skew.
IdentityFields = tuple[str, int | None, int, bytes, int, bytes, int, int | None, bool]
# Call id, capture and arrival time, source address and port, destination address and port, payload, leg, client id,
# clock skew.
MessageFields = tuple[str, int, int, bytes, int, bytes, int, bytes, int | None, int, bool]


def message_of(fields: MessageFields) -> Message:
    """Build a Message from what the C core read."""
    call_id, time_us, arrival_us, src, src_port, dst, dst_port, payload, leg, client_id, clock_skew = fields
    return Message(
        call_id=call_id,
        time_us=time_us,
        arrival_us=arrival_us,
        src=from_packed(src, src_port),
        dst=from_packed(dst, dst_port),
        payload=payload,
        leg=leg,
        client_id=client_id,
        clock_skew=clock_skew,
    )


def chunk_of(identity: IdentityFields, rows: bytes, data: bytes) -> Chunk:
    """Build a Chunk from what the C core read; a stream whose sender named no leg is leg 0."""
    call_id, leg, client_id, src, src_port, dst, dst_port, ssrc, clock_skew = identity
    key = StreamKey(
        call_id=call_id,
        leg=leg or 0,
        src=from_packed(src, src_port),
        dst=from_packed(dst, dst_port),
        ssrc=ssrc,
        client_id=client_id,
    )
    return Chunk(key=key, rows=np.frombuffer(rows, RTP_ROW), data=data, clock_skew=clock_skew)


def live_messages(memory: bytes | bytearray | memoryview, count: int) -> list[Message]:
    """Read the first `count` SIP records of pool memory. Raises ValueError when it contradicts itself."""
    return [message_of(fields) for fields in arena_messages(memory, count)]
