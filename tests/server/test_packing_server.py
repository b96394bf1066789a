"""A running server packs what is sealed, and tells how far it is."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from answers import ask_all
from buckets import hours, record
from running import RunningServer
from sipflow.storage.layout import PACKED, PACKING


@pytest.fixture
def root(tmp_path: Path) -> Path:
    record(tmp_path / "root", hours(2))
    return tmp_path / "root"


def packing(server: RunningServer) -> dict[str, Any]:
    answer = httpx.get(f"{server.url}/health", headers={"Accept": "application/json"}, timeout=10)
    found: dict[str, Any] = answer.json()["packing"]
    return found


def test_health_and_metrics_tell_how_far_it_is(root: Path) -> None:
    before = ask_all(root)
    server = RunningServer(root)
    try:
        # On a machine that is busy with other things it says so, and waits.
        server.until(
            lambda: packing(server)["packed"] == 2 or packing(server)["paused"], "packing, or says why not", 60
        )
        state = packing(server)
        assert state["packed"] + state["waiting"] == 2
        assert (state["failures"], state["last_error"]) == (0, "")
        parts = server.metric("sipflow_parts_packed"), server.metric("sipflow_parts_waiting")
        assert sum(parts) == 2
    finally:
        server.stop()
    assert ask_all(root) == before
    assert [*root.rglob(PACKING), *root.rglob(PACKED)] == []


def test_it_can_be_turned_off(root: Path) -> None:
    server = RunningServer(root, "--no-pack")
    try:
        assert packing(server) == {
            "packed": 0, "waiting": 0, "left": 0, "now": "", "paused": "", "failures": 0, "last_error": "",
        }  # fmt: skip
    finally:
        server.stop()
