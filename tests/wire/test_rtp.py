"""The RTP header in Python's terms."""

from sipflow.wire.rtp import MediaKind, RtpHead, media_kind, parse_rtp

PLAIN = bytes.fromhex("80801234000000a0cafebabe01020304")


def test_a_plain_packet() -> None:
    assert parse_rtp(PLAIN) == RtpHead(True, 0, 0x1234, 160, 0xCAFEBABE, bytes((1, 2, 3, 4)))


def test_csrc_extension_and_padding_are_left_out() -> None:
    packet = bytes.fromhex("b208fffffffffffe00000001" + "0000000900000008" + "bede000110aa0000" + "070809" + "0002")
    assert parse_rtp(packet) == RtpHead(False, 8, 65535, 0xFFFFFFFE, 1, bytes((7, 8, 9)))


def test_what_is_not_sound_is_none() -> None:
    for packet in (
        b"",
        PLAIN[:11],
        b"\x40" + PLAIN[1:],
        b"\x8f" + PLAIN[1:],
        b"\x90" + PLAIN[1:],
        b"\xa0" + PLAIN[1:-1] + b"\0",
    ):
        assert parse_rtp(packet) is None


def test_rtcp_is_told_from_rtp() -> None:
    report = bytes.fromhex("80c90001cafebabe")
    assert media_kind(report) is MediaKind.RTCP
    assert parse_rtp(report + bytes(8)) is None
    assert media_kind(PLAIN) is MediaKind.RTP
    assert media_kind(b"hello there, not RTP") is MediaKind.OTHER
