"""Where the shared captures are; they are not part of the project, and tests that need them say so when they skip."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("SIPFLOW_CAPTURES", ROOT.parent / "shared" / "captures"))
LAB = SHARED.parent / "lab" / "results"
CAPTURES = sorted(SHARED.glob("*.pcap*")) + sorted(LAB.glob("*.pcap")) or [SHARED / "aaa.pcap"]


def need(path: Path) -> Path:
    """Give the path back, or skip when it is not there."""
    if not path.exists():
        pytest.skip(f"the shared captures are not here: {path}")
    return path
