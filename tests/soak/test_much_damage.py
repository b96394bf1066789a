"""The long form of tests/query/test_damage.py: SIPFLOW_DAMAGES=5000 damages, each repaired."""

import os
from collections import Counter
from pathlib import Path

import pytest

from damage import ask, damages, every_call, make_root, try_damage

COUNT = int(os.environ.get("SIPFLOW_DAMAGES", "0"))


@pytest.mark.skipif(COUNT == 0, reason="the long form: set SIPFLOW_DAMAGES=5000")
@pytest.mark.timeout(0)
def test_every_damage_is_named_kept_apart_and_repaired(tmp_path: Path) -> None:
    root = make_root(tmp_path / "sound")
    sound = ask(root, every_call(root))
    done: Counter[str] = Counter()
    for damage in damages(root, COUNT, seed=COUNT):
        try:
            try_damage(root, sound, damage, tmp_path / "root", repair=True)
        except AssertionError as error:
            raise AssertionError(f"{damage}: {error}") from error
        done[f"{damage.file.name} {'cut' if damage.bit is None else 'flipped'}"] += 1
    assert sum(done.values()) == COUNT
    print(dict(done))  # noqa: T201 - what a long run is for
