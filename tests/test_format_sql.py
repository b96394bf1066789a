"""docs/FORMAT.md: its tables are those of the databases, and its queries are answered by the stock programs."""

import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from capture_writer import frame, pcap, rtp, sdp, sip
from sipflow.importer import import_files
from sipflow.storage.catalog import Catalog
from sipflow.storage.layout import CATALOG, DATA, DATABASE, find_buckets

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "FORMAT.md").read_text("utf-8")
QUERIES = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
ALICE_RTP, BOB_RTP = ("192.0.2.1", 4000), ("192.0.2.2", 4002)
BEGIN_US = 1_780_272_600_000_000  # 2026-06-01T00:10:00Z
MS = 1000
# A hole inside a chunk, and one so long (over two seconds) that a new chunk begins behind it.
LOST = {10, 11, 12, *range(40, 150)}


def columns_listed(table: str) -> list[str]:
    part = re.split(r"^#+ ", PAGE.split(f"### {table}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^\| `(\w+)` \| \S", part, re.MULTILINE)


def columns_of(database: sqlite3.Connection, table: str) -> list[str]:
    # Those too that are reckoned from others (`call` of sip_msgs).
    return [row[1] for row in database.execute(f"PRAGMA table_xinfo({table})")]


def tables_of(database: sqlite3.Connection) -> list[str]:
    return [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]


def test_columns_of_the_index_are_listed_in_order() -> None:
    index = sqlite3.connect(":memory:")
    index.executescript((ROOT / "src" / "sipflow" / "storage" / "schema.sql").read_text("utf-8"))
    assert len(tables_of(index)) == 6
    for table in tables_of(index):
        assert columns_listed(table) == columns_of(index, table), table
    index.close()


def test_columns_of_the_catalog_are_listed_in_order(tmp_path: Path) -> None:
    Catalog(tmp_path).close()
    catalog = sqlite3.connect(tmp_path / CATALOG)
    assert len(tables_of(catalog)) == 3
    for table in tables_of(catalog):
        assert columns_listed(table) == columns_of(catalog, table), table
    catalog.close()


def answered_call() -> list[tuple[int, bytes]]:
    """A call with audio one way, 200 packets of it, some of which the capture does not hold."""
    offer, answer = sdp("192.0.2.1", 4000), sdp("192.0.2.2", 4002)
    return [
        (0, frame(ALICE, BOB, sip("INVITE sip:bob@example.com SIP/2.0", "good", "1 INVITE", offer))),
        (40 * MS, frame(BOB, ALICE, sip("SIP/2.0 180 Ringing", "good", "1 INVITE", to_tag="b"))),
        (90 * MS, frame(BOB, ALICE, sip("SIP/2.0 200 OK", "good", "1 INVITE", answer, to_tag="b"))),
        (95 * MS, frame(ALICE, BOB, sip("ACK sip:bob@example.com SIP/2.0", "good", "1 ACK", to_tag="b"))),
        *((100 * MS + n * 20 * MS, frame(ALICE_RTP, BOB_RTP, rtp(65500 + n))) for n in range(200) if n not in LOST),
        (5000 * MS, frame(ALICE, BOB, sip("BYE sip:bob@example.com SIP/2.0", "good", "2 BYE", to_tag="b"))),
        (5040 * MS, frame(BOB, ALICE, sip("SIP/2.0 200 OK", "good", "2 BYE", to_tag="b"))),
    ]


def refused_call(call_id: str, status: str) -> list[tuple[int, bytes]]:
    return [
        (0, frame(ALICE, BOB, sip("INVITE sip:bob@example.com SIP/2.0", call_id, "1 INVITE"))),
        (30 * MS, frame(BOB, ALICE, sip(f"SIP/2.0 {status}", call_id, "1 INVITE", to_tag="b"))),
        (35 * MS, frame(ALICE, BOB, sip("ACK sip:bob@example.com SIP/2.0", call_id, "1 ACK", to_tag="b"))),
    ]


def cancelled_call() -> list[tuple[int, bytes]]:
    cancel = (20 * MS, frame(ALICE, BOB, sip("CANCEL sip:bob@example.com SIP/2.0", "gone", "1 CANCEL")))
    return sorted([*refused_call("gone", "487 Request Terminated"), cancel])


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    calls = [(0, answered_call()), (60, refused_call("it's busy", "486 Busy Here")), (90, cancelled_call()),
             (120, refused_call("down", "503 Service Unavailable"))]  # fmt: skip
    frames = [(BEGIN_US + start * 1_000_000 + at, octets) for start, call in calls for at, octets in call]
    directory = tmp_path_factory.mktemp("sql")
    (directory / "calls.pcap").write_bytes(pcap(frames))
    import_files([directory / "calls.pcap"], directory / "root")
    (found,) = find_buckets(directory / "root")
    assert found.as_posix() == "2026/06/01/00"
    return directory / "root" / found


def ask(bucket: Path, query: str, **parameters: str) -> list[list[str]]:
    program = shutil.which("sqlite3")
    if program is None:
        pytest.skip("the sqlite3 program is not installed: apt-get install sqlite3")
    settings = []
    for name, value in parameters.items():
        quoted = value.replace("'", "''")
        settings += ["-cmd", f".parameter set :{name} \"'{quoted}'\""]
    command = [program, "-readonly", "-batch", "-separator", "\t", *settings, str(bucket / DATABASE), query]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_messages_of_a_call(bucket: Path) -> None:
    rows = ask(bucket, QUERIES[0], call_id="good")
    a, b = "192.0.2.1:5060", "192.0.2.2:5060"
    assert [row[1:5] for row in rows] == [
        [a, b, "INVITE", ""], [b, a, "INVITE", "180"], [b, a, "INVITE", "200"], [a, b, "ACK", ""],
        [a, b, "BYE", ""], [b, a, "BYE", "200"],
    ]  # fmt: skip
    assert [int(row[0]) - BEGIN_US for row in rows] == [at * MS for at in (0, 40, 90, 95, 5000, 5040)]


def test_a_message_is_cut_out_as_the_page_says(bucket: Path) -> None:
    (command,) = re.findall(r"^```sh\n(tail .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for row in ask(bucket, QUERIES[0], call_id="it's busy"):
        block, position = row[5:]
        if shutil.which("zstd") is None:
            pytest.skip("the zstd program is not installed: apt-get install zstd")
        environment = {"BLOCK": block, "POSITION": position, "PATH": "/usr/bin:/bin"}
        found = subprocess.run(
            ["sh", "-c", command.replace("data.raw", DATA)],
            cwd=bucket, env=environment, capture_output=True, check=True, timeout=60,
        ).stdout  # fmt: skip
        assert found.startswith(f"{row[3]} ".encode() if row[4] == "" else f"SIP/2.0 {row[4]} ".encode())
        head, blank, rest = found.partition(b"\r\n\r\n")
        assert b"\r\nCall-ID: it's busy\r\n" in head
        assert head.endswith(b"\r\nContent-Length: 0")
        # What stands behind the message is the octet that ends it.
        assert blank
        assert rest[:1] in (b"\n", b"")


def test_media_of_a_call_with_what_is_lost(bucket: Path) -> None:
    (row,) = ask(bucket, QUERIES[1], call_id="good")
    *stream, chunks, packets, lost = row
    assert stream[1:] == ["192.0.2.1:4000", "192.0.2.2:4002", str(0x11223344), "8"]
    assert int(chunks) > 1
    assert (int(packets), int(lost)) == (200 - len(LOST), len(LOST))
    assert ask(bucket, QUERIES[1], call_id="down") == []


def test_calls_of_an_hour_that_failed(bucket: Path) -> None:
    assert ask(bucket, QUERIES[2], hour="2026-06-01 00:00:00") == [
        ["00:11:00", "it's busy", "alice", "bob", "486", "Busy Here"],
        ["00:12:00", "down", "alice", "bob", "503", "Service Unavailable"],
    ]
    assert ask(bucket, QUERIES[2], hour="2026-06-01 01:00:00") == []


def test_these_are_all_queries() -> None:
    assert len(QUERIES) == 3
