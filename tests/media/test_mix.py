"""The C loop that adds packets to the time line: windows, bounds, saturation."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sipflow._fast import g711_decode, mix_codes, mix_placed
from sipflow.media.placed import PLACED

DATA = bytes(range(256)) * 2


def rows_of(*rows: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Rows of (start, offset, length, law)."""
    made = np.zeros(len(rows), PLACED)
    for name, values in zip(("start", "offset", "length", "law"), zip(*rows, strict=True), strict=True):
        made[name] = values
    return made.view(np.uint8)


@pytest.mark.parametrize("law", [0, 1])
@pytest.mark.parametrize("start", range(-30, 40, 7))
@pytest.mark.parametrize("frames", [1, 5, 64])
def test_a_window_shows_what_lies_in_it(law: int, start: int, frames: int) -> None:
    out = np.zeros((frames, 2), np.int16)
    assert mix_placed(rows_of((3, 16, 20, law)), DATA, start, out, 1) == 0
    line = {3 + i: sample for i, sample in enumerate(np.frombuffer(g711_decode(DATA[16:36], law), np.int16).tolist())}
    assert out[:, 1].tolist() == [line.get(start + i, 0) for i in range(frames)]
    assert not out[:, 0].any()


@pytest.mark.parametrize("start", range(-30, 40, 7))
def test_samples_decoded_before_are_taken_as_they_are(start: int) -> None:
    samples = np.arange(-1000, 1000, 50, dtype=np.int16)
    out = np.zeros((16, 1), np.int16)
    assert mix_placed(rows_of((3, 5, 20, 2)), samples.tobytes(), start, out, 0) == 0
    line = {3 + i: sample for i, sample in enumerate(samples[5:25].tolist())}
    assert out[:, 0].tolist() == [line.get(start + i, 0) for i in range(16)]


@pytest.mark.parametrize("start", range(-30, 40, 7))
def test_codes_are_copied(start: int) -> None:
    out = np.full((16, 2), 0xD5, np.uint8)
    assert mix_codes(rows_of((3, 16, 20, 1), (0, 0, 1, 2)), DATA, start, out, 1) == 1
    line = {3 + i: code for i, code in enumerate(DATA[16:36])}
    assert out[:, 1].tolist() == [line.get(start + i, 0xD5) for i in range(16)]
    assert (out[:, 0] == 0xD5).all()


def test_sums_saturate_both_ways() -> None:
    out = np.array([[32000], [-32000], [5]], np.int16)
    mix_placed(rows_of((0, 0x80, 1, 0), (1, 0, 1, 0), (2, 0xFF, 1, 0)), DATA, 0, out, 0)
    assert out[:, 0].tolist() == [32767, -32768, 5]


@pytest.mark.parametrize(
    "row",
    [
        (0, 512, 1, 0),
        (0, 0, 513, 0),
        (0, 511, 2, 0),
        (0, 2**32 - 1, 2**32 - 1, 0),
        (0, 256, 1, 2),
        (0, 255, 2, 2),
        (0, 0, 1, 3),
        (0, 0, 1, 255),
    ],
)
def test_a_row_outside_its_data_is_refused(row: tuple[int, int, int, int]) -> None:
    out = np.zeros((600, 1), np.int16)
    assert mix_placed(rows_of(row, (0, 511, 1, 1)), DATA, 0, out, 0) == 1
    assert np.count_nonzero(out) == 1


@pytest.mark.parametrize("start", [2**63 - 1, -(2**63), 2**62])
def test_starts_at_the_ends_of_time_are_just_elsewhere(start: int) -> None:
    out = np.zeros((600, 1), np.int16)
    assert mix_placed(rows_of((start, 0, 512, 0)), DATA, 0, out, 0) == 0
    assert not out.any()


def test_wrong_shapes_are_said() -> None:
    out = np.zeros((4, 1), np.int16)
    with pytest.raises(ValueError, match="channel: found 1; allowed: 0 to 0"):
        mix_placed(rows_of((0, 0, 1, 0)), DATA, 0, out, 1)
    with pytest.raises(ValueError, match="multiple of 24"):
        mix_placed(np.zeros(23, np.uint8), DATA, 0, out, 0)
