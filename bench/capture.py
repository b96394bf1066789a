"""What the capture client costs its program: a call of `rtp` and `sip`, and what one core sends in batches."""

import socket
import time
from collections.abc import Callable
from contextlib import closing

from bench.figures import Column, Findings, Line, Row, Scale, spread, written

from sipflow import Capture
from sipflow.mirror import Stream

# 20 ms of G.711 with its RTP header.
_RTP = b"\x80\0" + bytes(170)
_SIP = (
    b"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK776asdhds\r\n"
    b"From: <sip:alice@example.com>;tag=1928301774\r\nTo: <sip:bob@example.com>\r\n"
    b"Call-ID: a84b4c76-e667-4a7f-9b1c-3d6f0d2a8f6e@pbx.example.com\r\nCSeq: 314159 INVITE\r\n"
    b"Contact: <sip:alice@192.0.2.1>\r\nContent-Length: 0\r\n\r\n"
)
_CALL_ID = "a84b4c76-e667-4a7f-9b1c-3d6f0d2a8f6e@pbx.example.com"
_SRC, _DST = ("192.0.2.1", 4000), ("192.0.2.2", 4002)
# What fits the queue of one lane without a drop: the sending is not waited for while a call is timed.
_BURST = 5_000
_BATCH = 50

COLUMNS = [
    Column("what", "what"),
    Column("call_ns", "ns/packet, caller", ".0f"),
    Column("cpu_ns", "ns/packet, all threads", ".0f"),
    Column("records", "packets/s of one core", ",.0f"),
    Column("dropped", "dropped", ","),
]


def measure(scale: Scale) -> Findings:
    """Send to a socket that nobody reads: the kernel's whole path but the waking of a reader."""
    packets = 200_000 if scale.quick else 2_000_000
    rows = [
        _row("rtp, prepared stream", packets, scale.runs, lambda _, stream, n: _one_by_one(stream, n)),
        _row("rtp_batch of 50", packets, scale.runs, lambda _, stream, n: _in_batches(stream, n)),
        _row("rtp, all arguments", packets // 4, scale.runs, lambda capture, _, n: _unprepared(capture, n)),
        _row("sip", packets // 10, scale.runs, lambda capture, _, n: _messages(capture, n)),
    ]
    lines = [
        Line("capture client: ns of a call of rtp on a prepared stream", written(rows[0]["call_ns"], ".0f"), "300"),
        Line(
            "capture client: packets a second of one core, in batches", written(rows[1]["records"], ",.0f"), "1,000,000"
        ),
    ]
    settings = {"packets": packets, "burst": _BURST, "batch": _BATCH}
    return Findings("packets of 20 ms of G.711 to one node on loopback", COLUMNS, rows, settings, lines)


def _row(what: str, packets: int, runs: int, send: Callable[[Capture, Stream, int], None]) -> Row:
    measured = [_run(packets, send) for _ in range(runs)]
    return {
        "what": what,
        "call_ns": spread(call for call, _, _ in measured),
        "cpu_ns": spread(cpu for _, cpu, _ in measured),
        "records": spread(1e9 / cpu for _, cpu, _ in measured),
        "dropped": sum(dropped for _, _, dropped in measured),
    }


def _run(packets: int, send: Callable[[Capture, Stream, int], None]) -> tuple[float, float, int]:
    """Give ns of the caller and of all threads per packet, and drops; the first bursts warm up and do not count."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sink:
        sink.bind(("127.0.0.1", 0))
        with Capture.connect([f"127.0.0.1:{sink.getsockname()[1]}"]) as capture:
            stream = capture.stream(_CALL_ID, 0, _SRC, _DST)
            for _ in range(4):
                send(capture, stream, _BURST)
                capture.flush()
            caller = 0
            begun_cpu = time.process_time_ns()
            for _ in range(packets // _BURST):
                begun = time.perf_counter_ns()
                send(capture, stream, _BURST)
                caller += time.perf_counter_ns() - begun
                capture.flush()
            cpu = time.process_time_ns() - begun_cpu
            sent = packets // _BURST * _BURST
            return caller / sent, cpu / sent, capture.stats().dropped.total


def _one_by_one(stream: Stream, count: int) -> None:
    rtp = stream.rtp
    for _ in range(count):
        rtp(_RTP)


def _in_batches(stream: Stream, count: int) -> None:
    batch = [_RTP] * _BATCH
    for _ in range(count // _BATCH):
        stream.rtp_batch(batch)


def _unprepared(capture: Capture, count: int) -> None:
    for _ in range(count):
        capture.rtp(_CALL_ID, 0, _RTP, _SRC, _DST)


def _messages(capture: Capture, count: int) -> None:
    for _ in range(count):
        capture.sip(_SIP, _SRC, _DST)
