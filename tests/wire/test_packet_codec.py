"""SipFlow datagrams: the published vectors, and that the C codec and the plain one say the same of any octets."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference import packet as plain
from reference.packet import Frame, FrameError
from sipflow import _fast
from sipflow.errors import WireError
from sipflow.wire.datagram import decode_datagram, encode_batch, encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

Parse = Callable[[bytes], tuple[list[Frame], list[str]]]
Encode = Callable[[Frame, int], bytes]


def fast_parse(octets: bytes) -> tuple[list[Frame], list[str]]:
    """Parse by the C code, in the reference's terms; a frame that is refused alone refuses its datagram."""
    packets, refused = _fast.parse_datagram(octets)
    if packets is None or (refused and octets[:2] == b"\x53\x46"):
        raise FrameError(refused[0])
    return [Frame(*packet) for packet in packets], refused


def fast_encode(frame: Frame, version: int) -> bytes:
    """Write a frame by the C code."""
    f = frame
    leg = f.leg if f.has_metadata else None
    return _fast.encode_frame(
        version, f.kind, f.family, f.src, f.src_port, f.dst, f.dst_port, f.time_us, f.client_id, f.call_id, leg,
        f.payload,
    )  # fmt: skip


parsers = pytest.mark.parametrize("parse", [plain.parse, fast_parse], ids=["plain", "c"])
encoders = pytest.mark.parametrize("encode", [plain.encode_frame, fast_encode], ids=["plain", "c"])

SIP = b"OPTIONS sip:h SIP/2.0\r\nCall-ID: k1\r\n\r\n"
RTP = bytes.fromhex("80000001000000a0cafebabeffffffff")
HERE, THERE = bytes((198, 51, 100, 7)), bytes((203, 0, 113, 9))
TEN_1, TEN_2 = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
SIX_1, SIX_2 = (bytes.fromhex(f"20010db8{i:024x}") for i in (1, 2))
TIME = 1753000000123456

A = bytes.fromhex(
    "5346030104c000020a0fa000000000000000063a581e4c724001020304"
    "0000000f00000001000000076162632d3140680000001080000001000000a0cafebabeffffffff"
)
B = bytes.fromhex("5346030004c633640713c4cb00710913d800063a581e4c7240010203040000000000000026") + SIP
C = bytes.fromhex("5346020004c633640713c4cb00710913d800063a581e4c72400000000000000026") + SIP
D = bytes.fromhex(f"5346030006{SIX_1.hex()}13c4{SIX_2.hex()}13c500000000000000010000000000000000" + "0000000158")
E1 = bytes.fromhex("53460301040a00000100010a000002000200000000000000030000000500000009ffffffff00000001630000000180")
E2 = bytes.fromhex("53460300040a00000113c40a00000213c40000000000000004000000050000000000000004693a630a")
E = bytes.fromhex("53470100020000002f") + E1 + bytes.fromhex("00000029") + E2
PADDED = bytes.fromhex(
    "53470100010000002b53460300040a00000113c40a00000213c40000000000000004000000000000000000000004693a630aeeee"
)
EMPTY_ID = bytes.fromhex("53460301040a00000100010a00000200020000000000000003000000000000000800000000000000000000000180")

FRAME_A = Frame(1, 4, bytes((192, 0, 2, 10)), 4000, bytes(4), 0, TIME, 0x01020304, True, 1, b"abc-1@h", RTP)
FRAME_B = Frame(0, 4, HERE, 5060, THERE, 5080, TIME, 0x01020304, False, 0, b"", SIP)
FRAME_C = FRAME_B._replace(client_id=0)
FRAME_D = Frame(0, 6, SIX_1, 5060, SIX_2, 5061, 1, 0, False, 0, b"", b"X")
FRAME_E1 = Frame(1, 4, TEN_1, 1, TEN_2, 2, 3, 5, True, -1, b"c", b"\x80")
FRAME_E2 = Frame(0, 4, TEN_1, 5060, TEN_2, 5060, 4, 5, False, 0, b"", b"i:c\n")


def changed(octets: bytes, at: int, octet: int) -> bytes:
    """Give `octets` with one of them replaced."""
    return octets[:at] + bytes((octet,)) + octets[at + 1 :]


@parsers
@pytest.mark.parametrize(
    ("octets", "frames"),
    [
        pytest.param(A, [FRAME_A], id="A-rtp-v3"),
        pytest.param(B, [FRAME_B], id="B-sip-v3"),
        pytest.param(C, [FRAME_C], id="C-sip-v2"),
        pytest.param(D, [FRAME_D], id="D-ipv6"),
        pytest.param(E, [FRAME_E1, FRAME_E2], id="E-batch"),
        pytest.param(bytes.fromhex("5347010000"), [], id="F-empty-batch"),
        pytest.param(A + b"\x00\x01\x02", [FRAME_A], id="trailing-octets-behind-one-frame"),
        pytest.param(PADDED, [FRAME_E2._replace(client_id=0)], id="padding-inside-a-batch"),
        pytest.param(EMPTY_ID, [FRAME_E1._replace(client_id=0, leg=0, call_id=b"")], id="empty-call-id"),
    ],
)
def test_accepted(parse: Parse, octets: bytes, frames: list[Frame]) -> None:
    assert parse(octets) == (frames, [])


@parsers
@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        pytest.param(b"", "truncated", id="empty"),
        pytest.param(b"\x53", "truncated", id="one-octet"),
        pytest.param(b"\x53\x48" + A[2:], "bad_magic", id="magic"),
        pytest.param(changed(A, 2, 1), "bad_version", id="version-1"),
        pytest.param(changed(A, 2, 4), "bad_version", id="version-4"),
        pytest.param(changed(A, 3, 2), "bad_kind", id="type-2"),
        pytest.param(changed(A, 4, 5), "bad_family", id="family-5"),
        pytest.param(changed(A, 51, 17), "truncated", id="payload-one-too-long"),
        pytest.param(
            bytes.fromhex("53460301040a00000100010a00000200020000000000000003000000000000000400000001" + "00000000"),
            "bad_metadata",
            id="metadata-of-4",
        ),
        pytest.param(
            bytes.fromhex(
                "53460301040a00000100010a00000200020000000000000003000000000000000a0000000000000001615a00000000"
            ),
            "bad_metadata",
            id="one-octet-left-in-metadata",
        ),
        pytest.param(
            bytes.fromhex(
                "53460301040a00000100010a0000020002000000000000000300000000000000090000000000000001ff00000000"
            ),
            "bad_call_id",
            id="call-id-not-utf8",
        ),
        pytest.param(PADDED[:5] + b"\0\0\0\x29" + PADDED[9:-2] + b"\0", "bad_batch", id="octet-behind-a-batch"),
        pytest.param(changed(E, 2, 2), "bad_version", id="batch-version-2"),
        pytest.param(E[: 9 + 47], "bad_batch", id="count-2-but-one-frame"),
    ],
)
def test_refused(parse: Parse, octets: bytes, reason: str) -> None:
    with pytest.raises(FrameError, match=f"^{reason}$"):
        parse(octets)


@parsers
def test_a_bad_frame_costs_only_itself(parse: Parse) -> None:
    nested = bytes.fromhex("5347010000")
    batch = plain.encode_batch([A, changed(A, 2, 9), nested, B[:-1], E1])
    assert parse(batch) == ([FRAME_A, FRAME_E1], ["bad_version", "bad_magic", "truncated"])


@encoders
@pytest.mark.parametrize(
    ("frame", "version", "octets"),
    [(FRAME_A, 3, A), (FRAME_B, 3, B), (FRAME_C, 2, C), (FRAME_D, 3, D), (FRAME_E1, 3, E1), (FRAME_E2, 3, E2)],
)
def test_encoded_as_published(encode: Encode, frame: Frame, version: int, octets: bytes) -> None:
    assert encode(frame, version) == octets
    assert encode_batch([E1, E2]) == plain.encode_batch([E1, E2]) == E


def outcome(parse: Parse, octets: bytes) -> object:
    """Tell what a parser makes of octets: frames and reasons, or the reason for all of them."""
    try:
        return parse(octets)
    except FrameError as reason:
        return str(reason)


@pytest.mark.parametrize("octets", [A, B, C, D, E, PADDED, EMPTY_ID], ids="ABCDEPI")
def test_truncations_and_changed_octets_are_judged_alike(octets: bytes) -> None:
    for cut in range(len(octets)):
        part = octets[:cut]
        assert outcome(fast_parse, part) == outcome(plain.parse, part)
        assert isinstance(outcome(fast_parse, part), str), "a truncated datagram was accepted"
    for at in range(len(octets)):
        for octet in (0, 1, 0x7F, 0x80, 0xFF, octets[at] ^ 1):
            other = changed(octets, at, octet)
            assert outcome(fast_parse, other) == outcome(plain.parse, other)


@st.composite
def frames(draw: st.DrawFn) -> tuple[Frame, int]:
    """Any frame that can be written, and the version to write it in."""
    family = draw(st.sampled_from((4, 6)))
    version = draw(st.sampled_from((2, 3)))
    address = st.binary(min_size=4 if family == 4 else 16, max_size=4 if family == 4 else 16)
    port = st.integers(0, 65535)
    known = draw(st.booleans())
    frame = Frame(
        draw(st.sampled_from((0, 1))),
        family,
        draw(address),
        draw(port),
        draw(address),
        draw(port),
        draw(st.integers(0, 2**64 - 1)),
        draw(st.integers(0, 2**32 - 1)) if version == 3 else 0,
        known,
        draw(st.integers(-(2**31), 2**31 - 1)) if known else 0,
        draw(st.text(max_size=40)).encode() if known else b"",
        draw(st.binary(max_size=200)),
    )
    return frame, version


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(st.lists(frames(), max_size=4))
def test_round_trips_both_ways(some: list[tuple[Frame, int]]) -> None:
    written = [plain.encode_frame(frame, version) for frame, version in some]
    assert [fast_encode(frame, version) for frame, version in some] == written
    wanted = [frame for frame, _ in some]
    for parse in (plain.parse, fast_parse):
        assert parse(plain.encode_batch(written)) == (wanted, [])
        assert [parse(octets)[0][0] for octets in written] == wanted


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(st.data())
def test_any_octets_are_judged_alike(data: st.DataObject) -> None:
    octets = bytearray(data.draw(st.sampled_from((A, C, D, E))))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    assert outcome(fast_parse, bytes(octets)) == outcome(plain.parse, bytes(octets))


def test_packets_go_out_and_come_back() -> None:
    src, dst = Endpoint("2001:db8::1", 5060), Endpoint("2001:db8::2", 5061)
    sip = Packet(Kind.SIP, src, dst, TIME, SIP)
    rtp = Packet(Kind.RTP, Endpoint("10.0.0.1", 4000), Endpoint("10.0.0.2", 4002), TIME, RTP, "呼叫-1", -2, 77)
    parsed = decode_datagram(encode_batch([encode_packet(sip), encode_packet(rtp)]))
    assert parsed.packets == [sip, rtp]
    assert parsed.refused == []
    assert decode_datagram(encode_packet(rtp, version=2)).packets[0].client_id == 0


def test_mixed_families_are_mapped_to_ipv6() -> None:
    packet = Packet(Kind.SIP, Endpoint("192.0.2.1", 5060), Endpoint("2001:db8::2", 5061), TIME, b"X")
    (back,) = decode_datagram(encode_packet(packet)).packets
    # How a mapped address is written differs between versions of Python; its octets do not.
    assert back.src.packed == bytes(10) + b"\xff\xff" + bytes((192, 0, 2, 1))
    assert back.src.port == 5060
    assert back.dst == packet.dst


def test_a_call_id_without_a_leg_reads_as_leg_0() -> None:
    packet = Packet(Kind.SIP, Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 2), TIME, SIP, "k1")
    assert decode_datagram(encode_packet(packet)).packets[0].leg == 0


def test_a_datagram_refused_whole_names_the_reason() -> None:
    with pytest.raises(WireError) as caught:
        decode_datagram(E + b"\0")
    assert caught.value.reason == "bad_batch"
    parsed = decode_datagram(plain.encode_batch([A, changed(A, 3, 7)]))
    assert [packet.call_id for packet in parsed.packets] == ["abc-1@h"]
    assert parsed.refused == ["bad_kind"]


def test_what_cannot_be_written_is_refused_before_it_is_sent() -> None:
    end = Endpoint("10.0.0.1", 1)
    with pytest.raises(ValueError, match="version: found 4; allowed: 2, 3"):
        encode_packet(Packet(Kind.SIP, end, end, 1, b""), version=4)
    for packet in (
        Packet(Kind.SIP, Endpoint("10.0.0.1", 65536), end, 1, b""),
        Packet(Kind.SIP, end, end, -1, b""),
        Packet(Kind.SIP, end, end, 1, b"", client_id=2**32),
        Packet(Kind.SIP, end, end, 1, b"", leg=2**31),
    ):
        with pytest.raises(OverflowError):
            encode_packet(packet)
    with pytest.raises(ValueError, match="frames: found 65536; allowed: 0 to 65535"):
        encode_batch([b""] * 65536)
