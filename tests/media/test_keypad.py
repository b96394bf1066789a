"""Keys in a recording: the tone of an event where it was sent, silence where digits are hidden."""

import numpy as np

from chunks import T0_US, make_chunks, make_key, talk
from sipflow.media.always import Always
from sipflow.media.codec import Codec
from sipflow.media.keypad import silences, tones
from sipflow.media.recording import Recording
from sipflow.wire.packet import Chunk

SDP = Always({0: Codec("PCMU", 8000), 101: Codec("telephone-event", 8000)})
PRESSED_MS = 200
AT = 50  # packets of 20 ms before the key


def call() -> list[Chunk]:
    """Give two seconds of silence with the key 5 pressed after one, as RFC 4733 events that take the place of audio."""
    packets = talk(b"\xff" * 16_000, samples=160)
    steps = PRESSED_MS // 20
    for step in range(steps):
        packet = packets[AT + step]
        end = 0x80 if step == steps - 1 else 0
        report = bytes([5, end | 10]) + (160 * (step + 1)).to_bytes(2, "big")
        packets[AT + step] = packet._replace(payload=report, payload_type=101, timestamp=packets[AT].timestamp)
    return make_chunks(make_key(), packets)


def power_at(samples: np.ndarray, hertz: float) -> float:
    turn = np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / 8000)
    return float(np.abs((samples * turn).mean()))


def test_an_event_is_heard_where_it_was_sent() -> None:
    chunks = call()
    recording = Recording.open("c", chunks, SDP, overlays=tones(chunks, SDP))
    left = recording.pcm(0, recording.samples)[:, 0].astype(float)
    start, length = AT * 160, PRESSED_MS * 8
    key = left[start : start + length]
    # The row and the column of 5 (ITU-T Q.23), and hardly anything of another row.
    assert power_at(key, 770) > 500
    assert power_at(key, 1336) > 500
    assert power_at(key, 941) < power_at(key, 770) / 10
    assert np.abs(left[: start - 8]).max() < 20
    assert np.abs(left[start + length + 8 :]).max() < 20


def test_hidden_digits_are_not_heard() -> None:
    chunks = call()
    # The tone is in the audio as well, as gateways let it through.
    loud = make_chunks(make_key(), talk(bytes(range(256)) * 63, samples=160))
    quiet = silences(chunks, [], SDP)
    assert len(quiet) == 1
    assert quiet[0].from_us <= T0_US + AT * 20_000 < T0_US + AT * 20_000 + PRESSED_MS * 1000 <= quiet[0].to_us
    recording = Recording.open("c", loud, SDP, silences=quiet)
    left = recording.pcm(0, recording.samples)[:, 0]
    assert not left[AT * 160 : AT * 160 + PRESSED_MS * 8].any()
    assert left[: AT * 160 - 1600].any()
    assert recording.law is None
    # Any window of it, mixed too.
    mixed = Recording.open("c", loud, SDP, silences=quiet, mix=True)
    assert not mixed.pcm(AT * 160 + 3, AT * 160 + 50).any()
