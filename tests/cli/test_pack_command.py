"""`sipflow pack`: what it would do, what it does, what it leaves."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from answers import ask_all
from sample_root import make_sample
from sipflow.cli import main
from sipflow.storage.layout import DATA, HOLD
from sipflow.storage.sealed import packed_us

HOURS = [f"2026/06/01/{hour:02d}" for hour in range(3)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_sample(tmp_path / "root", hours=3)


def pack(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["pack", "--dir", str(root), *arguments])


def test_a_dry_run_changes_nothing(root: Path) -> None:
    (root / HOURS[1] / HOLD).touch()
    done = pack(root, "--dry-run")
    assert done.exit_code == 0
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [HOURS[0], HOURS[2], HOURS[1], str(root)]
    assert "would be packed" in done.stdout.splitlines()[0]
    assert "stays as it is: it is held by a file named hold" in done.stdout.splitlines()[2]
    assert done.stdout.endswith("2 to pack, 1 stay as they are\n")
    assert [packed_us(root / hour) for hour in HOURS] == [None] * 3


def test_all_are_packed_and_answer_the_same(root: Path) -> None:
    before = ask_all(root)
    done = pack(root)
    assert done.exit_code == 0
    assert done.stdout.count(": packed, ") == 3
    assert None not in [packed_us(root / hour) for hour in HOURS]
    assert ask_all(root) == before
    again = pack(root)
    assert again.stdout.count("stays as it is: it is packed") == 3


def test_only_those_named(root: Path) -> None:
    assert pack(root, HOURS[1]).exit_code == 0
    assert [packed_us(root / hour) is not None for hour in HOURS] == [False, True, False]
    wrong = pack(root, "2026/06/01/09")
    assert wrong.exit_code == 2
    assert "allowed: a sealed part" in wrong.stderr


def test_damage_is_told_and_costs_no_other(root: Path) -> None:
    data = root / HOURS[0] / DATA
    octets = bytearray(data.read_bytes())
    octets[80] ^= 1
    data.chmod(0o600)
    data.write_bytes(octets)
    data.chmod(0o400)
    done = pack(root, "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert [one["path"] for one in told["packed"]] == HOURS[1:]
    (left,) = told["left"]
    assert left["failed"] is True
    assert "block at octet 0" in left["why"]
    assert data.read_bytes() == octets


def test_a_root_without_a_catalog_is_no_empty_success(tmp_path: Path) -> None:
    done = pack(tmp_path)
    assert done.exit_code == 1
    assert "no such file" in done.stderr
