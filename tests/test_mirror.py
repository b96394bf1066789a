"""The capture client against real sockets, a real data root and a real server."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sipflow
from captures import SHARED, need
from running import RunningServer, free_port
from sipflow import Capture
from sipflow.errors import CallUnknown, ConfigError, RootBusy, ServerUnreachable
from sipflow.ingest.capture_file import CaptureFile
from sipflow.mirror import Account, resolver
from sipflow.node import Node
from sipflow.placement import node_index
from sipflow.query.answer import CallPage
from sipflow.query.history import History
from sipflow.query.window import Window
from sipflow.wire.datagram import decode_datagram, encode_batch, encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

ALICE, BOB = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)
AT_US = 1_753_000_000_123_456


OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 97\r\n"
    b"a=rtpmap:97 PCMA/8000\r\n"
)


def offering(call_id: str) -> bytes:
    """Offer audio whose payload type only the offer explains."""
    head = invite(call_id)[:-2] + b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(OFFER)
    return head + OFFER


def invite(call_id: str) -> bytes:
    return (
        f"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nCall-ID: {call_id}\r\n"
        "From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>\r\nCSeq: 1 INVITE\r\n\r\n"
    ).encode()


def rtp(number: int) -> bytes:
    return b"\x80\0" + number.to_bytes(2, "big") + (160 * number).to_bytes(4, "big") + b"\0\0\0\7" + bytes(160)


class Sink:
    """A node that only listens."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self.socket.settimeout(5)
        self.port: int = self.socket.getsockname()[1]
        self.senders: set[int] = set()

    @property
    def node(self) -> str:
        return f"127.0.0.1:{self.port}"

    def datagrams(self) -> Iterator[bytes]:
        """Give what has come."""
        self.socket.settimeout(0)
        while True:
            try:
                octets, place = self.socket.recvfrom(65536)
            except BlockingIOError:
                self.socket.settimeout(5)
                return
            self.senders.add(place[1])
            yield octets

    def packets(self) -> list[Packet]:
        found = []
        for octets in self.datagrams():
            parsed = decode_datagram(octets)
            assert parsed.refused == []
            found += parsed.packets
        return found


@pytest.fixture
def sink() -> Iterator[Sink]:
    held = Sink()
    yield held
    held.socket.close()


@pytest.fixture
def sinks() -> Iterator[list[Sink]]:
    held = [Sink() for _ in range(3)]
    yield held
    for one in held:
        one.socket.close()


def whole(account: Account) -> int:
    return account.queued + account.sent + account.dropped.total


def test_frames_are_those_of_the_wire_format(sink: Sink) -> None:
    with Capture.connect([sink.node], sockets=1) as capture:
        capture.sip(invite("abc-1@h"), ALICE, BOB, time_us=AT_US)
        capture.rtp("abc-1@h", 1, rtp(1), ("192.0.2.10", 4000), None, time_us=AT_US)
        capture.rtp("abc-1@h", -1, rtp(2), "[2001:db8::1]:4000", "192.0.2.9:6", time_us=AT_US + 1)
        assert capture.flush()
        client_id = capture._sending.outbox.client_id
    (datagram,) = sink.datagrams()
    wanted = [
        Packet(Kind.SIP, ALICE, BOB, AT_US, invite("abc-1@h"), "abc-1@h", None, client_id),
        Packet(Kind.RTP, Endpoint("192.0.2.10", 4000), Endpoint("0.0.0.0", 0), AT_US, rtp(1), "abc-1@h", 1, client_id),
        Packet(Kind.RTP, Endpoint("2001:db8::1", 4000), Endpoint("192.0.2.9", 6), AT_US + 1, rtp(2), "abc-1@h", -1,
               client_id),
    ]  # fmt: skip
    assert datagram == encode_batch(map(encode_packet, wanted))
    assert client_id != 0


def test_a_message_without_a_call_id_and_one_that_is_no_text_are_sent_as_they_are(sink: Sink) -> None:
    odd = b"OPTIONS sip:b SIP/2.0\r\nCall-ID: a\xffb\r\n\r\n"
    with Capture.connect([sink.node]) as capture:
        capture.sip(b"OPTIONS sip:b SIP/2.0\r\n\r\n", ALICE, BOB)
        capture.sip(odd, ALICE, BOB)
        capture.sip(b"\r\n\r\n", ALICE, BOB, call_id="told", leg=3)
    packets = {packet.payload: packet for packet in sink.packets()}
    assert [packets[payload].call_id for payload in (b"OPTIONS sip:b SIP/2.0\r\n\r\n", odd)] == ["", ""]
    assert (packets[b"\r\n\r\n"].call_id, packets[b"\r\n\r\n"].leg) == ("told", 3)
    assert abs(packets[odd].time_us - time.time() * 1e6) < 60e6


def test_sip_and_rtp_of_a_call_go_to_its_node_and_calls_spread_over_sockets(sinks: list[Sink]) -> None:
    ids = [f"call-{number:06}" for number in range(200)]
    with Capture.connect([sink.node for sink in sinks]) as capture:
        for call_id in ids:
            capture.sip(invite(call_id), ALICE, BOB)
            capture.rtp(call_id, 0, rtp(1), ALICE, BOB)
        assert capture.flush()
        account = capture.stats()
    for index, sink in enumerate(sinks):
        packets = sink.packets()
        mine = sorted(call_id for call_id in ids if node_index(call_id, 3) == index)
        assert sorted(packet.call_id for packet in packets if packet.kind is Kind.SIP) == mine
        assert sorted(packet.call_id for packet in packets if packet.kind is Kind.RTP) == mine
        assert len(sink.senders) == 4
        assert account.nodes[index].sent == len(packets)
    assert whole(account) == account.sent == 400


def test_two_replicas_reach_both_owners_and_a_removed_slot_nobody(sinks: list[Sink]) -> None:
    nodes = [sinks[0].node, "-", sinks[1].node, sinks[2].node]
    with Capture.connect(nodes, replicas=2) as capture:
        owners = {f"c{n}": capture._cluster.placement.owners(f"c{n}") for n in range(50)}
        for call_id in owners:
            capture.rtp(call_id, 0, rtp(1), ALICE, BOB)
    got = {sink.node: {packet.call_id for packet in sink.packets()} for sink in sinks}
    assert got == {node: {one for one, two in owners.items() if node in two} for node in got}


def test_a_batch_keeps_order_and_times(sink: Sink) -> None:
    with Capture.connect([sink.node]) as capture:
        stream = capture.stream("c", 0, ALICE, BOB)
        stream.rtp_batch([rtp(n) for n in range(500)], range(500))
        stream.rtp_batch(memoryview(rtp(n)) for n in range(500, 510))
        with pytest.raises(ValueError, match="times_us: found 1; allowed: 2"):
            stream.rtp_batch([b"", b""], [1])
        with pytest.raises(TypeError):
            stream.rtp("text")  # type: ignore[arg-type]
    packets = sink.packets()
    assert [packet.payload for packet in packets] == [rtp(n) for n in range(510)]
    assert [packet.time_us for packet in packets[:500]] == list(range(500))


def test_nothing_waits_longer_than_20_ms(sink: Sink) -> None:
    waited = []
    with Capture.connect([sink.node]) as capture:
        stream = capture.stream("c", 0, ALICE, BOB)
        for number in range(30):
            begun = time.monotonic()
            stream.rtp(rtp(number))
            sink.socket.recv(65536)
            waited.append(time.monotonic() - begun)
            time.sleep(0.003 * (number % 5))
    # A busy machine may be late now and then, not half of the time.
    assert sorted(waited)[15] < 0.02


def test_packets_that_keep_coming_wait_no_longer_than_20_ms(sink: Sink) -> None:
    # A timer that begins anew with each packet would wait until the datagram is full: more than 100 ms.
    count, came = 200, []

    def receive() -> None:
        got = 0
        while got < count:
            octets = sink.socket.recv(65536)
            came.append((time.time(), decode_datagram(octets).packets))
            got += len(came[-1][1])

    with Capture.connect([sink.node], sockets=1) as capture:
        receiver = threading.Thread(target=receive)
        receiver.start()
        stream = capture.stream("c", 0, ALICE, BOB)
        for number in range(count):
            stream.rtp(b"\x80\0" + number.to_bytes(2, "big") + bytes(8))
            time.sleep(0.005)
        receiver.join(10)
    assert sum(len(packets) for _, packets in came) == count
    waited = sorted(at - packets[0].time_us / 1e6 for at, packets in came)
    # A busy machine may be late now and then, not half of the time.
    assert waited[len(waited) // 2] < 0.025
    assert 1 < sorted(len(packets) for _, packets in came)[len(came) // 2] <= 6, "neither batched nor in time"


def test_what_the_socket_refuses_twice_is_counted_as_failed(sink: Sink) -> None:
    with Capture.connect([sink.node], sockets=1) as capture:
        stream = capture.stream("c", 0, ALICE, BOB)
        for number in range(3):
            stream.rtp(rtp(number))
        assert capture.flush()
        shut_up(sink.socket.getsockname())
        for number in range(3, 10):
            stream.rtp(rtp(number))
            assert capture.flush(), "what cannot be sent must not stay"
        stream.rtp_batch([rtp(number) for number in range(10, 110)])
        assert capture.flush()
        account = capture.stats()
    assert (account.sent, account.dropped.send_failed, account.dropped.total) == (3, 107, 107)
    assert (account.queued, whole(account)) == (0, 110)
    assert (account.nodes[0].dropped.send_failed, account.nodes[0].error) == (107, "Broken pipe")
    assert account.nodes[0].errors >= 2 * 8
    assert len(sink.packets()) == 3


def shut_up(to: tuple[str, int]) -> None:
    """Have the kernel refuse everything that a socket of this process sends from now on."""
    for link in Path("/proc/self/fd").iterdir():
        # Most are no sockets, or not connected, and that of the list is closed by now.
        with contextlib.suppress(OSError):
            sock = socket.socket(fileno=int(link.name))
            try:
                if sock.getpeername() == to:
                    sock.shutdown(socket.SHUT_WR)
            finally:
                sock.detach()


def test_a_port_that_nobody_has_is_named_and_nothing_goes_uncounted() -> None:
    with Capture.connect([f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}"], sockets=1) as capture:
        for number in range(10):
            capture.rtp("c", 0, rtp(number), ALICE, BOB)
            assert capture.flush()
        account = capture.stats()
    # The kernel tells the refusal of one datagram (ICMP) with the next, which then goes.
    assert account.sent + account.dropped.send_failed == whole(account) == 10
    assert (account.nodes[0].errors > 0, account.nodes[0].error) == (True, "Connection refused")


def test_a_full_queue_drops_the_newest_and_everything_is_counted() -> None:
    with Capture.connect(["nowhere.invalid:3000"], channel_capacity=400, sockets=1) as capture:
        stream = capture.stream("c", 0, ALICE, BOB)
        begun = time.monotonic()
        stream.rtp_batch([rtp(n) for n in range(1000)])
        stream.rtp(bytes(70_000))
        assert time.monotonic() - begun < 1
        account = capture.stats()
        assert (account.queued, account.dropped.queue_full, account.dropped.too_large) == (400, 600, 1)
        assert not capture.flush(0.05)
        capture._close(0.05)
        stream.rtp(rtp(0))
        account = capture.stats()
        assert (account.dropped.closed, whole(account)) == (1, 1002)
        assert "nowhere.invalid is not known" in account.nodes[0].error


def test_a_name_server_that_hangs_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch, sink: Sink) -> None:
    answered, other = threading.Event(), Sink()
    ports = [sink.port]

    def look_up(node: Node) -> resolver._Address:
        assert node.host == "node.example"
        answered.wait(5)
        return resolver._Address(bytes([127, 0, 0, 1]), ports[0])

    monkeypatch.setattr(resolver, "_look_up", look_up)
    with Capture.connect(["node.example:3000"], dns_ttl_secs=1) as capture:
        begun = time.monotonic()
        capture.rtp("c", 0, rtp(1), ALICE, BOB)
        assert time.monotonic() - begun < 0.5
        answered.set()
        assert capture.flush()
        assert len(sink.packets()) == 1
        # The name moves: when its lifetime is over packets go to the new place.
        ports[0] = other.port
        deadline = time.monotonic() + 10
        got: list[Packet] = []
        while not got and time.monotonic() < deadline:
            capture.rtp("c", 0, rtp(2), ALICE, BOB)
            capture.flush()
            got = other.packets()
    other.socket.close()
    assert got


def test_ipv6_nodes() -> None:
    try:
        sink = Sink(socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with Capture.connect([f"[::1]:{sink.port}"]) as capture:
        capture.rtp("c", 0, rtp(1), ALICE, BOB)
    assert [packet.payload for packet in sink.packets()] == [rtp(1)]
    sink.socket.close()


def test_threads_and_coroutines_may_share_it(sink: Sink) -> None:
    with Capture.connect([sink.node]) as capture:

        def work(number: int) -> None:
            stream = capture.stream(f"thread-{number}", 0, ALICE, BOB)
            for n in range(300):
                stream.rtp(rtp(n))

        async def later() -> bool:
            capture.rtp("coroutine", 0, rtp(0), ALICE, BOB)
            return await capture.aflush()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        assert asyncio.run(later())
        for thread in threads:
            thread.join()
    packets = sink.packets()
    for number in range(4):
        mine = [packet.payload for packet in packets if packet.call_id == f"thread-{number}"]
        assert mine == [rtp(n) for n in range(300)]
    assert len(packets) == 1201


FORKING = """
import os, sys
from sipflow import Capture
capture = Capture.connect([sys.argv[1]])
stream = capture.stream("c", 0, None, None)
for number in range(100):
    stream.rtp(b"parent %d" % number)
child = os.fork()
stream.rtp(b"child" if child == 0 else b"parent last")
if child == 0:
    account = capture.stats()
    assert account.queued + account.sent == 1, account
capture.close()
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_child_has_a_queue_of_its_own(sink: Sink) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKING, sink.node], check=True, timeout=60)
    packets = sink.packets()
    wanted = [b"child", *(b"parent %d" % number for number in range(100)), b"parent last"]
    assert sorted(packet.payload for packet in packets) == sorted(wanted)
    assert len({packet.client_id for packet in packets}) == 2


def test_coroutines_ask_and_close_without_keeping_the_loop(tmp_path: Path) -> None:
    async def use() -> None:
        capture = Capture.open(tmp_path)
        capture.stream("c@h", 0, ALICE, BOB).rtp_batch([rtp(n) for n in range(50)], range(AT_US, AT_US + 50))
        capture.sip(invite("c@h"), ALICE, BOB, time_us=AT_US)
        measured, listed, none = await asyncio.gather(
            capture.amedia("c@h"), capture.acalls(user="ali*"), capture.acalls(user="carol")
        )
        assert [stream.packet_count for stream in measured.streams] == [50]
        assert ([call.call_id for call in listed.calls], none.calls) == (["c@h"], [])
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.001)

        turning = asyncio.create_task(turn())
        await capture.aclose()
        turning.cancel()
        assert turns > 1, "the loop stood still"
        capture.sip(invite("late"), ALICE, BOB)
        assert capture.stats().dropped.closed == 1

    asyncio.run(use())
    with Capture.open(tmp_path) as again:
        assert again.call("c@h").rtp_packets == 50


def test_calls_are_listed_by_status_and_window() -> None:
    with sipflow.capture() as capture:
        for number, status in enumerate(("486 Busy Here", "503 Service Unavailable", "200 OK")):
            call_id, at_us = f"c{number}", AT_US + number * 60_000_000
            refusal = f"SIP/2.0 {status}\r\n".encode() + invite(call_id).partition(b"\r\n")[2]
            capture.sip(invite(call_id), ALICE, BOB, time_us=at_us)
            capture.sip(refusal, BOB, ALICE, time_us=at_us + 1000)
        minute = Window(AT_US + 59_000_000, AT_US + 61_000_000)

        def ids(page: CallPage) -> list[str]:
            return [call.call_id for call in page.calls]

        assert ids(capture.calls()) == ["c2", "c1", "c0"]
        assert ids(capture.calls(status="486")) == ["c0"]
        assert ids(capture.calls(status="failed")) == ["c1", "c0"]
        assert ids(capture.calls(window=minute)) == ["c1"]
        assert ids(capture.calls(window=minute, status="486")) == []
        assert ids(asyncio.run(capture.acalls(window=minute, status="5xx"))) == ["c1"]


def test_a_program_that_ends_without_closing_sends_what_waits(sink: Sink) -> None:
    code = f"from sipflow import Capture\nc = Capture.connect(['{sink.node}'])\nc.rtp('c', 0, b'last', None, None)\n"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert [packet.payload for packet in sink.packets()] == [b"last"]


# ---- a data root ----


def test_a_data_root_answers_at_once_and_keeps_everything(tmp_path: Path) -> None:
    with Capture.open(f"local:{tmp_path / 'root'}") as capture:
        capture.sip(invite("c@h"), ALICE, BOB, time_us=AT_US)
        capture.stream("c@h", 0, ALICE, BOB).rtp_batch(
            [rtp(n) for n in range(50)], range(AT_US, AT_US + 50 * 20_000, 20_000)
        )
        assert [message.payload for message in capture.flow("c@h").messages] == [invite("c@h")]
        assert capture.media("c@h").streams[0].packet_count == 50
        assert asyncio.run(capture.acall("c@h")).rtp_packets == 50
        assert [call.call_id for call in capture.calls(user="alice").calls] == ["c@h"]
        assert next(iter(capture.wav("c@h"))).startswith(b"RIFF")
        with pytest.raises(CallUnknown):
            capture.media("nobody")
        with pytest.raises(RootBusy):
            Capture.open(tmp_path / "root")
        assert capture.stats().sent == whole(capture.stats()) == 51
    history = History.open(tmp_path / "root")
    assert history.call("c@h").rtp_packets == 50
    history.close()
    with Capture.open(tmp_path / "root") as capture:
        assert capture.call("c@h").sip_messages == 1


FORKING_ROOT = """
import os, sys
import sipflow
from sipflow.wire.endpoint import Endpoint
ends = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)
with sipflow.capture() as capture:
    capture.sip(sys.argv[1].encode() % b"c", *ends)
    capture.flush()
    child = os.fork()
    if child == 0:
        capture.sip(sys.argv[1].encode() % b"d", *ends)
        lost = capture.stats().dropped.forked
        capture.close()
        os._exit(0 if lost == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    capture.sip(sys.argv[1].encode() % b"e", *ends)
    assert {call.call_id for call in capture.calls().calls} == {"c", "e"}
"""


def test_a_child_does_not_write_its_parents_root() -> None:
    # In a program of its own: pytest's threads and their locks are none of a fork's business.
    message = invite("CALL").decode().replace("%", "%%").replace("CALL", "%s")
    assert message.count("%s") == 1
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKING_ROOT, message], check=True, timeout=60)


def test_media_that_is_switched_off_is_counted() -> None:
    with sipflow.capture({"media": False}) as capture:
        capture.rtp("c", 0, rtp(1), ALICE, BOB)
        capture.flush()
        assert (capture.stats().dropped.store_refused, capture.stats().sent) == (1, 0)
    assert (capture.stats().dropped.store_refused, whole(capture.stats())) == (1, 1)


def test_the_plugin_gives_a_capture(sipflow_capture: Capture) -> None:
    sipflow_capture.sip(invite("c"), ALICE, BOB)
    assert sipflow_capture.call("c").from_user == "alice"


# ---- settings ----


def test_both_kinds_of_configuration(tmp_path: Path, sink: Sink) -> None:
    local, remote = tmp_path / "local.toml", tmp_path / "remote.toml"
    local.write_text(f'[sipflow]\ntype = "local"\nroot = "{tmp_path / "root"}"\nsubdirs = "daily"\n')
    with Capture.from_config(local) as capture:
        capture.sip(invite("c"), ALICE, BOB, time_us=AT_US)
    assert (tmp_path / "root/2025/07/20/sipflow.db").exists()
    remote.write_text(
        '[sipflow]\ntype = "remote"\ntimeout_secs = 3\nmtu = 1400\nchannel_capacity = 0\nreport_interval_secs = 0\n'
        f'[[sipflow.nodes]]\nudp = "{sink.node}"\nhttp = "http://127.0.0.1:1/"\n[[sipflow.nodes]]\nremoved = true\n'
    )
    with Capture.from_config(remote) as capture:
        assert (capture._settings.channel_capacity, capture._settings.timeout_secs) == (8192, 3)
        stream = capture.stream("c", 0, ALICE, BOB)
        stream.rtp_batch([rtp(n) for n in range(100)])
        with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:1 "):
            capture.call("c")
    sizes = [len(octets) for octets in sink.datagrams()]
    assert 1000 < max(sizes) <= 1400 - 48
    legacy = tmp_path / "legacy.toml"
    legacy.write_text(f'[sipflow]\ntype = "remote"\nudp_addr = "{sink.node}"\nhttp_addr = "http://127.0.0.1:1"\n')
    Capture.from_config(legacy).close()


def test_the_file_of_a_pbx_that_uploads_is_taken_and_a_warning_says_who_does_not(
    tmp_path: Path, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    upload = (
        '[sipflow.upload]\ntype = "s3"\nvendor = "aws"\nbucket = "bucket"\nregion = "eu-west-1"\naccess_key = "a"\n'
        'secret_key = "hunter2"\n'
    )
    remote, local = tmp_path / "remote.toml", tmp_path / "local.toml"
    remote.write_text(f'[sipflow]\ntype = "remote"\nnodes = ["{sink.node}"]\ndelegate_upload = true\n{upload}')
    local.write_text(f'[sipflow]\ntype = "local"\nroot = "{tmp_path / "root"}"\n{upload}')
    with Capture.from_config(remote) as capture:
        capture.sip(invite("c"), ALICE, BOB)
    assert [record.args for record in caplog.records] == [("delegate_upload",), ("upload",)]
    with Capture.from_config(local) as capture:
        capture.sip(invite("c"), ALICE, BOB, time_us=AT_US)
    assert [record.args for record in caplog.records][2:] == [("upload",)]
    assert len(list(sink.datagrams())) == 1
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ('type = "far"', 'type: found \'far\'; allowed: "local" or "remote"'),
        ('type = "remote"', "nodes: found 'nothing'"),
        ('type = "remote"\nnodes = [{udp = "a"}]', r"nodes\[0\]: found .*HOST:PORT"),
        ('type = "remote"\nnodes = ["a:1", "a:1"]', "each name once"),
        ('type = "remote"\nnodes = ["a:1"]\nmtu = 100', "mtu: found 100; allowed: 576 to 65535"),
        ('type = "remote"\nnodes = ["a:1"]\nreplicas = 3', "replicas: found 3"),
        ('type = "remote"\nnodes = ["a:1"]\ntimeout_sec = 3', "did you mean"),
        ('type = "remote"\nnodes = [{udp = "a:1", http = "ftp://a"}]', "http://HOST:PORT"),
    ],
)
def test_wrong_settings_are_refused_in_words(tmp_path: Path, table: str, wanted: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f"[sipflow]\n{table}\n")
    with pytest.raises(ConfigError, match=wanted):
        Capture.from_config(file)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda capture: capture.rtp("", 0, b"", ALICE, BOB),
        lambda capture: capture.rtp("x" * 5000, 0, b"", ALICE, BOB),
        lambda capture: capture.rtp("c", 0, b"", "no address", BOB),
        lambda capture: capture.rtp("c", 0, b"", ("192.0.2.1", 70000), BOB),
        lambda capture: capture.sip(b"", ALICE, ("host.example", 5060)),
    ],
)
def test_wrong_packets_are_refused_in_words(sink: Sink, wrong: Callable[[Capture], None]) -> None:
    with Capture.connect([sink.node]) as capture, pytest.raises(ValueError, match=r"found|not an|appear"):
        wrong(capture)


# ---- a real server ----


def test_a_server_keeps_every_octet_and_reports_what_arrived(tmp_path: Path) -> None:
    names = ("sipp-g711a.pcap", "b2bua-asterisk-ng.pcapng")
    packets = [packet for name in names for packet in CaptureFile(need(SHARED / name)).packets()]
    ids = list(dict.fromkeys(packet.call_id for packet in packets))
    with RunningServer(tmp_path / "root", "--receivers", "2") as server:
        node = {"udp": f"127.0.0.1:{server.udp[1]}", "http": server.url}
        with Capture.connect([node], report_interval_secs=1) as capture:
            for packet in packets:
                if packet.kind is Kind.SIP:
                    capture.sip(packet.payload, packet.src, packet.dst, leg=packet.leg)
                else:
                    capture.rtp(packet.call_id, packet.leg or 0, packet.payload, packet.src, packet.dst)
            assert capture.flush()
            server.until(lambda: capture.stats().nodes[0].received == len(packets), "all received", 30)
            for call_id in ids:
                sent = [packet for packet in packets if packet.call_id == call_id]
                sip = [packet.payload for packet in sent if packet.kind is Kind.SIP]
                if sip:
                    assert [message.payload for message in capture.flow(call_id).messages] == sip
                    answer = server.get("/flow", callid=call_id).json()["flow"]
                    assert [octets_of(item["payload"]) for item in answer] == sip
                    assert capture.call(call_id).rtp_packets == len(sent) - len(sip)
            assert {call.call_id for call in capture.calls().calls} >= {
                p.call_id for p in packets if p.kind is Kind.SIP
            }
            assert whole(capture.stats()) == capture.stats().sent == len(packets)
        assert server.metric("sipflow_packets_received_total") == len(packets)
    history = History.open(tmp_path / "root")
    for call_id in ids:
        media = [packet.payload for packet in packets if packet.call_id == call_id and packet.kind is Kind.RTP]
        assert sorted(rtp_of(history, call_id)) == sorted(media)
    history.close()


def test_what_nodes_that_do_not_know_each_other_hold_of_a_call_is_put_together(tmp_path: Path) -> None:
    # As RustPBX sends: all SIP to the first node, media to the owner of the call.
    call_id = next(f"call-{number}" for number in range(100) if node_index(f"call-{number}", 2) == 1)
    now_us = int(time.time()) * 1_000_000
    ok = b"SIP/2.0 200 OK\r\n" + offering(call_id).partition(b"\r\n")[2]
    both = [offering(call_id), ok]
    media = [b"\x80\x61" + rtp(n)[2:12] + bytes([0xD5 ^ (n % 90)]) * 160 for n in range(100)]
    with RunningServer(tmp_path / "first") as first, RunningServer(tmp_path / "second") as second:
        servers = {"first": first, "second": second}
        nodes: list[dict[str, object]] = [
            {"udp": f"127.0.0.1:{server.udp[1]}", "http": server.url, "name": name} for name, server in servers.items()
        ]
        with (
            Capture.connect(nodes[:1]) as to_first,
            Capture.connect(nodes[1:]) as to_second,
            Capture.connect(nodes, replicas=2) as to_both,
        ):
            to_first.sip(both[0], ALICE, BOB, time_us=now_us)
            to_both.sip(both[1], BOB, ALICE, time_us=now_us + 1)
            to_second.stream(call_id, 0, ("192.0.2.1", 4000), None).rtp_batch(
                media, range(now_us, now_us + 100 * 20_000, 20_000)
            )
        for server, count in ((first, 2), (second, 101)):
            server.until(
                lambda held=server, sent=count: held.metric("sipflow_packets_received_total") == sent, "all received"
            )
        with Capture.connect(nodes, timeout_secs=2) as capture:
            flow, summary = capture.flow(call_id), capture.call(call_id)
            assert ([message.payload for message in flow.messages], flow.faults) == (both, [])
            assert (summary.from_user, summary.state, summary.status) == ("alice", "answered", 200)
            assert (summary.sip_messages, summary.rtp_packets, summary.partial) == (2, 100, False)
            report = asyncio.run(capture.amedia(call_id))
            assert [(one.packet_count, one.codec, one.clock_rate) for one in report.streams] == [(100, "PCMA", 8000)]
            assert not report.partial
            sound = b"".join(capture.wav(call_id))
            assert len({sound[at : at + 2] for at in range(44, len(sound), 640)}) > 50, (
                "what each packet says is not heard"
            )
            second.stop()
            assert [message.payload for message in capture.flow(call_id).messages] == both
            assert [fault.where for fault in capture.flow(call_id).faults] == ["second"]
            assert "second" in {fault.where for fault in capture.call(call_id).faults}
            assert (capture.call(call_id).partial, capture.call(call_id).rtp_packets) == (True, 0)
            assert capture.media(call_id).partial


def octets_of(payload: str | list[int]) -> bytes:
    """Read a payload as RustPBX's /flow writes it."""
    return payload.encode() if isinstance(payload, str) else bytes(payload)


def rtp_of(history: History, call_id: str) -> Iterator[bytes]:
    for chunk in history.media(call_id).chunks:
        rows, data = chunk.content()
        for row in rows:
            yield data[int(row["offset"]) : int(row["offset"]) + int(row["length"])]


def test_a_dead_node_costs_only_its_own_share_and_pages_of_nodes_merge(tmp_path: Path) -> None:
    dead = free_port(socket.SOCK_STREAM)
    with RunningServer(tmp_path / "one") as one, RunningServer(tmp_path / "two") as two:
        nodes: list[dict[str, object]] = [
            {"udp": f"127.0.0.1:{server.udp[1]}", "http": server.url, "name": name}
            for server, name in ((one, "one"), (two, "two"))
        ]
        nodes.append({"udp": f"127.0.0.1:{dead}", "http": f"http://127.0.0.1:{dead}", "name": "dead"})
        with Capture.connect(nodes, timeout_secs=2) as capture:
            ids = [f"call-{number:06}" for number in range(60)]
            for number, call_id in enumerate(ids):
                capture.sip(invite(call_id), ALICE, BOB, time_us=int(time.time()) * 1_000_000 + number)
            alive = [call_id for call_id in ids if node_index(call_id, 3) < 2]
            one.until(lambda: len(capture.calls(limit=100).calls) == len(alive), "all listed")
            assert [capture.call(call_id).call_id for call_id in alive[:10]] == alive[:10]
            listed: list[str] = []
            after = None
            while True:
                page = capture.calls(limit=7, after=after)
                assert [fault.where for fault in page.faults] == ["dead"]
                listed += [call.call_id for call in page.calls]
                after = page.next
                if after is None:
                    break
            assert listed == alive[::-1]
            with pytest.raises(ServerUnreachable, match=str(dead)):
                capture.call(next(call_id for call_id in ids if call_id not in alive))


def test_with_two_replicas_a_dead_node_hides_no_call_and_no_call_is_listed_twice(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "one") as one, RunningServer(tmp_path / "two") as two:
        nodes = [{"udp": f"127.0.0.1:{server.udp[1]}", "http": server.url} for server in (one, two)]
        with Capture.connect(nodes, replicas=2, timeout_secs=2) as capture:
            ids = [f"call-{number:06}" for number in range(20)]
            for call_id in ids:
                capture.sip(invite(call_id), ALICE, BOB)
            capture.flush()
            for server in (one, two):
                server.until(lambda held=server: held.metric("sipflow_packets_received_total") == 20, "all received")
            assert sorted(call.call_id for call in capture.calls().calls) == ids
            one.stop()
            assert [capture.call(call_id).sip_messages for call_id in ids] == [1] * 20
            assert [fault.where for fault in capture.calls().faults] == [nodes[0]["udp"]]
