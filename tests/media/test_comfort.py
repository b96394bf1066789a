"""Comfort noise has the level and the colour that its payload says, and is the same each time."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sipflow.media.comfort import ComfortNoise, white


def rms(samples: NDArray[np.int16]) -> float:
    return float(np.sqrt((samples.astype(float) ** 2).mean()))


def octet(reflection: float) -> int:
    """Quantise a coefficient (RFC 3389, section 3.2)."""
    return round(reflection * 32768 / 258) + 127


@pytest.mark.parametrize("level", [20, 40, 54, 70])
@pytest.mark.parametrize("shape", [b"", bytes((octet(-0.9), octet(0.5), octet(0.2)))])
def test_level(level: int, shape: bytes) -> None:
    noise = ComfortNoise(bytes((level,)) + shape, 1234).samples(0, 40000)
    assert 20 * np.log10(rms(noise) / 32767) == pytest.approx(-level, abs=0.2)


def test_the_upper_bit_of_the_level_means_nothing() -> None:
    assert ComfortNoise(b"\xa8", 1).level_dbov == -40


def test_white_without_coefficients() -> None:
    noise = ComfortNoise(b"\x1e", 99).samples(0, 40000).astype(float)
    power = (np.abs(np.fft.rfft(noise.reshape(-1, 400), axis=1)) ** 2).mean(axis=0)[5:-5]
    assert power.max() / power.min() < 4


@pytest.mark.parametrize("first", [-0.8, 0.8])
def test_one_coefficient_colours_as_an_all_pole_model_of_order_one(first: float) -> None:
    """A(z) = 1 + k z^-1: neighbouring samples correlate by -k."""
    noise = ComfortNoise(bytes((30, octet(first))), 7).samples(0, 80000).astype(float)
    assert np.corrcoef(noise[1:], noise[:-1])[0, 1] == pytest.approx(-first, abs=0.02)


def test_two_coefficients_follow_the_step_up_recursion() -> None:
    """k = (k1, k2) gives A(z) = 1 + k1 (1 + k2) z^-1 + k2 z^-2 (Levinson); the noise whitened by it is white again."""
    k1, k2 = (258 * (octet(value) - 127) / 32768 for value in (-0.6, 0.5))
    noise = ComfortNoise(bytes((25, octet(-0.6), octet(0.5))), 7).samples(0, 80000).astype(float)
    flat = noise[2:] + k1 * (1 + k2) * noise[1:-1] + k2 * noise[:-2]
    for lag in (1, 2, 3, 4):
        assert abs(np.corrcoef(flat[lag:], flat[:-lag])[0, 1]) < 0.02


def test_any_part_is_the_same_as_in_the_whole() -> None:
    noise = ComfortNoise(bytes((30, octet(-0.9), octet(0.3))), 555)
    whole = noise.samples(0, 4000)
    for start, stop in ((0, 160), (159, 161), (1234, 3999), (7, 7)):
        assert np.array_equal(noise.samples(start, stop), whole[start:stop])


def test_each_packet_is_another_noise_and_always_the_same() -> None:
    one, other = ComfortNoise(b"\x1e", 1000), ComfortNoise(b"\x1e", 1160)
    assert np.array_equal(one.samples(0, 800), ComfortNoise(b"\x1e", 1000).samples(0, 800))
    together = np.corrcoef(one.samples(0, 8000), other.samples(0, 8000))[0, 1]
    assert abs(together) < 0.05
    # Golden: SplitMix64 from state 0 begins with 0xE220A8397B1DCDAF, so the first place of seed 0 is that.
    assert white(0, 1)[0] == pytest.approx((2 * (0xE220A8397B1DCDAF / 2**64) - 1) * 3**0.5)


def test_nothing_is_silence_and_too_much_is_bounded() -> None:
    assert not ComfortNoise(b"", 1).samples(0, 160).any()
    wild = ComfortNoise(b"\x14" + b"\xff\x00" * 700, 1).samples(0, 1600)
    assert rms(wild) <= 32767
