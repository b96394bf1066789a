"""Packing killed at any instant: the old pair of files or the new one, whole, and the next start goes on."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from answers import Answers, ask_all
from buckets import T0_US, call, record
from sipflow._fast import crc32c
from sipflow.storage.catalog import Catalog
from sipflow.storage.layout import PACKED, PACKING
from sipflow.storage.packed_part import take_over
from sipflow.storage.packing import pack_part
from sipflow.storage.seal import broken_seal
from sipflow.storage.swap import pair_of
from sipflow.storage.sweep import sweep_lock
from sipflow.storage.verify import find_all, verify_bucket, verify_catalog

HARNESS = Path(__file__).parent / "packing_killed.py"
BUCKET = "2024/10/04/00"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("packing") / "root"
    record(root, [one for n in range(3) for one in call(f"call-{n}", T0_US + n * 700_000, packets=150)])
    return root


@pytest.fixture(scope="module")
def answers(original: Path) -> Answers:
    return ask_all(original)


@pytest.fixture(scope="module")
def killed(original: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Copies of the root, each left by a process that was killed at another instant; the last one was not."""
    copies = tmp_path_factory.mktemp("killed")
    said = subprocess.run(
        [sys.executable, str(HARNESS), str(original), str(copies)], capture_output=True, text=True, check=True
    )
    found = sorted(copies.iterdir())
    assert len(found) == int(said.stdout)
    assert len(found) > 20
    return found


def _pair(root: Path) -> tuple[int, ...]:
    return tuple(crc32c(file.read_bytes()) for file in pair_of(root / BUCKET))


def test_what_is_left_is_one_pair_and_answers_the_same(killed: list[Path], original: Path, answers: Answers) -> None:
    old = _pair(original)
    states = []
    for root in killed:
        left = _pair(root)
        # Either file of the new pair differs from the old one: no mixture of them fits its seal.
        assert left == old or not set(left) & set(old), root.name
        assert broken_seal(root / BUCKET) == "", root.name
        assert ask_all(root) == answers, root.name
        states.append(left == old)
    assert states == sorted(states, reverse=True)
    assert {True, False} <= set(states)
    # Some were killed between the two renames.
    assert any(
        [(root / BUCKET / PACKED / name).exists() for name in ("data.raw", "sipflow.db")] == [False, True]
        for root in killed
    )


def test_the_next_start_goes_on(killed: list[Path], answers: Answers) -> None:
    for root in killed:
        with closing(Catalog(root)) as catalog, sweep_lock(root):
            take_over(catalog)
            (part,) = catalog.parts()
        assert not (root / BUCKET / PACKED).exists()
        assert not (root / BUCKET / PACKING).exists()
        if part.packed_us is None:
            assert pack_part(root, part) is not None
        assert ask_all(root) == answers, root.name
        known = find_all(root, [])
        assert [verify_bucket(root, path).findings for path in known] == [[]], root.name
        assert verify_catalog(root, known) == [], root.name
