"""Damage, one place at a time: no answer differs without saying so, none holds another call's packets."""

from pathlib import Path

import pytest

from damage import Told, ask, damages, every_call, make_root, try_damage

FLIPS = 150
# A repair takes as long as all the rest: every so many-th damage is repaired.
REPAIRED = 5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("sound") / "root")


@pytest.fixture(scope="module")
def sound(root: Path) -> Told:
    told = ask(root, every_call(root))
    assert len(told.packets) > 20
    assert not any(told.faults.values())
    return told


@pytest.mark.parametrize("part", range(5))
def test_random_damage_is_named_and_kept_apart(root: Path, sound: Told, tmp_path: Path, part: int) -> None:
    for number, damage in enumerate(damages(root, FLIPS // 5, part)):
        try:
            try_damage(root, sound, damage, tmp_path / "root", repair=number % REPAIRED == 0)
        except AssertionError as error:
            raise AssertionError(f"{damage}: {error}") from error
