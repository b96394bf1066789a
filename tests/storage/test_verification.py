"""`sipflow verify`: every damage has its line, a sound root has none, and a running server is no hindrance."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from capture_writer import sip
from damage import run
from older import write_v1
from running import RunningServer
from sample_root import make_open, make_sample, write
from sipflow._fast import block_header_decode, crc32c
from sipflow.clock import now_us
from sipflow.storage.block import Block, iter_blocks
from sipflow.storage.bucket import Bucket
from sipflow.storage.call_hash import call_hash
from sipflow.storage.catalog import Catalog
from sipflow.storage.catalog_schema import ADDED_2, ADDED_3
from sipflow.storage.contents import Contents
from sipflow.storage.layout import CATALOG, DATA, DATABASE
from sipflow.storage.seal import SEAL_LENGTH, read_seal, write_seal
from sipflow.storage.verify import LOST, NEW_CATALOG, REINDEX, RESEAL, verify_bucket
from sipflow.wire.datagram import encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

BUCKET = "2026/06/01/00"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("verify") / "root", hours=2)


@pytest.fixture
def root(sample: Path, tmp_path: Path) -> Path:
    shutil.copytree(sample, tmp_path / "root")
    return tmp_path / "root"


def blocks_of(root: Path) -> list[Block]:
    return [found for found in iter_blocks(root / BUCKET / DATA) if isinstance(found, Block)]


def change_index(root: Path, *statements: str) -> None:
    """Change the index of a sealed bucket as a faulty writer might have, and seal it as it is then."""
    directory = root / BUCKET
    seal = read_seal(directory / DATA)
    for name in (DATA, DATABASE):
        (directory / name).chmod(0o600)
    database = sqlite3.connect(directory / DATABASE, isolation_level=None)
    for statement in statements:
        database.execute(statement)
    database.close()
    write_seal(directory, seal.blocks, seal.records)
    for name in (DATA, DATABASE):
        (directory / name).chmod(0o400)


def findings(root: Path, *buckets: str) -> list[dict[str, object]]:
    status, output = run("verify", "--dir", root, "--json", *buckets)
    report = json.loads(output)
    assert status == (0 if report["sound"] else 1)
    assert report["sound"] == (report["findings"] == [])
    found: list[dict[str, object]] = report["findings"]
    return found


def test_a_sound_root_is_sound(root: Path) -> None:
    status, output = run("verify", "--dir", root)
    assert status == 0
    (line,) = output.splitlines()
    assert line.startswith(f"{root}: 2 buckets (0 open), ")
    assert f" blocks, {2 * 2 * (3 + 200)} records, " in line
    assert line.endswith("verified: sound")
    assert findings(root) == []
    assert findings(root, BUCKET) == []


def test_a_wrong_order_ends_with_2(root: Path) -> None:
    for arguments in (["--dir", root / "nothing"], ["--dir", root, "2026/06/01/07"], ["--dir", root, ".."], ["--bad"]):
        status, output = run("verify", *arguments)
        assert status == 2, output
        assert "Traceback" not in output


@pytest.mark.parametrize("cut", ["at the seal", "inside the seal", "at a block", "inside a block", "at the start"])
def test_a_cut_is_noticed_wherever_it_is(root: Path, cut: str) -> None:
    path = root / BUCKET / DATA
    octets = path.read_bytes()
    blocks = blocks_of(root)
    last = blocks[-1]
    end = {"at the seal": len(octets) - SEAL_LENGTH, "inside the seal": len(octets) - 5, "at a block": last.offset,
           "inside a block": last.offset + 70, "at the start": 0}[cut]  # fmt: skip
    write(path, octets[:end])
    found = findings(root)
    assert all(one["file"] == f"{BUCKET}/{DATA}" for one in found)
    assert found[0]["remedy"] == RESEAL
    lost = [one for one in found if one["remedy"] == LOST and one["calls"]]
    assert len(lost) == (0 if "seal" in cut else 1)
    if lost:
        owners = {"early-0", "late-0"} if cut == "at the start" else {last.chunk().key.call_id}
        assert set(lost[0]["calls"]) == owners  # type: ignore[call-overload]
        gone = blocks if cut == "at the start" else [last]
        assert lost[0]["since_us"] == min(block.header.t0_us for block in gone)
        assert lost[0]["until_us"] == max(block.header.t1_us for block in gone)


def test_a_damaged_block_is_named_with_its_time_and_its_calls(root: Path) -> None:
    media = next(block for block in blocks_of(root) if block.header.kind == 2)
    path = root / BUCKET / DATA
    octets = bytearray(path.read_bytes())
    octets[media.offset + 80] ^= 4
    write(path, bytes(octets))
    (found,) = findings(root)
    assert found == {
        "file": f"{BUCKET}/{DATA}",
        "offset": media.offset,
        "length": media.header.length,
        "what": f"block at octet {media.offset}: its compressed octets are damaged",
        "remedy": LOST,
        "since_us": media.header.t0_us,
        "until_us": media.header.t1_us,
        "calls": [media.chunk().key.call_id],
        "call_count": 1,
    }
    status, output = run("verify", "--dir", root)
    assert status == 1
    assert output.startswith(f"{BUCKET}/{DATA}: {media.header.length} octets at {media.offset}: block at octet")
    assert f"calls {media.chunk().key.call_id}; {LOST}" in output


FIRST_MESSAGE = "(SELECT min(id) FROM sip_msgs)"
SECOND_MESSAGE = "(SELECT id FROM sip_msgs ORDER BY id LIMIT 1 OFFSET 1)"
FAULTY = {
    "a message of another call": f"UPDATE sip_msgs SET id = (3 - call << 32) + 999 WHERE id = {FIRST_MESSAGE}",
    "a message elsewhere in its block": f"UPDATE sip_msgs SET position = position + 1 WHERE id = {SECOND_MESSAGE}",
    "a message at another time": f"UPDATE sip_msgs SET t0_us = t0_us + 1 WHERE id = {SECOND_MESSAGE}",
    "a message from elsewhere": "UPDATE paths SET src = dst WHERE id = 1",
    "a message of another status": "UPDATE sip_msgs SET status = 486 WHERE status = 200",
    "a message that is not listed": f"DELETE FROM sip_msgs WHERE id = {SECOND_MESSAGE}",
    "a message listed twice": "INSERT INTO sip_msgs (id, t0_us, path, method, status, cseq, block, position) "
    f"SELECT id + 999, t0_us, path, method, status, cseq, block, position FROM sip_msgs WHERE id = {FIRST_MESSAGE}",
    "a message of no call": f"UPDATE sip_msgs SET id = 99 << 32 WHERE id = {FIRST_MESSAGE}",
    "media of another call": "UPDATE streams SET call = 3 - call WHERE id = 1",
    "media of another stream": "UPDATE streams SET ssrc = ssrc + 1 WHERE id = 1",
    "media of other length": "UPDATE media_msgs SET packets = packets - 1 WHERE id = 1",
    "media that is not listed": "DELETE FROM media_msgs WHERE id = 1",
    "media where no block is": "UPDATE media_msgs SET block = block + 1 WHERE id = 1",
    "media behind the end": "UPDATE media_msgs SET block = 1000000 WHERE id = (SELECT max(id) FROM media_msgs)",
    "media of no stream": "UPDATE media_msgs SET stream = 99 WHERE id = 1",
    "a wrong count": "UPDATE call_meta SET sip_messages = sip_messages + 1 WHERE id = 1",
    "a wrong count of packets": "UPDATE call_meta SET rtp_packets = rtp_packets + 1 WHERE id = 1",
    "text for a number": f"UPDATE sip_msgs SET position = 'x' WHERE id = {FIRST_MESSAGE}",
}


@pytest.mark.parametrize("statement", FAULTY.values(), ids=FAULTY)
def test_an_index_that_says_otherwise_is_noticed_though_its_seal_holds(root: Path, statement: str) -> None:
    change_index(root, statement)
    status, output = run("verify", "--dir", root, BUCKET)
    assert status == 1
    assert REINDEX in output or LOST in output
    assert "Traceback" not in output
    run("reindex", "--dir", root)
    assert findings(root) == []


def test_rows_out_of_order_are_compared_all_the_same(root: Path) -> None:
    change_index(root, "UPDATE media_msgs SET id = 1000 - id",
                 "UPDATE sip_msgs SET id = (call << 32) + 1000 - (id & 4294967295)")  # fmt: skip
    assert findings(root) == []


def test_many_wrong_rows_are_counted_not_told_one_by_one(root: Path) -> None:
    change_index(root, "UPDATE media_msgs SET packets = packets + 1", "UPDATE streams SET leg = leg + 1",
                 "UPDATE sip_msgs SET cseq = 99")  # fmt: skip
    found = findings(root, BUCKET)
    assert 3 <= len(found) <= 22


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "garbage": lambda _: b"garbage" * 1000,
    "cut": lambda octets: octets[: len(octets) // 2],
    "one bit of a page that is not used": lambda octets: octets[:-1] + bytes([octets[-1] ^ 1]),
    "of a later version": lambda octets: octets[:60] + (99).to_bytes(4, "big") + octets[64:],
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_spoiled_index_is_named_and_made_anew(root: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = root / BUCKET / DATABASE
    write(path, spoil(path.read_bytes()))
    found = findings(root)
    assert found
    assert {one["file"] for one in found} == {f"{BUCKET}/{DATABASE}"}
    status, _ = run("reindex", "--dir", root)
    assert status == 0
    assert findings(root) == []
    assert path.stat().st_mode & 0o777 == 0o400


def test_missing_files_are_named(root: Path) -> None:
    (root / BUCKET / DATABASE).unlink()
    (root / "2026/06/01/01" / DATA).unlink()
    assert [one["file"] for one in findings(root)] == [f"{BUCKET}/{DATABASE}", f"2026/06/01/01/{DATA}"]


def test_a_later_block_is_no_damage_of_ours_and_is_not_indexed_away(root: Path) -> None:
    path = root / BUCKET / DATA
    octets = bytearray(path.read_bytes())
    head = bytearray(octets[:60])
    assert block_header_decode(bytes(head))[0] == 0
    head[10] = 2
    octets[:60] = later_header(bytes(head))
    write(path, bytes(octets))
    (found,) = findings(root)
    assert "later version" in str(found["what"])
    assert found["remedy"] == "read it with the version that wrote it"
    before = (root / BUCKET / DATABASE).read_bytes()
    status, output = run("reindex", "--dir", root)
    assert (status, "later version" in output) == (1, True)
    assert (root / BUCKET / DATABASE).read_bytes() == before


def later_header(head: bytes) -> bytes:
    """Give a header its checksum, whatever version it says."""
    return head[:56] + crc32c(head[:56]).to_bytes(4, "little")


CATALOG_DAMAGE = {
    "a bucket it does not list": ("DELETE FROM parts WHERE id = 1", "does not list"),
    "wrong counts": ("UPDATE parts SET rtp_packets = 7 WHERE id = 1", "and 7 RTP packets"),
    "a changed row": ("UPDATE call_prints SET prints = x'00000000'", "checksum"),
    "a filter without calls": ("DELETE FROM call_prints WHERE part = 1", "lacks calls of"),
    "a filter of other calls": (
        "UPDATE call_prints SET prints = zeroblob(length(prints)), crc = NULL",
        "does not know",
    ),
    "a later version": ("PRAGMA user_version = 99", "later sipflow"),
}


@pytest.mark.parametrize(("statement", "said"), CATALOG_DAMAGE.values(), ids=CATALOG_DAMAGE)
def test_a_catalog_that_does_not_fit_is_named_and_made_anew(root: Path, statement: str, said: str) -> None:
    database = sqlite3.connect(root / CATALOG, isolation_level=None)
    database.execute(statement)
    database.close()
    found = findings(root)
    assert {one["file"] for one in found} == {CATALOG}
    assert any(said in str(one["what"]) for one in found)
    assert all(NEW_CATALOG in str(one["remedy"]) for one in found)
    assert findings(root, BUCKET) == []
    run("reindex", "--dir", root)
    assert findings(root) == []


def test_a_bucket_that_is_gone_is_named_until_reindex_forgets_it(root: Path) -> None:
    shutil.rmtree(root / BUCKET)
    (found,) = findings(root)
    assert "is not there" in str(found["what"])
    run("reindex", "--dir", root)
    assert findings(root) == []


def test_an_open_bucket_is_verified_as_far_as_its_index_knows(tmp_path: Path) -> None:
    directory = make_open(tmp_path / "root", ["one", "two"])
    with (directory / DATA).open("ab") as data:
        data.write(b"half a block that is being written")
    status, output = run("verify", "--dir", tmp_path / "root")
    assert status == 0, output
    assert re.search(r"1 buckets \(1 open\), [12] blocks, 2 records", output)
    (directory / DATA).write_bytes(b"")
    (found,) = findings(tmp_path / "root")
    assert found["remedy"] == LOST
    assert found["calls"] == ["one", "two"]


def test_it_runs_beside_a_server_and_keeps_no_bucket_from_being_sealed(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root")
    with RunningServer(root, "--flush-interval", "1") as server:
        options = sip("OPTIONS sip:b@example.com SIP/2.0", "new", "1 OPTIONS")
        ends = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)
        server.send(encode_packet(Packet(Kind.SIP, *ends, now_us(), options)))
        server.until(lambda: server.metric("sipflow_items_recorded_total") == 1, "committed")
        status, output = run("verify", "--dir", root)
        assert status == 0, output
        assert "2 buckets (1 open)" in output
        assert run("reindex", "--dir", root)[0] == 1  # refused: a server writes there
    assert findings(root) == []


def test_a_contents_lets_go_of_an_open_index_between_two_looks(tmp_path: Path) -> None:
    directory = make_open(tmp_path / "root", ["one", "two"])
    contents = Contents(directory, sealed=False)
    rows = contents.sip()
    assert next(rows).call_id == "one"
    Bucket(directory).seal()
    assert next(rows).call_id == "two"


def test_version_1_of_the_catalog_is_read_and_brought_up(root: Path) -> None:
    database = sqlite3.connect(root / CATALOG, isolation_level=None)
    database.executescript(
        "DROP TRIGGER parts_changed; DROP INDEX parts_deleted; DROP TABLE expired_filter; DROP TABLE call_prints; "
        + "".join(f"ALTER TABLE parts DROP COLUMN {name};" for name in ("crc", *ADDED_2, *ADDED_3))
        + "CREATE TABLE call_filter (shard INTEGER NOT NULL, part INTEGER NOT NULL, width INTEGER NOT NULL, "
        "prints BLOB NOT NULL, PRIMARY KEY (shard, part)) WITHOUT ROWID; PRAGMA user_version = 1"
    )
    for part, path in database.execute("SELECT id, path FROM parts").fetchall():
        for call_id in Contents(root / path, sealed=True).call_ids():
            full = call_hash(call_id)
            database.execute("INSERT INTO call_filter VALUES (?, ?, 2, ?)", [full[0], part, full[1:3]])
    database.close()
    assert findings(root) == []
    catalog = Catalog(root)
    assert catalog.audit() == ""
    assert len(catalog.parts_with("early-0")) == 1
    catalog.close()
    database = sqlite3.connect(root / CATALOG)
    assert database.execute("SELECT count(*) FROM parts WHERE crc IS NULL").fetchone() == (0,)
    assert database.execute("SELECT count(*) FROM call_filter WHERE crc IS NULL").fetchone() == (0,)
    database.close()
    assert findings(root) == []


def test_version_1_of_the_index_is_compared_alike(root: Path) -> None:
    write_v1(root / BUCKET)
    blocks = blocks_of(root)
    (root / BUCKET / DATA).chmod(0o600)
    write_seal(root / BUCKET, len(blocks), sum(block.header.records for block in blocks))
    (root / BUCKET / DATA).chmod(0o400)
    checked = verify_bucket(root, Path(BUCKET))
    assert checked.findings == []
    assert checked.records == sum(block.header.records for block in blocks_of(root))
    for statement in ("UPDATE media_msgs SET ssrc = 0 WHERE id = 1", "UPDATE sip_msgs SET src = 'x' WHERE id = 1",
                      "DELETE FROM media_msgs WHERE id = 2", "DELETE FROM blocks WHERE offset = 0"):  # fmt: skip
        change_index(root, statement)
        before = len(checked.findings)
        checked = verify_bucket(root, Path(BUCKET))
        assert len(checked.findings) > before
