"""The reader: answers over HTTP, and only ever reads. The recorder starts it, again when it dies or hangs."""

import contextlib
import gc
import heapq
import logging
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvicorn

from sipflow._fast import Pool
from sipflow.archive.call_upload import CallUploads
from sipflow.archive.call_upload_target import open_target
from sipflow.archive.remote_opening import open_remote
from sipflow.cluster.cluster import Cluster
from sipflow.config import Settings
from sipflow.diagnose import load_rules
from sipflow.effective import read_back
from sipflow.errors import ArchiveError, SipflowError, StorageError
from sipflow.node import read_nodes
from sipflow.orders import ReaderOrders
from sipflow.query.discreet import Discreet
from sipflow.query.history import History
from sipflow.query.live import LivePool
from sipflow.server_log import set_up_log
from sipflow.storage.part import Part
from sipflow.thread import NamedThread
from sipflow.web.app import build
from sipflow.web.call_content import UploadContent
from sipflow.web.console.statistics import USUAL, latest
from sipflow.web.recorded import Recordings
from sipflow.web.status import Client, RecorderNote, RecorderSnapshot, Source
from sipflow.wire.endpoint import from_packed

LOG = logging.getLogger("sipflow.reader")

_BADNESS = 500  # of 1000: how much sooner than the recorder (proc(5), oom_score_adj)
_REJECTIONS = ("truncated", "bad_magic", "bad_version", "bad_kind", "bad_family", "bad_metadata", "bad_call_id",
               "bad_batch", "bad_hep", "hep_key", "foreign_source")  # fmt: skip

_TICKS_A_BEAT = 10  # a second
# A live list is an answer without an end: whoever reads one must not hold up the end of the server.
_GOODBYE_S = 2
# Senders named in /metrics, the busiest ones: a forged source address must not make the page grow without bound.
_SENDERS_TOLD = 100


class PoolStatus:
    """The state of the recorder as its pool shows it, in shared memory."""

    def __init__(self, root: Path) -> None:
        """Look for the pool of `root` at every question."""
        self._live = LivePool(root)
        self._lock = threading.Lock()

    def _pool(self) -> Pool:
        pool = self._live.pool()
        if pool is None:
            raise StorageError("read", "pool", "there is none: no recorder has run here")
        return pool

    def snapshot(self) -> RecorderSnapshot:
        """Read counters and state. Raises StorageError."""
        with self._lock:
            pool = self._pool()
            pool_packets = pool.pending()
            ledger, refused = pool.ledger()
            sources, clients = pool.sources(), pool.clients()
            try:
                note = msgspec.json.decode(pool.read_note(), type=RecorderNote)
            except msgspec.MsgspecError:
                raise StorageError("read", "pool", "the recorder is starting") from None
        return RecorderSnapshot(
            version=note.version,
            pid=note.pid,
            started_us=note.started_us,
            heartbeat_us=note.heartbeat_us,
            counters={
                "datagrams": ledger["datagrams"],
                "octets": ledger["octets"],
                "packets_sip": ledger["sip"],
                "packets_rtp": ledger["rtp"],
                "clock_skew": ledger["clock_skew"],
                "unidentified": ledger["unidentified"],
                "kernel_drops": ledger["kernel_drops"],
                "stored_sip": note.stored_sip,
                "stored_rtp": note.stored_rtp,
                "flush_rows_sip": note.rows_sip,
                "flush_rows_rtp": note.rows_rtp,
                "flushes": note.flushes,
                "flush_errors": note.flush_errors,
                "damaged_chunks": note.damaged_chunks,
                "damaged_packets": note.damaged_packets,
                "known_packets": note.known_packets,
                "replayed": note.replayed,
                "frames": ledger["frames"],
                "refused_datagrams": ledger["refused_datagrams"],
                "pool_packets": pool_packets,
            },
            rejected={reason: refused[reason] for reason in _REJECTIONS},
            dropped={reason: count for reason, count in refused.items() if reason not in _REJECTIONS},
            pool=note.pool,
            faults=note.faults,
            notes=note.notes,
            reader=note.reader,
            packing=note.packing,
            listening=note.listening,
            open_buckets=note.open_buckets,
            disk_free=note.disk_free,
            disk_total=note.disk_total,
            sources=[
                Source(from_packed(ip, 0).ip, *counts)
                for ip, *counts in heapq.nlargest(_SENDERS_TOLD, sources, key=lambda one: one[1])
            ],
            clients=[Client(*one) for one in heapq.nlargest(_SENDERS_TOLD, clients, key=lambda one: one[1])],
        )

    def received(self, client_id: int) -> int:
        """Count the packets of a sender that were put into the pool."""
        with self._lock:
            return self._pool().client_taken(client_id)


def _follow_recorder(lines: "queue.SimpleQueue[bytes]") -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    # The pipe ends when the recorder does, by whatever death; an orphan must not hold its port.
    os._exit(0)


def _renew_nodes(cluster: Cluster, lines: "queue.SimpleQueue[bytes]") -> None:
    """Take each new list of nodes, a line as node.py writes it, which the recorder has found good."""
    while True:
        cluster.renew(read_nodes(msgspec.json.decode(lines.get())).nodes)
        LOG.info("the nodes are now %s", ", ".join(cluster.names))


def _go_first() -> None:
    # When memory runs out the kernel shall take the reader, which is started again, and not the recorder or its pool.
    with contextlib.suppress(OSError, ValueError):
        badness = Path("/proc/self/oom_score_adj")
        badness.write_text(str(min(1000, int(badness.read_text()) + _BADNESS)))


class _BeatingServer(uvicorn.Server):
    """Answers, and gives the sign of life that the recorder waits for, from the loop that answers."""

    def __init__(self, config: uvicorn.Config, beat_fd: int) -> None:
        super().__init__(config)
        self._beat_fd = beat_fd

    async def on_tick(self, counter: int) -> bool:
        # Not by `callback_notify`, which falls silent when the wall clock is set back.
        if counter % _TICKS_A_BEAT == 0:
            # A full pipe says enough; without a recorder the watch ends us.
            with contextlib.suppress(OSError):
                os.write(self._beat_fd, b".")
        return await super().on_tick(counter)


def _cluster(history: History, settings: Settings) -> Cluster | None:
    """Begin to watch the other nodes, if there is a list of nodes: others may come to it."""
    if not settings.nodes:
        return None
    cluster = Cluster(settings, history)
    cluster.start()
    return cluster


def _count_ahead(history: History, cluster: Cluster | None) -> None:
    """Have the calls of the usual statistics counted before somebody asks."""
    try:
        history.count_ahead(latest(USUAL), None if cluster is None else cluster.share)
    except SipflowError as error:
        LOG.warning("the calls of the last hours cannot be counted: %s", error)  # whoever asks is told as well


def _uploads(history: History, root: Path, settings: Settings, cluster: Cluster | None) -> CallUploads | None:
    """Begin to upload single calls, if there is a place for them; without one the server answers all the same."""
    if settings.upload is None:
        return None
    recordings = Recordings(history, hide_digits=settings.hide_digits)
    content = UploadContent(Discreet(history) if settings.hide_digits else history, recordings, settings.upload)

    def standing() -> list[Part]:
        return [part for part in history.parts()[0] if part.evicted_us is None]

    try:
        uploads = CallUploads(
            root, settings.upload, open_target(settings.upload), content, standing, _is_ours(settings, cluster)
        )
    except (ArchiveError, StorageError) as error:
        LOG.error("calls cannot be uploaded: %s", error)
        return None
    uploads.start()
    return uploads


def _is_ours(settings: Settings, cluster: Cluster | None) -> Callable[[str], bool]:
    """Make what tells whether this node is the one that uploads a call: where two keep it, the first of them."""
    if settings.replicas == 1 or settings.node is None or cluster is None:
        return lambda _call_id: True
    # What came from a sender of another list, and is kept by none of its owners, is for whoever has it.
    return lambda call_id: settings.node not in cluster.owners(call_id)[1:]


def main() -> None:
    """Read the orders from standard input and answer until told to stop, or until the recorder is gone."""
    _go_first()
    # It is the recorder that reads the list of nodes again; a hang-up of the terminal goes to all.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=ReaderOrders)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_follow_recorder, args=(lines,), name="recorder-watch", daemon=True).start()
    set_up_log(orders.log_level)
    settings = read_back(
        {
            **orders.settings,
            "http": orders.http,
            "root": orders.root,
            **({"token": orders.token} if orders.token else {}),
            "trusted": orders.trusted,
        }
    )
    load_rules(settings.rules)
    history = History.open(Path(orders.root), open_remote(Path(orders.root), settings))
    cluster = _cluster(history, settings)
    if cluster is not None:
        NamedThread(target=_renew_nodes, args=(cluster, lines), name="renew-nodes", daemon=True).start()
    NamedThread(target=_count_ahead, args=(history, cluster), name="count-ahead", daemon=True).start()
    # Each node uploads the calls that it holds, of those that two hold the ones that it is the first owner of.
    uploads = _uploads(history, Path(orders.root), settings, cluster)
    status = PoolStatus(Path(orders.root))
    app = build(cluster or history, status, settings, uploads, cluster=cluster, own=history)
    # Who asks is decided by the peer address, which a header must not replace.
    config = uvicorn.Config(
        app, log_config=None, proxy_headers=False, server_header=False, access_log=False, lifespan="off",
        timeout_graceful_shutdown=_GOODBYE_S,
    )  # fmt: skip
    # What has been loaded lives as long as the process: no collection need look at it again.
    gc.freeze()
    _BeatingServer(config, orders.beat_fd).run(sockets=[socket.socket(fileno=orders.http_fd)])
    if uploads is not None:
        uploads.stop()
    if cluster is not None:
        cluster.close()
    history.close()


if __name__ == "__main__":
    main()
