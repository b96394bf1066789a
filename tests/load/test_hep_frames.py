"""HEP version 3 as the load harness writes it, read by a decoder of the test's own; real frames teach the decoder."""

import socket
import struct
from collections import Counter
from ipaddress import ip_address
from typing import NamedTuple

import dpkt
import msgspec
import pytest

from captures import SHARED, need
from sink import Sink
from sipflow.load.bank import VoiceBank
from sipflow.load.call import Call
from sipflow.load.framing import Framing
from sipflow.load.play import CLIENT_ID, Sending, play
from sipflow.load.scenario import Scenario
from sipflow.load.style import Style
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

START = 1_780_000_000_000_000


class Hep(NamedTuple):
    """What a frame says, chunk by chunk (vendor 0)."""

    family: int
    protocol: int
    src: Endpoint
    dst: Endpoint
    time_us: int
    payload_kind: int
    agent: int
    correlation: bytes
    payload: bytes


def read(octets: bytes) -> Hep:
    """Read a frame by the text of the specification: 6 octets, then chunks of vendor, type, length, value."""
    magic, total = struct.unpack("!4sH", octets[:6])
    assert magic == b"HEP3"
    assert total == len(octets)
    chunks: dict[int, bytes] = {}
    at = 6
    while at < total:
        vendor, number, length = struct.unpack("!HHH", octets[at : at + 6])
        assert length >= 6
        if vendor == 0:
            assert number not in chunks
            chunks[number] = octets[at + 6 : at + length]
        at += length
    assert at == total
    v6 = chunks[1] == b"\x0a"
    src, dst = (chunks[5], chunks[6]) if v6 else (chunks[3], chunks[4])
    assert len(src) == len(dst) == (16 if v6 else 4)
    (sent_from,), (sent_to,) = struct.unpack("!H", chunks[7]), struct.unpack("!H", chunks[8])
    (seconds,), (micros,) = struct.unpack("!I", chunks[9]), struct.unpack("!I", chunks[10])
    assert micros < 1_000_000
    return Hep(
        chunks[1][0],
        chunks[2][0],
        Endpoint(str(ip_address(src)), sent_from),
        Endpoint(str(ip_address(dst)), sent_to),
        seconds * 1_000_000 + micros,
        chunks[11][0],
        int.from_bytes(chunks[12]),
        chunks.get(17, b""),
        chunks[15],
    )


def test_the_decoder_reads_real_frames_and_ours_are_made_of_the_same_octets() -> None:
    """Written again from what it says, a real frame has the same chunks, whatever their order."""
    with need(SHARED / "hep3-plain.pcap").open("rb") as file:
        frames = [dpkt.ethernet.Ethernet(octets).data.data.data for _, octets in dpkt.pcap.Reader(file)]
    frames = [octets for octets in frames if octets[:4] == b"HEP3"]
    compared = 0
    for octets in frames:
        real = read(octets)
        kind = {1: Kind.SIP, 4: Kind.RTP}.get(real.payload_kind)
        if kind is None:
            continue
        packet = Packet(
            kind, real.src, real.dst, real.time_us, real.payload, real.correlation.decode(), client_id=real.agent
        )
        ours = Framing.HEP.frame(packet).octets
        assert read(ours) == real
        assert chunks_of(ours) >= chunks_of(octets) - other_chunks(octets)
        compared += 1
    assert compared > 3


def chunks_of(octets: bytes) -> set[bytes]:
    found = set()
    at = 6
    while at < len(octets):
        length = int.from_bytes(octets[at + 4 : at + 6])
        found.add(octets[at : at + length])
        at += length
    return found


def other_chunks(octets: bytes) -> set[bytes]:
    """Chunks that the harness has no use for: keys, keep-alives, names."""
    ours = {bytes((0, 0, 0, number)) for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 17)}
    return {chunk for chunk in chunks_of(octets) if chunk[:4] not in ours}


def test_an_example_octet_for_octet() -> None:
    payload = b"OPTIONS sip:a@b SIP/2.0\r\n\r\n"
    packet = Packet(
        Kind.SIP, Endpoint("10.0.0.1", 5060), Endpoint("10.0.0.2", 5080), 1767225600_250000, payload, "c1", None, 2001
    )
    assert Framing.HEP.frame(packet).octets.hex() == (
        "48455033" "0086"
        "00000001000702" "00000002000711" "00000003000a0a000001" "00000004000a0a000002" "0000000700" "0813c4"
        "00000008000813d8" "00000009000a6955b900" "0000000a000a0003d090" "0000000b000701" "0000000c000a000007d1"
        "0000001100086331" "0000000f0021"
    ) + payload.hex()  # fmt: skip


@pytest.mark.parametrize("ipv6", [False, True])
def test_every_scenario_arrives_as_hep(ipv6: bool) -> None:
    style = Style(ipv6=ipv6)
    calls = [Call(1, n, scenario, START + n * 1000, 2_500_000, style) for n, scenario in enumerate(Scenario)]
    sink = Sink()
    report = play(calls, sink.address, Sending(speed=10, framing=Framing.HEP, offload=True, clients=3))
    sink.close()
    bank = VoiceBank.make(1)
    sent: Counter[tuple[object, ...]] = Counter()
    for call in calls:
        script = call.script()
        for packet in (*script.messages, *(p for stream in script.streams for p in stream.packets(bank))):
            sent[
                10 if ipv6 else 2, 17, packet.src, packet.dst, packet.time_us, 1 if packet.kind is Kind.SIP else 4,
                packet.call_id.encode(), packet.payload,
            ] += 1  # fmt: skip
    frames = [read(octets) for _, octets in sink.datagrams]
    assert Counter((*frame[:6], *frame[7:]) for frame in frames) == sent
    assert {frame.agent for frame in frames} == {CLIENT_ID, CLIENT_ID + 1, CLIENT_ID + 2}
    assert report.records == report.datagrams == len(frames)


def test_clients_are_many_and_each_call_has_one() -> None:
    sink = Sink()
    calls = [Call(3, n, Scenario.REGISTER, START + n, 300_000) for n in range(60)]
    play(calls, sink.address, Sending(speed=10, client_id=500, clients=7))
    sink.close()
    by_call: dict[str, set[int]] = {}
    for packet in sink.packets():
        by_call.setdefault(packet.call_id, set()).add(packet.client_id)
    assert {len(ids) for ids in by_call.values()} == {1}
    assert set.union(*by_call.values()) == set(range(500, 507))


def test_two_families_in_one_packet_are_refused() -> None:
    mixed = Packet(Kind.SIP, Endpoint("10.0.0.1", 1), Endpoint("2001:db8::1", 2), 0, b"x")
    with pytest.raises(ValueError, match="two addresses of one family"):
        Framing.HEP.frame(mixed)
    long = msgspec.structs.replace(mixed, dst=mixed.src, payload=bytes(65500))
    with pytest.raises(ValueError, match="allowed: 65535"):
        Framing.HEP.frame(long)
    assert int(socket.AF_INET6) == 10  # the family that a frame names is Linux's
