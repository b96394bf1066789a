"""Every codec decodes to what another program makes of the same octets; malformed payloads lose only themselves."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ffmpeg_decode import assert_alike, decoded_by_ffmpeg, envelope, run_ffmpeg
from ogg import opus_file
from payloads import captured_payloads, encoded, tone
from sipflow.errors import Undecodable
from sipflow.media.amr import NARROW_BITS, WIDE_BITS, amr_payload
from sipflow.media.codec import Codec
from sipflow.media.decoder import Decoder, decoder_of
from sipflow.media.g729 import level

ALL = [
    *(Codec(name, 8000) for name in ("AMR", "G722", "G723", "G728", "G729", "G721", "GSM", "iLBC", "DVI4")),
    *(Codec(f"{prefix}G726-{rate}", 8000) for prefix in ("", "AAL2-") for rate in (16, 24, 32, 40)),
    *(Codec("speex", rate) for rate in (8000, 16000, 32000)),
    *(Codec("AMR", 8000, 1, text) for text in ("octet-align=1", "octet-align=0", "crc=1")),
    *(Codec("AMR-WB", 16000, 1, text) for text in ("", "octet-align=1")),
    *(Codec("L16", 44100, channels) for channels in (1, 2, 3)),
    *(Codec("PCMU", 16000), Codec("PCMA", 16000, 2), Codec("L8", 8000), Codec("opus", 48000, 2)),
]


def decode(codec: Codec, payloads: Sequence[bytes]) -> NDArray[np.int16]:
    """Decode a stream; no payload may be malformed."""
    decoder = decoder_of(codec)
    pieces = [decoder.decode(payload) for payload in payloads]
    assert decoder.bad == 0
    return np.concatenate(pieces)


def storage(codec: Codec, payloads: Sequence[bytes]) -> bytes:
    """Give AMR frames as a file has them."""
    frames = map(amr_payload(codec), payloads)
    return b"".join(frame for frame in frames if frame is not None)


def has_speech(codec: Codec, payload: bytes) -> bool:
    frame = amr_payload(codec)(payload)
    # The first frame type of each that is no speech is its silence descriptor: 8, and 9 in AMR-WB.
    return frame is not None and frame[0] >> 3 < (9 if codec.name == "AMR-WB" else 8)


RAW: list[tuple[str, int, int, Codec, str, tuple[str, ...]]] = [
    ("codec-g729a", 18, 0, Codec("G729", 8000), "g729", ()),
    ("rtp-loss-g729", 18, 0, Codec("G729", 8000), "g729", ()),
    ("codec-gsm", 3, 0, Codec("GSM", 8000), "gsm", ()),
    ("lab3_gsm", 3, 0, Codec("GSM", 8000), "gsm", ()),
    ("lab3_gsm", 3, 1, Codec("GSM", 8000), "gsm", ()),
    ("reinvite-codec-change", 9, 0, Codec("G722", 8000), "g722", ()),
    ("reinvite-codec-change", 9, 1, Codec("G722", 8000), "g722", ()),
    ("lab3_g722", 9, 0, Codec("G722", 8000), "g722", ()),
]


@pytest.mark.parametrize(("name", "number", "which", "codec", "form", "options"), RAW)
def test_captured_frames_sound_as_ffmpeg_makes_them(
    name: str, number: int, which: int, codec: Codec, form: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    payloads = captured_payloads(name, number, which)
    theirs = decoded_by_ffmpeg(b"".join(payloads), tmp_path, decoder_of(codec).rate, form, options)
    ours = decode(codec, payloads)
    assert_alike(ours, theirs, decoder_of(codec).rate)


@pytest.mark.parametrize(
    ("name", "number", "which", "samples_each"),
    [("codec-opus", 99, 0, 960), ("opus-dropped-ng", 107, 0, 960), ("lab3_opus", 96, 0, 960)],
)
def test_captured_opus_sounds_as_ffmpeg_makes_it(
    name: str, number: int, which: int, samples_each: int, tmp_path: Path
) -> None:
    payloads = captured_payloads(name, number, which)
    ours = decode(Codec("opus", 48000, 2), payloads)
    assert len(ours) == samples_each * len(payloads)
    file = opus_file(payloads, samples_each)
    theirs = decoded_by_ffmpeg(file, tmp_path, 48000, "ogg", ("-c:a", "libopus"))
    assert_alike(ours, theirs, 48000)


AMR = [
    ("vowifi-amr-sll", 99, 0, Codec("AMR", 8000, 1, "mode-change-period=2;mode-change-capability=1")),
    *(("amr-nb-dup-sll", 118, which, Codec("AMR", 8000)) for which in (0, 1)),
    *(("amr-nb-dup-sll", 113, which, Codec("AMR", 8000)) for which in (0, 1)),
]


@pytest.mark.parametrize(("name", "number", "which", "codec"), AMR)
def test_captured_amr_sounds_as_ffmpeg_makes_it(
    name: str, number: int, which: int, codec: Codec, tmp_path: Path
) -> None:
    """ffmpeg's own decoder knows no silence descriptors, so the comparison is of the speech between them.

    It also makes steady tones too quiet (by 4 dB at 12.2 kbit/s, see test_amr_keeps_the_level), so that decibels are
    compared here; speech is much the same.
    """
    payloads = captured_payloads(name, number, which)
    assert len(decode(codec, payloads)) == len(payloads) * 160
    speech = [payload for payload in payloads if has_speech(codec, payload)]
    theirs = decoded_by_ffmpeg(b"#!AMR\n" + storage(codec, speech), tmp_path, 8000, "amr")
    ours = decode(codec, speech)
    assert len(ours) == len(theirs)
    decibels = [20 * np.log10(envelope(samples, 8000) + 10) for samples in (ours, theirs)]
    assert decibels[1].max() > 60
    assert np.corrcoef(decibels[0], decibels[1])[0, 1] > 0.99


@pytest.mark.parametrize("rate", [12200, 7950, 4750])
def test_amr_keeps_the_level(rate: int) -> None:
    sent = tone(8000, 3.0, 300)
    frames = encoded("libopencore_amrnb", sent, 8000, bit_rate=rate)
    payloads = [b"\xf0" + frame for frame in frames]
    ours = envelope(decode(Codec("AMR", 8000, 1, "octet-align=1"), payloads), 8000)[:150]
    theirs = envelope(sent, 8000)[: len(ours)]
    assert 0.94 < ours.mean() / theirs.mean() < 1.03
    assert np.corrcoef(ours, theirs)[0, 1] > 0.96


TONES = [
    ("lab3_gsm", 3, Codec("GSM", 8000)),
    ("lab3_g722", 9, Codec("G722", 8000)),
    ("lab3_opus", 96, Codec("opus", 48000, 2, "stereo=1;sprop-stereo=1")),
    ("lab3_amr", 96, Codec("AMR", 8000, 1, "octet-align=1")),
    ("lab3_amrwb", 96, Codec("AMR-WB", 16000, 1, "octet-align=1")),
]


@pytest.mark.parametrize(("name", "number", "codec"), TONES)
def test_the_tones_that_two_telephones_sent(name: str, number: int, codec: Codec) -> None:
    """One sent 440 Hz and the other 1000 Hz, both of peak 9000, through each of these codecs."""
    rate = decoder_of(codec).rate
    heard = [decode(codec, captured_payloads(name, number, which)) for which in (0, 1)]
    second = [samples[rate : 2 * rate].astype(float) for samples in heard]
    assert sorted(int(np.argmax(np.abs(np.fft.rfft(part)))) for part in second) == [440, 1000]
    for part in second:
        assert np.sqrt((part**2).mean()) == pytest.approx(9000 / 2**0.5, rel=0.06)


def test_what_amr_leaves_unsent_is_comfort_noise() -> None:
    payloads = captured_payloads("vowifi-amr-sll", 99)
    codec = AMR[0][3]
    heard = envelope(decode(codec, payloads), 8000)
    spoken = np.array([has_speech(codec, payload) for payload in payloads])
    assert 0 < heard[~spoken][8:].mean() < heard[spoken].mean() / 4


def test_amr_wants_the_announced_layout() -> None:
    aligned = captured_payloads("lab3_amr", 96)
    said = decoder_of(Codec("AMR", 8000, 1, "octet-align=0"))
    assert sum(len(said.decode(payload)) for payload in aligned) == 0
    assert said.bad == len(aligned)
    unsaid = decoder_of(Codec("AMR", 8000))
    assert sum(len(unsaid.decode(payload)) for payload in aligned) == 160 * len(aligned)


def pack_bits(*fields: tuple[int, int]) -> bytes:
    """Pack (value, bits) one after the other, zeros to the next octet."""
    value = size = 0
    for field, bits in fields:
        value, size = value << bits | field, size + bits
    return (value << -size % 8).to_bytes((size + 7) // 8)


def test_amr_bit_by_bit() -> None:
    """RFC 4867, sections 4.3.5.2 and 4.4.5.1: two frames in one payload, in both layouts, and a damaged third."""
    first, second = (1 << 94) + 5, (1 << 38) + 3
    efficient = pack_bits((6, 4), (1, 1), (0, 4), (1, 1), (0, 1), (8, 4), (1, 1), (first, 95), (second, 39))
    aligned = bytes((6 << 4, 0x80 | 4, 8 << 3 | 4)) + pack_bits((first, 95)) + pack_bits((second, 39))
    expected = bytes((4,)) + pack_bits((first, 95)) + bytes((8 << 3 | 4,)) + pack_bits((second, 39))
    assert amr_payload(Codec("AMR", 8000))(efficient) == expected
    assert amr_payload(Codec("AMR", 8000, 1, "octet-align=1"))(aligned) == expected
    checked = aligned[:3] + b"\xaa\xbb" + aligned[3:]
    assert amr_payload(Codec("AMR", 8000, 1, "crc=1"))(checked) == expected
    damaged = pack_bits((15, 4), (0, 1), (0, 4), (0, 1), (first, 95))
    assert amr_payload(Codec("AMR", 8000))(damaged) == bytes((15 << 3 | 4,))
    nothing = pack_bits((15, 4), (0, 1), (15, 4), (1, 1))
    assert amr_payload(Codec("AMR-WB", 16000))(nothing) == bytes((15 << 3 | 4,))


@pytest.mark.parametrize(
    ("codec", "named"),
    [
        (Codec("AMR", 8000, 1, "octet-align=1; interleaving=30"), "interleaving=30"),
        (Codec("AMR-WB", 16000, 1, "robust-sorting=1"), "robust-sorting"),
        (Codec("AMR", 8000, 2), "2 channels"),
        (Codec("BV32", 16000), "BV32"),
        (Codec("EVS", 16000), "EVS"),
        (Codec("speex", 11025), "speex/11025"),
        (Codec("L16", 8000, 40), "40 channels"),
    ],
)
def test_what_cannot_be_decoded_is_refused_by_name(codec: Codec, named: str) -> None:
    with pytest.raises(Undecodable, match=codec.name) as refused:
        decoder_of(codec)
    assert named in refused.value.reason


def test_without_pyav_the_reason_is_said_and_linear_codecs_go_on() -> None:
    program = (
        "import sys; sys.modules['av'] = None\n"
        "from sipflow.media.decoder import decoder_of\n"
        "from sipflow.media.codec import Codec\n"
        "from sipflow.errors import Undecodable\n"
        "assert decoder_of(Codec('L16', 8000)).decode(b'\\1\\2').tolist() == [258]\n"
        "for name in ('G729', 'G726-32', 'opus'):\n"
        "    try:\n        decoder_of(Codec(name, 8000))\n"
        "    except Undecodable as error:\n        print(error.reason)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["G729", "G726-32", "opus"]
    assert all("PyAV cannot be imported" in line for line in lines)


# --- codecs without a capture -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 3, 4, 5])
@pytest.mark.parametrize(("prefix", "form"), [("", "g726le"), ("AAL2-", "g726")])
def test_g726_in_both_packings(bits: int, prefix: str, form: str, tmp_path: Path) -> None:
    sent = tone(8000)
    wav = tmp_path / "tone.s16"
    wav.write_bytes(sent.tobytes())
    source = ("-f", "s16le", "-ar", "8000", "-ac", "1", "-i", str(wav))
    octets = run_ffmpeg(*source, "-c:a", form, "-b:a", str(8000 * bits), "-f", form, "-")
    # 20 ms of any size of code word fill whole octets.
    payloads = [octets[at : at + 20 * bits] for at in range(0, len(octets), 20 * bits)]
    ours = decode(Codec(f"{prefix}G726-{8 * bits}", 8000), payloads)
    theirs = decoded_by_ffmpeg(octets, tmp_path, 8000, form, ("-code_size", str(bits)))
    assert_alike(ours[: len(theirs)], theirs, 8000)
    if bits > 2:
        assert np.corrcoef(envelope(ours, 8000)[: len(sent) // 160], envelope(sent, 8000))[0, 1] > 0.99


def test_g721_is_g726_at_32() -> None:
    assert (decode(Codec("G721", 8000), [bytes(range(80))]) == decode(Codec("G726-32", 8000), [bytes(range(80))])).all()


def test_g723_1_with_both_silences(tmp_path: Path) -> None:
    speech = encoded("g723_1", tone(8000, 2.4), 8000)
    codec = Codec("G723", 8000)
    assert {len(frame) for frame in speech} == {24}
    assert_alike(decode(codec, speech), decoded_by_ffmpeg(b"".join(speech), tmp_path, 8000, "g723_1"), 8000)
    silence = [b"\x02\x10\x20\x30", b"\x03", b"\x03"]
    assert len(decode(codec, [*speech[:5], b"".join(silence), speech[5] + speech[6]])) == 240 * 10
    decoder = decoder_of(codec)
    assert len(decoder.decode(speech[0][:23])) == 0
    assert decoder.bad == 1


@pytest.mark.parametrize(("mode", "octets"), [(20, 38), (30, 50)])
@pytest.mark.parametrize("parameters", ["", "mode=20", "mode=30"])
def test_ilbc_in_both_modes(mode: int, octets: int, parameters: str, tmp_path: Path) -> None:
    stream = np.random.default_rng(mode).integers(0, 256, octets * 60, np.uint8)
    stream[octets - 1 :: octets] &= 0xFE  # the last bit marks an empty frame
    payloads = [stream[at : at + 2 * octets].tobytes() for at in range(0, len(stream), 2 * octets)]
    theirs = decoded_by_ffmpeg(b"#!iLBC%d\n" % mode + stream.tobytes(), tmp_path, 8000, "ilbc")
    ours = decode(Codec("iLBC", 8000, 1, parameters), payloads)
    assert len(ours) == 60 * 8 * mode
    assert_alike(ours, theirs, 8000)


@pytest.mark.parametrize("rate", [8000, 16000, 32000])
@pytest.mark.parametrize("frames", [1, 3])
def test_speex(rate: int, frames: int, tmp_path: Path) -> None:
    import av  # noqa: PLC0415

    source = tmp_path / "tone.s16"
    source.write_bytes(tone(rate, 2.0).tobytes())
    into = tmp_path / "tone.ogg"
    run_ffmpeg(
        *("-f", "s16le", "-ar", str(rate), "-ac", "1", "-i", str(source)),
        *("-c:a", "libspeex", "-frames_per_packet", str(frames), str(into)),
    )
    with av.open(str(into)) as opened:
        payloads = [bytes(packet) for packet in opened.demux() if packet.size]
    ours = decode(Codec("speex", rate), payloads)
    assert len(ours) == 2 * rate  # the last of three frames to a payload stands alone
    out = run_ffmpeg("-c:a", "libspeex", "-i", str(into), "-f", "s16le", "-")
    theirs = np.frombuffer(out, "<i2").astype(np.int16)
    # Other programs leave out what the file's last page says is padding, and the encoder's delay.
    assert_alike(ours, theirs, rate, slack=2 * frames * rate // 50)


@pytest.mark.parametrize("milliseconds", [2.5, 5, 10, 20, 40, 60, 80, 100, 120])
def test_opus_frames_of_any_size(milliseconds: float) -> None:
    sent = tone(48000, 1.2)
    payloads = encoded("libopus", sent, 48000, frame_duration=f"{milliseconds:g}", application="audio")
    decoder = decoder_of(Codec("opus", 48000, 2))
    pieces = [decoder.decode(payload) for payload in payloads]
    assert {len(piece) for piece in pieces} == {round(48 * milliseconds)}
    heard = np.concatenate(pieces)[: len(sent)]
    # The encoder looks ahead by 6.5 ms or less.
    lag = int(np.argmax(np.correlate(heard[:4800].astype(float), sent[:4000].astype(float), "valid")))
    assert np.corrcoef(heard[lag : lag + 40000].astype(float), sent[:40000].astype(float))[0, 1] > 0.95


def test_opus_in_stereo_becomes_the_mean() -> None:
    import av  # noqa: PLC0415

    context = av.CodecContext.create("libopus", "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.format = 48000, "stereo", "s16"
    context.bit_rate = 128_000
    left, right = tone(48000, hertz=440), tone(48000, hertz=1000, peak=4000)
    both = np.stack([left, right], axis=1).reshape(1, -1)
    payloads = []
    for start in range(0, 48000, 960):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(both[:, 2 * start : 2 * start + 1920]), "s16", "stereo")
        frame.sample_rate, frame.pts = 48000, start
        payloads += [bytes(packet) for packet in context.encode(frame)]
    heard = decode(Codec("opus", 48000, 2), payloads).astype(float)
    mean = (left.astype(float) + right) / 2
    lag = int(np.argmax(np.correlate(heard[:4800], mean[:4000], "valid")))
    assert np.corrcoef(heard[lag : lag + 40000], mean[:40000])[0, 1] > 0.98
    assert 0.9 < np.std(heard[lag : lag + 40000]) / np.std(mean[:40000]) < 1.1


def test_opus_that_sends_nothing_lasts_as_long() -> None:
    payloads = encoded("libopus", tone(48000, 0.2), 48000)
    heard = decode(Codec("opus", 48000, 2), [*payloads, payloads[0][:1]])
    assert len(heard) == 960 * (len(payloads) + 1)


def dvi4_by_the_book(payload: bytes) -> list[int]:
    """RFC 3551, section 4.5.1 and the IMA's recommended practices, in plain Python."""
    steps = [7]
    index_of = (-1, -1, -1, -1, 2, 4, 6, 8)
    table = (
        "7 8 9 10 11 12 13 14 16 17 19 21 23 25 28 31 34 37 41 45 50 55 60 66 73 80 88 97 107 118 130 143 157 173 190 "
        "209 230 253 279 307 337 371 408 449 494 544 598 658 724 796 876 963 1060 1166 1282 1411 1552 1707 1878 2066 "
        "2272 2499 2749 3024 3327 3660 4026 4428 4871 5358 5894 6484 7132 7845 8630 9493 10442 11487 12635 13899 15289 "
        "16818 18500 20350 22385 24623 27086 29794 32767"
    )
    steps = [int(word) for word in table.split()]
    value, index = int.from_bytes(payload[:2], signed=True), payload[2]
    samples = []
    for octet in payload[4:]:
        for code in (octet >> 4, octet & 15):
            step = steps[index]
            change = step >> 3
            for bit, part in ((4, step), (2, step >> 1), (1, step >> 2)):
                change += part if code & bit else 0
            value = max(-32768, min(32767, value + (-change if code & 8 else change)))
            index = max(0, min(88, index + index_of[code & 7]))
            samples.append(value)
    return samples


@pytest.mark.parametrize("clock", [8000, 11025, 16000, 22050])
def test_dvi4_by_the_book(clock: int) -> None:
    codes = np.random.default_rng(clock).integers(0, 256, (20, 80), np.uint8)
    payloads = [bytes((at, 7 * at, 4 * at, 0)) + row.tobytes() for at, row in enumerate(codes)]
    decoder = decoder_of(Codec("DVI4", clock))
    assert decoder.rate == clock
    for payload in payloads:
        assert decoder.decode(payload).tolist() == dvi4_by_the_book(payload)
    assert len(decoder.decode(b"\0\0\x59\0" + bytes(80))) == 0
    assert decoder.bad == 1


def test_g728_lasts_as_long_as_its_frames() -> None:
    """libav's decoder is the only one at hand, so that only length and a well-behaved level can be held."""
    stream = np.random.default_rng(3).integers(0, 256, 5 * 80, np.uint8).tobytes()
    heard = decode(Codec("G728", 8000), [stream[at : at + 40] for at in range(0, 400, 40)])
    assert len(heard) == 80 * 20
    assert np.abs(heard).max() > 0


def test_linear_samples() -> None:
    assert decode(Codec("L16", 44100), [b"\x00\x01\x80\x00\x7f\xff"]).tolist() == [1, -32768, 32767]
    assert decode(Codec("L16", 44100, 2), [b"\x00\x02\x00\x04\x7f\xff\x7f\xff"]).tolist() == [3, 32767]
    assert decode(Codec("L8", 8000), [b"\x80\x00\xff"]).tolist() == [0, -32768, 32512]
    # ITU-T G.711: the codes of plus and minus the largest value, and of the smallest.
    assert decode(Codec("PCMU", 16000), [b"\x80\x00\xff\x7f"]).tolist() == [32124, -32124, 0, 0]
    assert decode(Codec("PCMA", 16000), [b"\xaa\x2a\xd5\x55"]).tolist() == [32256, -32256, 8, -8]


# --- G.729 annex B --------------------------------------------------------------------------------------------------


def test_g729_silence_descriptor_sounds_at_its_level() -> None:
    payloads = captured_payloads("codec-g729a", 18)[:40]
    heard = decode(Codec("G729", 8000), [*payloads, payloads[0][:10] + b"\x00\x14", *[b"\x00\x14"] * 99])
    assert len(heard) == 160 * 40 + 80 + 80 * 100
    noise = heard[-80 * 99 :].astype(float)
    # Gain index 10 is 24 dB: an RMS of 15.8.
    assert np.sqrt((noise**2).mean()) == pytest.approx(10 ** (24 / 20), rel=0.03)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.05


@pytest.mark.parametrize(
    ("index", "gain"), [(0, 2), (1, 5), (2, 8), (3, 13), (6, 50), (7, 64), (20, 1268), (31, 15962)]
)
def test_g729_silence_levels(index: int, gain: int) -> None:
    """The gains of annex B are tabled in eighths."""
    assert level(bytes((0, index << 1))) == pytest.approx(gain / 8, abs=0.08, rel=0.01)


# --- every decoder ----------------------------------------------------------------------------------------------------

_KEPT: dict[Codec, Decoder] = {}


def kept_decoder(codec: Codec) -> Decoder:
    return _KEPT.setdefault(codec, decoder_of(codec))


@pytest.mark.parametrize("codec", ALL, ids=lambda codec: "-".join(map(str, codec)))
@settings(max_examples=60, deadline=None)
@given(payloads=st.lists(st.binary(max_size=200), max_size=6))
def test_no_octets_raise(codec: Codec, payloads: list[bytes]) -> None:
    decoder = kept_decoder(codec)
    for payload in payloads:
        before = decoder.bad
        samples = decoder.decode(payload)
        assert samples.dtype == np.int16
        assert samples.ndim == 1
        assert decoder.bad == before or len(samples) == 0
    assert len(decoder.conceal(77)) == 77


@pytest.mark.parametrize(
    ("codec", "make"),
    [
        (Codec("GSM", 8000), lambda: [b"\xd0" * 33]),
        (Codec("G729", 8000), lambda: [b"\xd0" * 20]),
        (Codec("opus", 48000, 2), lambda: encoded("libopus", tone(48000, 0.1), 48000)),
        (Codec("AMR", 8000), lambda: [pack_bits((15, 4), (0, 1), (7, 4), (1, 1), (12345, 244))]),
    ],
    ids=lambda value: value.name if isinstance(value, Codec) else "",
)
def test_a_malformed_payload_loses_only_itself(codec: Codec, make: Callable[[], list[bytes]]) -> None:
    decoder = decoder_of(codec)
    good = make()[0]
    size = len(decoder.decode(good))
    assert size > 0
    assert len(decoder.decode(b"\xff" * 7)) == 0
    assert decoder.bad == 1
    assert len(decoder.decode(b"")) == 0
    assert decoder.bad == 1  # nothing is not malformed
    assert len(decoder.decode(good)) == size


@pytest.mark.parametrize(
    "codec", [Codec("G722", 8000), Codec("G726-32", 8000), Codec("G729", 8000), Codec("iLBC", 8000)]
)
def test_reset_forgets_the_stream(codec: Codec) -> None:
    stream = np.random.default_rng(5).integers(0, 256, (8, 100), np.uint8)
    decoder = decoder_of(codec)
    first = decoder.decode(stream[0].tobytes())
    for row in stream[1:]:
        decoder.decode(row.tobytes())
    assert not np.array_equal(decoder.decode(stream[0].tobytes()), first)
    decoder.reset()
    assert np.array_equal(decoder.decode(stream[0].tobytes()), first)


def test_amr_sizes_are_those_of_the_standard() -> None:
    # 12.2 kbit/s and 23.85 kbit/s for 20 ms.
    assert (NARROW_BITS[7], WIDE_BITS[8]) == (244, 477)
