"""RTCP: golden numbers, packets laid out by hand, hostile octets, and what real phones sent."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captured_rtp import CAPTURES, datagrams, truth_of
from chunks import T0_US, Rtp, make_chunk, make_key
from sipflow.media.reports import Captured, heard, one_way_ms, reports, round_trips
from sipflow.media.rtcp import (
    ReportBlock,
    SenderInfo,
    cumulative_lost,
    fraction_lost,
    ntp_middle,
    parse_rtcp,
    round_trip,
    seconds,
)
from sipflow.wire.packet import RTP_ROW, Chunk

# --- the formulas ---


def test_l4_fraction() -> None:
    assert [fraction_lost(*pair) for pair in ((100, 95), (250, 240), (100, 101), (8, 6), (0, 0))] == [12, 10, 0, 64, 0]


def test_cumulative_is_signed_24_bit() -> None:
    assert cumulative_lost(10**9) == 8_388_607
    assert cumulative_lost(-(10**9)) == -8_388_608
    assert cumulative_lost(-3) == -3


def test_l5_round_trip_of_the_rfc() -> None:
    trip = round_trip(0xB7108000, 0xB7052000, 0x00054000)
    assert (trip, seconds(trip)) == (0x00062000, 6.125)
    assert seconds(round_trip(0x00000100, 0xFFFFFF00, 0x100)) == 0x100 / 65536  # across the wrap
    assert round_trip(100, 100, 1) == -1


def test_l6_middle() -> None:
    assert ntp_middle(0xB44DB705_20000000) == 0xB7052000


# --- packets ---


def packet(kind: int, count: int, body: bytes, first: int = 0x80) -> bytes:
    assert len(body) % 4 == 0
    return struct.pack(">BBH", first | count, kind, len(body) // 4) + body


def block(ssrc: int, *, fraction: int = 0, lost: int = 0, lsr: int = 0, dlsr: int = 0) -> bytes:
    return struct.pack(">IIIIII", ssrc, fraction << 24 | lost & 0xFFFFFF, 70_000, 33, lsr, dlsr)


def sender(ssrc: int, ntp: int, *blocks: bytes) -> bytes:
    return packet(200, len(blocks), struct.pack(">IQIII", ssrc, ntp, 160_000, 50, 8000) + b"".join(blocks))


def receiver(ssrc: int, *blocks: bytes) -> bytes:
    return packet(201, len(blocks), struct.pack(">I", ssrc) + b"".join(blocks))


VOIP = packet(
    207,
    0,
    struct.pack(">IBBH", 7, 7, 0, 8)
    + struct.pack(
        ">I4B4H2b7Bx3H", 9, 12, 12, 85, 9, 120, 520, 250, 60, -20, 127, 127, 16, 80, 127, 41, 127, 0x30, 40, 60, 120
    ),
)


def test_a_compound_packet() -> None:
    names = packet(202, 1, struct.pack(">I", 7) + b"\x01\x05a@b.c" + b"\x00")
    names_of_two = packet(202, 2, struct.pack(">I", 7) + b"\x02\x01N\x01\x01x\0\0" + struct.pack(">I", 8) + b"\0\0\0\0")
    farewell = packet(203, 2, struct.pack(">II", 7, 8))
    whole = sender(7, 5 << 32, block(9, fraction=64, lost=-2, lsr=3, dlsr=4)) + names + VOIP + farewell + names_of_two
    found = parse_rtcp(whole)
    assert found.fault == ""
    (report,) = found.reports
    assert (report.ssrc, report.sender) == (7, SenderInfo(5 << 32, 160_000, 50, 8000))
    assert report.blocks == (ReportBlock(9, 64, -2, 70_000, 33, 3, 4),)
    assert (found.names, found.gone) == ({7: "x"}, (7, 8))
    (voip,) = found.voip
    assert (voip.ssrc, voip.loss_rate, voip.burst_density, voip.burst_ms, voip.gap_ms) == (9, 12, 85, 120, 520)
    assert (voip.signal_level, voip.noise_level, voip.echo_return_loss, voip.gmin) == (-20, None, None, 16)
    assert (voip.r, voip.external_r, voip.mos_lq, voip.mos_cq) == (80, None, 4.1, None)
    assert (voip.config, voip.buffer_nominal_ms, voip.buffer_maximum_ms, voip.buffer_absolute_ms) == (48, 40, 60, 120)


def test_padding_is_left_out() -> None:
    found = parse_rtcp(packet(203, 1, struct.pack(">I", 7) + b"\0\0\0\4", first=0xA0))
    assert (found.gone, found.fault) == ((7,), "")


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (b"\x80\xc8", "2 octets are left at octet 0; a packet has 4 or more"),
        (b"\x00\xc8\0\0", "no RTCP packet begins at octet 0"),
        (receiver(7) + b"\x80\x11\0\0", "no RTCP packet begins at octet 8"),
        (receiver(7)[:6], "the packet at octet 0 says it has 8 octets; 6 are left"),
        (packet(201, 2, bytes(4)), "the packet at octet 0: a report with 2 blocks in 4 octets"),
        (packet(200, 0, bytes(4)), "the packet at octet 0: a report with 0 blocks in 4 octets"),
        (packet(203, 31, bytes(4)), "the packet at octet 0: a BYE of 31 sources in 4 octets"),
        (packet(202, 1, b""), "the packet at octet 0: source descriptions end in the middle"),
        (packet(202, 1, bytes(4) + b"\x01\xff\0\0"), "the packet at octet 0: source descriptions end in the middle"),
        (
            packet(207, 0, bytes(4) + b"\x07\0\0\x08"),
            "the packet at octet 0: an extended report of 36 octets; 4 are left",
        ),
        (packet(203, 0, b"\0\0\0\0", first=0xA0), "the packet at octet 0: padding of 0 in 8 octets"),
        (packet(203, 0, b"\0\0\0\x08", first=0xA0), "the packet at octet 0: padding of 8 in 8 octets"),
    ],
)
def test_what_does_not_fit_is_told(octets: bytes, fault: str) -> None:
    assert parse_rtcp(octets).fault == fault


def test_what_stood_before_a_fault_is_kept() -> None:
    found = parse_rtcp(receiver(7, block(9)) + b"junk")
    assert (len(found.reports), found.fault != "") == (1, True)


@given(st.binary(max_size=300))
def test_any_octets_are_survived(octets: bytes) -> None:
    found = parse_rtcp(octets)
    assert found.fault or octets == b"" or octets[0] >> 6 == 2


PARTS = [sender(7, 1 << 40, block(1), block(2)), receiver(8, block(3)), VOIP, packet(203, 1, bytes(4)),
         packet(202, 1, bytes(4) + b"\x01\x02ab" + bytes(4))]  # fmt: skip


@given(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    st.integers(0, 400),
)
def test_bent_packets_are_survived(parts: list[bytes], bends: list[tuple[int, int]], cut: int) -> None:
    whole = b"".join(parts)
    assert parse_rtcp(whole).fault == ""
    bent = bytearray(whole)
    for at, value in bends:
        bent[at % len(bent)] = value
    found = parse_rtcp(bytes(bent[: cut or None]))
    assert len(found.reports) <= len(bent) // 8
    assert sum(len(report.blocks) for report in found.reports) <= len(bent) // 24


# --- in a call ---


def chunk_of(leg: int, datagrams: list[tuple[int, bytes]]) -> Chunk:
    """A chunk of datagrams that are not RTP."""
    built = make_chunk(make_key(leg, None), [Rtp(at, 0, 0, b"", valid=False) for at, _ in datagrams])
    rows, data = built.rows, bytearray()
    for row, (_, octets) in zip(rows, datagrams, strict=True):
        row["offset"], row["length"] = len(data), len(octets)
        data += octets
    return Chunk(built.key, rows, bytes(data))


MS = 1000


def a_call() -> list[Chunk]:
    """A (SSRC 1, leg 0) is 15 ms from here, B (SSRC 2, leg 1) 40 ms; they answer after 2 s."""
    clock = (1 << 32) + 5
    from_a = [(T0_US, sender(1, clock)), (T0_US + 6_000 * MS, receiver(1, block(2, lsr=77 << 16, dlsr=2 << 16)))]
    from_b = [
        (T0_US + 2_080 * MS, receiver(2, block(1, fraction=128, lost=5, lsr=ntp_middle(clock), dlsr=2 << 16))),
        (T0_US + 3_970 * MS, sender(2, 77 << 32)),
    ]
    return [chunk_of(0, from_a), chunk_of(1, from_b)]


def test_the_ways_to_both_ends_add_up() -> None:
    captured = reports(a_call())
    assert [one.leg for one in captured] == [0, 1, 1, 0]
    trips = round_trips(captured)
    assert [(trip.leg, trip.reporter, trip.ssrc) for trip in trips] == [(1, 2, 1), (0, 1, 2)]
    assert [trip.milliseconds for trip in trips] == pytest.approx([80, 30])
    assert one_way_ms(trips) == pytest.approx(55)


def test_one_way_is_unknown_from_one_side() -> None:
    assert one_way_ms(round_trips(reports(a_call()[:1]))) is None
    chunks = a_call()
    half = chunk_of(1, [(T0_US + 2_080 * MS, receiver(2, block(1, lsr=5 << 0, dlsr=2 << 16)))])
    assert one_way_ms(round_trips(reports([chunks[0], half]))) is None


def test_what_the_far_end_heard() -> None:
    (one,) = heard(reports(a_call()), 1)
    assert (one.reporter, one.loss_percent, one.block.lost) == (2, 50.0, 5)
    assert one.jitter_ms(8000) == 33 / 8


def test_an_answer_to_another_report_or_from_nowhere_is_no_round_trip() -> None:
    first = chunk_of(0, [(T0_US, sender(1, 9 << 32))])
    wrong = chunk_of(
        1, [(T0_US + 50 * MS, receiver(2, block(1, lsr=8 << 16))), (T0_US + 60 * MS, receiver(2, block(1)))]
    )
    impossible = chunk_of(1, [(T0_US + 50 * MS, receiver(2, block(1, lsr=9 << 16, dlsr=5 << 16)))])
    assert round_trips(reports([first, wrong])) == []
    assert round_trips(reports([first, impossible])) == []


def test_encrypted_reports_measure_nothing() -> None:
    whole = sender(1, 9 << 32, block(2)) + receiver(1, block(2, lsr=9 << 16)) + b"\x91\x15\x77\xfe"
    assert parse_rtcp(whole).fault
    assert heard(reports([chunk_of(0, [(T0_US, whole)])]), 2) == []


def test_rtp_and_rows_that_leave_their_data_are_left_out() -> None:
    rtp = make_chunk(make_key(), [Rtp(T0_US + i * 20 * MS, i, 160 * i) for i in range(10)])
    assert reports([rtp]) == []
    bad = chunk_of(0, [(T0_US, receiver(7))])
    bad.rows["length"][0] = 4000
    assert reports([bad]) == []
    empty = Chunk(make_key(ssrc=None), make_chunk(make_key(), [Rtp(T0_US, 0, 0)]).rows[:0].astype(RTP_ROW), b"")
    assert reports([empty]) == []


def test_rtcp_on_the_port_of_the_media_is_found() -> None:
    built = make_chunk(make_key(), [Rtp(T0_US, 0, 0)])
    octets = receiver(7, block(9))
    rows = built.rows.copy()
    rows["length"] = len(octets)
    rows["payload_type"], rows["flags"] = 201 & 127, 2  # as the collector reads it: RTP of type 73
    (one,) = reports([Chunk(built.key, rows, octets)])
    assert one.compound.reports[0].ssrc == 7


# --- real captures ---


def captured(name: str) -> list[Captured]:
    truth_of(name)
    groups: dict[tuple[str, str], list[tuple[int, bytes]]] = {}
    for time_us, src, dst, payload in datagrams(next(CAPTURES.glob(f"{name}.pcap*"))):
        groups.setdefault((src.ip, dst.ip), []).append((time_us, payload))
    return reports([chunk_of(leg, datagrams) for leg, datagrams in enumerate(groups.values())])


@pytest.mark.parametrize(("name", "quoted"), [("subscribe-notify-call", 1), ("eim-407-rtcp", 0), ("prack-cn-rtcp", 0)])
def test_every_packet_that_tshark_sees(name: str, quoted: int) -> None:
    # `quoted` of them stand in an ICMP error, which tshark dissects too.
    truth = truth_of(name)["rtcp"]
    found = [one.compound for one in captured(name)]
    assert [one.fault for one in found if one.fault] == []
    reported = [report for one in found for report in one.reports]
    assert sum(report.sender is not None for report in reported) == truth.get("200", 0) - quoted
    assert sum(report.sender is None for report in reported) == truth.get("201", 0)
    assert sum(1 for one in found if one.gone) <= truth.get("203", 0)
    assert sum(1 for one in found if one.names) == truth.get("202", 0) - quoted


def test_a_real_call_is_measured() -> None:
    found = captured("subscribe-notify-call")
    trips = round_trips(found)
    for trip in trips:
        assert 0 <= trip.milliseconds < 5000
    assert {(trip.reporter, trip.ssrc) for trip in trips} == {(0x054F45C9, 0xF3271435), (0xF3271435, 0x054F45C9)}
    delay = one_way_ms(trips)
    assert delay is not None
    assert 5 < delay < 50
    assert heard(found, 0x054F45C9)
