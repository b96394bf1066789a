"""Places where tests keep what they share, and options of the whole suite."""

import sys
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no defect of what is tested.
settings.register_profile("sipflow", deadline=None)
settings.load_profile("sipflow")

sys.path.append(str(Path(__file__).parent / "server"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the fault suite run for as long as it takes to be sure."""
    parser.addoption("--soak-long", action="store_true", help="tests/soak: hundreds of kills, minutes of load")
