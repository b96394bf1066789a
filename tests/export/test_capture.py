"""Captures that we write: read by our own reader octet for octet, and by dpkt with the right checksums."""

import io
import struct
from pathlib import Path

import dpkt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captured_calls import calls_of
from captures import SHARED, need
from chunks import T0_US, Rtp, make_chunk
from sipflow.export.capture import write_capture
from sipflow.export.frame import udp_packets
from sipflow.ingest.capture_file import CaptureFile
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Message, StreamKey

ALICE, BOB = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5062)
ALICE_6, BOB_6 = Endpoint("2001:db8::1", 5060), Endpoint("2001:db8::2", 5062)
INVITE = (
    b"INVITE sip:b@test SIP/2.0\r\nCall-ID: c@test\r\nCSeq: 1 INVITE\r\n"
    b"From: <sip:a@test>;tag=1\r\nTo: <sip:b@test>\r\n\r\n"
)


def checked(packet: bytes) -> bytes:
    """Give the payload of an IP packet whose checksums and lengths a second implementation accepts."""
    version = packet[0] >> 4
    if version == 4:
        ip = dpkt.ip.IP(packet)
        assert ip.len == len(packet)
        assert dpkt.in_cksum(packet[:20]) == 0
        pseudo = packet[12:20] + struct.pack(">HH", 17, len(packet) - 20)
    else:
        ip = dpkt.ip6.IP6(packet)
        assert ip.plen == len(packet) - 40
        pseudo = packet[8:40] + struct.pack(">II", len(packet) - 40, 17)
    octets = packet[20 if version == 4 else 40 :]
    assert struct.unpack(">H", octets[6:8])[0] != 0
    assert dpkt.in_cksum(pseudo + octets) == 0
    return octets[8:]


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from([(ALICE, BOB), (ALICE_6, BOB_6), (ALICE, BOB_6)]))
def test_packets_have_right_checksums(payload: bytes, ends: tuple[Endpoint, Endpoint]) -> None:
    packets = udp_packets(*ends, np.frombuffer(payload * 2, np.uint8).reshape(2, -1))
    assert [checked(row.tobytes()) for row in packets] == [payload, payload]


def test_the_largest_packet_has_a_length_that_fits() -> None:
    payload = bytes(65507)
    assert checked(udp_packets(ALICE, BOB, np.frombuffer(payload, np.uint8).reshape(1, -1))[0].tobytes()) == payload


def written(messages: list[Message], chunks: list, comment: str = "") -> bytes:  # type: ignore[type-arg]
    return b"".join(write_capture(messages, chunks, comment))


def test_a_call_comes_back_octet_for_octet_and_in_order(tmp_path: Path) -> None:
    messages = [Message("c@test", T0_US + n * 30_000, T0_US, ALICE, BOB, INVITE + bytes([n])) for n in range(3)]
    chunks = []
    for start in range(0, 100, 10):  # many chunks of two streams, packets of several lengths
        for leg, (src, dst) in enumerate(
            [(("192.0.2.1", 4000), ("192.0.2.2", 6000)), (("192.0.2.2", 6000), ("192.0.2.1", 4000))]
        ):
            key = StreamKey("c@test", leg, Endpoint(*src), Endpoint(*dst), 7 + leg)
            sent = [
                Rtp(T0_US + n * 20_000 + leg * 7, n, n * 160, bytes([n % 256]) * (20 + n % 3))
                for n in range(start, start + 10)
            ]
            chunks.append(make_chunk(key, sent))
    octets = written(messages, chunks, "Recording: complete. Grüße")
    assert "Recording: complete. Grüße".encode() in octets
    file = tmp_path / "call.pcapng"
    file.write_bytes(octets)
    stored = sorted(
        [(m.time_us, m.payload) for m in messages]
        + [
            (int(row["time_us"]), chunk.data[row["offset"] : row["offset"] + row["length"]])
            for chunk in chunks
            for row in chunk.rows
        ]
    )
    read = [(int(time * 1_000_000 + 0.5), checked(packet)) for time, packet in dpkt.pcapng.Reader(io.BytesIO(octets))]
    assert [payload for _, payload in read] == [payload for _, payload in stored]
    assert max(abs(a[0] - b[0]) for a, b in zip(read, stored, strict=True)) <= 1  # dpkt gives floats
    seen = [packet for packet in CaptureFile(file).packets() if packet.kind is Kind.SIP]
    assert [(packet.time_us, packet.src, packet.dst, packet.payload) for packet in seen] == [
        (m.time_us, m.src, m.dst, m.payload) for m in messages
    ]


@pytest.mark.parametrize("name", ["aaa.pcap", "ipv6frag.pcap", "prack-cn-rtcp.pcap", "reinvite-codec-change.pcap"])
def test_captures_go_round(name: str, tmp_path: Path) -> None:
    before = calls_of(need(SHARED / name))
    call_id, call = max(
        before.items(), key=lambda item: (sum(map(len, item[1].streams.values())), len(item[1].messages))
    )
    file = tmp_path / "again.pcapng"
    file.write_bytes(written(call.messages, call.chunks))
    after = calls_of(file)[call_id]
    assert [(m.time_us, m.src, m.dst, m.payload) for m in after.messages] == [
        (m.time_us, m.src, m.dst, m.payload) for m in call.messages
    ]
    assert after.streams == call.streams


def test_what_udp_cannot_carry_is_cut_and_named() -> None:
    octets = written([Message("c", T0_US, T0_US, ALICE, BOB, bytes(70_000))], [])
    assert b"1 messages longer than 65507 octets are cut" in octets
    assert [len(packet) for _, packet in dpkt.pcapng.Reader(io.BytesIO(octets))] == [65535]


def test_nothing_is_a_file_too() -> None:
    assert list(dpkt.pcapng.Reader(io.BytesIO(written([], [])))) == []
