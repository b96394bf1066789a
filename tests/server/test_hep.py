"""HEP into a real server as its senders deliver it: by UDP, TCP and TLS, with and without a key, sound and hostile."""

import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Self

import httpx
import pytest

from captures import SHARED, need
from hep_frames import LOG, RTCP, RTP, chunk, frame, hep2, hep3
from running import RunningServer, free_port
from sipflow.client import SipflowClient
from sipflow.clock import now_us
from sipflow.errors import CallUnknown
from sipflow.hep.connections import CONNECTIONS_OF_ONE
from sipflow.ingest.datagram import Datagram, datagrams
from sipflow.ingest.pcap import HEADER, PcapFrames
from sipflow.query.history import History
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Message

ALICE, BOB = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5080)
KEY = "s3cret"
RTP_PACKET = bytes.fromhex("80000001000000a000000007") + bytes(160)


def options(call_id: str) -> bytes:
    return (
        f"OPTIONS sip:b@h SIP/2.0\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: {call_id}\r\n"
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class HepServer(RunningServer):
    """A server that takes HEP at a port of its own."""

    def __init__(self, root: Path, *arguments: str) -> None:
        self.hep = ("127.0.0.1", free_port(socket.SOCK_STREAM))
        super().__init__(root, "--hep", f"127.0.0.1:{self.hep[1]}", *arguments)

    def __enter__(self) -> Self:
        return self

    def send_hep(self, *octets: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for datagram in octets:
                sock.sendto(datagram, self.hep)

    def connect(self) -> socket.socket:
        sock = socket.create_connection(self.hep, timeout=20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def health(self) -> dict[str, object]:
        return dict(httpx.get(f"{self.url}/health", headers={"Accept": "application/json"}, timeout=10).json())

    def not_taken(self, reason: str) -> int:
        """Count what was refused or dropped for a reason."""
        (line,) = (one for one in self.get("/metrics").text.splitlines() if f'reason="{reason}"' in one)
        return int(line.rsplit(" ", 1)[1])

    def messages(self, call_id: str) -> list[Message]:
        """Ask for the messages of a call, as programs do; none while it is not known."""
        client = SipflowClient(self.url)
        try:
            return client.flow(call_id).messages
        except CallUnknown:
            return []
        finally:
            client.close()

    def has(self, call_id: str, count: int = 1) -> None:
        """Wait until so many messages of a call can be asked for."""
        self.until(lambda: len(self.messages(call_id)) >= count, f"has {count} messages of {call_id}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HepServer]:
    with HepServer(tmp_path_factory.mktemp("hep") / "data") as running:
        yield running


def test_health_tells_where_hep_is_taken(server: HepServer) -> None:
    listening = server.health()["listening"]
    assert isinstance(listening, list)
    assert {f"hep 127.0.0.1:{server.hep[1]}", f"hep-tcp 127.0.0.1:{server.hep[1]}"} <= set(listening)


def test_captured_frames_give_back_their_octets(tmp_path: Path) -> None:
    path = need(SHARED / "hep3-plain.pcap")
    truth = json.loads((SHARED / "truth" / "hep3-plain.json").read_text())["hep"]
    told = [one for one in truth if one["proto_type"] == 1]
    call_id = told[0]["call_id"]
    with path.open("rb") as file:
        frames = [one.payload for one in datagrams(PcapFrames(file, file.read(HEADER))) if isinstance(one, Datagram)]
    with HepServer(tmp_path / "data") as server:
        server.send_hep(*frames)
        server.has(call_id, len(told))
        answer = server.get("/flow", callid=call_id).json()["flow"]
        assert [hashlib.sha256(one["payload"].encode()).hexdigest() for one in answer] == [
            one["payload_sha256"] for one in told
        ]
        # The same by TCP, and at the port of SipFlow frames.
        with server.connect() as sock:
            sock.sendall(b"".join(frames))
            server.has(call_id, 2 * len(told))
        server.send(*frames)
        server.has(call_id, 3 * len(told))
        messages = server.messages(call_id)
        for number, message in enumerate(messages):
            one = told[number // 3]
            assert hashlib.sha256(message.payload).hexdigest() == one["payload_sha256"]
            assert (message.time_us, message.client_id) == (one["time_us"], one["capture_id"])
            assert (str(message.src), str(message.dst)) == (f"{one['src4']}:5060", f"{one['dst4']}:5060")
        others = len(truth) - len(told)
        server.until(lambda: server.not_taken("hep_other") == 3 * others, "counting what is no SIP")
        account = server.health()["account"]
        assert isinstance(account, dict)
        assert (account["frames"], account["taken"], account["rejected"], account["dropped"]) == (24, 18, 0, 6)
        assert account["datagrams"] == 24
        assert account["unaccounted"] == 0


def test_a_frame_may_come_octet_by_octet(server: HepServer) -> None:
    octets = b"".join(hep3(options(f"split-{n}@h"), ALICE, BOB, now_us()) for n in range(3))
    with server.connect() as sock:
        for at in range(len(octets)):
            sock.sendall(octets[at : at + 1])
        server.has("split-2@h")
    assert [len(server.messages(f"split-{n}@h")) for n in range(3)] == [1, 1, 1]
    assert server.messages("split-1@h")[0].payload == options("split-1@h")


def test_several_connections_at_once(server: HepServer) -> None:
    socks = [server.connect() for _ in range(20)]
    for turn in range(5):
        for number, sock in enumerate(socks):
            sock.sendall(hep3(options(f"many-{number}@h"), ALICE, BOB, now_us() + turn))
    for number, sock in enumerate(socks):
        server.has(f"many-{number}@h", 5)
        sock.close()


def test_large_and_packed_messages(server: HepServer) -> None:
    large = options("large@h").replace(b"CSeq", b"X-Large: " + b"x" * 60_000 + b"\r\nCSeq")
    packed = options("packed@h").replace(b"CSeq", b"X-Large: " + b"x" * 200_000 + b"\r\nCSeq")
    with server.connect() as sock:
        sock.sendall(hep3(large, ALICE, BOB, now_us()) + hep3(packed, ALICE, BOB, now_us(), packed=True))
    server.has("packed@h")
    assert server.messages("large@h")[0].payload == large
    assert server.messages("packed@h")[0].payload == packed
    server.send_hep(hep2(options("old@h"), ALICE, BOB, now_us()))
    server.has("old@h")


def test_media_belongs_to_the_call_its_sender_names(server: HepServer) -> None:
    ends = Endpoint("2001:db8::1", 4000), Endpoint("2001:db8::2", 6000)
    nameless, reports = server.not_taken("no_call_id"), server.not_taken("hep_other")
    server.send_hep(
        hep3(RTP_PACKET, *ends, now_us(), protocol=RTP, correlation="media@h"),
        hep3(RTP_PACKET, *ends, now_us(), protocol=RTP),
        hep3(b'{"ssrc":7}', *ends, now_us(), protocol=RTCP, correlation="media@h"),
        hep3(b"user logged in", *ends, now_us(), protocol=LOG, correlation="media@h"),
    )
    server.until(lambda: server.not_taken("hep_other") == reports + 2, "counted")
    server.until(lambda: server.not_taken("no_call_id") == nameless + 1, "counted")
    (stream,) = server.get("/media", callid="media@h", stats="1").json()["stats"]
    assert (stream["packet_count"], stream["ssrc"]) == (1, 7)
    assert server.messages("media@h") == []


def test_a_hostile_peer_costs_only_itself(server: HepServer) -> None:
    magic, cut = server.not_taken("bad_magic"), server.not_taken("truncated")
    waiting = server.connect()
    waiting.sendall(hep3(options("never@h"), ALICE, BOB, now_us())[:-1])
    with server.connect() as sock:
        sock.sendall(hep3(options("before@h"), ALICE, BOB, now_us()) + b"GET / HTTP/1.1\r\n\r\n")
        assert sock.recv(1) == b""
    with server.connect() as sock:
        sock.sendall(hep3(options("beside@h"), ALICE, BOB, now_us()))
        server.has("beside@h")
    assert len(server.messages("before@h")) == 1
    assert server.not_taken("bad_magic") == magic + 1
    assert server.not_taken("truncated") == cut
    waiting.close()
    server.until(lambda: server.not_taken("truncated") == cut + 1, "counted what never became whole")
    assert server.messages("never@h") == []


def test_bad_frames_in_datagrams_are_counted_by_name(server: HepServer) -> None:
    whole = hep3(options("bad@h"), ALICE, BOB, now_us())
    before = {word: server.not_taken(word) for word in ("truncated", "bad_hep", "bad_magic", "bad_call_id")}
    lying = frame(chunk(15, options("bad@h")))
    server.send_hep(
        whole[:-1],
        lying[:6] + b"\0\0\0\x0f\0\x05" + lying[12:],
        frame(chunk(11, b"\1"), chunk(16, b"not packed")),
        b"SG\1\0\0",  # sound, but at the port of HEP
        hep3(RTP_PACKET, ALICE, BOB, now_us(), protocol=RTP, correlation="x").replace(b"\0\x07x", b"\0\x07\xff"),
    )
    server.until(lambda: server.not_taken("bad_call_id") == before["bad_call_id"] + 1, "counted")
    assert {word: server.not_taken(word) - number for word, number in before.items()} == {
        "truncated": 1, "bad_hep": 2, "bad_magic": 1, "bad_call_id": 1
    }  # fmt: skip
    assert server.messages("bad@h") == []


def test_connections_of_one_address_are_bounded(server: HepServer) -> None:
    socks = [server.connect() for _ in range(CONNECTIONS_OF_ONE)]
    with server.connect() as over:
        assert over.recv(1) == b""
    server.until(lambda: "turned away: 1;" in str(server.health()["notes"]), "told")
    # Those that are there go on, and one that leaves makes room.
    socks[-1].sendall(hep3(options("last@h"), ALICE, BOB, now_us()))
    server.has("last@h")
    socks[0].close()
    socks[1].sendall(hep3(options("let-in@h"), ALICE, BOB, now_us()))
    server.has("let-in@h")
    with server.connect() as sock:
        sock.sendall(hep3(options("again@h"), ALICE, BOB, now_us()))
        server.has("again@h")
    for sock in socks[1:]:
        sock.close()


def test_every_frame_is_in_the_account(server: HepServer) -> None:
    server.until(lambda: server.metric("sipflow_unaccounted") == 0, "at rest")
    account = server.health()["account"]
    assert isinstance(account, dict)
    assert account["frames"] == account["taken"] + account["rejected"] + account["dropped"]
    assert account["rejected"] > 3
    assert account["dropped"] > 2


def certificate(directory: Path) -> tuple[Path, Path]:
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def test_tls_and_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = certificate(tmp_path)
    monkeypatch.setenv("SIPFLOW_HEP_KEY", KEY)
    tls = ("127.0.0.1", free_port(socket.SOCK_STREAM))
    with HepServer(
        tmp_path / "data",
        "--hep-tls", f"127.0.0.1:{tls[1]}", "--hep-tls-cert", str(cert), "--hep-tls-key", str(key),
    ) as server:  # fmt: skip
        trusting = ssl.create_default_context(cafile=str(cert))
        silent = socket.create_connection(tls, timeout=20)  # never begins its handshake
        plain = socket.create_connection(tls, timeout=20)
        plain.sendall(hep3(options("plain@h"), ALICE, BOB, now_us(), key=KEY))
        octets = b"".join(hep3(options(f"tls-{n}@h"), ALICE, BOB, now_us(), key=KEY) for n in range(400))
        with trusting.wrap_socket(socket.create_connection(tls, timeout=20), server_hostname="localhost") as sock:
            sock.sendall(octets)
            server.has("tls-399@h")
            # Octet by octet: every record ends within a frame.
            for at in range(300):
                sock.sendall(octets[at : at + 1])
            sock.sendall(octets[300 : len(octets) // 400 * 2])
            server.has("tls-0@h", 2)
        assert all(len(server.messages(f"tls-{n}@h")) >= 1 for n in range(0, 400, 57))
        server.until(lambda: "handshake failed: 1;" in str(server.health()["notes"]), "told")
        server.send_hep(
            hep3(options("none@h"), ALICE, BOB, now_us()),
            hep3(options("wrong@h"), ALICE, BOB, now_us(), key="s3creT"),
            hep3(options("longer@h"), ALICE, BOB, now_us(), key=KEY + "x"),
            hep2(options("old@h"), ALICE, BOB, now_us()),
        )
        server.send(hep3(options("aside@h"), ALICE, BOB, now_us()))
        server.until(lambda: server.not_taken("hep_key") == 5, "counted")
        assert server.messages("plain@h") == server.messages("wrong@h") == server.messages("aside@h") == []
        server.send_hep(hep3(options("right@h"), ALICE, BOB, now_us(), key=KEY))
        server.has("right@h")
        page = server.get("/settings").text
        assert KEY not in page + server.get("/api/v1/settings").text + server.log.read_text()
        silent.close()
        plain.close()


def test_allowed_networks_alone_are_read_until_the_very_end(tmp_path: Path) -> None:
    frames = [hep3(options("end@h"), ALICE, BOB, now_us() + n) for n in range(100)]
    with HepServer(tmp_path / "data", "--allow", "127.0.0.2/32") as server:
        with server.connect() as sock:
            assert sock.recv(1) == b""
        server.send_hep(frames[0])
        server.until(lambda: server.not_taken("foreign_source") == 2, "counted")
        assert server.metric("sipflow_unaccounted") == 0
        with socket.create_connection(server.hep, timeout=20, source_address=("127.0.0.2", 0)) as sock:
            sock.sendall(b"".join(frames))
            assert server.stop(signal.SIGTERM) == 0
    with closing(History.open(tmp_path / "data")) as history:
        assert len(history.flow("end@h").messages) == 100


def test_the_default_port_is_a_courtesy_and_another_is_an_order(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        try:
            taken.bind(("0.0.0.0", 9060))
        except OSError:
            pass  # somebody has it: all the better
        else:
            taken.listen()
        with RunningServer(tmp_path / "data", "--hep", "0.0.0.0:9060") as server:
            told = httpx.get(f"{server.url}/health", headers={"Accept": "application/json"}, timeout=10).json()
            assert "HEP is not taken at 0.0.0.0:9060" in told["notes"][0]
            assert not any(one.startswith("hep") for one in told["listening"])
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = RunningServer(tmp_path / "other", "--hep", f"127.0.0.1:{port}", wait=False)
        assert server.ended() == 2
        assert f"--hep: found '127.0.0.1:{port}'" in server.log.read_text()


KAMAILIO = shutil.which("kamailio", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def test_a_real_kamailio_shows_its_calls(tmp_path: Path) -> None:
    if KAMAILIO is None:
        assert not os.environ.get("CI"), "kamailio is not installed"
        pytest.skip("kamailio is not installed")
    sip_port = free_port(socket.SOCK_DGRAM)
    with HepServer(tmp_path / "data") as server:
        config = tmp_path / "kamailio.cfg"
        config.write_text(
            "#!KAMAILIO\nlog_stderror=yes\nchildren=1\ndisable_tcp=yes\nauto_aliases=no\ndns=no\nrev_dns=no\n"
            f'listen=udp:127.0.0.1:{sip_port}\nloadmodule "tm.so"\nloadmodule "sl.so"\nloadmodule "pv.so"\n'
            'loadmodule "siptrace.so"\n'
            f'modparam("siptrace", "duplicate_uri", "sip:127.0.0.1:{server.hep[1]}")\n'
            'modparam("siptrace", "hep_mode_on", 1)\nmodparam("siptrace", "hep_version", 3)\n'
            'modparam("siptrace", "hep_capture_id", 2001)\nmodparam("siptrace", "trace_to_database", 0)\n'
            'modparam("siptrace", "trace_on", 1)\nmodparam("siptrace", "trace_mode", 1)\n'
            'request_route { sl_send_reply("486", "Busy Here"); }\n'
        )
        with (tmp_path / "kamailio.log").open("wb") as log, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            kamailio = subprocess.Popen(
                [KAMAILIO, "-f", str(config), "-DD", "-E", "-m", "32", "-M", "4", "-Y", str(tmp_path)],
                stdout=log, stderr=log,
            )  # fmt: skip
            try:
                phone.bind(("127.0.0.1", 0))
                phone.settimeout(0.2)
                here = phone.getsockname()[1]
                invite = (
                    f"INVITE sip:busy@127.0.0.1:{sip_port} SIP/2.0\r\n"
                    f"Via: SIP/2.0/UDP 127.0.0.1:{here};branch=z9hG4bKk\r\n"
                    f"From: <sip:alice@h>;tag=1\r\nTo: <sip:busy@h>\r\nCall-ID: kamailio@h\r\nCSeq: 1 INVITE\r\n"
                    f"Max-Forwards: 70\r\nContact: <sip:alice@127.0.0.1:{here}>\r\nContent-Length: 0\r\n\r\n"
                ).encode()
                answers: list[bytes] = []

                def answered() -> bool:
                    assert kamailio.poll() is None, (tmp_path / "kamailio.log").read_text()
                    phone.sendto(invite, ("127.0.0.1", sip_port))
                    try:
                        answers.append(phone.recv(65536))
                    except TimeoutError:
                        return False
                    return True

                server.until(answered, "answered by kamailio")
                server.has("kamailio@h", 2)
            finally:
                kamailio.terminate()
                kamailio.wait(20)
        messages = server.messages("kamailio@h")
        sent = [one for one in messages if one.payload == invite]
        busy = [one for one in messages if one.payload == answers[0]]
        assert sent
        assert busy
        assert (str(sent[0].src), str(sent[0].dst)) == (f"127.0.0.1:{here}", f"127.0.0.1:{sip_port}")
        assert (str(busy[0].src), str(busy[0].dst)) == (f"127.0.0.1:{sip_port}", f"127.0.0.1:{here}")
        assert abs(sent[0].time_us - now_us()) < 60_000_000
        assert {one.client_id for one in messages} == {2001}
        assert server.get("/api/v1/calls/kamailio%40h").json()["call"]["status"] == 486
