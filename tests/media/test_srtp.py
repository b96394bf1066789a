"""SRTP opens with the key that SDP announced for it, and with no other; what stays encrypted is counted and said."""

import base64
import json
import struct
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pylibsrtp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captured_rtp import datagrams, rtp_chunks
from captures import need
from ffmpeg_decode import envelope
from payloads import LAB
from sipflow.media.codec import Codec
from sipflow.media.decoder import decoder_of
from sipflow.media.sdes import master_keys
from sipflow.media.srtp import SUITES, Unprotect
from sipflow.wire.sdp import Crypto, parse_sdp

# The master key and salt of RFC 3711, appendix B.3; the packet is that of libsrtp's own self-test with these.
B3_KEY = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139" + "0EC675AD498AFEEBB6960B3AABE6")
PLAIN = bytes.fromhex("800f1234decafbadcafebabe" + "ab" * 16)
CIPHERED = bytes.fromhex("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb")
GCM_KEY = bytes(range(16)) + bytes(range(0xA0, 0xAC))
GCM_CIPHERED = bytes.fromhex("800f1234decafbadcafebabec5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392")
CM_80, CM_32 = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
GCM_128, GCM_256 = "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"


def crypto(key: bytes, suite: str = CM_80, tail: str = "", parameters: tuple[str, ...] = ()) -> Crypto:
    return Crypto(1, suite, (f"inline:{base64.b64encode(key).decode()}{tail}",), parameters)


def rtp(number: int, payload: bytes = b"payload of a packet", ssrc: int = 0xCAFE) -> bytes:
    return struct.pack(">BBHII", 0x80, 0, number & 0xFFFF, 160 * number & 0xFFFFFFFF, ssrc) + payload


def protect(suite: str, key: bytes, packets: Sequence[bytes]) -> list[bytes]:
    """Encrypt as a telephone does."""
    policy = pylibsrtp.Policy(
        key=key,
        ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND,
        srtp_profile=getattr(pylibsrtp.Policy, SUITES[suite].profile),
    )
    session = pylibsrtp.Session(policy)
    return [session.protect(packet) for packet in packets]


def key_of(suite: str, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, SUITES[suite].key_octets, np.uint8).tobytes()


def test_known_answers() -> None:
    assert Unprotect([crypto(B3_KEY)]).packet(CIPHERED) == PLAIN
    assert Unprotect([crypto(GCM_KEY, GCM_128)]).packet(GCM_CIPHERED) == PLAIN


@pytest.mark.parametrize("suite", [CM_80, CM_32, GCM_128, GCM_256])
@pytest.mark.parametrize("mki", ["", "|2^31|7:4", "|1:1"])
def test_every_suite_past_the_turn_of_the_numbers(suite: str, mki: str) -> None:
    """The numbers turn over twice, so that the rollover counter counts."""
    key = key_of(suite)
    sent = [rtp(number) for number in range(65000, 65000 + 70000, 500)]
    sealed = protect(suite, key, sent)
    if mki:
        name = (7).to_bytes(4) if "7:4" in mki else b"\1"
        at = -SUITES[suite].tag_octets or len(sealed[0])
        sealed = [packet[:at] + name + packet[at:] for packet in sealed]
    unprotect = Unprotect([crypto(key, suite, mki)])
    assert [unprotect.packet(packet) for packet in sealed] == sent
    assert (unprotect.opened, unprotect.refused, unprotect.reason) == (len(sent), 0, None)


def test_a_wrong_key_opens_nothing_and_is_counted() -> None:
    sealed = protect(CM_80, key_of(CM_80, 1), [rtp(number) for number in range(5)])
    unprotect = Unprotect([crypto(key_of(CM_80, 2))])
    assert [unprotect.packet(packet) for packet in sealed] == [None] * 5
    assert unprotect.refused == 5
    assert unprotect.reason == "encrypted: 5 of 5 packets do not fit the announced keys"


def test_the_line_that_fits_is_found_and_a_changed_octet_is_noticed() -> None:
    key = key_of(CM_32, 3)
    sealed = protect(CM_32, key, [rtp(number) for number in range(4)])
    unprotect = Unprotect([crypto(key_of(CM_80, 4)), crypto(key_of(GCM_128), GCM_128), crypto(key, CM_32)])
    assert unprotect.packet(sealed[0]) == rtp(0)
    broken = bytearray(sealed[1])
    broken[15] ^= 1
    assert unprotect.packet(bytes(broken)) is None
    assert unprotect.packet(sealed[1]) == rtp(1)
    assert unprotect.refused == 1


def test_a_packet_seen_twice_is_no_wrong_key() -> None:
    key = key_of(CM_80)
    sealed = protect(CM_80, key, [rtp(number) for number in range(3)])
    unprotect = Unprotect([crypto(key)])
    for packet in (*sealed, *sealed):
        unprotect.packet(packet)
    assert (unprotect.opened, unprotect.repeated, unprotect.refused, unprotect.reason) == (3, 3, 0, None)


def test_padding_is_taken_off_after_opening() -> None:
    key = key_of(CM_80)
    padded = bytes((0xA0,)) + rtp(1, b"abcd" + b"\0\0\3")[1:]
    (sealed,) = protect(CM_80, key, [padded])
    assert Unprotect([crypto(key)]).payload(sealed) == b"abcd"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (crypto(bytes(46), "AES_256_CM_HMAC_SHA1_80"), "AES_256_CM_HMAC_SHA1_80 is not decrypted by pylibsrtp"),
        (crypto(bytes(30), "F8_128_HMAC_SHA1_80"), "F8_128_HMAC_SHA1_80"),
        (crypto(bytes(20)), "20 octets; 30 are needed"),
        (Crypto(1, CM_80, ("inline:***",)), "not base64"),
        (Crypto(1, CM_80, ("uri:http://example.org",)), "not inline"),
        (Crypto(1, CM_80, ()), "without a key"),
        (crypto(bytes(30), tail="|2^99"), "lifetime '2^99'"),
        (crypto(bytes(30), tail="|1:999"), "MKI '1:999'"),
        (crypto(bytes(30), tail="|256:1"), "does not fit"),
        (crypto(bytes(30), parameters=("UNENCRYPTED_SRTP",)), "UNENCRYPTED_SRTP"),
        (crypto(bytes(30), parameters=("KDR=4",)), "KDR"),
    ],
)
def test_keys_of_no_use_are_named(line: Crypto, why: str) -> None:
    unprotect = Unprotect([line])
    assert unprotect.packet(CIPHERED) is None
    reason = unprotect.reason
    assert reason is not None
    assert reason.startswith("encrypted: ")
    assert why in reason
    assert base64.b64encode(bytes(12)).decode() not in reason


def test_lifetime_and_mki_are_read_and_the_key_is_never_shown() -> None:
    (key,) = master_keys(crypto(B3_KEY, tail="|2^20|1:4", parameters=("WSH=64",)), 30)
    assert (key.octets, key.lifetime, key.mki) == (B3_KEY, 1 << 20, b"\0\0\0\1")
    (key,) = master_keys(crypto(B3_KEY, tail="|65536"), 30)
    assert (key.lifetime, key.mki) == (65536, b"")
    assert str(B3_KEY) not in repr(key)


def test_no_keys_at_all() -> None:
    assert Unprotect([]).reason == "encrypted: no key was announced"


def test_without_pylibsrtp_the_reason_is_said() -> None:
    program = (
        "import sys; sys.modules['pylibsrtp'] = None\n"
        "from sipflow.media.srtp import Unprotect\n"
        "from sipflow.wire.sdp import Crypto\n"
        "unprotect = Unprotect([Crypto(1, 'AES_CM_128_HMAC_SHA1_80', ('inline:AAAA',))])\n"
        "assert unprotect.packet(b'x' * 40) is None\n"
        "print(unprotect.reason)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "encrypted: pylibsrtp is not installed"


@given(st.binary(max_size=1600))
def test_no_octets_raise(octets: bytes) -> None:
    for suite in (CM_80, GCM_256):
        unprotect = Unprotect([crypto(key_of(suite), suite, "|1:4"), crypto(key_of(suite), suite)])
        assert unprotect.payload(octets) is None
        assert unprotect.refused == 1


@given(st.text(max_size=80))
def test_no_key_text_raises_or_is_shown(text: str) -> None:
    secret = base64.b64encode(B3_KEY).decode()
    for key in (text, "inline:" + text, f"inline:{secret}|{text}"):
        reason = Unprotect([Crypto(1, CM_80, (key,))]).reason
        assert reason is None or secret not in reason


def test_the_tones_of_a_captured_call() -> None:
    """Two telephones sent 440 and 1000 Hz of peak 9000 as PCMU over SRTP, their keys in the SDP of INVITE and 200."""
    truth = json.loads(need(LAB / "lab3_g711_srtp.truth.json").read_text())
    announced = [
        (media.port, media.cryptos)
        for _, _, _, payload in datagrams(LAB / "lab3_g711_srtp.pcap")
        if b"m=audio" in payload
        for media in parse_sdp(payload.partition(b"\r\n\r\n")[2]).media
    ]
    assert len(announced) == 2
    found = set()
    for listed in truth["rtp_rfc3550"]:
        cryptos = next(lines for port, lines in announced if listed["src"].endswith(f":{port}"))
        chunks = rtp_chunks("../lab/results/lab3_g711_srtp", [listed])
        unprotect, decoder = Unprotect(cryptos), decoder_of(Codec("PCMU", 8000))
        heard = []
        for chunk in chunks:
            for row in chunk.rows:
                packet = chunk.data[row["offset"] : row["offset"] + row["length"]]
                payload = unprotect.payload(packet)
                assert payload is not None
                heard.append(decoder.decode(payload))
        assert (unprotect.opened, unprotect.refused) == (listed["packets"], 0)
        samples = np.concatenate(heard)
        assert np.median(envelope(samples, 8000)) == pytest.approx(9000 / 2**0.5, rel=0.02)
        found.add(int(np.argmax(np.abs(np.fft.rfft(samples[8000:16000].astype(float))))))
        other = Unprotect(next(lines for port, lines in announced if not listed["src"].endswith(f":{port}")))
        assert other.packet(packet) is None
    assert found == {440, 1000}
