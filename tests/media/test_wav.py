"""What a person hears is what was sent, sample by sample, whatever the packets looked like."""

import io
import random
import struct
import tracemalloc
import wave
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from captured_rtp import rtp_chunks, truth_of
from chunks import T0_US, Rtp, make_chunk, make_chunks, make_key, talk
from sipflow.errors import NothingToPlay
from sipflow.media.codec import Codec, Payloads
from sipflow.media.holes import Gap
from sipflow.media.recording import Recording
from sipflow.media.wav import MAX_RIFF, WavFile
from sipflow.wire.packet import Chunk

# ITU-T G.711 in plain Python, so that the C tables are judged by something else.
MU_LAW = np.array(
    [(-1 if not code & 0x80 else 1) * ((((~code & 15) << 3) + 132 << ((~code >> 4) & 7)) - 132) for code in range(256)],
    np.int16,
)


def _a_law(code: int) -> int:
    code ^= 0x55
    chord, step = (code >> 4) & 7, code & 15
    size = (step << 4) + 8 if chord == 0 else ((step << 4) + 264) << (chord - 1)
    return size if code & 0x80 else -size


A_LAW = np.array([_a_law(code) for code in range(256)], np.int16)
# 97 is prime to every packet length here, so a misplaced packet never looks right.
AUDIO = bytes(np.random.default_rng(7).integers(0, 256, 8000 + 97, dtype=np.uint8))


def wav_of(
    call_id: str,
    chunks: Sequence[Chunk],
    payloads: Payloads | None = None,
    *,
    leg: int | None = None,
    faults: Sequence[str] = (),
) -> WavFile:
    """Make the file of a call."""
    return WavFile(Recording.open(call_id, chunks, payloads, leg=leg, faults=faults))


def samples_of(wav: WavFile) -> NDArray[np.int16]:
    """Read the file as any program would and give (samples, channels)."""
    with wave.open(io.BytesIO(wav.read()), "rb") as opened:
        assert (opened.getframerate(), opened.getsampwidth()) == (8000, 2)
        frames = opened.readframes(opened.getnframes())
        assert opened.getnframes() == wav.samples
    return np.frombuffer(frames, "<i2").reshape(-1, wav.recording.channels)


def play(packets: Sequence[Rtp], leg: int = 0) -> WavFile:
    """Make the file of one stream."""
    return wav_of("call@test", make_chunks(make_key(leg), packets, 7))


def left(wav: WavFile) -> NDArray[np.int16]:
    """Give the left channel; the right must be silent."""
    both = samples_of(wav)
    assert not both[:, 1].any()
    return both[:, 0]


def mu(audio: bytes) -> NDArray[np.int16]:
    """Decode mu-law."""
    return MU_LAW[np.frombuffer(audio, np.uint8)]


def a(audio: bytes) -> NDArray[np.int16]:
    """Decode A-law."""
    return A_LAW[np.frombuffer(audio, np.uint8)]


@pytest.mark.parametrize("samples", [80, 160, 240, 320, 480, [80, 480, 160], [240, 80], 1, 1400])
@pytest.mark.parametrize(("payload_type", "table"), [(0, MU_LAW), (8, A_LAW)])
def test_every_packet_time_gives_every_sample(
    samples: int | list[int], payload_type: int, table: NDArray[np.int16]
) -> None:
    wav = play(talk(AUDIO, samples=samples, payload_type=payload_type))
    assert np.array_equal(left(wav), table[np.frombuffer(AUDIO, np.uint8)])
    assert wav.recording.gaps() == []
    assert wav.completeness.complete
    assert wav.recording.start_us == T0_US


def test_known_codes() -> None:
    # quality.md 4.9; sums over all 256 codes
    assert [int(MU_LAW[code]) for code in (0x00, 0x80, 0x7F, 0xFF, 0x8F, 0xD5)] == [-32124, 32124, 0, 0, 16764, 716]
    assert [int(A_LAW[code]) for code in (0xD5, 0x55, 0xAA, 0x2A, 0x80, 0x00)] == [8, -8, 32256, -32256, 5504, -5504]
    every = bytes(range(256))
    assert int(np.abs(left(play(talk(every))).astype(int)).sum()) == 1_532_928
    assert int(np.abs(left(play(talk(every, payload_type=8))).astype(int)).sum()) == 1_564_672


def test_time_line_of_the_golden_example() -> None:
    # t0 1000.000 s; the stream's first packet 350 ms later with ts 160000; ts 161600 belongs at sample 4400
    t0 = 1_000_000_000
    chunks = [
        make_chunk(make_key(leg=1), [Rtp(t0, 1, 0, b"\xff" * 160)]),
        make_chunk(
            make_key(leg=0),
            [Rtp(t0 + 350_000, 1, 160_000, b"\x80"), Rtp(t0 + 551_234, 11, 161_600, b"\x00")],
        ),
    ]
    both = samples_of(wav_of("c", chunks))
    assert np.flatnonzero(both[:, 0]).tolist() == [2800, 4400]


@pytest.mark.parametrize("lost", [[0], [3], [5, 6, 7], [50], [0, 50], [1, 3, 5, 7]])
def test_a_lost_packet_is_silence_of_its_own_length_and_listed(lost: list[int]) -> None:
    packets = talk(AUDIO)
    kept = [packet for index, packet in enumerate(packets) if index not in lost]
    inner = [index for index in lost if 0 < index < len(packets) - 1]
    wav = play(kept)
    expected = mu(AUDIO).copy()
    for index in inner:
        expected[index * 160 : (index + 1) * 160] = 0
    begin = 160 if 0 in lost else 0
    stop = 50 * 160 if 50 in lost else len(AUDIO)
    assert np.array_equal(left(wav), expected[begin:stop])
    assert sum(gap.duration_us for gap in wav.recording.gaps()) == 20_000 * len(inner)
    assert {gap.reason for gap in wav.recording.gaps()} <= {"lost"}
    assert wav.completeness.lost_packets == len(inner)
    assert wav.completeness.complete == (not inner)


def test_order_of_arrival_does_not_matter() -> None:
    packets = talk(AUDIO)
    shuffled = []
    for at in range(0, len(packets), 5):
        part = packets[at : at + 5]
        random.Random(at).shuffle(part)
        # captured in this wrong order, 20 ms apart
        shuffled += [packet._replace(time_us=T0_US + (at + i) * 20_000) for i, packet in enumerate(part)]
    wav = play(shuffled)
    assert np.array_equal(left(wav), mu(AUDIO))
    assert wav.completeness.complete


def test_the_first_packet_may_come_second() -> None:
    packets = talk(AUDIO)
    packets[0], packets[1] = packets[1]._replace(time_us=T0_US), packets[0]._replace(time_us=T0_US + 20_000)
    assert np.array_equal(left(play(packets)), mu(AUDIO))


def test_duplicates_are_heard_once() -> None:
    twice = [copy for packet in talk(AUDIO) for copy in (packet, packet._replace(time_us=packet.time_us + 100))]
    wav = play(twice)
    assert np.array_equal(left(wav), mu(AUDIO))
    assert wav.recording.timeline.duplicates == 51


def test_two_capture_points_of_one_stream_are_heard_once() -> None:
    packets = talk(AUDIO)
    later = [packet._replace(time_us=packet.time_us + 3_000) for packet in packets]
    chunks = make_chunks(make_key(client_id=1), packets) + make_chunks(make_key(client_id=2), later)
    assert np.array_equal(left(wav_of("c", chunks)), mu(AUDIO))


def test_jittered_capture_moves_nothing() -> None:
    jitter = random.Random(3)
    packets = talk(AUDIO)
    moved = [
        packet._replace(time_us=packet.time_us + (jitter.randint(0, 60_000) if index else 0))
        for index, packet in enumerate(packets)
    ]
    wav = play(moved)
    assert np.array_equal(left(wav), mu(AUDIO))
    assert wav.recording.gaps() == []


def test_both_legs_keep_their_offset_and_have_one_length() -> None:
    other = AUDIO[::-1][:4000]
    chunks = make_chunks(make_key(leg=0, ssrc=1), talk(AUDIO))
    chunks += make_chunks(make_key(leg=1, ssrc=2), talk(other, samples=240, time_us=T0_US + 123_456, payload_type=8))
    wav = wav_of("c", chunks)
    both = samples_of(wav)
    at = round(123_456 / 125)
    assert np.array_equal(both[:, 0], mu(AUDIO))
    expected = np.zeros(len(AUDIO), np.int16)
    expected[at : at + len(other)] = a(other)
    assert np.array_equal(both[:, 1], expected)
    assert wav.recording.gaps() == [
        Gap(1, T0_US, at * 125, "starts-late"),
        Gap(1, T0_US + (at + 4000) * 125, (len(AUDIO) - at - 4000) * 125, "ends-early"),
    ]


def test_one_leg_alone_is_mono_on_the_same_time_line() -> None:
    chunks = make_chunks(make_key(leg=0, ssrc=1), talk(AUDIO))
    chunks += make_chunks(make_key(leg=1, ssrc=2), talk(AUDIO[:800], time_us=T0_US + 20_000))
    stereo = samples_of(wav_of("c", chunks))
    for leg in (0, 1):
        mono = wav_of("c", chunks, leg=leg)
        assert mono.recording.channels == 1
        assert np.array_equal(samples_of(mono)[:, 0], stereo[:, leg])


def test_an_unnamed_leg_is_left() -> None:
    both = samples_of(play(talk(AUDIO), leg=-1))
    assert np.array_equal(both[:, 0], mu(AUDIO))


def test_overlapping_streams_are_added_and_saturate() -> None:
    chunks = make_chunks(make_key(ssrc=1), talk(AUDIO)) + make_chunks(make_key(ssrc=2), talk(AUDIO[::-1]))
    total = mu(AUDIO).astype(int) + mu(AUDIO[::-1])
    assert np.abs(total).max() > 32767
    assert np.array_equal(left(wav_of("c", chunks)), np.clip(total, -32768, 32767))


def test_ssrc_change_goes_on_where_the_other_stopped() -> None:
    first, second = AUDIO[:4000], AUDIO[4000:]
    chunks = make_chunks(make_key(ssrc=1), talk(first))
    chunks += make_chunks(make_key(ssrc=2), talk(second, time_us=T0_US + 500_000, sequence=9, timestamp=77))
    wav = wav_of("c", chunks)
    assert np.array_equal(left(wav), mu(AUDIO))
    assert wav.recording.gaps() == []


def test_restart_within_one_ssrc_is_placed_by_capture_time() -> None:
    first, second = AUDIO[:4000], AUDIO[4000:]
    packets = talk(first) + talk(second, time_us=T0_US + 700_000, sequence=40_000, timestamp=123)
    wav = play(packets)
    expected = np.concatenate([mu(first), np.zeros(1600, np.int16), mu(second)])
    assert np.array_equal(left(wav), expected)
    assert wav.recording.gaps() == [Gap(0, T0_US + 500_000, 200_000, "restart")]


@pytest.mark.parametrize(("sequence", "timestamp"), [(65_530, 0), (7, 2**32 - 800), (65_500, 2**32 - 4321)])
def test_sequence_and_timestamp_wrap(sequence: int, timestamp: int) -> None:
    assert np.array_equal(left(play(talk(AUDIO, sequence=sequence, timestamp=timestamp))), mu(AUDIO))


def test_timestamps_drawn_anew_are_placed_by_capture_time() -> None:
    packets = talk(AUDIO)
    moved = [
        packet._replace(timestamp=packet.timestamp + (3_000_000_000 if index >= 20 else 0))
        for index, packet in enumerate(packets)
    ]
    assert np.array_equal(left(play(moved)), mu(AUDIO))


def test_one_broken_timestamp_spoils_one_packet_at_most() -> None:
    packets = talk(AUDIO)
    packets[20] = packets[20]._replace(timestamp=5)
    wav = play(packets)
    assert np.array_equal(left(wav), mu(AUDIO))


@pytest.mark.parametrize("held_ms", [260, 900, 2400, 60_000])
def test_a_network_stall_delays_no_audio(held_ms: int) -> None:
    # nothing for a while, then all of it at once, and on time again
    long = AUDIO * 2 if held_ms < 60_000 else AUDIO * 80
    packets = talk(long)
    end_us = packets[10].time_us + held_ms * 1000
    stalled = [
        packet._replace(time_us=max(packet.time_us, end_us + index * 10) if index >= 10 else packet.time_us)
        for index, packet in enumerate(packets)
    ]
    stalled.sort()
    wav = play(stalled)
    assert np.array_equal(left(wav), mu(long))


def test_a_pause_that_ends_in_a_burst_is_placed_by_the_packets_on_time() -> None:
    # the sender stood still for 3 s and its timestamps too; the first 50 packets after that came up to 1 s late
    first, second = AUDIO[:4000], AUDIO[4000:] * 4
    late = [
        packet._replace(time_us=max(packet.time_us, T0_US + 4_480_000 + index * 10))
        for index, packet in enumerate(talk(second, time_us=T0_US + 3_500_000, sequence=1025, timestamp=164_000))
    ]
    heard = left(play(talk(first) + late))
    assert np.array_equal(heard, np.concatenate([mu(first), np.zeros(24_000, np.int16), mu(second)]))


def test_one_packet_delayed_by_seconds_is_in_its_place() -> None:
    packets = talk(AUDIO * 4)
    packets[20] = packets[20]._replace(time_us=packets[20].time_us + 1_700_000)
    assert np.array_equal(left(play(packets)), mu(AUDIO * 4))


def test_hold_without_advancing_timestamps_keeps_its_time() -> None:
    first, second = AUDIO[:4000], AUDIO[4000:]
    packets = talk(first) + talk(second, time_us=T0_US + 5_500_000, sequence=1000 + 25, timestamp=160_000 + 4000)
    wav = play(packets)
    expected = np.concatenate([mu(first), np.zeros(40_000, np.int16), mu(second)])
    assert np.array_equal(left(wav), expected)
    assert wav.recording.gaps() == [Gap(0, T0_US + 500_000, 5_000_000, "pause")]


def test_many_short_pauses_do_not_add_up_between_the_legs() -> None:
    # ten times 0.4 s without advancing timestamps, as a softphone that drops what it could not send
    packets = talk(AUDIO * 10)
    paused = [packet._replace(time_us=packet.time_us + index // 50 * 400_000) for index, packet in enumerate(packets)]
    wav = play(paused)
    starts = wav.recording.timeline.tracks[0].placed["start"]
    assert starts.tolist() == [(packet.time_us - T0_US) // 125 for packet in paused]
    assert {(gap.duration_us, gap.reason) for gap in wav.recording.gaps()} == {(400_000, "pause")}


def test_heavy_jitter_is_no_pause() -> None:
    chance = random.Random(11)
    long = AUDIO * 20
    packets = [
        packet._replace(time_us=packet.time_us + (round(chance.expovariate(1 / 150_000)) if index else 0))
        for index, packet in enumerate(talk(long))
    ]
    packets.sort()
    wav = play(packets)
    assert np.array_equal(left(wav), mu(long))


def test_silence_suppression_keeps_its_time() -> None:
    first, second = AUDIO[:4000], AUDIO[4000:]
    packets = talk(first) + talk(second, time_us=T0_US + 5_500_000, sequence=1000 + 25, timestamp=160_000 + 44_000)
    wav = play(packets)
    assert np.array_equal(left(wav), np.concatenate([mu(first), np.zeros(40_000, np.int16), mu(second)]))
    assert [gap.reason for gap in wav.recording.gaps()] == ["pause"]
    assert wav.completeness.complete


def test_timestamps_that_stand_still_are_no_clock() -> None:
    long = AUDIO * 10
    wav = play([packet._replace(timestamp=9) for packet in talk(long)])
    assert np.array_equal(left(wav), mu(long))
    assert "no clock" in wav.completeness.text


def test_timestamps_of_a_doubled_clock_are_no_clock() -> None:
    long = AUDIO * 20
    wav = play([packet._replace(timestamp=2 * packet.timestamp) for packet in talk(long)])
    assert np.array_equal(left(wav), mu(long))


def test_a_drifting_sender_is_left_alone() -> None:
    # 300 ppm fast for two minutes: the audio stays whole, no cliff
    long = AUDIO * 118
    packets = talk(long)
    moved = [packet._replace(time_us=T0_US + round((packet.time_us - T0_US) * 1.0003)) for packet in packets]
    assert np.array_equal(left(play(moved)), mu(long))


def test_digits_are_silence_and_comfort_noise_is_noise_of_its_level() -> None:
    audio, tail = AUDIO[:1600], AUDIO[1600:3200]
    event = [
        Rtp(T0_US + 200_000 + i * 20_000, 1010 + i, 161_600, bytes([5, 10, 0, 160]), 101, marker=i == 0)
        for i in range(5)
    ]
    noise = [Rtp(T0_US + 500_000, 1025, 164_000, b"\x40", 13)]
    packets = (
        talk(audio)
        + event
        + talk(tail, time_us=T0_US + 300_000, sequence=1015, timestamp=162_400)
        + noise
        + talk(tail, time_us=T0_US + 600_000, sequence=1026, timestamp=164_800)
    )
    chunks = make_chunks(make_key(), packets, 4)
    wav = wav_of("c", chunks, {101: Codec("telephone-event", 8000)})
    expected = np.concatenate([mu(audio), np.zeros(800, np.int16), mu(tail), np.zeros(800, np.int16), mu(tail)])
    heard = left(wav).copy()
    noise_at = slice(2 * len(audio) + 800, 2 * len(audio) + 1600)
    # -64 dBov, evenly spread, is at most 36 (RFC 3389, section 3.1)
    assert 0 < np.abs(heard[noise_at]).max() <= 36
    heard[noise_at] = 0
    assert np.array_equal(heard, expected)
    assert [(gap.reason, gap.duration_us) for gap in wav.recording.gaps()] == [("telephone-event", 100_000)]
    assert wav.completeness.complete
    assert wav.completeness.undecoded == {"telephone-event": 5, "CN": 1}
    # Without SDP the same packets are silence as well, under the only name there is.
    unnamed = wav_of("c", chunks)
    heard = left(unnamed).copy()
    heard[noise_at] = 0
    assert np.array_equal(heard, expected)
    assert unnamed.completeness.undecoded == {"payload type 101": 5, "CN": 1}
    assert not unnamed.completeness.complete


def test_a_dynamic_type_is_what_sdp_says() -> None:
    chunks = make_chunks(make_key(), talk(AUDIO, payload_type=97))
    with pytest.raises(NothingToPlay, match=r"payload type 97 \(51 packets\)"):
        wav_of("c", chunks)
    assert np.array_equal(left(wav_of("c", chunks, {97: Codec("pcma", 8000)})), a(AUDIO))
    wide = wav_of("c", chunks, {97: Codec("PCMU", 16000)})
    assert wide.recording.rate == 16000
    assert np.array_equal(wide.recording.pcm(0, len(AUDIO))[:320, 0], mu(AUDIO[:320]))


def test_codec_change_within_a_stream() -> None:
    first, second = AUDIO[:4000], AUDIO[4000:]
    packets = talk(first) + talk(second, time_us=T0_US + 500_000, sequence=1025, timestamp=164_000, payload_type=8)
    assert np.array_equal(left(play(packets)), np.concatenate([mu(first), a(second)]))


def test_undecoded_end_of_a_leg_is_named() -> None:
    packets = talk(AUDIO[:1600]) + talk(
        AUDIO[1600:4800], time_us=T0_US + 200_000, sequence=1010, timestamp=161_600, payload_type=12
    )
    chunks = make_chunks(make_key(ssrc=1), packets) + make_chunks(make_key(leg=1, ssrc=2), talk(AUDIO))
    wav = wav_of("c", chunks)
    assert [gap.reason for gap in wav.recording.gaps()] == ["not-decoded"]
    assert wav.completeness.undecoded == {"QCELP": 20}
    assert "20 packets of QCELP are not decoded" in wav.completeness.text


def test_a_stray_packet_hours_later_makes_no_hours_of_file() -> None:
    late = T0_US + 10 * 3600 * 1_000_000
    chunks = make_chunks(make_key(), talk(AUDIO))
    chunks += make_chunks(make_key(ssrc=99), talk(AUDIO[:160], time_us=late))
    wav = wav_of("c", chunks)
    heard = left(wav)
    assert len(heard) == len(AUDIO) + 8000 + 160
    assert np.array_equal(heard[: len(AUDIO)], mu(AUDIO))
    assert np.array_equal(heard[-160:], mu(AUDIO[:160]))
    cut = next(gap for gap in wav.recording.gaps() if gap.reason == "cut")
    assert cut.leg is None
    assert cut.start_us == T0_US + len(AUDIO) * 125 + 1_000_000
    assert cut.start_us + cut.duration_us == late


def test_ten_minutes_of_silence_on_one_leg_are_kept() -> None:
    chunks = make_chunks(make_key(ssrc=1), talk(b"\xff" * 8000 * 700, samples=8000))
    chunks += make_chunks(make_key(leg=1, ssrc=2), talk(AUDIO) + talk(AUDIO, time_us=T0_US + 690_000_000, sequence=3))
    wav = wav_of("c", chunks)
    assert wav.samples == 8000 * 700
    assert {gap.reason for gap in wav.recording.gaps()} == {"restart", "ends-early"}


def test_forged_timestamps_cannot_ask_for_hours() -> None:
    # every packet claims half a second, captured within a second
    packets = [Rtp(T0_US + i * 1000, i, i * 4000, AUDIO[:160]) for i in range(1000)]
    assert play(packets).samples <= 8000 * 60
    # and one that claims 74 hours
    packets = [*talk(AUDIO), Rtp(T0_US + 1_000_000, 1051, 160_000 + 2**31 - 1, AUDIO[:160])]
    assert play(packets).samples < 8000 * 3


def test_more_than_a_riff_can_hold_is_cut_and_said() -> None:
    # forged captures 9 minutes apart, 300 of them: 45 hours
    packets = [Rtp(T0_US + i * 540_000_000, i, i * 4_320_000, AUDIO[:160]) for i in range(300)]
    wav = play(packets)
    assert wav.length_octets <= MAX_RIFF
    assert "a WAV file holds 4 GiB" in wav.completeness.text
    head = wav.read(0, wav.header_octets)
    assert struct.unpack("<I", head[4:8])[0] == wav.length_octets - 8
    assert len(wav.read(wav.length_octets - 10)) == 10


def test_clock_skew_uses_the_collectors_clock_for_the_whole_call() -> None:
    skewed = [packet._replace(arrival_us=packet.time_us, time_us=17) for packet in talk(AUDIO, time_us=T0_US + 500_000)]
    sound = [packet._replace(arrival_us=packet.time_us) for packet in talk(AUDIO)]
    chunks = [make_chunk(make_key(leg=1, ssrc=2), skewed, clock_skew=True), make_chunk(make_key(ssrc=1), sound)]
    both = samples_of(wav_of("c", chunks))
    assert np.array_equal(both[: len(AUDIO), 0], mu(AUDIO))
    assert np.array_equal(both[4000:, 1], mu(AUDIO))


def test_header_tells_what_it_is() -> None:
    wav = wav_of("a84b@h\r\nX", make_chunks(make_key(), talk(AUDIO)[:30]), faults=["2026/06/01/00: checksum"])
    head = wav.read(0, wav.header_octets)
    assert head[:4] == b"RIFF"
    assert head[8:16] == b"WAVEfmt "
    assert len(head) % 2 == 0
    chunks: dict[bytes, bytes] = {}
    at = 36
    while at < len(head) - 8:
        name, size = head[at : at + 4], struct.unpack("<I", head[at + 4 : at + 8])[0]
        chunks[name] = head[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    assert head[at : at + 4] == b"data"
    info = chunks[b"LIST"]
    assert info[:4] == b"INFO"
    assert b"INAM" in info
    assert b"a84b@h??X\0" in info
    assert b"2026-05-28T20:26:40.000000Z" in info
    assert b"could not be read: 2026/06/01/00: checksum" in info
    assert struct.unpack("<I", head[-4:])[0] == wav.samples * 4
    assert struct.unpack("<I", head[4:8])[0] == len(wav.read()) - 8


def test_any_range_is_a_slice_of_the_whole() -> None:
    chunks = make_chunks(make_key(ssrc=1), talk(AUDIO)) + make_chunks(make_key(leg=1, ssrc=2), talk(AUDIO[::-1]), 3)
    for leg in (None, 1):
        wav = wav_of("c", chunks, leg=leg)
        whole = wav.read()
        assert len(whole) == wav.length_octets
        spots = random.Random(1)
        for _ in range(200):
            start = spots.randint(0, len(whole) + 5)
            end = spots.randint(start, len(whole) + 5)
            assert wav.read(start, end) == whole[start:end]
        assert b"".join(wav.iterate(window_octets=997)) == whole
        assert wav.read(len(whole)) == b""


@pytest.mark.parametrize(
    ("chunks", "leg", "reason"),
    [
        ([], None, "no RTP of it was captured, only SIP"),
        (make_chunks(make_key(ssrc=None), [Rtp(T0_US, 0, 0, valid=False)]), None, "1 media datagrams are not RTP"),
        (make_chunks(make_key(), talk(AUDIO, payload_type=12)), None, r"found QCELP \(51 packets\)"),
        (make_chunks(make_key(), talk(AUDIO)), 1, "no RTP of leg 1 was captured, only of leg 0"),
        (make_chunks(make_key(), [Rtp(T0_US, 1, 1, b"")]), None, "carry no audio"),
    ],
)
def test_nothing_to_play_says_why(chunks: list[Chunk], leg: int | None, reason: str) -> None:
    with pytest.raises(NothingToPlay, match=reason):
        wav_of("call@test", chunks, leg=leg)


def test_rows_outside_their_data_are_not_read() -> None:
    chunk = make_chunk(make_key(), talk(AUDIO))
    chunk.rows["payload_offset"][5] = 2**32 - 1
    chunk.rows["payload_length"][7] = 2**31
    wav = wav_of("c", [chunk])
    expected = mu(AUDIO).copy()
    expected[800:960] = 0
    expected[1120:1280] = 0
    assert np.array_equal(left(wav), expected)


def test_thousands_of_forged_streams_are_bounded_and_named() -> None:
    chunks = make_chunks(make_key(ssrc=0), talk(AUDIO))
    chunks += [make_chunk(make_key(ssrc=i), [Rtp(T0_US + i, i, 0, b"\xff")]) for i in range(1, 1101)]
    wav = wav_of("c", chunks)
    assert np.array_equal(left(wav), mu(AUDIO))
    assert "101 packets left out" in wav.completeness.text
    assert not wav.completeness.complete


@pytest.mark.parametrize(("name", "table"), [("sipp-g711a", A_LAW), ("milliwatt-pcmu", MU_LAW)])
def test_a_captured_call_is_all_of_its_payload(name: str, table: NDArray[np.int16]) -> None:
    chunks = rtp_chunks(name, truth_of(name)["rtp_rfc3550"])
    audio = b"".join(
        chunk.data[row["payload_offset"] : row["payload_offset"] + row["payload_length"]]
        for chunk in chunks
        for row in chunk.rows
    )
    wav = wav_of(name, chunks)
    heard = left(wav)
    # milliwatt-pcmu leaves out one packet time itself: no number is missing, the timestamp skips 160
    for gap in reversed(wav.recording.gaps()):
        assert (gap.duration_us, gap.reason) == (20_000, "pause")
        at = (gap.start_us - wav.recording.start_us) // 125
        assert not heard[at : at + 160].any()
        heard = np.delete(heard, range(at, at + 160))
    assert np.array_equal(heard, table[np.frombuffer(audio, np.uint8)])
    assert wav.completeness.complete


def test_a_captured_call_with_bursts_keeps_both_legs_together() -> None:
    # 60 s in the file; leg 0 stood still ten times without advancing its timestamps, 4.3 s in all
    truth = truth_of("subscribe-notify-call")["rtp_rfc3550"]
    wav = wav_of("c", rtp_chunks("subscribe-notify-call", truth))
    ends = [truth[leg]["last_us"] - wav.recording.start_us for leg in (0, 1)]
    for track, end_us in zip(wav.recording.timeline.tracks, ends, strict=True):
        heard_us = int((track.placed["start"] + track.placed["length"]).max()) * 125
        assert abs(heard_us - 20_000 - end_us) < 1_000_000
    assert len(samples_of(wav)) == wav.samples


def test_one_hour_is_rendered_in_constant_memory() -> None:
    minute = np.random.default_rng(1).integers(0, 256, 480_000, dtype=np.uint8).tobytes()

    def peak(minutes: int) -> tuple[int, int]:
        chunks = []
        for leg in (0, 1):
            for at in range(minutes):
                part = talk(minute, time_us=T0_US + at * 60_000_000, sequence=at * 3000, timestamp=at * 480_000)
                chunks += make_chunks(make_key(leg=leg, ssrc=leg), part)
        tracemalloc.start()
        wav = wav_of("c", chunks)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        total = sum(len(piece) for piece in wav.iterate())
        _, top = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert total == wav.length_octets
        assert wav.samples == minutes * 480_000
        assert wav.recording.gaps() == []
        return top - held, held

    short, _ = peak(2)
    long, plan = peak(60)
    assert long < 2_000_000
    assert long < short + 300_000
    assert plan < 360_000 * 40
