"""The audit of a catalog beside the questions."""

import threading
import time
from pathlib import Path

import pytest

from sipflow.query.answer import Fault
from sipflow.query.soundness import Soundness
from sipflow.query.whereabouts import Whereabouts
from sipflow.storage.catalog import Catalog
from sipflow.storage.index import Totals
from sipflow.storage.layout import CATALOG, DATA, DATABASE, HOUR_US, Period

PARTS = 150


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a catalog of so many fingerprints that an audit rests for seconds in all."""
    catalog = Catalog(tmp_path)
    for hour in range(PARTS):
        start = (480_000 + hour) * HOUR_US
        part = catalog.claim(Period((start, start + HOUR_US)))
        (tmp_path / part.path).mkdir(parents=True)
        for name in (DATABASE, DATA):
            (tmp_path / part.path / name).touch()
        catalog.made(part)
        calls = [f"{hour}-{n}" for n in range(2000)]
        catalog.sealed(part, Totals(len(calls), 0, 0, start, start + 1, 0), calls)
    catalog.close()
    return tmp_path


def opened(root: Path) -> int:
    """Count the descriptors of the catalog that this process has open."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            found += link.readlink() == root / CATALOG
        except OSError:
            continue  # it was that of the listing itself
    return found


def wait_for(count: int, root: Path) -> None:
    end = time.monotonic() + 60
    while opened(root) != count:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_who_closes_waits_for_no_audit_and_leaves_none_behind(root: Path) -> None:
    soundness = Soundness(at_once_octets=0)
    whereabouts = Whereabouts(root, soundness)
    faults: list[Fault] = []
    assert len(whereabouts.with_call("3-7", faults)) == 1
    wait_for(2, root)  # the question's and the audit's
    thread = next(one for one in threading.enumerate() if one.name == "soundness")
    soundness.close()
    whereabouts.close()
    thread.join(60)
    assert not thread.is_alive()
    assert opened(root) == 0
    # It ended in the middle: one that is through remembers what it found right.
    assert not whereabouts._audited
    assert faults == []


def test_an_audit_beside_questions_finds_what_is_wrong(root: Path) -> None:
    whole = Catalog(root)
    assert whole.audit() == ""
    with whole._file.transaction():
        whole._file.write("DELETE FROM call_prints WHERE part = 77 AND shard < 512")
    whole.close()
    soundness = Soundness(at_once_octets=0)
    whereabouts = Whereabouts(root, soundness)
    before: list[Fault] = []
    whereabouts.with_call("3-7", before)
    assert before == []
    assert soundness.settle(60)
    after: list[Fault] = []
    whereabouts.with_call("3-7", after)
    assert "the filter lacks calls of" in str(after)
    soundness.close()
    whereabouts.close()


def test_a_question_that_waits_for_an_audit_does_not_wait_for_rests(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    monkeypatch.setattr(time, "sleep", rests.append)
    soundness = Soundness(at_once_octets=1 << 40)
    whereabouts = Whereabouts(root, soundness)
    faults: list[Fault] = []
    assert len(whereabouts.with_call("3-7", faults)) == 1
    assert (faults, rests) == ([], [])
    soundness.close()
    whereabouts.close()
