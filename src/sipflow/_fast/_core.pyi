"""The C core: what each function takes and gives."""

from collections.abc import Sequence
from typing import TypeAlias

from typing_extensions import Buffer

# --- blocks of data.raw ---

BLOCK_HEAD_LENGTH: int  # octets of a block's header
BLOCK_VERSION: int  # the version this program writes
BLOCK_SKIPPABLE: int  # magic of the skippable frame that holds the header
BLOCK_RAW_MAX: int  # octets of content beyond which a block is refused
BLOCK_NEWER: int  # the status of a sound block of a later version
BLOCK_FIELDS: dict[str, int]  # where each field of the header starts

# call id, leg, client id, source address and port, destination address and port, SSRC, clock skew
IdentityFields: TypeAlias = tuple[str, int | None, int, bytes, int, bytes, int, int | None, bool]
# call id, capture and arrival time, source address and port, destination address and port, payload, leg, client id,
# clock skew
MessageFields: TypeAlias = tuple[str, int, int, bytes, int, bytes, int, bytes, int | None, int, bool]
# version, kind, transform, flags, records, raw length, frame length, frame crc, chunk, t0, t1
HeaderFields: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int, int]

def block_status_text(status: int) -> str:
    """Say in words what is wrong with a block."""

def block_header_encode(head: Buffer) -> bytes:
    """Write the header of one BLOCK_HEAD row. Raises ValueError when `head` is not one row."""

def block_header_decode(octets: Buffer) -> tuple[int, HeaderFields | None]:
    """Read and verify the header at the start of `octets`; gives a status, 0 when sound, and the fields then."""

def block_verify(octets: Buffer) -> int:
    """Hold the whole block at the start of `octets` against both its checksums; gives a status, 0 when sound."""

def block_find(octets: Buffer, start: int = 0) -> int:
    """Find the first sound block at or after `start`; gives len(octets) when there is none."""

def blocks_assemble(heads: Buffer, frames: Sequence[Buffer]) -> tuple[bytes, bytes, bytes]:
    """Join headers (BLOCK_HEAD rows) and zstd frames to blocks.

    Gives the octets to append, the place of each block in them (u64 array), and the rows with frame_length, frame_crc
    and version filled in. Raises ValueError when rows and frames are not as many, or a frame is too large.
    """

def columns_encode_batch(
    pool: Buffer, offsets: Buffer, used: Buffer, counts: Buffer, chunks: Buffer
) -> tuple[bytes, bytes, bytes, list[int]]:
    """Encode chunks of pool memory, in one go and without the GIL.

    Chunk i is `used[i]` (u32) octets at `offsets[i]` (u64) and holds `counts[i]` (u32) records; `chunks[i]` (u64) is
    written to its header. Gives a buffer, its segments (u64 pairs for zstandard.BufferWithSegments), a BLOCK_HEAD row
    for each, and the numbers of chunks that contradict themselves: these have neither segment nor row. The buffer is
    longer than its segments. Raises ValueError when the arrays disagree or a chunk lies outside the pool.
    """

def columns_decode(content: Buffer) -> tuple[IdentityFields, bytes, bytes]:
    """Rebuild the packets of a stream block; gives the stream, RTP_ROW rows and the packets' octets.

    Raises ValueError when the content contradicts itself.
    """

def chunk_rows(memory: Buffer, count: int) -> tuple[IdentityFields, bytes, bytes]:
    """Read the first `count` packets of a live chunk, `memory` being its used octets, as columns_decode gives them.

    Raises ValueError when the chunk contradicts itself.
    """

def messages_encode(arena: Buffer, count: int) -> tuple[bytes, bytes, list[tuple[int, int, MessageFields]]]:
    """Encode the first `count` SIP records of an arena, a call's together.

    Gives the content, one BLOCK_HEAD row, and for each message in the order of the content its position, its number in
    the arena, and its fields. Raises ValueError when the arena contradicts itself.
    """

def messages_decode_at(content: Buffer, position: int) -> MessageFields:
    """Read the message at `position`. Raises ValueError when none can stand there."""

def messages_decode_all(content: Buffer) -> list[tuple[int, MessageFields]]:
    """Read all messages with their positions. Raises ValueError when the content contradicts itself."""

def arena_messages(memory: Buffer, count: int) -> list[MessageFields]:
    """Read the first `count` SIP records of live pool memory. Raises ValueError when it contradicts itself."""
