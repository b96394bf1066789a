"""Damage, one place at a time: no answer differs without saying so, none holds another call's packets."""

import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from damage import Damage, Told, ask, browse, copy_of, damages, every_call, inflict, make_root, run, says_so, try_damage
from sample_root import make_open, make_sample, write
from sipflow.errors import SipflowError, StorageError
from sipflow.query.answer import Criteria
from sipflow.query.history import History
from sipflow.query.soundness import Soundness
from sipflow.storage.layout import CATALOG, DATA, DATABASE
from sipflow.storage.mend import mend_root
from sipflow.storage.seal import read_seal, write_seal

FLIPS = 150
# A repair takes as long as all the rest: every so many-th damage is repaired.
REPAIRED = 5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("sound") / "root")


@pytest.fixture(scope="module")
def sound(root: Path) -> Told:
    told = ask(root, every_call(root))
    assert len(told.packets) > 20
    assert not any(told.faults.values())
    return told


@pytest.mark.parametrize("part", range(5))
def test_random_damage_is_named_and_kept_apart(root: Path, sound: Told, tmp_path: Path, part: int) -> None:
    for number, damage in enumerate(damages(root, FLIPS // 5, part)):
        try:
            try_damage(root, sound, damage, tmp_path / "root", repair=number % REPAIRED == 0)
        except AssertionError as error:
            raise AssertionError(f"{damage}: {error}") from error


@pytest.mark.parametrize("file", [DATA, DATABASE, CATALOG])
def test_every_path_of_http_says_what_could_not_be_read(tmp_path: Path, file: str) -> None:
    """A dozen flips each: what differs from the sound answer is partial or an error, on every path."""
    sound_root = make_sample(tmp_path / "sound", hours=2)
    call_id = "early-0"
    sound = browse(sound_root, call_id)
    assert {answer.status_code for answer in sound.values()} == {200}
    bucket = sound_root / "2026/06/01/00"
    target = (sound_root if file == CATALOG else bucket) / file
    size = target.stat().st_size
    said = 0
    for number in range(12):
        root = copy_of(sound_root, tmp_path / "root")
        place = Damage(target.relative_to(sound_root), size * number // 12 + number, number % 8)
        inflict(root, place)
        for path, answer in browse(root, call_id).items():
            assert answer.status_code in (200, 503), (place, path, answer.text)
            said += says_so(answer)
            if answer.content != sound[path].content:
                assert says_so(answer), (place, path, answer.text)
    assert said > 0


def in_place_of(bucket: Path) -> None:
    shutil.rmtree(bucket)
    bucket.write_bytes(b"")


WRECKS: dict[str, Callable[[Path], None]] = {
    "index empty": lambda bucket: write(bucket / DATABASE, b""),
    "index garbage": lambda bucket: write(bucket / DATABASE, b"garbage" * 999),
    "index missing": lambda bucket: (bucket / DATABASE).unlink(),
    "index cut": lambda bucket: write(bucket / DATABASE, (bucket / DATABASE).read_bytes()[:9000]),
    "index later": lambda bucket: write(bucket / DATABASE, version_of((bucket / DATABASE).read_bytes(), 99)),
    "data empty": lambda bucket: write(bucket / DATA, b""),
    "data missing": lambda bucket: (bucket / DATA).unlink(),
    "directory missing": shutil.rmtree,
    "directory a file": in_place_of,
}


def version_of(database: bytes, version: int) -> bytes:
    """Give an SQLite file another user_version."""
    return database[:60] + version.to_bytes(4, "big") + database[64:]


@pytest.mark.parametrize("wreck", WRECKS.values(), ids=WRECKS)
def test_a_wrecked_bucket_hides_nothing_of_the_others(tmp_path: Path, wreck: Callable[[Path], None]) -> None:
    root = make_sample(tmp_path / "root", hours=2)
    wreck(root / "2026/06/01/00")
    history = History.open(root)
    page = history.calls(Criteria())
    assert [call.call_id for call in page.calls][:2] == ["late-1", "early-1"]
    flow, media = history.flow("early-1"), history.media("early-1")
    assert (len(flow.messages), sum(len(chunk.rows) for chunk in media.chunks)) == (3, 200)
    assert flow.faults == media.faults == []
    data = root / "2026/06/01/00" / DATA
    answers = browse(root, "early-0")
    if data.exists() and data.stat().st_size == 0:
        answers.pop("/api/v1/calls")  # its index, which is sound, knows what the list needs
    else:
        assert {fault.where for fault in page.faults} == {"2026/06/01/00"}
    history.close()
    assert all(says_so(answer) for answer in answers.values()), {path: one.text for path, one in answers.items()}
    assert all(not says_so(answer) for answer in browse(root, "early-1").values())


def test_an_index_of_a_later_version_is_refused_in_a_sentence(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root", hours=2)
    WRECKS["index later"](root / "2026/06/01/00")
    history = History.open(root)
    (fault,) = history.calls(Criteria()).faults
    assert "index version 99 was written by a later sipflow; this one reads" in fault.what
    history.close()


def test_a_row_that_points_to_another_call_is_a_fault_and_shows_nothing_of_it(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root")
    bucket = root / "2026/06/01/00"
    for name in (DATA, DATABASE):
        (bucket / name).chmod(0o600)
    seal = read_seal(bucket / DATA)
    database = sqlite3.connect(bucket / DATABASE, isolation_level=None)
    database.execute(
        "UPDATE media_msgs SET block = (SELECT o.block FROM media_msgs o JOIN streams t ON t.id = o.stream "
        "WHERE t.call <> (SELECT call FROM streams s WHERE s.id = media_msgs.stream) LIMIT 1) WHERE id IN (1, 2)"
    )
    database.execute("UPDATE sip_msgs SET position = (SELECT position FROM sip_msgs o WHERE o.call <> sip_msgs.call)")
    database.close()
    write_seal(bucket, seal.blocks, seal.records)
    history = History.open(root)
    for call_id in ("early-0", "late-0"):
        flow, media = history.flow(call_id), history.media(call_id)
        assert {message.call_id for message in flow.messages} <= {call_id}
        assert {chunk.key.call_id for chunk in media.chunks} <= {call_id}
        assert any("points to another message" in fault.what for fault in flow.faults)
    faults = [fault for call_id in ("early-0", "late-0") for fault in history.media(call_id).faults]
    assert any("block at octet" in fault.what and "another chunk" in fault.what for fault in faults)
    history.close()


@pytest.mark.parametrize("catalog", [b"garbage" * 1000, b"", b"SQLite format 3\0"])
def test_without_a_catalog_that_can_be_believed_the_tree_is_walked(tmp_path: Path, catalog: bytes) -> None:
    root = make_sample(tmp_path / "root", hours=2)
    write(root / CATALOG, catalog)
    history = History.open(root)
    page = history.calls(Criteria())
    assert [call.call_id for call in page.calls] == ["late-1", "early-1", "late-0", "early-0"]
    (fault,) = page.faults
    assert (fault.where, "every bucket is asked instead" in fault.what) == (CATALOG, True)
    assert len(history.flow("early-0").messages) == 3
    with pytest.raises(StorageError):
        history.call("nobody")  # whether it is unknown nobody can tell
    history.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE call_prints SET prints = zeroblob(length(prints))",
        "DELETE FROM call_prints",
        "DELETE FROM parts WHERE id = 1",
        "UPDATE parts SET calls = 0 WHERE id = 1",
    ],
)
def test_a_catalog_that_lost_or_changed_a_row_is_not_believed(tmp_path: Path, statement: str) -> None:
    root = make_sample(tmp_path / "root", hours=2)
    database = sqlite3.connect(root / CATALOG, isolation_level=None)
    database.execute("DROP TRIGGER parts_changed")  # as a flipped bit, which tells nobody
    database.execute(statement)
    database.close()
    history = History.open(root)
    for call_id in ("early-0", "late-0", "early-1", "late-1"):
        flow = history.flow(call_id)
        assert len(flow.messages) == 3
        assert {fault.where for fault in flow.faults} == {CATALOG}
    assert len(history.calls(Criteria()).calls) == 4
    history.close()


def test_a_catalog_of_a_later_version_does_not_keep_a_reader_from_answering(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root")
    write(root / CATALOG, version_of((root / CATALOG).read_bytes(), 99))
    history = History.open(root)
    flow = history.flow("early-0")
    assert len(flow.messages) == 3
    assert "catalog version 99 was written by a later sipflow" in flow.faults[0].what
    history.close()


def test_a_catalog_that_was_made_anew_is_used_again_without_a_restart(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root")
    write(root / CATALOG, b"garbage" * 1000)
    history = History.open(root)
    assert history.flow("early-0").faults
    run("reindex", "--dir", root)
    assert history.flow("early-0").faults == []
    history.close()


def test_large_indexes_are_checked_beside_the_questions(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root")
    path = root / "2026/06/01/00" / DATABASE
    octets = path.read_bytes()
    write(path, octets[:-1] + bytes([octets[-1] ^ 1]))
    history = History.open(root)
    history._soundness = Soundness(at_once_octets=0)
    assert history.flow("early-0").faults == []
    assert history._soundness.settle(10)
    assert "is damaged" in history.flow("early-0").faults[0].what
    history.close()


def test_a_directory_that_may_not_be_read_is_named() -> None:
    """Outside of pytest's directories, which are root's alone: root itself must become somebody else."""
    base = Path(tempfile.mkdtemp(prefix="sipflow-test-"))
    try:
        root = make_sample(base / "root", hours=2)
        for path in (base, *root.rglob("*"), root):
            path.chmod(0o755 if path.is_dir() else 0o644)
        (root / "2026/06/01/00").chmod(0o000)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            for name in ("with the catalog", "without"):
                history = History.open(root)
                page = history.calls(Criteria())
                assert [call.call_id for call in page.calls] == ["late-1", "early-1"], name
                assert any("2026/06/01/00" in fault.where for fault in page.faults), name
                history.close()
                os.seteuid(user)
                (root / CATALOG).unlink(missing_ok=True)
                if user == 0:
                    os.seteuid(65534)
        finally:
            os.seteuid(user)
    finally:
        (base / "root/2026/06/01/00").chmod(0o700)
        shutil.rmtree(base)


def test_an_open_bucket_has_no_seal_and_still_shows_no_other_calls_packets(tmp_path: Path) -> None:
    sound_root = tmp_path / "sound"
    calls = [f"call-{n}" for n in range(12)]
    make_open(sound_root, calls)
    sound = ask(sound_root, calls)
    draw = random.Random(1)
    for number in range(60):
        root = copy_of(sound_root, tmp_path / "root")
        file = root / "2026/06/01/00" / (DATA, DATABASE)[number % 2]
        place = Damage(file.relative_to(root), draw.randrange(file.stat().st_size), draw.randrange(8))
        inflict(root, place)
        damaged = ask(root, calls)
        for call_id in calls:
            assert set(damaged.packets[call_id].messages) <= set(sound.packets[call_id].messages), place
        try:
            mend_root(root)
        except SipflowError:
            continue
        again = ask(root, calls)
        for call_id in calls:
            assert set(again.packets[call_id].messages) <= set(sound.packets[call_id].messages), place
