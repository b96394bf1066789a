"""Every codec's packets: their sizes, clocks and content, as the decoder of the codec takes them."""

import re
from dataclasses import replace

import av
import numpy as np
import pytest

from sipflow._fast import rtp_head
from sipflow.errors import ConfigError
from sipflow.load.bank import Coding, VoiceBank
from sipflow.load.call import Call
from sipflow.load.codec import AMR, G722, G729, OPUS, PCMA, PCMU, Codec, parse_codecs, parse_ptimes
from sipflow.load.scenario import Scenario
from sipflow.load.status import parse_refusals
from sipflow.load.stream import Stream
from sipflow.load.style import Style
from sipflow.wire.endpoint import Endpoint

START = 1_780_000_000_000_000
SHAPES = [(G722, 20), (G722, 30), (G729, 20), (G729, 60), (AMR, 20), (AMR, 40), (OPUS, 20), (OPUS, 60)]


def bank_of(codec: Codec, ptime: int) -> VoiceBank:
    return VoiceBank.make(1, [Coding.of(codec.payload_type, ptime * 8)], voices=3)


def packets(codec: Codec, ptime: int, count: int) -> list[tuple[int, int, bytes]]:
    """Give sequence number, timestamp and payload of a stream's packets."""
    stream = Stream(
        call_id="codec@test", leg=0, src=Endpoint("10.0.0.1", 4000), dst=Endpoint("10.0.0.2", 4002), start_us=START,
        count=count, samples=ptime * 8, payload_type=codec.payload_type, ssrc=9, sequence=0, timestamp=0, voice=1,
        position=0,
    )  # fmt: skip
    found = []
    for _, octets in stream.talker(bank_of(codec, ptime)).packets():
        head = rtp_head(octets)
        assert head is not None
        _, payload_type, sequence, timestamp, _, payload = head
        assert payload_type == codec.payload_type
        found.append((sequence, timestamp, payload))
    return found


@pytest.mark.parametrize(("codec", "ptime"), SHAPES)
def test_clocks_and_sizes(codec: Codec, ptime: int) -> None:
    found = packets(codec, ptime, 900)
    step = ptime * {OPUS: 48}.get(codec, 8)
    assert [(sequence, timestamp) for sequence, timestamp, _ in found] == [(i, i * step) for i in range(900)]
    sizes = {len(payload) for _, _, payload in found}
    if codec is G722:
        assert sizes == {ptime * 8}  # 64 kbit/s
    elif codec is G729:
        assert sizes == {ptime}  # 10 octets in 10 ms
    elif codec is AMR:
        # One request, a table of contents and 12.2 kbit/s: 31 octets of speech in 20 ms (RFC 4867, table 1).
        assert sizes == {1 + (1 + 31) * (ptime // 20)}
        assert {payload[0] for _, _, payload in found} == {0xF0}
        entries = {payload[1 : 1 + ptime // 20] for _, _, payload in found}
        assert entries == ({b"\x3c"} if ptime == 20 else {b"\xbc\x3c"})
    else:
        assert len(sizes) > 10
        assert max(sizes) < 480


@pytest.mark.parametrize(
    ("codec", "name", "rate"), [(G722, "g722", 16_000), (AMR, "amrnb", 8_000), (OPUS, "opus", 48_000)]
)
def test_a_decoder_hears_the_voice(codec: Codec, name: str, rate: int) -> None:
    """What is decoded has the loudness of the voice in G.711, 20 ms by 20 ms."""
    context = av.CodecContext.create(name, "r")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout = rate, "mono"
    sound = []
    for _, _, payload in packets(codec, 20, 400):
        octets = payload[1:] if codec is AMR else payload
        for frame in context.decode(av.Packet(octets)):
            pcm = frame.to_ndarray().astype(np.float64)
            sound.append(np.ravel(pcm)[:: 2 if frame.layout.nb_channels == 2 and pcm.shape[0] == 1 else 1])
    heard = np.concatenate(sound)
    heard = heard[: heard.size // (rate // 50) * (rate // 50)].reshape(-1, rate // 50)
    level = np.sqrt(np.mean(heard**2, axis=1))
    flags = np.asarray(bank_of(codec, 20).activity[1].reshape(-1, 2).max(axis=1))[: level.size]
    loud, quiet = level[: flags.size][flags].mean(), level[: flags.size][~flags].mean()
    assert loud > 8 * quiet


@pytest.mark.parametrize(("codec", "ptime"), SHAPES)
def test_the_description_names_what_is_sent(codec: Codec, ptime: int) -> None:
    style = Style(codecs=((codec, 1.0),), ptimes=(ptime,))
    call = Call(1, 4, Scenario.ANSWERED, START, 6_000_000, style)
    bodies = [m.payload.partition(b"\r\n\r\n")[2].decode() for m in call.messages() if b"v=0" in m.payload]
    for body in bodies:
        first = re.findall(r"^m=audio \d+ RTP/AVP (\d+)", body, re.MULTILINE)
        assert first == [str(codec.payload_type)]
        assert f"a=ptime:{ptime}\r\n" in body
        clock = "48000/2" if codec is OPUS else "8000"
        assert f"a=rtpmap:{codec.payload_type} {codec.name}/{clock}\r\n" in body
        assert f"a=rtpmap:101 telephone-event/{clock.partition('/')[0]}\r\n" in body
    assert {(s.payload_type, s.samples) for s in call.streams()} == {(codec.payload_type, ptime * 8)}


def test_telephone_events_have_the_clock_of_opus() -> None:
    style = Style(codecs=((OPUS, 1.0),), ptimes=(20,))
    call = Call(1, 1, Scenario.DIGITS, START, 9_000_000, style)
    bank = bank_of(OPUS, 20)
    (stream,) = [replace(s, voice=1) for s in call.streams() if s.digits]
    events = [p.payload for p in stream.packets(bank) if p.payload[1] & 0x7F == 101]
    presses = sorted({int.from_bytes(e[4:8]) for e in events})
    assert len(presses) == 4
    first = [int.from_bytes(e[14:16]) for e in events[:10]]
    assert first == [960 * i for i in range(1, 9)] + [7680, 7680]


def test_weights_decide_how_often_a_codec_is_spoken() -> None:
    style = Style(codecs=((PCMU, 3.0), (G722, 1.0)), ptimes=(10, 40))
    streams = [s for n in range(400) for s in Call(1, n, Scenario.ANSWERED, START, 4_000_000, style).streams()]
    spoken = [s.payload_type for s in streams]
    assert {PCMU.payload_type, G722.payload_type} == set(spoken)
    assert 0.5 < spoken.count(0) / len(spoken) < 0.92
    assert {s.samples for s in streams} == {80, 320}


def test_options_are_read_and_what_is_wrong_is_named() -> None:
    assert parse_codecs("pcmu,OPUS=3") == ((PCMU, 1.0), (OPUS, 3.0))
    for text in ("PCMX", "PCMU,PCMU", "PCMU=0", "PCMU=x", ""):
        with pytest.raises(ConfigError, match="allowed: NAME"):
            parse_codecs(text)
    assert parse_ptimes("20,60", ((PCMA, 1.0),)) == (20, 60)
    with pytest.raises(ConfigError, match=r"allowed: for opus 10, 20, 40, 60"):
        parse_ptimes("30", ((OPUS, 1.0),))
    for text in ("25", "20,20", "x"):
        with pytest.raises(ConfigError, match="of 10, 20, 30, 40, 60"):
            parse_ptimes(text, ())
    assert parse_refusals("486=5,503=0.5") == ((486, 5.0), (503, 0.5))
    for text in ("486", "200=5", "487=1", "486=0", "699=1", "486=60,503=60", "486=1,486=2"):
        with pytest.raises(ConfigError, match="--status"):
            parse_refusals(text)
