"""A file that is read again when reading fails: for a passing trouble, not for a dead disk."""

import os
import time
from collections.abc import Iterator

import pytest

from sipflow.storage.source import PATIENCE_SECONDS, PatientFile


@pytest.fixture
def dead() -> Iterator[int]:
    """Give a descriptor that cannot be read from at an offset: that of a pipe."""
    ends = os.pipe()
    yield ends[0]
    for end in ends:
        os.close(end)


def test_what_never_can_be_read_is_waited_for_no_longer_than_said(dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    file = PatientFile(dead)
    for offset in range(1000):
        with pytest.raises(OSError, match="Illegal seek"):
            file.read(offset, 1)
    assert 0 < sum(waited) <= PATIENCE_SECONDS
