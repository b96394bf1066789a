"""The table of calls as Parquet: what an index says, row by row, read back by a reader that is not ours."""

import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from capture_writer import frame, pcap, rtp, sdp, sip
from sipflow.archive import parquet as parquet_module
from sipflow.archive.columns import COLUMNS, Partition, partition_at, partition_of
from sipflow.archive.parquet import part_of, write_calls
from sipflow.clock import SECOND_US
from sipflow.errors import MissingExtra, StorageError
from sipflow.importer import import_files
from sipflow.query.answer import CallSummary, Criteria
from sipflow.query.history import History

BEGIN_US = 1_780_272_600_000_000  # 2026-06-01T00:10:00Z
ALICE, BOB, SIX = ("192.0.2.1", 5060), ("192.0.2.2", 5070), ("2001:db8::5", 5061)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = 1000


def answered(call_id: str, lost: int) -> list[tuple[int, bytes]]:
    """Write a call with four seconds of audio each way, some packets of which are missing."""
    offer, answer = sdp("192.0.2.1", 4000), sdp("192.0.2.2", 4002)
    invite = sip("INVITE sip:bob@example.com SIP/2.0", call_id, "1 INVITE", offer)
    agent = invite.replace(b"Content-Length", b"User-Agent: Tester 1.0\r\nContent-Length", 1)
    ways = ((("192.0.2.1", 4000), ("192.0.2.2", 4002), 1), (("192.0.2.2", 4002), ("192.0.2.1", 4000), 2))
    return [
        (0, frame(ALICE, BOB, agent)),
        (250 * MS, frame(BOB, ALICE, sip("SIP/2.0 180 Ringing", call_id, "1 INVITE", to_tag="b"))),
        (1250 * MS, frame(BOB, ALICE, sip("SIP/2.0 200 OK", call_id, "1 INVITE", answer, to_tag="b"))),
        *(
            (1300 * MS + n * 20 * MS + ssrc, frame(src, dst, rtp(n, ssrc=ssrc)))
            for src, dst, ssrc in ways
            for n in range(200)
            if n >= lost + 1 or n == 0
        ),
        (7250 * MS, frame(ALICE, BOB, sip("BYE sip:bob@example.com SIP/2.0", call_id, "2 BYE", to_tag="b"))),
    ]


def refused(call_id: str, start: str, *, cancelled: bool = False) -> list[tuple[int, bytes]]:
    frames = [
        (0, frame(SIX, SIX, sip("INVITE sip:bob@example.com SIP/2.0", call_id, "1 INVITE"))),
        (500 * MS, frame(SIX, SIX, sip("SIP/2.0 183 Session Progress", call_id, "1 INVITE", to_tag="b"))),
        (2000 * MS, frame(SIX, SIX, sip(f"SIP/2.0 {start}", call_id, "1 INVITE", to_tag="b"))),
    ]
    cancel = (1900 * MS, frame(SIX, SIX, sip("CANCEL sip:bob@example.com SIP/2.0", call_id, "1 CANCEL")))
    return [*frames[:2], cancel, frames[2]] if cancelled else frames


def options(call_id: str) -> list[tuple[int, bytes]]:
    return [
        (0, frame(ALICE, BOB, sip("OPTIONS sip:bob@example.com SIP/2.0", call_id, "7 OPTIONS"))),
        (10 * MS, frame(BOB, ALICE, sip("SIP/2.0 200 OK", call_id, "7 OPTIONS", to_tag="b"))),
    ]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    calls = [
        (90, refused("gone", "487 Request Terminated", cancelled=True)), (0, answered("it's \u00e9", 20)),
        (60, refused("busy@h", "486 Busy Here")), (30, options("ping")),
    ]  # fmt: skip
    frames = sorted((BEGIN_US + at * SECOND_US + after, octets) for at, call in calls for after, octets in call)
    directory = tmp_path_factory.mktemp("table")
    (directory / "calls.pcap").write_bytes(pcap(frames))
    import_files([directory / "calls.pcap"], directory / "root")
    return directory / "root"


@pytest.fixture(scope="module")
def table(root: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    target = tmp_path_factory.mktemp("out") / "calls.parquet"
    assert write_calls(root / "2026/06/01/00/sipflow.db", "pbx-1", target) == 4
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    return pq.read_table(target)


def moment(at_us: int | None) -> datetime | None:
    return None if at_us is None else EPOCH + timedelta(microseconds=at_us)


def summaries(root: Path) -> dict[str, CallSummary]:
    with closing(History.open(root)) as history:
        return {call.call_id: call for call in history.calls(Criteria()).calls}


def test_columns_have_the_names_and_types_of_the_schema(table: pa.Table) -> None:
    kinds = {"text": "string", "flag": "bool", "count": "int64", "number": "double", "moment": "timestamp[us, tz=UTC]"}
    assert [(one.name, str(one.type)) for one in table.schema] == [(one.name, kinds[one.kind]) for one in COLUMNS]
    assert table.schema.metadata[b"sipflow.node"] == b"pbx-1"


def test_rows_say_what_a_history_says(root: Path, table: pa.Table) -> None:
    rows = {row["call_id"]: row for row in table.to_pylist()}
    known = summaries(root)
    assert rows.keys() == known.keys()
    for call_id, call in known.items():
        row = rows[call_id]
        for name in ("method", "from_user", "to_user", "from_uri", "to_uri", "user_agent", "src", "dst", "status",
                     "reason", "state", "sip_messages", "rtp_packets", "rtp_streams", "loss_percent", "mos",
                     "mos_scale", "one_way"):  # fmt: skip
            assert row[name] == getattr(call, name), (call_id, name)
        for name in ("first", "last", "invite", "ring", "answer", "end"):
            assert row[f"{name}_time"] == moment(getattr(call, f"{name}_us")), (call_id, name)
        assert row["begins"] is True
        assert row["part"] == "2026/06/01/00"


def test_durations_addresses_and_quality(table: pa.Table) -> None:
    rows = {row["call_id"]: row for row in table.to_pylist()}
    good, busy, gone, ping = (rows[name] for name in ("it's \u00e9", "busy@h", "gone", "ping"))
    assert [good[name] for name in ("setup_s", "ring_s", "talk_s")] == [1.25, 1.0, 6.0]
    assert [busy[name] for name in ("setup_s", "ring_s", "talk_s")] == [None, 1.5, None]
    assert [ping[name] for name in ("setup_s", "ring_s", "talk_s")] == [None, None, None]
    assert (good["src"], good["src_ip"]) == ("192.0.2.1:5060", "192.0.2.1")
    assert (busy["dst"], busy["dst_ip"]) == ("[2001:db8::5]:5061", "2001:db8::5")
    assert (good["loss_percent"], good["one_way"], good["user_agent"]) == (10.0, False, "Tester 1.0")
    assert [row["state"] for row in (good, busy, gone, ping)] == ["completed", "failed", "cancelled", "other"]


def test_rows_are_in_order_of_time_in_groups_of_their_own(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_module, "ROWS_A_GROUP", 1)
    monkeypatch.setattr("sipflow.archive.call_rows.ROWS_AT_ONCE", 3)
    write_calls(root / "2026/06/01/00/sipflow.db", "n", tmp_path / "calls.parquet")
    about = pq.read_metadata(tmp_path / "calls.parquet")
    assert [about.row_group(n).num_rows for n in range(about.num_row_groups)] == [3, 1]
    assert {about.row_group(0).column(n).compression for n in range(about.num_columns)} == {"ZSTD"}
    times = pq.read_table(tmp_path / "calls.parquet")["first_time"].to_pylist()
    assert times == sorted(times)
    # What lets an engine step over a group.
    assert about.row_group(1).column(2).statistics.min == times[3]


def test_a_damaged_index_is_an_error_and_leaves_nothing(root: Path, tmp_path: Path) -> None:
    bucket = tmp_path / "2026/06/01/00"
    bucket.mkdir(parents=True)
    octets = (root / "2026/06/01/00/sipflow.db").read_bytes()
    (bucket / "sipflow.db").write_bytes(octets[:4096] + b"\xa5" * (len(octets) - 4096))
    with pytest.raises(StorageError, match=r"sipflow\.db: "):
        write_calls(bucket / "sipflow.db", "n", tmp_path / "calls.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["2026"]


def test_a_row_of_another_type_is_an_error(root: Path, tmp_path: Path) -> None:
    bucket = tmp_path / "2026/06/01/00"
    bucket.mkdir(parents=True)
    (bucket / "sipflow.db").write_bytes((root / "2026/06/01/00/sipflow.db").read_bytes())
    with closing(sqlite3.connect(bucket / "sipflow.db")) as index:
        index.execute("UPDATE call_meta SET status = 'busy' WHERE call_id = 'busy@h'")
        index.commit()
    with pytest.raises(StorageError, match="its rows make no sense"):
        write_calls(bucket / "sipflow.db", "n", tmp_path / "calls.parquet")


def test_without_pyarrow_it_says_how_to_get_it(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pyarrow is not installed; pip install 'sipflow\[analytics\]' brings it"):
        write_calls(root / "2026/06/01/00/sipflow.db", "n", tmp_path / "calls.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("part", "key"),
    [
        ("2026/06/01/07", "calls/date=2026-06-01/hour=07/node=pbx-1/2026-06-01-07.parquet"),
        ("2026/06/01/07/part-0002", "calls/date=2026-06-01/hour=07/node=pbx-1/2026-06-01-07-part-0002.parquet"),
        ("2026/06/01", "calls/date=2026-06-01/hour=00/node=pbx-1/2026-06-01.parquet"),
        ("2026/06/01/part-0001", "calls/date=2026-06-01/hour=00/node=pbx-1/2026-06-01-part-0001.parquet"),
    ],
)
def test_a_part_has_its_place_in_the_tree_and_is_known_by_it(part: str, key: str) -> None:
    place = partition_of("pbx-1", part)
    assert place.key == key
    assert partition_at(key) == place
    assert part_of(Path("/somewhere/2025") / part) == part


@pytest.mark.parametrize("key", ["calls/x.parquet", "n/2026/06/01/00/calls.parquet", "calls/date=2026-06-01/hour=07"])
def test_other_names_are_no_place(key: str) -> None:
    assert partition_at(key) is None


def test_a_root_without_directories_has_no_place() -> None:
    with pytest.raises(ValueError, match="allowed: a directory of an hour or a day"):
        partition_of("n", ".")
    assert Partition("2026-06-01", 7, "n", "2026/06/01/07") == partition_of("n", "2026/06/01/07")
