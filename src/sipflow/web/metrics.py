"""The counters of the recorder in the text format of Prometheus.

Written here rather than by a library because existing scripts match whole lines,
`name{component="sipflow"} value`, with plain integers; the client library prints every value as a float.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from sipflow.archive.call_upload_queue import UploadCounts
from sipflow.archive.state import ArchiveState, Lag
from sipflow.clock import SECOND_US
from sipflow.cluster.exchange import SenderNote
from sipflow.cluster.peer import PeerHealth
from sipflow.web.account import account_of
from sipflow.web.status import RecorderSnapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_COUNTERS = (
    ("sipflow_datagrams_total", "Datagrams received.", ("datagrams",)),
    ("sipflow_octets_total", "Octets received in datagrams.", ("octets",)),
    ("sipflow_packets_received_total", "Packets parsed.", ("packets_sip", "packets_rtp")),
    ("sipflow_items_recorded_total", "Packets committed to storage.", ("stored_sip", "stored_rtp")),
    ("sipflow_kernel_drops_total", "Datagrams the kernel dropped before they were read.", ("kernel_drops",)),
    ("sipflow_frames_total", "Frames found in datagrams that were not refused whole.", ("frames",)),
    ("sipflow_refused_datagrams_total", "Datagrams refused whole.", ("refused_datagrams",)),
    ("sipflow_replayed_total", "Packets found in the pool of an earlier process.", ("replayed",)),
    ("sipflow_replayed_known_total", "Of those, committed before it ended.", ("known_packets",)),
    ("sipflow_damaged_total", "Packets of the pool whose checksum was wrong.", ("damaged_packets",)),
    ("sipflow_flushes_total", "Commits.", ("flushes",)),
    ("sipflow_flush_errors_total", "Commits that failed.", ("flush_errors",)),
)


class NodesTold(NamedTuple):
    """What is told of the cluster beside a snapshot: the name of this node, its senders, how the other nodes are."""

    name: str = ""
    senders: Sequence[SenderNote] = ()
    others: Sequence[PeerHealth] = ()


_ALONE = NodesTold()


def exposition(
    snapshot: RecorderSnapshot, monotonic_us: int, archive: ArchiveState | None = None, nodes: NodesTold = _ALONE
) -> str:
    """Write what a snapshot, the archiver and the cluster tell; `monotonic_us` dates the heartbeat's age."""
    lines = chain(_lines(snapshot, monotonic_us), _archive(archive or ArchiveState("")), _of_nodes(nodes))
    return "".join(f"{line}\n" for line in lines)


def uploads_exposition(counts: UploadCounts, now_us: int) -> str:
    """Write what became of uploads of single calls; `now_us` dates the age of the oldest that waits."""
    families = (
        _family(
            "sipflow_call_uploads_total",
            "counter",
            "Files of calls, by what became of them.",
            {(("result", name),): getattr(counts, name) for name in ("given_up", "media", "nothing", "signaling")},
        ),
        _family("sipflow_call_upload_failures_total", "counter", "Tries that failed.", {(): counts.failures}),
        _family("sipflow_call_uploads_waiting", "gauge", "Files of calls that wait.", {(): counts.waiting}),
        _family(
            "sipflow_call_upload_oldest_seconds",
            "gauge",
            "How long the oldest of them waits.",
            {(): 0 if counts.oldest_us is None else max(0, now_us - counts.oldest_us) // SECOND_US},
        ),
    )
    return "".join(f"{line}\n" for lines in families for line in lines)


def _lines(snapshot: RecorderSnapshot, monotonic_us: int) -> Iterator[str]:
    counters, buckets, pool = snapshot.counters, snapshot.open_buckets, snapshot.pool
    for name, text, parts in _COUNTERS:
        yield from _family(name, "counter", text, {(): sum(counters.get(part, 0) for part in parts)})
    yield from _family(
        "sipflow_flush_rows_total",
        "counter",
        "Index rows committed.",
        {(("type", kind),): counters.get(f"flush_rows_{kind}", 0) for kind in ("rtp", "sip")},
    )
    dropped = snapshot.dropped
    yield from _family(
        "sipflow_items_dropped_total", "counter", "Packets parsed and not stored.", {(): sum(dropped.values())}
    )
    yield from _family(
        "sipflow_dropped_total",
        "counter",
        "Packets parsed and not stored, by reason.",
        {(("reason", reason),): count for reason, count in sorted(dropped.items())},
    )
    yield from _family(
        "sipflow_rejected_total",
        "counter",
        "Frames refused, by reason.",
        {(("reason", reason),): count for reason, count in sorted(snapshot.rejected.items())},
    )
    yield from _family(
        "sipflow_reader_restarts_total",
        "counter",
        "Readers started again, by what became of the one before.",
        {(("reason", reason),): getattr(snapshot.reader, reason) for reason in ("died", "hung")},
    )
    yield from _family(
        "sipflow_packing_failures_total",
        "counter",
        "Tries to pack a sealed bucket that failed.",
        {(): snapshot.packing.failures},
    )
    for name, text, value in (
        ("sipflow_parts_packed", "Sealed buckets that are packed.", snapshot.packing.packed),
        ("sipflow_parts_waiting", "Sealed buckets that wait to be packed.", snapshot.packing.waiting),
        ("sipflow_pool_packets", "Packets in the pool, not committed yet.", counters.get("pool_packets", 0)),
        ("sipflow_unaccounted", "Packets that the account misses; 0 at rest.", account_of(snapshot).unaccounted),
        ("sipflow_pending_items", "Pool chunks waiting to be written.", pool.pending),
        ("sipflow_sip_rows_written", "SIP rows in the open buckets.", sum(bucket.sip_rows for bucket in buckets)),
        ("sipflow_media_rows_written", "RTP rows in the open buckets.", sum(bucket.rtp_rows for bucket in buckets)),
        ("sipflow_db_file_bytes", "Size of the open indexes.", sum(bucket.db_octets for bucket in buckets)),
        ("sipflow_data_file_bytes", "Size of the open data files.", sum(bucket.data_octets for bucket in buckets)),
        ("sipflow_disk_free_bytes", "Room left where the data is kept.", snapshot.disk_free),
        ("sipflow_disk_total_bytes", "Size of the file system where the data is kept.", snapshot.disk_total),
        ("sipflow_faults", "Reasons for the health check to be red.", len(snapshot.faults)),
        ("sipflow_start_time_seconds", "When the recorder started.", snapshot.started_us // SECOND_US),
        (
            "sipflow_heartbeat_age_seconds",
            "Since the recorder last gave a sign of life.",
            max(0, monotonic_us - snapshot.heartbeat_us) // SECOND_US,
        ),
    ):
        yield from _family(name, "gauge", text, {(): value})
    yield from _family(
        "sipflow_pool_chunks",
        "gauge",
        "Chunks of the pool, by state.",
        {(("state", state),): getattr(pool, state) for state in ("free", "pending", "total")},
    )
    yield from _senders(snapshot)
    yield "# HELP sipflow_info The version that is running."
    yield "# TYPE sipflow_info gauge"
    yield f'sipflow_info{{version="{_escaped(snapshot.version)}"}} 1'


def _archive(state: ArchiveState) -> Iterator[str]:
    for name, kind, text, value in (
        ("sipflow_archive_waiting_parts", "gauge", "Sealed parts that are not archived yet.", state.parts),
        ("sipflow_archive_waiting_bytes", "gauge", "What these occupy here.", state.octets),
        (
            "sipflow_archive_oldest_seconds",
            "gauge",
            "When the oldest of them began; 0 when there is none.",
            (state.oldest_us or 0) // SECOND_US,
        ),
        (
            "sipflow_archive_waiting_since_seconds",
            "gauge",
            "Since when the first of them waits; 0 when there is none.",
            (state.waiting_us or 0) // SECOND_US,
        ),
        (
            "sipflow_archive_behind",
            "gauge",
            "1 while it waits for longer than two periods though nothing fails, and no less waits than did.",
            int(state.lag is Lag.FALLING_BEHIND),
        ),
        ("sipflow_archive_given_up_total", "counter", "Parts given up because too much waited.", state.given_up_parts),
        ("sipflow_archive_given_up_bytes_total", "counter", "What these held.", state.given_up_octets),
        ("sipflow_archived_parts_total", "counter", "Parts archived and verified.", state.archived_parts),
        ("sipflow_archived_bytes_total", "counter", "What these hold.", state.archived_octets),
        ("sipflow_archive_failures_total", "counter", "Attempts to archive that failed.", state.failures),
        ("sipflow_archive_failing", "gauge", "1 while the last attempt failed.", int(bool(state.error))),
        ("sipflow_archive_refused_parts", "gauge", "Parts that cannot be read here.", len(state.refused)),
    ):
        yield from _family(name, kind, text, {(): value})


def _senders(snapshot: RecorderSnapshot) -> Iterator[str]:
    yield from _family(
        "sipflow_client_packets_total",
        "counter",
        "Packets stored or in the pool, by the client id of their sender; the busiest senders.",
        {(("client_id", str(one.client_id)),): one.packets for one in snapshot.clients},
    )
    yield from _family(
        "sipflow_source_packets_total",
        "counter",
        "Packets stored or in the pool, by the address they came from; the busiest ones.",
        {
            (("source", one.address), ("type", kind)): getattr(one, kind)
            for one in snapshot.sources
            for kind in ("rtp", "sip")
        },
    )
    for name, text, field in (
        ("sipflow_source_datagrams_total", "Datagrams, by the address they came from.", "datagrams"),
        ("sipflow_source_octets_total", "Octets of datagrams, by the address they came from.", "octets"),
        ("sipflow_source_refused_total", "Frames and datagrams not taken, by the address they came from.", "refused"),
    ):
        samples: dict[tuple[tuple[str, str], ...], int] = {
            (("source", one.address),): getattr(one, field) for one in snapshot.sources
        }
        yield from _family(name, "counter", text, samples)


def _of_nodes(nodes: NodesTold) -> Iterator[str]:
    """Write what RustPBX exports on the sending side, under its names, and how the nodes are."""
    for name, kind, text, value in (
        ("sipflow_report_sent_total", "counter", "Packets that senders reported, since their first report.", "sent"),
        ("sipflow_report_lost_total", "counter", "Of those, how many did not arrive.", "lost"),
        ("sipflow_loss_rate", "gauge", "The share of those that did not arrive, 0 to 1.", "loss_rate"),
    ):
        samples: dict[tuple[tuple[str, str], ...], float] = {
            (("node", nodes.name), ("client_id", str(one.client_id))): getattr(one, value) for one in nodes.senders
        }
        yield from _family(name, kind, text, samples)
    yield from _family(
        "sipflow_node_up",
        "gauge",
        "Whether another node of the cluster answers.",
        {(("node", one.name),): int(not one.fault) for one in nodes.others},
    )


def _family(name: str, kind: str, text: str, samples: Mapping[tuple[tuple[str, str], ...], float]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples.items():
        written = "".join(f',{label}="{_escaped(content)}"' for label, content in labels)
        yield f'{name}{{component="sipflow"{written}}} {value}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
