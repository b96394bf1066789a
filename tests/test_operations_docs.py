"""docs/OPERATIONS.md names every setting with its option and default, and every metric."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from sipflow.archive.call_upload_queue import UploadCounts
from sipflow.config import Retention, Settings
from sipflow.server_options import parse_arguments
from sipflow.web.metrics import exposition, uploads_exposition
from sipflow.web.status import OpenBucket, RecorderSnapshot

PAGE = (Path(__file__).parents[1] / "docs" / "OPERATIONS.md").read_text("utf-8")
# Not settings: what the reading of the settings found.
FOUND = {"without_effect"}


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(title: str = "Settings") -> dict[str, tuple[str, str]]:
    """Read key, option and default."""
    found = re.findall(r"^\| `(\w+)` \| (\S*?) ?\| (.*?) \| \S", section(title), re.MULTILINE)
    return {key: (option.strip("`"), default) for key, option, default in found}


def test_every_setting_is_listed_in_order() -> None:
    assert list(rows()) == [field.name for field in fields(Settings) if field.name not in FOUND]


def test_every_limit_is_listed_in_order() -> None:
    assert list(rows("Retention")) == [field.name for field in fields(Retention)]


@pytest.mark.parametrize(("title", "defaults"), [("Settings", Settings()), ("Retention", Retention())])
def test_defaults_are_those_of_the_code(title: str, defaults: Settings | Retention) -> None:
    for key, (_, default) in rows(title).items():
        value = getattr(defaults, key)
        text = ",".join(str(one) for one in value) if type(value) is tuple else str(value)
        if value in (None, (), Retention()):
            assert "`" not in default, key
        else:
            assert default == f"`{text.lower() if isinstance(value, bool) else text}`", key


def test_every_option_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--help"])
    known = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
    listed = [*rows().values(), *rows("Retention").values()]
    options = {option for option, _ in listed if option}
    # Token and key must not show in a list of processes; aliases, upload and nodes are tables, and what all nodes have
    # in common (type, replicas, peer_timeout_ms) stands beside them.
    assert len(options) == len(listed) - 8
    assert options - known == set()


def test_metrics_are_those_that_are_exposed() -> None:
    snapshot = RecorderSnapshot(
        "0", 1, 0, 0, rejected={"truncated": 1}, dropped={"no_call_id": 1}, open_buckets=[OpenBucket("x")]
    )
    text = exposition(snapshot, 0) + uploads_exposition(UploadCounts(), 0)
    exposed = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    table = "\n".join(re.findall(r"^\| (`sipflow_.*?) \|", section("Metrics"), re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", table)) == exposed
