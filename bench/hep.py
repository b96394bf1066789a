"""SIP by HEP beside SIP in SipFlow frames: the same messages, a datagram each, and HEP over TCP.

A process of its own sends at a steady rate; datagrams of one size leave many at a time (UDP_SEGMENT), so that the
sender's share of the machine stays small. Processor time is that of the thread which receives, parses and appends,
per message; `limit` is what one such thread could take at that cost.
"""

import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import Column, Findings, Line, Row, Scale, spread_rows, written
from bench.running import Running

from sipflow.clock import now_us
from sipflow.wire.datagram import encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

_SRC, _DST = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)
_MESSAGES = 6000
_A_SEND = 60
_UDP_SEGMENT = 103
_WAYS = ("SipFlow frames", "HEP, UDP", "HEP, TCP")
_DRAIN_SECONDS = 60.0

COLUMNS = [
    Column("way", "way"),
    Column("asked", "rate", ","),
    Column("sent", "sent", ","),
    Column("stored", "stored", ","),
    Column("kernel_drops", "kernel", ","),
    Column("refused", "refused", ","),
    Column("receiver_us", "receiver us/msg", ".2f"),
    Column("limit", "limit/s", ",.0f"),
]


def measure(scale: Scale) -> Findings:
    """Send the same messages in each way."""
    seconds, rate = (4.0, 60_000) if scale.quick else (20.0, 60_000)
    rows = [spread_rows([_run(way, rate, seconds, scale.directory) for _ in range(scale.runs)]) for way in _WAYS]
    lines = [
        Line(
            "SIP, a message a datagram: receiving [us], in SipFlow frames, by HEP over UDP, over TCP",
            " / ".join(written(row["receiver_us"], ".2f") for row in rows),
        )
    ]
    return Findings(f"SIP in single frames, {seconds:g} s each", COLUMNS, rows, {"seconds": seconds}, lines)


def _run(way: str, rate: int, seconds: float, directory: Path | None) -> Row:
    with tempfile.TemporaryDirectory(prefix="sipflow-bench-", dir=directory) as scratch:
        server = Running(Path(scratch) / "data", "--pool-mb", "256")
        try:
            before = server.cpu_seconds()
            port = server.udp if way == _WAYS[0] else server.hep
            command = [sys.executable, "-m", "bench.hep", way, str(port), str(rate), str(seconds)]
            sent = int(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            server.drain(_DRAIN_SECONDS)
            after, counts = server.cpu_seconds(), server.counts()
        finally:
            server.stop()
    thread = "hep-tcp" if way == _WAYS[2] else "receiver"
    cost_us = (after[thread] - before[thread]) * 1e6 / max(1, counts.taken)
    return {
        "way": way,
        "asked": rate,
        "sent": sent,
        "stored": counts.stored,
        "kernel_drops": counts.kernel_drops,
        "refused": counts.refused + counts.pool_drops,
        "receiver_us": cost_us,
        "limit": 1e6 / cost_us if cost_us else None,
    }


def _message(number: int) -> bytes:
    return (
        f"INVITE sip:{number:07}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{number:07}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=a{number:07}\r\nTo: <sip:{number:07}@example.com>\r\n"
        f"Call-ID: {number:07}-3848276298220188511@atlanta.example.com\r\nCSeq: 1 INVITE\r\n"
        f"Contact: <sip:alice@192.0.2.1:5060>\r\nUser-Agent: sipflow bench\r\nAllow: INVITE, ACK, BYE, CANCEL\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


def hep_frame(message: bytes, time_us: int) -> bytes:
    """Wrap a message as Kamailio's siptrace does."""
    chunks = (
        (1, b"\2"), (2, b"\x11"), (3, _SRC.packed), (4, _DST.packed), (7, _SRC.port.to_bytes(2, "big")),
        (8, _DST.port.to_bytes(2, "big")), (9, (time_us // 1_000_000).to_bytes(4, "big")),
        (10, (time_us % 1_000_000).to_bytes(4, "big")), (11, b"\1"), (12, (2001).to_bytes(4, "big")), (15, message),
    )  # fmt: skip
    body = b"".join(struct.pack(">HHH", 0, kind, 6 + len(octets)) + octets for kind, octets in chunks)
    return b"HEP3" + struct.pack(">H", 6 + len(body)) + body


def _send(way: str, port: int, rate: int, seconds: float) -> int:
    """Send at a rate; gives how many messages left."""
    now = now_us()
    frames = [
        encode_packet(Packet(Kind.SIP, _SRC, _DST, now, _message(number), "", None, 2001))
        if way == _WAYS[0]
        else hep_frame(_message(number), now)
        for number in range(_MESSAGES)
    ]
    bundles = [b"".join(frames[at : at + _A_SEND]) for at in range(0, len(frames), _A_SEND)]
    tcp = way == _WAYS[2]
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        if not tcp:
            sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, len(frames[0]))
        sent, start = 0, time.monotonic()
        while (passed := time.monotonic() - start) < seconds:
            while sent < passed * rate:
                sock.sendall(bundles[sent // _A_SEND % len(bundles)])
                sent += _A_SEND
            time.sleep(0.001)
    return sent


if __name__ == "__main__":
    print(_send(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
