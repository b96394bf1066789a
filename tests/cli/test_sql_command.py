"""`sipflow sql`: live, open and sealed calls in one table, put together once each, and nothing else to be had."""

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from call_hive import ACROSS, NODES, make_root
from capture_writer import sip
from running import RunningServer
from sample_root import make_open, make_sample, write
from sipflow.cli import main
from sipflow.clock import now_us
from sipflow.query.answer import CallSummary, Criteria
from sipflow.query.history import History
from sipflow.wire.datagram import encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

ALICE, BOB = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["sql", "--dir", str(root), *arguments])


def rows(root: Path, query: str, *arguments: str) -> list[dict[str, object]]:
    done = run(root, "--json", *arguments, query)
    assert (done.exit_code, done.stderr) == (0, "")
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def packet(call_id: str, text: bytes, at_us: int, src: Endpoint = ALICE, dst: Endpoint = BOB) -> bytes:
    return encode_packet(Packet(Kind.SIP, src, dst, at_us, text, call_id))


def test_a_call_of_two_hours_is_one_row_as_a_history_has_it(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", NODES[0])
    history = History.open(root)
    known: dict[str, CallSummary] = {call.call_id: call for call in history.calls(Criteria()).calls}
    history.close()
    assert [
        row["hour"] for row in rows(root, f"SELECT hour FROM call_parts WHERE call_id = '{ACROSS}' ORDER BY 1")
    ] == [0, 1]
    found = {str(row["call_id"]): row for row in rows(root, "FROM calls")}
    assert found.keys() == known.keys()
    for call_id, call in known.items():
        for name in ("method", "from_user", "user_agent", "src", "dst", "status", "reason", "state", "sip_messages",
                     "rtp_packets", "rtp_streams", "loss_percent", "mos", "mos_scale", "one_way"):  # fmt: skip
            assert found[call_id][name] == getattr(call, name), (call_id, name)
    assert (found[ACROSS]["talk_s"], found[ACROSS]["state"], found[ACROSS]["hour"]) == (90.0, "completed", 0)


def test_a_window_leaves_out_what_lies_outside(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root", hours=3)
    query = "SELECT call_id FROM calls ORDER BY 1"
    within = rows(root, query, "--since", "2026-06-01T01:10:30Z", "--until", "2026-06-01T02:10:00Z")
    assert [row["call_id"] for row in within] == ["early-2", "late-1"]


def test_live_calls_are_there_with_their_first_message_and_whole(tmp_path: Path) -> None:
    root = tmp_path / "root"
    begin_us = now_us()
    with RunningServer(root, "--flush-interval", "3600") as server:
        server.send(packet("live@h", sip("INVITE sip:bob@h SIP/2.0", "live@h", "1 INVITE"), begin_us))
        server.until(lambda: server.get("/flow", callid="live@h").json()["flow"], "received")
        (row,) = rows(root, "SELECT call_id, state, sip_messages, part, node IS NOT NULL AS named FROM calls")
        assert row == {"call_id": "live@h", "state": "trying", "sip_messages": 1, "part": "", "named": True}
        server.send(
            packet("live@h", sip("SIP/2.0 200 OK", "live@h", "1 INVITE", to_tag="b"), begin_us + 500_000, BOB, ALICE)
        )
        server.until(lambda: len(server.get("/flow", callid="live@h").json()["flow"]) == 2, "received")
        assert rows(root, "SELECT state, setup_s FROM calls") == [{"state": "answered", "setup_s": 0.5}]


def test_what_is_committed_to_an_open_bucket_and_goes_on_in_the_pool_is_one_row(tmp_path: Path) -> None:
    root = tmp_path / "root"
    begin_us = now_us()
    with RunningServer(root, "--flush-interval", "1") as server:
        server.send(packet("both@h", sip("INVITE sip:bob@h SIP/2.0", "both@h", "1 INVITE"), begin_us))
        server.until(lambda: server.metric("sipflow_items_recorded_total") == 1, "committed")
        server.send(
            packet("both@h", sip("SIP/2.0 486 Busy", "both@h", "1 INVITE", to_tag="b"), begin_us + 1, BOB, ALICE)
        )
        server.until(lambda: len(server.get("/flow", callid="both@h").json()["flow"]) == 2, "received")
        assert rows(root, "SELECT state, status, sip_messages FROM calls") == [
            {"state": "failed", "status": 486, "sip_messages": 2}
        ]


def test_an_open_bucket_without_a_server_is_read(tmp_path: Path) -> None:
    make_open(tmp_path / "root", ("a", "b"))
    assert rows(tmp_path / "root", "SELECT call_id, method, part FROM calls ORDER BY 1") == [
        {"call_id": name, "method": "OPTIONS", "part": "2026/06/01/00"} for name in ("a", "b")
    ]


def test_forms_of_output(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root")
    query = "SELECT call_id, first_time, one_way, ring_s FROM calls ORDER BY 1 LIMIT 1"
    assert list(csv.reader(io.StringIO(run(root, "--csv", query).stdout))) == [
        ["call_id", "first_time", "one_way", "ring_s"], ["early-0", "2026-06-01T00:10:00.000000Z", "true", ""]
    ]  # fmt: skip
    head, line = run(root, query).stdout.splitlines()
    assert (head.split(), line.split()) == (
        ["call_id", "first_time", "one_way", "ring_s"], ["early-0", "2026-06-01T00:10:00.000000Z", "true"]
    )  # fmt: skip
    target = tmp_path / "some.parquet"
    assert run(root, "--parquet", str(target), "SELECT call_id, talk_s FROM calls ORDER BY 1").stderr.endswith(
        "2 rows\n"
    )
    assert pq.read_table(target).to_pylist() == [{"call_id": f"{name}-0", "talk_s": 4.91} for name in ("early", "late")]
    assert json.loads(run(root, "--json", "SELECT 1 WHERE false").stdout) == []
    assert "call_id" in run(root).stdout


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELEC 1", "Parser Error: syntax error"),
        ("SELECT nothing FROM calls", 'Referenced column "nothing" not found'),
        ("DROP VIEW calls", "found DROP; allowed: one statement that only answers"),
        ("SELECT 1; SELECT 2", "found SELECT and SELECT; allowed: one statement"),
        ("COPY calls TO '/tmp/x.csv'", "found COPY; allowed"),
        ("SET enable_external_access = true", "found SET; allowed"),
        ("", "found nothing; allowed"),
        ("SELECT * FROM read_csv('/etc/passwd')", "Permission Error: Cannot access file"),
        ("SELECT * FROM '/etc/passwd.parquet'", "Error: "),
        ("SELECT call_id::INT FROM calls", "Conversion Error"),
    ],
)
def test_a_wrong_question_is_one_line_and_status_2(tmp_path: Path, query: str, said: str) -> None:
    root = make_sample(tmp_path / "root")
    done = run(root, "--csv", query)
    assert done.exit_code == 2
    assert done.stderr.startswith("sipflow: sql: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_part_that_cannot_be_read_is_named_and_costs_only_itself(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root", hours=2)
    database = root / "2026/06/01/01/sipflow.db"
    octets = database.read_bytes()
    write(database, octets[:4096] + b"\xa5" * (len(octets) - 4096))
    done = run(root, "--csv", "SELECT call_id FROM calls ORDER BY 1")
    assert (done.exit_code, done.stdout.splitlines()) == (0, ["call_id", "early-0", "late-0"])
    assert "not everything could be read: 2026/06/01/01: " in done.stderr


def test_what_was_made_once_is_used_again_until_the_index_changes(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root")
    cache = tmp_path / "cache/sipflow/calls"
    assert len(rows(root, "FROM calls")) == 2
    (first,) = [path.name for path in cache.iterdir()]
    assert len(rows(root, "FROM calls")) == 2
    assert [path.name for path in cache.iterdir()] == [first]
    database = root / "2026/06/01/00/sipflow.db"
    write(database, database.read_bytes())
    assert len(rows(root, "FROM calls")) == 2
    assert len({path.name for path in cache.iterdir()} - {first}) == 1


def test_a_cache_that_is_too_small_is_an_error_and_no_short_answer(tmp_path: Path) -> None:
    root = make_sample(tmp_path / "root", hours=3)
    done = run(root, "--cache-size", "1KB", "FROM calls")
    assert done.exit_code == 1
    assert "ask for less with --since and --until, or give it more room with --cache-size" in done.stderr


def test_no_data_directory_is_an_error(tmp_path: Path) -> None:
    done = run(tmp_path / "none", "FROM calls")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "no such directory" in done.stderr
