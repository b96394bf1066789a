"""The C loop that adds packets to the time line: windows, bounds, saturation."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sipflow._fast import g711_decode, mix_g711
from sipflow.media.placing import PLACED

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
    assert mix_g711(rows_of((3, 16, 20, law)), DATA, start, out, 1) == 0
    line = {3 + i: sample for i, sample in enumerate(np.frombuffer(g711_decode(DATA[16:36], law), np.int16).tolist())}
    assert out[:, 1].tolist() == [line.get(start + i, 0) for i in range(frames)]
    assert not out[:, 0].any()


def test_sums_saturate_both_ways() -> None:
    out = np.array([[32000], [-32000], [5]], np.int16)
    mix_g711(rows_of((0, 0x80, 1, 0), (1, 0, 1, 0), (2, 0xFF, 1, 0)), DATA, 0, out, 0)
    assert out[:, 0].tolist() == [32767, -32768, 5]


@pytest.mark.parametrize(
    "row", [(0, 512, 1, 0), (0, 0, 513, 0), (0, 511, 2, 0), (0, 2**32 - 1, 2**32 - 1, 0), (0, 0, 1, 2), (0, 0, 1, 255)]
)
def test_a_row_outside_its_data_is_refused(row: tuple[int, int, int, int]) -> None:
    out = np.zeros((600, 1), np.int16)
    assert mix_g711(rows_of(row, (0, 511, 1, 1)), DATA, 0, out, 0) == 1
    assert np.count_nonzero(out) == 1


@pytest.mark.parametrize("start", [2**63 - 1, -(2**63), 2**62])
def test_starts_at_the_ends_of_time_are_just_elsewhere(start: int) -> None:
    out = np.zeros((600, 1), np.int16)
    assert mix_g711(rows_of((start, 0, 512, 0)), DATA, 0, out, 0) == 0
    assert not out.any()


def test_wrong_shapes_are_said() -> None:
    out = np.zeros((4, 1), np.int16)
    with pytest.raises(ValueError, match="channel: found 1; allowed: 0 to 0"):
        mix_g711(rows_of((0, 0, 1, 0)), DATA, 0, out, 1)
    with pytest.raises(ValueError, match="multiple of 24"):
        mix_g711(np.zeros(23, np.uint8), DATA, 0, out, 0)
