"""The fault suite: how long it runs, the shim it runs with, and what it tells at the end."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soak import tally
from soak.faults import Faults, build_shim
from soak.victim import Victim


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Tell whether the long form runs: hundreds of kills, minutes of load."""
    return bool(request.config.getoption("--soak-long")) or os.environ.get("SIPFLOW_SOAK") == "long"


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give shim.c compiled; without a compiler the tests that need it are skipped, but never in CI."""
    try:
        return build_shim(tmp_path_factory.mktemp("shim"))
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"SKIPPED fault injection: shim.c cannot be compiled: {error}")


@pytest.fixture
def faults(tmp_path: Path, shim: Path) -> Iterator[Faults]:
    """Give a control file without faults."""
    with Faults(tmp_path / "control", shim) as control:
        yield control


@pytest.fixture
def victim(tmp_path: Path, faults: Faults) -> Iterator[Victim]:
    """Give a server under the shim, not started yet."""
    with Victim(tmp_path / "data", "--flush-interval", "1", faults=faults) as server:
        yield server


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what this process survived to the one that tells it, where the tests are shared out."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["soak"] = (tally.ALL.lines, tally.ALL.struck, tally.ALL.ends)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take in what a process survived that ran a share of the tests."""
    tally.ALL.add(*getattr(node, "workeroutput", {}).get("soak", ([], 0, 0)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was survived, whether or not output is captured."""
    if tally.ALL.lines:
        terminalreporter.section("soak")
        for line in (*tally.ALL.lines, tally.ALL.summary()):
            terminalreporter.write_line(line)
