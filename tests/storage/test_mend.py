"""What a start mends: catalog, open buckets and pool; and what it refuses in a sentence."""

import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from capture_writer import sip
from damage import run
from running import RunningServer
from sample_root import make_open, make_sample, write
from sipflow._fast import POOL_VERSION
from sipflow.clock import now_us
from sipflow.errors import RootBusy, StorageError
from sipflow.importer import import_files
from sipflow.query.answer import Criteria
from sipflow.query.history import History
from sipflow.storage.bucket import Bucket
from sipflow.storage.catalog import Catalog
from sipflow.storage.layout import CATALOG, DATA, DATABASE
from sipflow.storage.mend import Completion, mend_root
from sipflow.storage.store import RootLock, pool_path
from sipflow.wire.datagram import encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

BUCKET = "2026/06/01/00"
ENDS = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)


def options(call_id: str) -> bytes:
    return encode_packet(
        Packet(Kind.SIP, *ENDS, now_us(), sip("OPTIONS sip:b@example.com SIP/2.0", call_id, "1 OPTIONS"))
    )


def asides(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if ".damaged-" in path.name]


def found(root: Path) -> list[str]:
    history = History.open(root)
    page = history.calls(Criteria())
    history.close()
    assert page.faults == []
    return [call.call_id for call in page.calls]


@pytest.mark.parametrize("catalog", ["garbage", "empty", "missing", "without a part"])
def test_a_server_starts_over_a_damaged_catalog_and_renews_it(tmp_path: Path, catalog: str) -> None:
    root = make_sample(tmp_path / "root", hours=2)
    path = root / CATALOG
    if catalog == "missing":
        path.unlink()
    elif catalog == "without a part":
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("DELETE FROM call_prints WHERE part = 1")
        database.close()
    else:
        write(path, b"" if catalog == "empty" else b"garbage" * 5000)
    with RunningServer(root) as server:
        server.send(options("new"))
        server.until(lambda: server.get("/flow", callid="new").json()["flow"], "stored")
        answer = server.get("/flow", callid="early-0").json()
        assert (len(answer["flow"]), answer["partial"]) == (3, False)
        server.until(lambda: states(root).count("sealed") == 2, "listed again")
    assert (
        "the filter of the catalog was damaged" if catalog == "without a part" else "the catalog was damaged"
    ) in server.log.read_text()
    kept = 0 if catalog in ("missing", "without a part") else 1
    assert len([name for name in asides(root) if not name.endswith("-wal")]) == kept
    assert set(found(root)) == {"new", "early-0", "late-0", "early-1", "late-1"}
    assert run("verify", "--dir", root)[0] == 0


def states(root: Path) -> list[str]:
    catalog = Catalog(root, readonly=True)
    try:
        return [part.state for part in catalog.parts()]
    finally:
        catalog.close()


def test_a_server_refuses_a_catalog_of_a_later_version(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root")
    octets = (root / CATALOG).read_bytes()
    write(root / CATALOG, octets[:60] + (99).to_bytes(4, "big") + octets[64:])
    server = RunningServer(root, wait=False)
    assert server.ended() == 1
    said = server.log.read_text()
    assert "catalog version 99 was written by a later sipflow, this one reads" in said
    assert "Traceback" not in said
    assert asides(root) == []


@pytest.mark.parametrize("index", ["empty", "missing", "garbage", "cut"])
def test_an_open_bucket_whose_index_is_lost_keeps_its_data(tmp_path: Path, index: str) -> None:
    root = tmp_path / "root"
    directory = make_open(root, ["one", "two", "three"])
    path = directory / DATABASE
    data = (directory / DATA).read_bytes()
    if index == "missing":
        path.unlink()
    else:
        octets = path.read_bytes()
        write(path, {"empty": b"", "garbage": b"x" * 9999, "cut": octets[: len(octets) // 2]}[index])
    if index in ("empty", "missing"):
        with pytest.raises(StorageError, match="missing or empty, and its data is not"):
            Bucket(directory)
    lock = RootLock(root)
    mend_root(root)
    lock.close()
    assert (directory / DATA).read_bytes() == data
    assert sorted(found(root)) == ["one", "three", "two"]
    # The recorder goes on where it was.
    make_open(root, ["four"])
    assert sorted(found(root)) == ["four", "one", "three", "two"]
    assert run("verify", "--dir", root)[0] == 0


def test_an_open_bucket_whose_data_was_cut_is_written_on_behind_what_is_left(tmp_path: Path) -> None:
    root = tmp_path / "root"
    directory = make_open(root, ["one", "two"])
    octets = (directory / DATA).read_bytes()
    (directory / DATA).write_bytes(octets[: len(octets) - 9])
    mend_root(root)
    make_open(root, ["four"])
    left = found(root)
    assert "four" in left
    assert len(left) == 2


def test_an_open_bucket_that_cannot_be_mended_is_left_to_readers(tmp_path: Path) -> None:
    root = tmp_path / "root"
    directory = make_open(root, ["one"])
    (directory / DATA).unlink()
    mend_root(root)
    assert states(root) == ["unlisted"]
    make_open(root, ["two"])
    history = History.open(root)
    page = history.calls(Criteria())
    assert [call.call_id for call in page.calls] == ["two"]
    assert {fault.where for fault in page.faults} == {BUCKET}
    assert {fault.where for fault in history.flow("one").faults} == {BUCKET}
    history.close()


def test_a_bucket_sealed_as_its_process_ended_is_not_opened_again(tmp_path: Path) -> None:
    root = tmp_path / "root"
    Bucket(make_open(root, ["one"])).seal()
    assert states(root) == ["open"]
    mend_root(root)
    completion = Completion(root)
    completion.start()
    completion.join()
    assert states(root) == ["sealed"]
    make_open(root, ["two"])
    assert (root / BUCKET / "part-0001" / DATABASE).exists()
    assert sorted(found(root)) == ["one", "two"]


def test_an_import_renews_the_catalog_too_unless_a_server_writes_there(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root")
    write(root / CATALOG, b"garbage" * 5000)
    lock = RootLock(root)
    with pytest.raises(RootBusy):
        import_files([tmp_path / "sample.pcap"], root)
    lock.close()
    import_files([tmp_path / "sample.pcap"], root)
    assert states(root) == ["sealed", "sealed"]
    assert run("verify", "--dir", root)[0] == 0


def killed_with_packets(root: Path) -> Path:
    """Kill a server that holds a packet in its pool; gives the pool."""
    server = RunningServer(root)
    server.send(options("kept"))
    server.until(lambda: server.metric("sipflow_packets_received_total") == 1, "received")
    server.stop(signal.SIGKILL)
    pool = pool_path(root)
    assert pool is not None
    return pool


@pytest.mark.parametrize(("offset", "octets"), [(0, b"garbage!"), (12, b"\xff\xff"), (24, b"\xff\xff\xff")])
def test_a_damaged_pool_is_moved_aside_and_recording_begins(tmp_path: Path, offset: int, octets: bytes) -> None:
    root = tmp_path / "root"
    pool = killed_with_packets(root)
    with pool.open("r+b") as file:
        file.seek(offset)
        file.write(octets)
    with RunningServer(root) as server:
        server.send(options("after"))
        server.until(lambda: server.get("/flow", callid="after").json()["flow"], "recording")
        assert "the pool was damaged" in server.log.read_text()
    assert len(asides(root / ".pool")) == 1
    assert not pool.exists()
    assert found(root) == ["after"]


def test_a_pool_of_a_later_version_is_refused_and_kept(tmp_path: Path) -> None:
    root = tmp_path / "root"
    pool = killed_with_packets(root)
    with pool.open("r+b") as file:
        file.seek(8)
        file.write((POOL_VERSION + 1).to_bytes(4, "little"))
    server = RunningServer(root, wait=False)
    assert server.ended() == 1
    said = server.log.read_text()
    assert f"left by a later sipflow (pool version {POOL_VERSION + 1}, this one reads {POOL_VERSION})" in said
    assert "Traceback" not in said
    with pool.open("r+b") as file:
        file.seek(8)
        file.write(POOL_VERSION.to_bytes(4, "little"))
    with RunningServer(root) as server:
        server.until(lambda: server.get("/flow", callid="kept").json()["flow"], "replayed")


def test_an_import_seals_every_bucket_however_many(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root", hours=12)
    assert states(root) == ["sealed"] * 12
    assert run("verify", "--dir", root)[0] == 0


def test_what_a_killed_import_left_becomes_the_recorders(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_open(root, ["one"])
    database = sqlite3.connect(root / CATALOG, isolation_level=None)
    database.execute("UPDATE parts SET owner = ?", [dead_process()])
    database.close()
    mend_root(root)
    make_open(root, ["two"])
    assert states(root) == ["open"]
    assert sorted(found(root)) == ["one", "two"]


def dead_process() -> int:
    """Give the id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_damaged_filter_is_made_anew_beside_and_costs_nothing_else(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root", hours=3)
    catalog = Catalog(root)
    (gone, *_) = catalog.parts()
    calls = [f"early-{hour}" for hour in range(3)]
    (expired,) = [call for call in calls if gone in catalog.parts_with(call)]
    catalog.deleting(gone, 1, [expired])
    shutil.rmtree(root / gone.path)
    catalog.deleted(gone)
    catalog.close()
    database = sqlite3.connect(root / CATALOG, isolation_level=None)
    database.execute("UPDATE call_prints SET prints = zeroblob(length(prints)) WHERE part = 1")
    database.close()
    mend_root(root, filters=False)
    assert states(root) == ["sealed", "sealed"]  # a start waits for no filter
    completion = Completion(root)
    completion.start()
    completion.join()
    catalog = Catalog(root, readonly=True)
    assert catalog.audit() == ""
    assert [len(catalog.parts_with(call)) for call in calls if call != expired] == [1, 1]
    assert [part.id for part in catalog.expired_with(expired)] == [gone.id]
    catalog.close()
    assert asides(root) == []
