"""The typed face of the C core. Octets go in as bytes; what comes out is a copy."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer
from zstandard import BufferSegment

# (kind, family, src, src_port, dst, dst_port, time_us, client_id, has_metadata, leg, call_id, payload)
RawPacket = tuple[int, int, bytes, int, bytes, int, int, int, bool, int, bytes, bytes]

# ---- frames and datagrams (packet.h) ----

def parse_datagram(octets: bytes) -> tuple[list[RawPacket] | None, list[str]]:
    """Parse a datagram: its sound packets and the reason for each refused frame; None when refused whole."""

def encode_frame(
    version: int,
    kind: int,
    family: int,
    src: bytes,
    src_port: int,
    dst: bytes,
    dst_port: int,
    time_us: int,
    client_id: int,
    call_id: bytes,
    leg: int | None,
    payload: bytes,
) -> bytes:
    """Write one frame of version 2 or 3; raises ValueError for addresses that do not fit the family.

    OverflowError tells of a number that does not fit its field.
    """

# ---- HEP (hep.h, hep_reader.h) ----

class HepReader:
    """Reads HEP frames of versions 1 to 3; with a key only those that carry it."""

    def __init__(self, key: bytes = b"") -> None: ...
    def read(self, octets: bytes, arrival_us: int) -> RawPacket | str:
        """Read one frame: the packet in it, or the word for why there is none."""

def hep_looks_like(octets: bytes) -> bool:
    """Tell whether octets begin like a frame of HEP, or like one packed as gzip."""

# ---- SIP, RTP (sip.h, rtp.h) ----

# (is_request, method, uri, status, reason, call_id, from uri, from user, from tag, to uri, to user, to tag,
#  cseq, cseq method, user agent, via branch, content type, content length, body offset)
RawSipHead = tuple[
    bool,
    bytes,
    bytes,
    int | None,
    bytes,
    bytes | None,
    bytes,
    bytes,
    bytes,
    bytes,
    bytes,
    bytes,
    int | None,
    bytes,
    bytes,
    bytes,
    bytes,
    int | None,
    int,
]

def sip_head(message: bytes) -> RawSipHead:
    """Scan the head of a SIP message; what is not there is empty or None."""

def sip_looks_like(octets: bytes) -> bool:
    """Tell whether octets begin like a SIP message."""

def rtp_kind(packet: bytes) -> int:
    """Tell what came on a media port: 0 something else, 1 RTP, 2 RTCP (RFC 5761)."""

def rtp_head(packet: bytes) -> tuple[bool, int, int, int, int, bytes] | None:
    """Read marker, payload type, sequence, timestamp, SSRC and payload; None when it is not sound RTP."""

# ---- G.711, checksum, placement ----

def g711_decode(codes: bytes, law: int) -> bytes:
    """Decode to native 16-bit samples; law 0 is mu-law, 1 A-law."""

def g711_encode(samples: bytes, law: int) -> bytes:
    """Encode native 16-bit samples; law 0 is mu-law, 1 A-law."""

def crc32c(octets: Buffer, crc: int = 0) -> int:
    """Checksum octets by CRC-32C, continuing from `crc`; of many octets without the interpreter's lock."""

def jump_node(call_id: bytes, nodes: int) -> int:
    """Pick the node of a Call-ID; -1 when there is none."""

# --- blocks of data.raw ---

BLOCK_HEAD_LENGTH: int  # octets of a block's header
BLOCK_VERSION: int  # the version this program writes
BLOCK_SKIPPABLE: int  # magic of the skippable frame that holds the header
BLOCK_RAW_MAX: int  # octets of content beyond which a block is refused
BLOCK_NEWER: int  # the status of a sound block of a later version
BLOCK_UNKNOWN: int  # the status of a sound block of this version, but of a kind or transform made up later
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
    """Read and verify the header at the start of `octets`; gives a status, 0 when sound, and the fields.

    There are fields when the status is 0 or BLOCK_UNKNOWN.
    """

def block_verify(octets: Buffer) -> int:
    """Hold the whole block at the start of `octets` against both its checksums; gives a status, 0 when sound."""

def block_find(octets: Buffer, start: int = 0) -> int:
    """Find the first sound block at or after `start`; gives len(octets) when there is none."""

def blocks_assemble(heads: Buffer, frames: Sequence[Buffer | BufferSegment]) -> tuple[bytes, bytes, bytes]:
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

def messages_decode_at(content: Buffer, transform: int, position: int) -> MessageFields:
    """Read the message at `position`. Raises ValueError when none can stand there."""

def messages_block(arena: Buffer, count: int) -> tuple[bytes, bytes, int]:
    """Encode as messages_encode does; gives the content, one BLOCK_HEAD row, and where payload begins in it."""

def messages_lift(content: Buffer, transform: int, runs: Buffer) -> tuple[bytes, bytes]:
    """Write runs of messages of a block as records of an arena again, which `messages_block` takes.

    A run is two u32: the position of the first, and how many of the same call; runs are in the order of the content.
    Gives the records and where those of each run end (u64 array). Raises ValueError when the content is damaged, or
    holds no such run.
    """

def messages_decode_all(content: Buffer, transform: int) -> list[tuple[int, MessageFields]]:
    """Read all messages with their positions. Raises ValueError when the content contradicts itself."""

def arena_messages(memory: Buffer, count: int) -> list[MessageFields]:
    """Read the first `count` SIP records of live pool memory. Raises ValueError when it contradicts itself."""

# ---- pool, intake, receiver ----

POOL_MAGIC: int  # the first eight octets of a pool, little-endian; its version follows in four
POOL_VERSION: int
LEDGERS: int  # intakes that can share a pool

class Pool:
    """A pool of chunks in a shared-memory file (pool.h)."""

    readonly: bool
    @staticmethod
    def open(path: str, octets: int, epoch_us: int) -> Pool:
        """Make the pool, or take over the one that stands at `path`; raises OSError (EPROTO: another version)."""
    @staticmethod
    def attach(path: str) -> Pool:
        """Map an existing pool read-only; raises OSError."""
    def occupied(self) -> list[int]:
        """List the chunks that hold something, whatever their state."""

    def recover(self) -> tuple[int, int]:
        """Queue every chunk an earlier process left; gives how many, and the packets in them."""
    def take(self, most: int, timeout_ms: int) -> list[int]:
        """Wait for full chunks of one class, SIP first; empty after the time or a wake."""
    def wake(self) -> None:
        """End every wait of `take`."""
    def release(self, chunks: list[int]) -> None:
        """Give committed chunks back."""
    def chunk_id(self, chunk: int) -> int: ...
    def free_chunks(self) -> tuple[int, int]:
        """Count free chunks: streams, SIP."""
    def total_chunks(self) -> tuple[int, int]: ...
    def octets(self) -> int: ...
    def pending(self) -> int:
        """Count packets in chunks that are not free."""
    def queued(self) -> int:
        """Count full chunks that no encoder has taken."""
    def client_taken(self, client_id: int) -> int: ...
    def write_note(self, note: bytes) -> bool: ...
    def read_note(self) -> bytes: ...
    def ledger(self) -> tuple[dict[str, int], dict[str, int]]:
        """Sum the counters of all receivers: totals by name, refusals by reason."""
    def heartbeats(self) -> list[int]: ...
    def live(self, call_id: bytes, sip: bool, streams: bool) -> list[tuple[bool, int, int, bytes]]:
        """Copy the chunks that may hold a call: (is_sip, chunk id, count, octets) each.

        SIP chunks are cut down to the records of the call, unless `call_id` is empty: then all of them are given whole.
        What is damaged is left out.
        """
    def sync(self) -> None:
        """Write everything to the file behind the pool; raises OSError."""
    pressure: int  # 0 takes all, 1 refuses RTP, 2 refuses SIP too
    def short_of_sip(self) -> bool:
        """Tell whether RTP is refused because few chunks for SIP are left."""
    def sources(self) -> list[tuple[bytes, int, int, int, int, int, int]]:
        """List where datagrams came from: address, datagrams, octets, SIP and RTP taken, refused, last seen [us]."""
    def clients(self) -> list[tuple[int, int, int]]:
        """List client ids, the packets taken of each, and when each was last seen [us]."""

RosterCall = tuple[int, str, int, bool, str, str]
LivePackets = tuple[int, int, bytes]

class Roster:
    """The live calls of a pool at one moment (roster.h); one thread at a time."""

    def __init__(self, pool: Pool, heads: bool) -> None:
        """Look at every live SIP message; without `heads` no call begins, and nobody has a name. Raises MemoryError."""
    def __len__(self) -> int: ...
    def newest(self, before: tuple[int, bytes] | None, most: int) -> list[RosterCall]:
        """List calls before one, newest first: first time filed, Call-ID, last time, whether it begins, both users."""
    def find(self, call_id: bytes) -> RosterCall | None:
        """Give a call as `newest` does."""
    def messages(self, call_id: bytes) -> list[LivePackets]:
        """Copy the messages that the roster has of a call: chunk id, count, octets each."""
    def media(self, call_id: bytes) -> list[LivePackets]:
        """Copy the stream chunks that may hold a call's media, as `messages` does."""

class Intake:
    """Puts packets into a pool (intake.h); one thread at a time."""

    def __init__(
        self, pool: Pool, slot: int, flush_interval_us: int, flush_count: int, media: bool, trust_time: bool
    ) -> None: ...
    def put(
        self,
        kind: int,
        family: int,
        src: bytes,
        src_port: int,
        dst: bytes,
        dst_port: int,
        time_us: int,
        client_id: int,
        call_id: bytes,
        leg: int | None,
        payload: bytes,
        now_us: int,
    ) -> None:
        """Store one packet."""
    def datagram(self, octets: bytes, now_us: int) -> None:
        """Parse a SipFlow datagram and store its packets."""
    def take_hep(self, reader: HepReader, alone: bool) -> None:
        """Take HEP in datagrams as well, read by a reader of this intake's own; with `alone` nothing else."""
    def stream(self, octets: bytes | bytearray | memoryview, ip: bytes, now_us: int) -> tuple[int, str]:
        """Store the whole HEP frames at the start of what a connection brought.

        Gives the octets they fill, and the word for why what follows is no frame (counted), empty when it may be one.
        """
    def refuse_cut(self, octets: bytes, ip: bytes, now_us: int) -> None:
        """Count a frame whose end never came, as `truncated`."""
    def refuse_foreign(self, ip: bytes, now_us: int) -> None:
        """Count a connection that is not taken, as `foreign_source`."""
    def beat(self) -> None:
        """Tell that the thread of this intake is alive."""
    def sweep(self) -> None: ...
    def drain(self) -> None: ...

class Receiver:
    """Receives from a bound socket into an intake (receiver.h)."""

    def __init__(self, fd: int, intake: Intake, networks: list[tuple[bytes, int]]) -> None: ...
    def run(self) -> None:
        """Receive until stopped, then drain; raises OSError."""
    def stop(self) -> None: ...

def receive_buffer(fd: int, octets: int) -> int:
    """Ask for a receive buffer; gives what the kernel granted [octets]."""

# ---- storing: portions, the encoder, the index (portion.h, encoder.h, index.h) ----

class Portion:
    """Blocks of one bucket on their way to data.raw, with what its index will say of them."""

    def __init__(self, period_us: int = 0) -> None: ...
    def add(self, offset: int, header: bytes, content: bytes | bytearray | memoryview) -> None:
        """Add a block that stands in a file already, from its content; raises ValueError when that is damaged."""
    @property
    def period_us(self) -> int: ...
    @property
    def data(self) -> bytes:
        """Copy the blocks."""
    @property
    def octets(self) -> int: ...
    @property
    def held(self) -> int:
        """Tell the memory it takes until it is committed: messages also wait as they were captured [octets]."""
    @property
    def blocks(self) -> int: ...
    @property
    def sip_messages(self) -> int: ...
    @property
    def rtp_packets(self) -> int: ...

class Encoder:
    """Turns full chunks of a pool into portions; `known` are (period start, chunk id) pairs committed already."""

    def __init__(self, pool: Pool, period_us: int, known: list[tuple[int, int]]) -> None: ...
    def encode(self, chunks: list[int]) -> tuple[list[Portion], int, int, int]:
        """Give a portion per period; then damaged chunks, packets lost in them, packets known already."""

class IndexWriter:
    """Writes data.raw (`fd`, -1 when its blocks stand already) and the index at `path`, whose tables stand.

    Every method raises OSError; its errno is a result code of SQLite as a negative number when that is to blame.
    """

    def __init__(self, path: str, fd: int, sync: bool) -> None: ...
    def append(self, portions: list[Portion], replay_from: int) -> None:
        """Write portions and their rows, all of them or none."""
    def run(self, sql: str) -> None:
        """Run statements that give no rows."""
    def judge(self) -> None:
        """Write how bad the media of each call was into call_meta (worst.h)."""
    def close(self) -> None: ...
    @property
    def end(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    @property
    def rtp_octets(self) -> int: ...
    @property
    def replay_from(self) -> int: ...
    @property
    def sip_rows(self) -> int: ...
    @property
    def media_rows(self) -> int: ...

def heap_stay_small() -> None:
    """Have freed memory given back to the kernel at once (heap.h); for the recorder, once at its start."""

# ---- media ----

def mix_placed(rows: NDArray[np.uint8], data: Buffer, start: int, out: NDArray[np.int16], channel: int) -> int:
    """Add packets to one channel of `out`, which shows samples [start, start + len(out)) of the time line.

    `rows` are the octets of PLACED rows (sipflow.media.placing) of one source, `data` is that source's, `out` is
    (samples, channels). Sums saturate. Gives the number of rows that do not lie in `data`.
    """

def mix_codes(rows: NDArray[np.uint8], data: Buffer, start: int, out: NDArray[np.uint8], channel: int) -> int:
    """Copy the codes of G.711 packets in the same way; where packets overlap the last one stays."""

# ---- load: talkers and the sender (talker.h, sender.h) ----

TALKER_HEAD: int
TALKER_TAIL: int
SENDER_BUDGET: int
JITTER_MAX_US: int
LINES_MAX: int

_Octets: TypeAlias = bytes | bytearray | memoryview | NDArray[Any]

class Voices:
    """Loops of speech by number; borrows the octets for as long as it lives."""

    def __init__(
        self,
        octets: _Octets,
        activity: _Octets,
        frames: NDArray[np.uint32],
        places: Sequence[tuple[int, int, int, int, int]],
    ) -> None:
        """Set up voices by `places`: where in `octets` a loop begins, its length, where in `activity` its flags begin,
        where in `frames` its frames begin, and how many samples a frame has, 0 when an octet is a sample.

        TALKER_TAIL more samples follow each loop of octets. Of a loop of frames, `frames` holds where in `octets` each
        begins, and where the last one ends. `activity` holds an octet per 10 ms, not 0 where the voice speaks.
        Raises ValueError naming what does not fit.
        """

class Talker:
    """One RTP stream to be spoken; borrows its voices for as long as it lives."""

    def __init__(
        self,
        head: bytes,
        voices: Voices,
        voice: int,
        position: int,
        *,
        capture_us: int,
        count: int,
        ssrc: int,
        timestamp: int,
        sequence: int,
        samples: int,
        payload_type: int,
        ticks: int = 1,
        event_type: int = 101,
        suppressed: bool = False,
        digits: bytes = b"",
        network: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0),
        chance: int = 0,
    ) -> None:
        """Set up `count` intervals of `samples` samples of 8 kHz each.

        `head` is a frame with an empty payload, `position` where in the loop of `voice` the first packet begins,
        `ticks` how many the codec's clock makes in a sample. A `suppressed` talker leaves out the intervals in which
        its voice is silent. `digits` are telephone event codes, `network` the fields of struct sf_impairment; what
        becomes of the packets follows from `chance` (script.h). Raises ValueError naming what does not fit.
        """
    def packets(self) -> list[tuple[int, bytes]]:
        """Give every packet of the stream: capture time [us since the epoch] and the RTP packet."""

class Mould:
    """A call with holes, from which calls are stamped (mould.h); borrows everything it is made of."""

    def __init__(
        self,
        voices: Voices,
        speakers: int,
        time_at: int,
        *,
        octets: _Octets,
        fields: _Octets,
        patches: _Octets,
        sayings: _Octets,
        roles: _Octets,
        lines: _Octets,
        hep: bool = False,
    ) -> None:
        """Set up a mould of arrays of the structs in mould.h. Raises ValueError naming what leaves its array."""
    def frames(self, key: int, start_us: int, span_us: int) -> list[bytes]:
        """Write the SIP messages of a call as frames."""
    def streams(self, key: int, start_us: int, span_us: int) -> list[list[tuple[int, bytes]]]:
        """Give, for each stream of the mould, its packets in a call, as Talker.packets does."""
    def call_ids(self, key: int) -> list[bytes]:
        """Write the Call-ID of each line of a call."""
    def place(self, keys: NDArray[np.uint64], lines: NDArray[np.uint32]) -> None:
        """Add to `lines`, a row per call and a column per node, a bit for each line that the node keeps.

        The node is that of placement.py. Raises ValueError when the arrays do not fit each other.
        """

class Sender:
    """Sends calls and talkers at their times through a connected UDP socket; one thread at a time."""

    def __init__(
        self,
        fd: int,
        origin_us: int,
        *,
        speed: float,
        single: bool = False,
        offload: bool = False,
        sip_only: bool = False,
        budget: int = ...,
        tick_us: int = 1000,
    ) -> None:
        """Begin a clock that stands at `origin_us` (capture time) when run is first called; speed 0 is unpaced.

        `offload` lets the kernel cut datagrams, where it can (UDP_SEGMENT); batches are then padded to `budget`,
        single frames of a tick are sent by length. Each stream and each dialog keeps its order.
        `sip_only` leaves out the streams of calls.
        """
    def add_mould(self, mould: Mould) -> int:
        """Keep a mould; gives the number by which calls name it."""
    def add_calls(self, planned: _Octets) -> None:
        """Send calls, an array of struct sf_planned (sender.h), in any order.

        Raises ValueError, having taken none, for one that begins before the origin or names no mould.
        """
    def run(self, until_us: int) -> None:
        """Send until the clock stands at `until_us`; releases the GIL."""
    @property
    def left(self) -> int:
        """Tell how many calls and streams are not done."""
    @property
    def sent(self) -> dict[str, int]:
        """Tell what was sent so far: the members of struct sf_sent (sender.h)."""

# ---- capture clients (outbox.h) ----

class Outbox:
    """Queues packets for the nodes of a cluster, or for a pool, and sends them from one thread (outbox.h)."""

    nodes: int
    client_id: int
    def __init__(
        self,
        client_id: int,
        *,
        nodes: int,
        sockets: int,
        budget: int,
        packets: int,
        offload: bool,
        start: Callable[[], object],
        intake: Intake | None = None,
    ) -> None:
        """Make the queue: `packets` for each of `sockets` lanes of each node, datagrams of `budget` octets.

        `start` is called when there is something to send and nothing runs.
        """
    def direct(self, node: int, ip: bytes, port: int, scope: int = 0) -> None:
        """Send what is for a node to this address from now on."""
    def run(self) -> None:
        """Send until stopped; releases the GIL."""
    def flush(self, timeout_ms: int) -> bool:
        """Wait until what is queued now is sent; False when it is not in that time."""
    def stop(self, timeout_ms: int) -> None:
        """Take no more, and let `run` end when all is sent or the time is over."""
    def forked(self, client_id: int, shut: str | None) -> None:
        """Be empty and new, in the child of a fork; with a reason in `shut`, take nothing more."""
    def sums(self) -> list[dict[str, int]]:
        """Add up each node: queued, sent, datagrams, octets, full, too_large, lost, errors, last_errno."""
    @property
    def refusals(self) -> tuple[str, int]:
        """Tell why packets are not taken any more, and how many were not."""

class Outlet:
    """Packets of one kind between two ends of one call, on their way to up to two nodes: a prepared frame head."""

    def __init__(self, outbox: Outbox, nodes: list[int], key: bytes, head: bytes, time_at: int) -> None:
        """Take a frame up to its payload length; `time_at` is where its time stands, `key` chooses the lane."""
    def send(self, payload: Buffer, time_us: int | None = None) -> None:
        """Queue one packet, stamped with the wall clock unless a time is given. Never waits."""
    def send_batch(self, payloads: Iterable[Buffer], times_us: Iterable[int] | None = None) -> None:
        """Queue packets, in order."""

def sip_call_id(message: bytes) -> bytes | None:
    """Find the Call-ID of a SIP message; None when no header of that name stands there."""

# ---- levels (level.h) ----

def levels_g711(
    offset: NDArray[np.uint32], length: NDArray[np.uint32], data: bytes, law: int, out: NDArray[np.uint8]
) -> int:
    """Measure packets of G.711 at these places of `data` into `out`, the octets of LEVEL rows (sipflow.media.level).

    Gives the number of packets that do not lie in `data`; they get no samples. Raises ValueError when the arrays are
    not of one length, or for a law that is neither ULAW nor ALAW.
    """

def level_pcm(samples: NDArray[np.int16]) -> tuple[int, int, int, int]:
    """Measure linear samples: the sum of their squares, their number, the clipped ones, the largest magnitude."""

def worst_opinion(payload_type: int, loss_percent: float) -> tuple[str, float] | None:
    """Give scale and MOS-LQ of a static payload type at a share of random loss, as sealing does (worst.h).

    None where the tables have no row for it.
    """

# ---- DTMF in the audio (tone.h) ----

class ToneReceiver:
    """Hears DTMF keys in G.711 audio that comes in pieces."""

    def hear(self, rows: NDArray[np.uint8], data: bytes) -> bytes:
        """Hear packets (SPOKEN rows) of `data` in the order of their samples; gives the keys that ended (PRESSED rows).

        Raises ValueError when `rows` is not whole rows; a row outside of `data` is left out.
        """

    def end(self) -> bytes:
        """End the audio; gives the key that still sounded, if any."""
