"""What is recorded while the disk is nearly full: media goes first, and nothing flutters."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipflow.errors import StorageError
from sipflow.storage.disk import LAST_OCTETS, RECOVERY, Disk, Pressure, complaint, disk_of, judge, lines_of

GB = 10**9
TOTAL, KEPT = 1000 * GB, 20 * GB


def test_media_stops_before_signalling_and_comes_back_later() -> None:
    lines = lines_of(KEPT, TOTAL)
    assert lines == (10 * GB, LAST_OCTETS)
    course = [
        (KEPT, Pressure.OK),
        (lines.no_rtp, Pressure.OK),
        (lines.no_rtp - 1, Pressure.NO_RTP),
        (lines.no_rtp + 1, Pressure.NO_RTP),
        (LAST_OCTETS - 1, Pressure.NOTHING),
        (LAST_OCTETS + 1, Pressure.NOTHING),
        (int(LAST_OCTETS * RECOVERY), Pressure.NO_RTP),
        (int(lines.no_rtp * RECOVERY), Pressure.OK),
        (0, Pressure.NOTHING),
        (KEPT, Pressure.OK),
    ]
    now = Pressure.OK
    for free, expected in course:
        now = judge(now, Disk(free, TOTAL), KEPT)
        assert now is expected, free


@given(st.integers(0, 10**13), st.integers(0, 10**13), st.integers(0, 10**12), st.sampled_from(Pressure))
def test_less_room_never_means_more_is_recorded(free: int, more: int, kept: int, before: Pressure) -> None:
    disk = Disk(free, 10**13)
    assert judge(before, disk, kept) >= judge(before, Disk(free + more, 10**13), kept)
    assert lines_of(kept, 10**13).nothing < lines_of(kept, 10**13).no_rtp


def test_a_small_empty_disk_records() -> None:
    for total in (1 << 20, 64 << 20, 1 << 30):
        assert judge(Pressure.NOTHING, Disk(total, total), total // 20) is Pressure.OK


def test_sentences_for_health() -> None:
    disk = Disk(3 * GB, TOTAL)
    assert complaint(Pressure.OK, disk, KEPT) == ""
    left = "recorded: 3GB left on the disk of the data; it goes on from"
    assert complaint(Pressure.NO_RTP, disk, KEPT) == f"RTP is not {left} 12.5GB"
    assert complaint(Pressure.NOTHING, disk, KEPT) == f"nothing is {left} 83.9MB"


def test_the_disk_is_asked(tmp_path: Path) -> None:
    disk = disk_of(tmp_path)
    assert 0 < disk.free <= disk.total
    with pytest.raises(StorageError, match="absent"):
        disk_of(tmp_path / "absent")
