"""HEP in capture files: unwrapped where it is the only trace of a call, left alone where the call itself is there."""

from pathlib import Path

import capture_writer as w
from hep_frames import LOG, RTP, hep2, hep3
from sipflow.ingest.capture_file import CaptureFile
from sipflow.ingest.import_report import ImportReport
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

T0 = 1_700_000_000_000_000
PROXY, COLLECTOR = ("198.51.100.1", 40000), ("198.51.100.2", 9060)
ALICE, BOB = Endpoint("192.0.2.10", 5060), Endpoint("192.0.2.20", 5060)
ALICE_RTP, BOB_RTP = ("192.0.2.10", 4000), ("192.0.2.20", 6000)
INVITE = w.sip("INVITE sip:bob@example.com SIP/2.0", "call-1", "1 INVITE", w.sdp("192.0.2.10", 4000))


def read(tmp_path: Path, *datagrams: bytes | tuple[w.Peer, w.Peer, bytes]) -> tuple[list[Packet], ImportReport]:
    frames = [(PROXY, COLLECTOR, one) if isinstance(one, bytes) else one for one in datagrams]
    path = tmp_path / "a.pcap"
    path.write_bytes(w.pcap([(T0 + 1000 * n, w.frame(*one)) for n, one in enumerate(frames)]))
    capture = CaptureFile(path)
    return list(capture.packets()), capture.report


def test_ends_time_and_sender_are_those_that_the_frame_names(tmp_path: Path) -> None:
    for wrapped in (
        hep3(INVITE, ALICE, BOB, T0 - 77),
        hep3(INVITE, ALICE, BOB, T0 - 77, packed=True),
        hep2(INVITE, ALICE, BOB, T0 - 77),
    ):
        (packet,), report = read(tmp_path, wrapped)
        assert packet == Packet(Kind.SIP, ALICE, BOB, T0 - 77, INVITE, "call-1", None, 2001)
        assert (report.sip, report.calls, report.first_us) == (1, 1, T0 - 77)
    ends = Endpoint("2001:db8::1", 5060), Endpoint("2001:db8::2", 5062)
    (packet,), _ = read(tmp_path, hep3(INVITE, *ends, T0))
    assert (packet.src, packet.dst) == ends


def test_media_on_the_wire_finds_a_call_that_only_hep_tells_of(tmp_path: Path) -> None:
    packets, report = read(
        tmp_path, (ALICE_RTP, BOB_RTP, w.rtp(1)), hep3(INVITE, ALICE, BOB, T0), (ALICE_RTP, BOB_RTP, w.rtp(2))
    )
    assert [(packet.kind, packet.call_id, packet.leg) for packet in packets] == [
        (Kind.RTP, "call-1", 0), (Kind.SIP, "call-1", None), (Kind.RTP, "call-1", 0)
    ]  # fmt: skip
    assert report.rtp_untied == 0


def test_media_in_hep_is_of_the_call_that_its_sender_names(tmp_path: Path) -> None:
    ends = Endpoint(*ALICE_RTP), Endpoint(*BOB_RTP)
    (packet,), _ = read(tmp_path, hep3(w.rtp(1), *ends, T0, protocol=RTP, correlation="call-2"))
    assert (packet.kind, packet.call_id, packet.leg, packet.src) == (Kind.RTP, "call-2", 0, ends[0])


def test_a_call_that_was_captured_itself_is_not_doubled(tmp_path: Path) -> None:
    ends = (ALICE.ip, ALICE.port), (BOB.ip, BOB.port)
    other = INVITE.replace(b"call-1", b"call-2")
    packets, report = read(
        tmp_path,
        hep3(INVITE, ALICE, BOB, T0),
        (*ends, INVITE),
        hep3(other, ALICE, BOB, T0),
        hep3(other, ALICE, BOB, T0),
    )
    assert [packet.call_id for packet in packets] == ["call-1", "call-2", "call-2"]
    assert {reason: skipped.count for reason, skipped in report.skipped.items()} == {"hep_copy": 1}
    assert report.calls == 2


def test_what_is_no_call_is_named(tmp_path: Path) -> None:
    whole = hep3(INVITE, ALICE, BOB, T0)
    packets, report = read(
        tmp_path,
        hep3(b"user alice logged in", ALICE, BOB, T0, protocol=LOG, correlation="call-1"),
        whole[:-1],
        b"\x01\x10 begins like version 1",
    )
    assert packets == []
    assert {reason: skipped.count for reason, skipped in report.skipped.items()} == {
        "hep_other": 1, "bad_hep": 1, "other_udp": 1
    }  # fmt: skip
    assert f"{len(whole) - 1} octets: truncated" in report.skipped["bad_hep"].examples[0]
