"""docs/CAPTURE.md: its examples run and print what they should, and its settings load."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sipflow.mirror import Capture, RemoteSettings

PAGE = (Path(__file__).parents[1] / "docs" / "CAPTURE.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(TABLE,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_there_are_five() -> None:
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize(
    ("number", "prints"),
    [
        (0, ""),
        (1, "OPTIONS sip:bob@example.com SIP/2.0\nSIP/2.0 200 OK\n"),
        (2, "0 50 0\n1 50 0\n"),
        (3, "failed\n"),
    ],
    ids=["first", "asyncio", "threads", "tests"],
)
def test_an_example_runs(number: int, prints: str, tmp_path: Path) -> None:
    code = EXAMPLES[number].replace("recorder.example.com", "127.0.0.1")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stderr, sorted(done.stdout.splitlines())) == ("", sorted(prints.splitlines()))


def test_the_fixture_comes_with_the_package(tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(EXAMPLES[4])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_settings_load_and_are_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(TABLE)
    with Capture.from_config(file) as capture:
        assert capture._settings == RemoteSettings()
        assert [node and node.name for node in capture._cluster.nodes] == ["east", "west"]
    keys = set(tomllib.loads(TABLE)["sipflow"]) - {"type", "nodes"}
    assert keys == set(RemoteSettings.__struct_fields__) - {"token"}
