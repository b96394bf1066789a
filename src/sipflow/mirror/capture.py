"""The capture client: a PBX, a proxy or a test hands over its SIP and RTP and asks about its calls."""

import asyncio
import atexit
import dataclasses
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from sipflow._fast import Outbox, Outlet, encode_frame, jump_node, sip_call_id
from sipflow.config import Settings, read_file, settings_from
from sipflow.errors import ConfigError
from sipflow.given import Given
from sipflow.mirror.account import Account, Overseen, account_of
from sipflow.mirror.end import EndpointLike, endpoint_of
from sipflow.mirror.questions import Questions
from sipflow.mirror.remote import LOG, UPLOADS_NOTHING, RemoteOptions, RemoteSettings, settings_of
from sipflow.mirror.resolver import Resolver
from sipflow.mirror.sending import Sending
from sipflow.node import Node, NodeLike, NodeList, nodes_from, read_nodes
from sipflow.placement import REMOVED
from sipflow.wire.datagram import same_family
from sipflow.wire.packet import Kind

# What writes and reports is loaded when it is needed: a PBX that only mirrors shall start at once.
if TYPE_CHECKING:
    from sipflow.mirror.data_root import DataRoot
    from sipflow.mirror.reporter import Reporter

LOCAL_SCHEME = "local:"
CALL_ID_MAX = 4096  # octets; what a server keeps (pool.h)
# IPv6 and UDP headers; for IPv4, 20 octets stay unused.
_HEADERS = 48
# A data root has one queue: what the disk cannot keep up with waits in the pool behind it.
_LOCAL_PACKETS = 65_536
_LOCAL_BUDGET = 16_384
_FLUSH_SECONDS = 5.0
_CLOSE_SECONDS = 5.0
_EXIT_SECONDS = 1.0
# Ends of calls that are kept prepared, for those who pass all of it with each packet.
_PREPARED = 16_384


class Stream(Outlet):
    """RTP of one leg of a call between two ends, prepared by `Capture.stream`: the fast way for many packets."""

    rtp = Outlet.send
    rtp_batch = Outlet.send_batch


@dataclass
class Watch:
    """Those who look after a node, when somebody must."""

    name: str
    resolver: Resolver | None = None
    reporter: "Reporter | None" = None

    def seen(self) -> Overseen:
        """Tell what they know of it."""
        faults = (watcher.fault for watcher in (self.resolver, self.reporter) if watcher is not None)
        received = None if self.reporter is None else self.reporter.received
        return Overseen(self.name, next(filter(None, faults), ""), received)


class Capture(Questions):
    """Mirrors packets and answers questions about their calls.

    `sip`, `rtp` and what a `stream` has never wait: packets go to a bounded queue, which drops the newest when it is
    full and counts it. Safe to use from any thread and from coroutines. The child of a fork goes on with an empty
    queue and sockets of its own, unless the capture writes a data root, which only the parent may.
    """

    def __init__(self, sending: Sending, cluster: NodeList, settings: RemoteSettings, root: "DataRoot | None") -> None:
        """Use `open`, `connect` or `from_config`."""
        super().__init__(cluster, settings, None if root is None else root.path)
        self._sending = sending
        self._root = root
        self._closed = False
        self._watches = [Watch(REMOVED if node is None else node.name) for node in cluster.nodes]
        self._plain = cluster.placement.replicas == 1 and None not in cluster.nodes
        self._prepared = lru_cache(_PREPARED)(self._prepare)
        _OPEN.add(self)

    @classmethod
    def open(cls, where: str | Path, settings: Settings | None = None) -> Self:
        """Record into a data root, "local:DIRECTORY" or a path, which is made when it is not there.

        `settings` says more, its `root` excepted. One process at a time may have a data root open for writing: raises
        RootBusy, StorageError; ConfigError for a place of another kind.
        """
        text = str(where)
        path = text.removeprefix(LOCAL_SCHEME)
        if not path or (isinstance(where, str) and "://" in where):
            raise ConfigError("where", text, f"{LOCAL_SCHEME}DIRECTORY; Capture.connect sends to servers")
        given = settings or Settings()
        values = {name: getattr(given, name) for name in given.__dataclass_fields__ if name != "root"}
        root: DataRoot = import_module("sipflow.mirror.data_root").DataRoot(
            Settings(root=Path(path).expanduser(), **values)
        )
        sending = Sending(budget=_LOCAL_BUDGET, packets=_LOCAL_PACKETS, intake=root.intake)
        local = read_nodes([{"udp": "localhost:1", "name": text}])
        return cls(sending, local, RemoteSettings(), root)

    @classmethod
    def connect(cls, nodes: Sequence[NodeLike], **options: Unpack[RemoteOptions]) -> Self:
        """Send to the nodes of a cluster, in the order of their slots: "host:port", or udp, http and name of each.

        `options` are the fields of RemoteSettings. Names are looked up beside the sending: nothing waits for them
        here. Raises ConfigError.
        """
        settings = settings_of({name: Given(value, name) for name, value in options.items()})
        return cls._to(read_nodes(nodes, settings.replicas), settings)

    @classmethod
    def from_config(cls, file: str | Path) -> Self:
        """Do what the table `[sipflow]` of a TOML file says: type = "local" or "remote". Raises ConfigError."""
        given = read_file(Path(file))
        kind = given.get("type", Given("local", "type", str(file)))
        if kind.value == "remote":
            settings = settings_of({name: item for name, item in given.items() if name != "type"})
            return cls._to(nodes_from(given, settings.replicas), settings)
        if kind.value != "local":
            raise kind.wrong('"local" or "remote"')
        settings_here = settings_from(given)
        if settings_here.upload is not None:
            LOG.warning(UPLOADS_NOTHING, "upload")
            settings_here = dataclasses.replace(settings_here, upload=None)
        return cls.open(settings_here.root, settings_here)

    @classmethod
    def _to(cls, cluster: NodeList, settings: RemoteSettings) -> Self:
        lanes = len(cluster.present) * settings.sockets
        sending = Sending(
            nodes=len(cluster.nodes),
            sockets=settings.sockets,
            budget=settings.mtu - _HEADERS,
            packets=max(64, settings.channel_capacity // lanes),
        )
        capture = cls(sending, cluster, settings, None)
        for slot, node in enumerate(cluster.nodes):
            if node is not None:
                capture._watch(slot, node)
        return capture

    def _watch(self, slot: int, node: Node) -> None:
        watch, outbox, settings = self._watches[slot], self._sending.outbox, self._settings
        watch.resolver = Resolver(node, slot, outbox, settings.dns_ttl_secs)
        if not watch.resolver.done:
            self._sending.accompany(f"sipflow-dns-{slot}", watch.resolver.run)
        if node.http and settings.report_interval_secs > 0:
            reporter: Reporter = import_module("sipflow.mirror.reporter").Reporter(
                node, node.token or settings.token, partial(_sent, outbox, slot)
            )
            watch.reporter = reporter
            run = partial(reporter.run, interval_secs=settings.report_interval_secs)
            self._sending.accompany(f"sipflow-rep-{slot}", run)

    # ---- packets ----

    def sip(
        self,
        payload: bytes,
        src: EndpointLike,
        dst: EndpointLike,
        *,
        call_id: str | None = None,
        leg: int | None = None,
        time_us: int | None = None,
    ) -> None:
        """Mirror one SIP message, octet for octet, sent from `src` to `dst` at `time_us`, now if it is not told.

        The Call-ID is read from the message unless it is told. Raises ValueError for ends that are none.
        """
        payload = bytes(payload)
        if call_id is None:
            found = sip_call_id(payload) or b""
            key = found.decode("utf-8", "replace")
            # What a frame cannot carry the server reads from the message, as it stands there.
            told = key if len(found) <= CALL_ID_MAX and key.encode() == found else ""
        else:
            key = told = call_id
            if len(call_id.encode()) > CALL_ID_MAX:
                raise ValueError(_id_wrong(call_id))
        self._prepared(Kind.SIP, told, key, leg, src, dst).send(payload, time_us)

    def rtp(
        self,
        call_id: str,
        leg: int,
        payload: bytes,
        src: EndpointLike,
        dst: EndpointLike,
        *,
        time_us: int | None = None,
    ) -> None:
        """Mirror one RTP packet, header included, of a leg of a call. Raises ValueError as `stream` does."""
        self.stream(call_id, leg, src, dst).rtp(payload, time_us)

    def stream(self, call_id: str, leg: int, src: EndpointLike, dst: EndpointLike) -> Stream:
        """Prepare RTP of a leg of a call from `src` to `dst`; its `rtp(payload, time_us=None)` is the fast way.

        Raises ValueError for a Call-ID that is empty or too long and for ends that are none, OverflowError for a leg
        that does not fit 32 bits.
        """
        if not call_id or len(call_id.encode()) > CALL_ID_MAX:
            raise ValueError(_id_wrong(call_id))
        return self._prepared(Kind.RTP, call_id, call_id, leg, src, dst)

    def flush(self, timeout_secs: float = _FLUSH_SECONDS) -> bool:
        """Wait until what was handed over before is sent or stored; False when it is not in that time."""
        return self._sending.outbox.flush(int(timeout_secs * 1000))

    def stats(self) -> Account:
        """Tell what became of all packets so far."""
        if self._root is not None:
            fault = "" if self._sending.in_child else "; ".join(self._root.faults())
            return account_of(self._sending.outbox, [Overseen(str(self._root.path), fault, None, self._root.refused)])
        return account_of(self._sending.outbox, [watch.seen() for watch in self._watches])

    def close(self) -> None:
        """Send what waits, for some seconds at most, and end; a data root is written out. Raises StorageError."""
        self._close(_CLOSE_SECONDS)

    def _close(self, timeout_secs: float) -> None:
        _OPEN.discard(self)
        self._sending.close(timeout_secs)
        closed, self._closed = self._closed, True
        if self._root is None or closed:
            return
        if self._sending.in_child:
            self._root.leave()
        else:
            self._root.close()

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        """Close."""
        self.close()

    async def aflush(self, timeout_secs: float = _FLUSH_SECONDS) -> bool:
        """Do as `flush`, without keeping the event loop."""
        return await asyncio.to_thread(self.flush, timeout_secs)

    async def aclose(self) -> None:
        """Do as `close`, without keeping the event loop."""
        await asyncio.to_thread(self.close)

    # ---- inside ----

    def _prepare(
        self, kind: Kind, call_id: str, key: str, leg: int | None, src: EndpointLike, dst: EndpointLike
    ) -> Stream:
        source, target = same_family(endpoint_of(src), endpoint_of(dst))
        octets = key.encode()
        head = encode_frame(
            3, kind, source.family, source.packed, source.port, target.packed, target.port, 0, 0, call_id.encode(), leg,
            b"",
        )[:-4]  # fmt: skip
        time_at = 5 + 2 * (len(source.packed) + 2)
        if self._plain:
            slots = [jump_node(octets, len(self._cluster.nodes))]
        else:
            slots = list(self._cluster.placement.owner_slots(key))
        return Stream(self._sending.outbox, slots, octets, head, time_at)


def _sent(outbox: Outbox, slot: int) -> tuple[int, int]:
    """Tell by which number the node knows us, and how much was sent to it."""
    return outbox.client_id, outbox.sums()[slot]["sent"]


def _id_wrong(call_id: str) -> str:
    return f"call_id: found {call_id[:40]!r}, {len(call_id.encode())} octets; allowed: 1 to {CALL_ID_MAX} octets"


@contextmanager
def capture(options: Mapping[str, object] | None = None) -> Iterator[Capture]:
    """Record into a directory that is gone afterwards: for tests."""
    given = {name: Given(value, name) for name, value in (options or {}).items()}
    with tempfile.TemporaryDirectory(prefix="sipflow-") as directory:
        held = Capture.open(Path(directory), settings_from(given))
        try:
            yield held
        finally:
            held.close()


_OPEN: "weakref.WeakSet[Capture]" = weakref.WeakSet()


def _close_all() -> None:
    """Send and write what waits when the program ends."""
    for held in list(_OPEN):
        held._close(_EXIT_SECONDS)


atexit.register(_close_all)
