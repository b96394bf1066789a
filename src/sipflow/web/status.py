"""What the reader knows about the recorder: a snapshot of its counters and its state."""

from typing import Protocol

import msgspec

from sipflow.storage.packing_state import Packing


class PoolState(msgspec.Struct, frozen=True):
    """How full the pool is, in chunks: all of them, those free, those waiting to be written."""

    total: int = 0
    free: int = 0
    pending: int = 0


class OpenBucket(msgspec.Struct, frozen=True):
    """A bucket that is being written: its path, the rows it holds, and the octets of its index and of its data."""

    path: str
    sip_rows: int = 0
    rtp_rows: int = 0
    db_octets: int = 0
    data_octets: int = 0


class Source(msgspec.Struct, frozen=True):
    """An address that datagrams came from, since the recorder started; `seen_us` is when the last one did.

    `refused` counts frames and whole datagrams that were not taken, for whatever reason.
    """

    address: str
    datagrams: int
    octets: int
    sip: int
    rtp: int
    refused: int
    seen_us: int


class Client(msgspec.Struct, frozen=True):
    """A sender by its client id, and how many packets of it are stored or in the pool."""

    client_id: int
    packets: int
    seen_us: int


class ReaderRestarts(msgspec.Struct, frozen=True):
    """How often the reader was started again since the recorder started, by reason, and when last."""

    died: int = 0
    hung: int = 0
    last_us: int = 0


class RecorderNote(msgspec.Struct, frozen=True):
    """What the recorder writes about itself into the pool, twice a second; the rest of a snapshot is counted there.

    `heartbeat_us` is of the monotonic clock: a leap of the wall clock must neither hide a silence nor feign one.
    """

    version: str
    pid: int
    started_us: int
    heartbeat_us: int
    listening: list[str]
    stored_sip: int
    stored_rtp: int
    rows_sip: int
    rows_rtp: int
    flushes: int
    flush_errors: int
    damaged_chunks: int
    damaged_packets: int
    known_packets: int
    replayed: int
    pool: PoolState
    faults: list[str]
    open_buckets: list[OpenBucket]
    disk_free: int
    disk_total: int
    notes: list[str] = []
    reader: ReaderRestarts = ReaderRestarts()
    packing: Packing = Packing()


class RecorderSnapshot(msgspec.Struct, frozen=True):
    """The recorder at one moment; times in microseconds since the epoch, `heartbeat_us` monotonic; sizes in octets.

    `counters` only ever grow: datagrams, octets, packets_sip, packets_rtp (parsed), stored_sip, stored_rtp (packets
    committed), flush_rows_sip, flush_rows_rtp (rows committed), flushes, flush_errors, kernel_drops, and what
    `web.account` makes an account of. `sources` and `clients` are the busiest senders.
    `rejected` are frames refused, by reason; `dropped` are packets that were parsed and then not stored, by reason.
    `faults` are sentences, each one a reason for the health check to be red; `notes` are what an operator should know
    all the same.
    """

    version: str
    pid: int
    started_us: int
    heartbeat_us: int
    counters: dict[str, int] = {}
    rejected: dict[str, int] = {}
    dropped: dict[str, int] = {}
    pool: PoolState = PoolState()
    faults: list[str] = []
    notes: list[str] = []
    listening: list[str] = []
    open_buckets: list[OpenBucket] = []
    disk_free: int = 0
    disk_total: int = 0
    sources: list[Source] = []
    clients: list[Client] = []
    reader: ReaderRestarts = ReaderRestarts()
    packing: Packing = Packing()


class RecorderStatus(Protocol):
    """Where the reader looks the recorder up; may be asked from several threads at once."""

    def snapshot(self) -> RecorderSnapshot:
        """Read the state of the recorder. Raises StorageError when it cannot be read."""
        ...

    def received(self, client_id: int) -> int:
        """Count the packets received from a sender since the recorder started; 0 for one never heard."""
        ...
