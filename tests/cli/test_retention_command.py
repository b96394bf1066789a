"""sipflow retention: the plan is shown before anything goes, and what is shown is what is done."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from buckets import T0_US, hours, record
from sipflow.cli import main
from sipflow.clock import DAY_US, now_us
from sipflow.storage.layout import HOUR_US, find_buckets
from sipflow.storage.sweep import sweep_lock


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("retention") / "root"
    record(root, hours(3))
    return root


@pytest.fixture
def root(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "root"))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["retention", *(str(each) for each in arguments)])


def test_the_table_shows_path_action_octets_and_why(root: Path) -> None:
    done = run("--dir", root, "--rtp-bytes", "1", "--min-free", "none", "--dry-run")
    assert done.exit_code == 0
    head, *lines, last = done.stdout.splitlines()
    assert head.split() == ["PATH", "ACTION", "OCTETS", "WHY"]
    assert [line.split()[0] for line in lines] == [f"2024/10/04/0{n}" for n in range(3)]
    assert all("  erase RTP  " in line and line.endswith("  1B of RTP are kept") for line in lines)
    assert last.startswith(f"{root}: 3 parts, ")
    assert last.endswith(" to free")
    assert "is the clock right?" in done.stderr


def test_what_is_shown_is_done(root: Path, tmp_path: Path) -> None:
    age = (now_us() - T0_US) // HOUR_US - 1
    config = tmp_path / "sipflow.toml"
    config.write_text(f'[sipflow]\nroot = "{root}"\n[sipflow.retention]\nsip_age = "{age}h"\nmin_free = 0\n')
    shown = json.loads(run("--config", config, "--dry-run", "--json").stdout)
    assert (shown["applied"], shown["failures"]) == (False, [])
    assert {step["action"] for step in shown["steps"]} == {"delete"}
    assert 0 < len(shown["steps"]) < 3
    assert shown["octets"] == sum(step["octets"] for step in shown["steps"])
    assert len(list(find_buckets(root))) == 3
    done = json.loads(run("--config", config, "--json").stdout)
    assert done == {**shown, "applied": True}
    assert len(list(find_buckets(root))) == 3 - len(shown["steps"])
    assert json.loads(run("--config", config, "--json").stdout)["steps"] == []


def test_nothing_goes_without_a_limit(root: Path) -> None:
    done = run("--dir", root, "--min-free", "none")
    assert (done.exit_code, done.stdout) == (0, f"{root}: 0 parts, 0B freed\n")
    assert len(list(find_buckets(root))) == 3


def test_wrong_limits_are_refused_by_name(root: Path) -> None:
    done = run("--dir", root, "--sip-age", "soon")
    assert done.exit_code == 2
    assert done.stderr.startswith("sipflow: --sip-age: found 'soon'; allowed: ")


def test_a_directory_that_is_no_data_root_is_not_made_one(tmp_path: Path) -> None:
    done = run("--dir", tmp_path)
    assert done.exit_code == 1
    assert "catalog.db: no such file" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_beside_another_it_waits_for_a_better_time(root: Path) -> None:
    with sweep_lock(root):
        done = run("--dir", root, "--retention", "1h")
        reindexed = CliRunner().invoke(main, ["reindex", "--dir", str(root)])
    assert (done.exit_code, reindexed.exit_code) == (1, 1)
    assert "another process erases, deletes or reindexes here" in done.stderr
    assert len(list(find_buckets(root))) == 3


def test_limits_that_are_not_reached_are_told(root: Path) -> None:
    for path in find_buckets(root):
        (root / path / "hold").touch()
    done = run("--dir", root, "--retention", f"{(now_us() - T0_US) // DAY_US - 1}d", "--rtp-bytes", "1")
    assert done.exit_code == 0
    assert "of RTP are kept where 1B may be; what is left may not go: buckets with a file named hold" in done.stderr
