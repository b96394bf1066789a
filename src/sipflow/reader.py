"""The reader: answers over HTTP, and only ever reads. The recorder starts it, again when it dies or hangs."""

import contextlib
import heapq
import logging
import os
import socket
import sys
import threading
from ipaddress import ip_network
from pathlib import Path

import msgspec
import uvicorn

from sipflow._fast import Pool
from sipflow.config import Given, parse_address, settings_from
from sipflow.errors import StorageError
from sipflow.orders import ReaderOrders
from sipflow.query.history import History
from sipflow.query.live import LivePool
from sipflow.server_log import set_up_log
from sipflow.web.app import build
from sipflow.web.status import Client, RecorderNote, RecorderSnapshot, Source
from sipflow.wire.endpoint import from_packed

LOG = logging.getLogger("sipflow.reader")

_BADNESS = 500  # of 1000: how much sooner than the recorder (proc(5), oom_score_adj)
_REJECTIONS = ("truncated", "bad_magic", "bad_version", "bad_kind", "bad_family", "bad_metadata", "bad_call_id",
               "bad_batch", "foreign_source")  # fmt: skip

_TICKS_A_BEAT = 10  # a second
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


def _leave_with_recorder() -> None:
    # The pipe ends when the recorder does, by whatever death; an orphan must not hold its port.
    sys.stdin.buffer.read()
    os._exit(0)


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


def main() -> None:
    """Read the orders from standard input and answer until told to stop, or until the recorder is gone."""
    _go_first()
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=ReaderOrders)
    threading.Thread(target=_leave_with_recorder, name="recorder-watch", daemon=True).start()
    set_up_log(orders.log_level)
    settings = settings_from(
        {
            "http": Given(str(parse_address(Given(orders.http, "http"))), "http"),
            "root": Given(orders.root, "root"),
            **({"token": Given(orders.token, "token")} if orders.token else {}),
            "trusted": Given([str(ip_network(network)) for network in orders.trusted], "trusted"),
        }
    )
    history = History.open(Path(orders.root))
    app = build(history, PoolStatus(Path(orders.root)), settings)
    # Who asks is decided by the peer address, which a header must not replace.
    config = uvicorn.Config(
        app, log_config=None, proxy_headers=False, server_header=False, access_log=False, lifespan="off"
    )
    _BeatingServer(config, orders.beat_fd).run(sockets=[socket.socket(fileno=orders.http_fd)])
    history.close()


if __name__ == "__main__":
    main()
