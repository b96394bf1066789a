"""The sound of a key: two frequencies, the event's power, soft edges, any window."""

import numpy as np
import pytest

from chunks import T0_US
from media.dual_tone import COLUMNS, PAD, ROWS, spoken
from sipflow.media.digit import Digit, Source
from sipflow.media.inband import heard
from sipflow.media.tone import length, samples
from sipflow.wire.endpoint import Endpoint


def key(symbol: str, milliseconds: float | None = 1000.0, volume: int | None = -10) -> Digit:
    return Digit(symbol, T0_US, milliseconds, Source.RFC4733, 0, Endpoint("192.0.2.1", 1), volume_dbm0=volume)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("symbol", PAD)
def test_two_frequencies_and_no_other(symbol: str, rate: int) -> None:
    second = samples(key(symbol, 1200.0), rate, rate // 10, rate // 10 + rate)  # between the edges: bins of 1 Hz
    power = np.abs(np.fft.rfft(second.astype(float))) ** 2
    row, column = divmod(PAD.index(symbol), 4)
    assert power[[ROWS[row], COLUMNS[column]]].sum() > 0.9999 * power.sum()
    assert power[ROWS[row]] == pytest.approx(power[COLUMNS[column]], rel=0.001)


@pytest.mark.parametrize("volume", [0, -3, -10, -30, -63])
def test_power_is_the_events(volume: int) -> None:
    """0 dBm0 is a sine 3.17 dB below the peak of mu-law, 32124."""
    middle = samples(key("5", volume=volume), 8000).astype(float)[800:-800]
    level = 20 * np.log10(np.sqrt(np.mean(middle**2)) / (32124 / np.sqrt(2))) + 3.17
    assert level == pytest.approx(volume, abs=0.5 if volume == -63 else 0.05)


def test_it_does_not_clip_and_has_a_default() -> None:
    assert np.abs(samples(key("1", volume=0), 8000).astype(int)).max() < 32767
    assert np.array_equal(samples(key("1", volume=None), 8000), samples(key("1", volume=-10), 8000))


def test_edges_are_soft_and_alike() -> None:
    envelope = np.abs(samples(key("1", 100.0), 48000).astype(int))
    assert envelope[:24].max() < 0.05 * envelope.max()
    assert envelope[-24:].max() < 0.05 * envelope.max()


@pytest.mark.parametrize(
    ("lasted", "expected"), [(100.0, 800), (3.33, 320), (0.0, 320), (None, 800), (65_535.0, 524_280)]
)
def test_length(lasted: float | None, expected: int) -> None:
    assert length(key("1", lasted), 8000) == expected == len(samples(key("1", lasted), 8000))


def test_any_window_is_the_same_sound() -> None:
    digit = key("9", 150.0)
    whole = samples(digit, 16000)
    for start, stop in [(0, 1), (-5, 40), (39, 2000), (2399, 9000), (2400, 2500), (100, 50)]:
        assert np.array_equal(samples(digit, 16000, start, stop), whole[max(start, 0) : max(stop, 0)])
    hours = key("9", 4 * 3_600_000.0)
    assert len(samples(hours, 8000, 50_000_000, 50_000_160)) == 160


@pytest.mark.parametrize("symbol", ["flash", "CNG", "event 238", "•", ""])
def test_what_is_no_key_is_silent(symbol: str) -> None:
    assert length(key(symbol), 8000) == len(samples(key(symbol), 8000)) == 0


def test_the_receiver_hears_it() -> None:
    for symbol in PAD:
        silence = np.zeros(400)
        sound = np.concatenate([silence, samples(key(symbol, 60.0, -20), 8000), silence])
        assert [(one.symbol, one.volume_dbm0) for one in heard(spoken(sound))] in ([(symbol, -20)], [(symbol, -21)])
