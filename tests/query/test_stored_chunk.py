"""Media that stays where it is stored: the same packets, whatever was let go meanwhile."""

from pathlib import Path

import numpy as np
import pytest

from buckets import T0_US, call, record
from sipflow.errors import DamagedBlock
from sipflow.media.recording import Recording
from sipflow.query import history as history_module
from sipflow.query.history import History
from sipflow.query.stored_chunk import HeldContent, StoredChunk
from sipflow.storage.layout import DATA
from sipflow.wire.packet import RTP_ROW


def test_contents_are_read_again_when_they_were_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    record(root, call("a@h", T0_US, packets=1000))
    history = History.open(root)
    roomy = history.media("a@h").chunks
    monkeypatch.setattr(history_module, "HeldContent", lambda: HeldContent(1))
    tight = history.media("a@h").chunks
    history.close()
    assert len(tight) > 5
    assert all(isinstance(chunk, StoredChunk) for chunk in tight)
    for held, let_go in zip(roomy, tight, strict=True):
        heads = [(chunk.key, chunk.packets, chunk.first_us(), chunk.last_us) for chunk in (held, let_go)]
        assert heads[0] == heads[1]
        assert held.rows.tobytes() == let_go.rows.tobytes()
        assert held.data == let_go.data
    one, other = (Recording.open("a@h", chunks) for chunks in (roomy, tight))
    assert np.array_equal(one.pcm(0, one.samples), other.pcm(0, other.samples))


def test_what_is_damaged_after_it_was_found_is_an_error_not_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    record(root, call("a@h", T0_US, packets=1000))
    monkeypatch.setattr(history_module, "HeldContent", lambda: HeldContent(1))
    history = History.open(root)
    recording = Recording.open("a@h", history.media("a@h").chunks)
    history.close()
    data = next(root.rglob(DATA))
    data.chmod(0o600)
    with data.open("r+b") as file:
        file.write(bytes(data.stat().st_size))
    with pytest.raises(DamagedBlock):
        recording.pcm(0, recording.samples)


def test_held_contents_stay_within_their_room() -> None:
    held = HeldContent(10_000)
    file = object()
    for at in range(20):
        held.put((file, at), (np.zeros(10, RTP_ROW), bytes(1000)))  # type: ignore[arg-type]
    kept = [at for at in range(20) if held.get((file, at)) is not None]  # type: ignore[arg-type]
    assert kept == [15, 16, 17, 18, 19]
