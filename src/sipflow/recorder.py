"""The recorder: receives, stores and watches over the reader. The process that must not die."""

import contextlib
import logging
import os
import signal
import socket
import threading
from contextlib import ExitStack
from types import FrameType

import msgspec

from sipflow._fast import LEDGERS, HepReader, Intake, Receiver, heap_stay_small, receive_buffer
from sipflow.archiver_process import ArchiverProcess
from sipflow.clock import SECOND_US, monotonic_us, now_us
from sipflow.config import Address, Settings
from sipflow.effective import written
from sipflow.errors import ConfigError, StorageError
from sipflow.hep.connections import Connections
from sipflow.hep.doors import open_doors
from sipflow.node import written_nodes
from sipflow.orders import ArchiverOrders, ReaderOrders
from sipflow.ports import bind_http, bind_udp, name_of
from sipflow.reader_process import ReaderProcess
from sipflow.renewal import Renewal
from sipflow.storage.disk import Disk, Pressure, complaint, disk_of, judge
from sipflow.storage.layout import Subdirs
from sipflow.storage.mend import Completion, mend_root
from sipflow.storage.packer import Packer
from sipflow.storage.packing_state import Packing
from sipflow.storage.store import (
    MIB,
    PoolLock,
    RootLock,
    Store,
    close_pool,
    empty_pool_in_memory,
    open_pool,
    pool_path,
    sweep_orphans,
)
from sipflow.storage.sweeper import Sweeper
from sipflow.thread import NamedThread
from sipflow.version import __version__
from sipflow.web.status import OpenBucket, PoolState, RecorderNote

LOG = logging.getLogger("sipflow.recorder")

_RECEIVER_NICENESS = -10
_BEAT_SECONDS = 0.5
_SILENCE_US = 10 * SECOND_US
_ORPHAN_PATIENCE_SECONDS = 5.0
# A receive buffer below this loses packets at a few hundred thousand a second (docs/DESIGN.md).
_BUFFER_WANTED_PART = 0.9


class _Listener:
    """One receiving socket with its intake, its receiver and the thread that runs it."""

    def __init__(self, sock: socket.socket, store: Store, slot: int, settings: Settings, *, hep_alone: bool) -> None:
        self.sock = sock
        self.name = f"{'hep' if hep_alone else 'udp'} {name_of(sock)}"
        intake = _intake(store, slot, settings, hep_alone=hep_alone)
        networks = [(network.network_address.packed, network.prefixlen) for network in settings.allow]
        self._receiver = Receiver(sock.fileno(), intake, networks)
        self.fault = ""
        self.thread = NamedThread(target=self._run, name=f"receiver-{slot}", daemon=True)

    def _run(self) -> None:
        # Before everything that can wait: what a socket buffer cannot hold is lost. Not everybody may (nice(2)).
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _RECEIVER_NICENESS)
        try:
            self._receiver.run()
        except OSError as error:
            self.fault = f"receiving stopped: {error}"
            LOG.error("%s", self.fault)

    def stop(self) -> None:
        """Take what the kernel still holds, close all chunks, and end the thread."""
        self._receiver.stop()
        self.thread.join()
        self.sock.close()


def _intake(store: Store, slot: int, settings: Settings, *, hep_alone: bool) -> Intake:
    """Make the intake of one thread; HEP is read where it is taken at all, SipFlow frames but on ports of HEP."""
    interval_us = settings.flush_interval_secs * SECOND_US
    intake = Intake(store.pool, slot, interval_us, settings.flush_count, settings.media, False)
    if settings.hep or hep_alone:
        intake.take_hep(HepReader((settings.hep_key or "").encode()), hep_alone)
    return intake


class Recorder:
    """Everything that runs in the recording process, from `start` to `stop`."""

    def __init__(self, renewal: Renewal) -> None:
        """Take the data root and the ports, and replay what an earlier process left; packets wait in the sockets.

        Raises RootBusy, StorageError, ConfigError.
        """
        self._renewal = renewal
        self._settings = settings = renewal.settings
        self._started_us = now_us()
        self._stop = threading.Event()
        self._pressure = Pressure.OK
        self._unseen = ""  # why the room on the disk is not known
        with ExitStack() as undo:
            self._lock = RootLock(settings.root)
            undo.callback(self._lock.close)
            mend_root(settings.root, filters=False)
            sockets = [sock for address in settings.udp for sock in bind_udp(address, settings.receivers)]
            for sock in sockets:
                undo.callback(sock.close)
            if len(sockets) > LEDGERS:
                raise ConfigError("receivers", len(sockets), f"addresses times receivers up to {LEDGERS}")
            doors = open_doors(settings, LEDGERS - len(sockets), undo)
            self._hep_note = doors.note
            # A killed recorder leaves its pool, and its reader holds the port until it has seen that it is alone.
            orphaned = pool_path(settings.root) is not None
            self._http = bind_http(settings.http, _ORPHAN_PATIENCE_SECONDS if orphaned else 0.0)
            undo.callback(self._http.close)
            self._reader = ReaderProcess(self._reader_orders())
            self._archiver = ArchiverProcess(self._archiver_orders())
            self._set_buffers([*sockets, *doors.udp])
            sweep_orphans()
            on_disk = settings.durability == "disk"
            if on_disk:
                empty_pool_in_memory(settings.root, Subdirs(settings.subdirs))
            self._store = Store(
                settings.root,
                open_pool(settings.root, settings.pool_mb, settings.pool_dir, on_disk=settings.durability == "disk"),
                Subdirs(settings.subdirs),
                encoders=settings.encoders,
                grace_us=settings.flush_interval_secs * SECOND_US,
                sync_ms=settings.sync_ms if on_disk else None,
            )
            self._pool_lock = PoolLock(settings.root)
            replayed = self._store.start()
            if replayed:
                LOG.info("replayed %d chunks that an earlier process left in the pool", replayed)
            Completion(settings.root).start()
            self._sweeper = Sweeper(settings.root, settings.retention, upload=settings.upload)
            self._packer = (
                Packer(settings.root, settings.retention.min_free.on, self._needed) if settings.pack else None
            )
            self._listeners = [
                _Listener(sock, self._store, slot, settings, hep_alone=sock in doors.udp)
                for slot, sock in enumerate([*sockets, *doors.udp])
            ]
            self._connections: Connections | None = None
            if doors.tcp:
                intake = _intake(self._store, len(self._listeners), settings, hep_alone=True)
                self._connections = Connections(doors.tcp, intake, settings.allow)
            undo.pop_all()

    def _set_buffers(self, sockets: list[socket.socket]) -> None:
        wanted = self._settings.recv_buffer_mb * MIB
        for sock in sockets:
            got = receive_buffer(sock.fileno(), wanted)
            if got < wanted * _BUFFER_WANTED_PART:
                LOG.warning(
                    "the kernel grants a receive buffer of %d KB instead of %d MB: packets may be lost in bursts; "
                    "allow it with: sysctl -w net.core.rmem_max=%d",
                    got >> 10, wanted // MIB, wanted,
                )  # fmt: skip

    @property
    def listening(self) -> list[str]:
        """Name the addresses that packets and questions are taken on."""
        doors = [door.name for door in self._connections.doors] if self._connections else []
        packets = [*(listener.name for listener in self._listeners), *doors]
        return [*dict.fromkeys(packets), f"http {name_of(self._http)}"]

    @property
    def _takers(self) -> list[_Listener | Connections]:
        """List everything that takes packets, each with a thread of its own."""
        return [*self._listeners, *([self._connections] if self._connections else [])]

    @property
    def http_address(self) -> Address:
        """Tell where HTTP answers, with the port the kernel chose if it was asked to."""
        return Address(*self._http.getsockname()[:2])

    def run(self) -> None:
        """Record until `request_stop`, then drain and stop."""
        self._sweeper.start()
        if self._packer is not None:
            self._packer.start()
        for taker in self._takers:
            taker.thread.start()
        where = ", ".join(self.listening)
        LOG.info("sipflow-server %s records to %s, listening on %s", __version__, self._settings.root, where)
        self._warn_of_closed_door()
        while not self._stop.is_set():
            if self._renewal.due():
                self._settings = self._renewal.settings
                self._reader.renew(self._reader_orders(), msgspec.json.encode(written_nodes(self._settings.nodes)))
            self._reader.watch()
            self._archiver.watch()
            self._store.pool.write_note(msgspec.json.encode(self._note()))
            self._stop.wait(_BEAT_SECONDS)
        self._finish()

    def request_stop(self) -> None:
        """Ask `run` to end; may be called from a signal handler."""
        self._stop.set()

    def _finish(self) -> None:
        LOG.info("stopping: taking what has arrived, then writing it")
        if self._packer is not None:
            self._packer.stop()
        for taker in self._takers:
            taker.stop()
        self._store.stop()
        self._sweeper.stop()
        self._archiver.stop()
        self._reader.stop()
        ledger, refused = self._store.pool.ledger()
        taken, stored = ledger["sip"] + ledger["rtp"], self._store.committed
        LOG.info(
            "stopped: %d packets taken, %d SIP and %d RTP stored, %d frames refused, "
            "%d datagrams dropped by the kernel",
            taken, stored.sip_messages, stored.rtp_packets, sum(refused.values()), ledger["kernel_drops"],
        )  # fmt: skip
        self._pool_lock.close()
        close_pool(self._settings.root, self._store.pool)
        self._http.close()
        self._lock.close()

    def _warn_of_closed_door(self) -> None:
        http = self._settings.http
        if not http.loopback and not self._settings.token and not self._settings.trusted:
            LOG.warning(
                'HTTP on %s answers nobody: add `token = "..."` or `trusted = ["10.0.0.0/8"]` to '
                "[sipflow], or set SIPFLOW_TOKEN",
                http,
            )

    def _reader_orders(self) -> ReaderOrders:
        return ReaderOrders(
            root=str(self._settings.root.resolve()),
            http_fd=self._http.fileno(),
            http=str(self.http_address),
            token=self._settings.token,
            trusted=[str(network) for network in self._settings.trusted],
            log_level=self._settings.log_level,
            settings=written(self._settings),
        )

    def _archiver_orders(self) -> ArchiverOrders | None:
        if self._settings.upload is None:
            return None
        return ArchiverOrders(str(self._settings.root.resolve()), self._settings.log_level, written(self._settings))

    def _silent_receivers(self) -> list[str]:
        now = monotonic_us()
        return [
            f"a receiver hangs: no sign of life for {(now - beat) // SECOND_US} s"
            for beat in self._store.pool.heartbeats()
            if now - beat > _SILENCE_US
        ]

    # --- the room on the disk ---

    def _guard_room(self) -> tuple[Disk, list[str]]:
        """Refuse what the disk has no room for; gives its room, and in sentences what is refused or wrong."""
        try:
            disk = disk_of(self._settings.root)
        except StorageError as error:
            if str(error) != self._unseen:
                LOG.error("%s", error)
            self._unseen = str(error)
            return Disk(0, 0), [self._unseen]
        self._unseen = ""
        min_free = self._settings.retention.min_free.on(disk.total)
        pressure = judge(self._pressure, disk, min_free)
        refused = complaint(pressure, disk, min_free)
        if pressure != self._pressure:
            LOG.log(logging.ERROR if refused else logging.INFO, "%s", refused or "the disk has room: all is recorded")
        self._pressure = pressure
        self._store.pool.pressure = pressure
        return disk, [refused] if refused else []

    def _needed(self) -> str:
        """Say why packing has to wait for recording; empty when it has not."""
        if self._pressure != Pressure.OK:
            return "the disk is full"
        filled = zip(self._store.pool.free_chunks(), self._store.pool.total_chunks(), strict=True)
        return "half of the pool is filled" if any(2 * free < total for free, total in filled) else ""

    # --- what the reader tells of us ---

    def _hep_notes(self) -> list[str]:
        notes = [self._hep_note] if self._hep_note else []
        return notes + (self._connections.notes() if self._connections else [])

    def _note(self) -> RecorderNote:
        done = self._store.committed
        disk, refused = self._guard_room()
        faults = refused + [taker.fault for taker in self._takers if taker.fault]
        faults += [
            f"thread {taker.thread.name} died"
            for taker in self._takers
            if not taker.thread.is_alive() and not taker.fault
        ]
        faults += self._silent_receivers()
        faults += self._store.faults() + self._sweeper.faults()
        faults += [] if self._packer is None else self._packer.faults()
        free_streams, free_sip = self._store.pool.free_chunks()
        streams, sip = self._store.pool.total_chunks()
        if free_streams == 0:
            faults.append("the pool has no room for RTP: raise pool_mb, or find out why the disk is slow")
        if free_sip == 0:
            faults.append("the pool has no room for SIP: raise pool_mb, or find out why the disk is slow")
        return RecorderNote(
            version=__version__,
            pid=os.getpid(),
            started_us=self._started_us,
            heartbeat_us=monotonic_us(),
            listening=self.listening,
            stored_sip=done.sip_messages,
            stored_rtp=done.rtp_packets,
            rows_sip=done.sip_rows,
            rows_rtp=done.media_rows,
            flushes=done.commits,
            flush_errors=done.failures,
            damaged_chunks=done.damaged_chunks,
            damaged_packets=done.damaged_packets,
            known_packets=done.known_packets,
            replayed=self._store.replayed,
            pool=PoolState(streams + sip, free_streams + free_sip, self._store.pool.queued()),
            faults=faults,
            notes=[*self._hep_notes(), *self._sweeper.notes(), *self._archiver.notes()],
            reader=self._reader.restarts,
            packing=Packing() if self._packer is None else self._packer.state,
            open_buckets=[
                OpenBucket(path, bucket.sip_rows, bucket.media_rows, bucket.index_octets, bucket.octets)
                for path, bucket in self._store.open_buckets()
            ],
            disk_free=disk.free,
            disk_total=disk.total,
        )


def record(renewal: Renewal) -> None:
    """Run a recorder until SIGTERM or SIGINT. Raises SipflowError when it cannot start."""
    heap_stay_small()
    renewal.listen()
    recorder = Recorder(renewal)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        recorder.request_stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    recorder.run()
