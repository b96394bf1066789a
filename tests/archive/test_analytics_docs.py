"""docs/ANALYTICS.md: its table is the schema, and its queries run in the engines they are written for."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import chdb
import duckdb
import pytest
from click.testing import CliRunner

import duckdb_httpfs
from call_hive import ACROSS, NODES, make_hive, make_root
from s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server
from sample_root import make_sample
from sipflow.archive.archiver import Archiver
from sipflow.archive.cache import FileCache
from sipflow.archive.call_files import CallFiles
from sipflow.archive.call_tables import CallTables
from sipflow.archive.columns import COLUMNS, partition_of
from sipflow.archive.opening import open_place
from sipflow.archive.sending import remove
from sipflow.archive.sql import CallDatabase
from sipflow.cli import main
from sipflow.query.history import History
from sipflow.query.window import Window

PAGE = (Path(__file__).parents[2] / "docs" / "ANALYTICS.md").read_text("utf-8")
TREE = "s3://my-archive/sipflow/calls"
ROOT = "analytics"
HTTPS_TREE = "https://my-archive.s3.us-east-1.amazonaws.com/sipflow/calls"
# Every block of SQL says above itself who runs it.
BLOCKS = re.findall(r"^<!-- analytics: ([a-z ]+) -->\n```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def blocks(who: str) -> list[str]:
    return [text for label, text in BLOCKS if label == who]


COMMON, CLICKHOUSE = blocks("duckdb and sipflow"), blocks("clickhouse")


class Sample(NamedTuple):
    """A data root, and the tree of the archive it belongs to."""

    root: Path
    hive: Path
    roots: dict[str, Path]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    directory = tmp_path_factory.mktemp("analytics")
    roots = {node: make_root(directory / node, node) for node in NODES}
    return Sample(roots[NODES[0]], make_hive(directory / "archive", roots), roots)


@pytest.fixture(scope="module")
def engine(sample: Sample) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with the view of the page, over the tree on this machine."""
    (view,) = blocks("duckdb view")
    assert TREE in view
    with closing(duckdb.connect(":memory:")) as database:
        database.execute("SET TimeZone = 'UTC'")
        database.execute(view.replace(TREE, f"{sample.hive}/calls"))
        yield database


def ask(engine: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return engine.execute(query.replace("call_parts", "calls")).fetchall()


def test_every_column_is_listed_in_order_with_its_meaning() -> None:
    part = PAGE.split("## The columns\n", 1)[1].split("\n## ", 1)[0]
    assert re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", part, re.MULTILINE) == [
        (one.name, one.kind, one.meaning) for one in COLUMNS
    ]


def test_no_query_stands_outside_of_the_tests() -> None:
    assert PAGE.count("```sql\n") == len(BLOCKS)
    assert {label for label, _ in BLOCKS} == {
        "duckdb setup", "duckdb view", "duckdb and sipflow", "clickhouse", "trino table"
    }  # fmt: skip
    assert (len(COMMON), len(CLICKHOUSE)) == (6, 3)


def test_the_table_for_trino_has_the_columns_of_the_schema() -> None:
    (table,) = blocks("trino table")
    types = {"text": "varchar", "flag": "boolean", "count": "bigint", "number": "double",
             "moment": "timestamp(6) with time zone"}  # fmt: skip
    found = re.findall(r"^    (\w+) (.*?),?$", table, re.MULTILINE)
    assert found[: len(COLUMNS)] == [(one.name, types[one.kind]) for one in COLUMNS]
    assert [name for name, _ in found[len(COLUMNS) :]] == ["date", "hour", "node"]


def test_duckdb_counts_attempts_by_hour(engine: duckdb.DuckDBPyConnection) -> None:
    rows = [(str(date), *row) for date, *row in ask(engine, COMMON[0])]
    assert rows == [("2026-06-01", 0, 6, 4, 66.7), ("2026-06-01", 1, 2, 1, 50.0)]


def test_duckdb_finds_where_calls_fail(engine: duckdb.DuckDBPyConnection) -> None:
    assert [row[:4] for row in ask(engine, COMMON[1])] == [
        ("192.0.2.2", 486, "Busy Here", 2), ("192.0.2.2", 503, "Overloaded", 1)
    ]  # fmt: skip


def test_duckdb_judges_phones_and_finds_one_way_audio(engine: duckdb.DuckDBPyConnection) -> None:
    ((agent, scale, calls, mos, loss, _jitter),) = ask(engine, COMMON[2])
    assert (agent, scale, calls, loss) == ("", "NB", 5, 0.0)
    assert 4 < mos < 4.5
    assert [row[2:] for row in ask(engine, COMMON[3])] == [("a-4@h", "alice", "bob", 20.0)]


def test_duckdb_counts_calls_at_once_and_finds_those_of_two_hours(engine: duckdb.DuckDBPyConnection) -> None:
    # What goes on behind the hour has its answer and its end in two rows, and is in neither count.
    assert [calls for _, calls in ask(engine, COMMON[4])] == [3, 1]
    ((node, call_id, parts, _first, _last, talk_s, messages, packets),) = ask(engine, COMMON[5])
    assert (node, call_id, parts, talk_s, messages, packets) == ("pbx-1", ACROSS, 2, 90.0, 4, 100)


def clickhouse(query: str) -> list[list[str]]:
    answer = chdb.query(query.rstrip().rstrip(";"), "TSV")  # type: ignore[no-untyped-call]
    return [line.split("\t") for line in str(answer).splitlines()]


def local(query: str, sample: Sample) -> str:
    found, times = re.subn(
        r"s3\('[^']+', '[^']+', '[^']+', 'Parquet'\)", f"file('{sample.hive}/calls/**/*.parquet', 'Parquet')", query
    )
    assert times == 1
    return found


def check_clickhouse(attempts: list[list[str]], setup: list[list[str]], across: list[list[str]]) -> None:
    assert attempts == [["2026-06-01", "0", "6", "4", "66.7"], ["2026-06-01", "1", "2", "1", "50"]]
    assert [row[1:4] for row in setup] == [["192.0.2.2", "1.2", "1.2"]] * 2
    assert [row[:3] + row[5:] for row in across] == [["pbx-1", ACROSS, "2", "100"]]


def test_clickhouse_answers_the_same(sample: Sample) -> None:
    check_clickhouse(*(clickhouse(local(query, sample)) for query in CLICKHOUSE))


@pytest.fixture(scope="module")
def archive(sample: Sample, s3: S3Server) -> S3Server:
    """A real S3 server with what the archiver of each node has put there."""
    for node, root in sample.roots.items():
        upload = s3.upload(root=ROOT, pack_wait=0)
        archiver = Archiver(root, upload, node, open_place(upload), makers=(CallTables(node).make,))
        archiver.turn()
        assert archiver.state.error == ""
    return s3


def test_the_archiver_puts_tables_into_the_tree_and_beside_the_parts(sample: Sample, archive: S3Server) -> None:
    there = archive.directory / BUCKET / ROOT
    tree = sorted(path.relative_to(sample.hive).as_posix() for path in sample.hive.rglob("*.parquet"))
    assert sorted(path.relative_to(there).as_posix() for path in (there / "calls").rglob("*.parquet")) == tree
    assert len(tree) == 3
    manifest = json.loads((there / "pbx-1/2026/06/01/00/manifest.json").read_bytes())
    assert "calls.parquet" in [file["name"] for file in manifest["files"]]


def test_the_table_of_a_part_goes_with_the_part(sample: Sample, archive: S3Server) -> None:
    place = open_place(archive.upload(root="removed", pack_wait=0))
    partition = partition_of("n", "2026/06/01/00")
    place.put(partition.key, b"x")
    place.put("n/2026/06/01/00/manifest.json", b"x")
    remove(place, "n/2026/06/01/00")
    assert list(place.walk()) == []


def test_clickhouse_answers_the_same_from_s3(archive: S3Server) -> None:
    there = f"{archive.url}/{BUCKET}/{ROOT}/calls"
    queries = [
        query.replace(HTTPS_TREE, there).replace("your-access-key", ACCESS_KEY).replace("your-secret-key", SECRET_KEY)
        for query in CLICKHOUSE
    ]
    assert all(there in query for query in queries)
    check_clickhouse(*map(clickhouse, queries))


def test_duckdb_answers_every_question_from_s3_as_the_page_sets_it_up(
    archive: S3Server, engine: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    (setup,), (view,) = blocks("duckdb setup"), blocks("duckdb view")
    endpoint = archive.url.removeprefix("http://")
    said = setup.replace("your-access-key", ACCESS_KEY).replace("your-secret-key", SECRET_KEY)
    said = said.replace("'us-east-1'", f"'us-east-1', ENDPOINT '{endpoint}', URL_STYLE 'path', USE_SSL false")
    view = view.replace(TREE, f"s3://{BUCKET}/{ROOT}/calls")
    queries = [query.replace("call_parts", "calls") for query in COMMON]
    from_s3 = duckdb_httpfs.ask(tmp_path / "wheels", said, [view], queries)
    assert [row[1:] for row in from_s3[0]] == [["0", "6", "4", "66.7"], ["1", "2", "1", "50.0"]]
    assert from_s3 == [[[str(cell) for cell in row] for row in ask(engine, query)] for query in COMMON]
    assert all(from_s3)


def test_sipflow_sql_asks_the_archive_for_what_is_not_here(
    sample: Sample, archive: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config = tmp_path / "sipflow.toml"
    config.write_text(
        f'[sipflow]\nroot = "{sample.root}"\nnode = "{NODES[0]}"\n[sipflow.upload]\ntype = "s3"\nvendor = "minio"\n'
        f'bucket = "{BUCKET}"\nregion = "us-east-1"\naccess_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"\n'
        f'endpoint = "{archive.url}"\nroot = "{ROOT}/"\n'
    )

    def told(*arguments: str) -> list[str]:
        done = CliRunner().invoke(main, ["sql", "--config", str(config), "--csv", *arguments])
        assert (done.exit_code, done.stderr) == (0, "")
        return done.stdout.splitlines()[1:]

    query = "SELECT node, count(*), count(DISTINCT call_id) FROM calls GROUP BY node ORDER BY node"
    # Each call once, whether its part stands here, in the archive, or in both.
    assert told(query) == ["pbx-1,6,6", "pbx-2,2,2"]
    assert told("--since", "2026-06-02T00:00:00Z", query) == []
    assert len(list((tmp_path / "cache").rglob("*.parquet"))) == 3  # two parts that stand here, and one that does not
    # Another root of the same node has but the first hour, with two calls: that is taken as it stands here.
    assert told("--dir", str(make_sample(tmp_path / "other")), query) == ["pbx-1,5,5", "pbx-2,2,2"]
    config.write_text(config.read_text().replace(SECRET_KEY, "wrong-secret"))
    done = CliRunner().invoke(main, ["sql", "--config", str(config), "--csv", query])
    assert (done.exit_code, done.stdout.splitlines()[1:]) == (0, ["pbx-1,6,6"])
    assert "not everything could be read: s3://archive/analytics: archive: " in done.stderr
    assert "wrong-secret" not in done.stderr


@pytest.fixture
def tables(sample: Sample, tmp_path: Path) -> Iterator[CallDatabase]:
    """What sipflow sql asks: the first node's data root."""
    cache = FileCache(tmp_path / "cache", 1 << 30)
    with (
        closing(History.open(sample.root)) as history,
        closing(CallFiles(history, sample.root, NODES[0], cache)) as files,
        closing(CallDatabase(files.collect(Window(), None), Window())) as opened,
    ):
        assert files.faults == []
        yield opened


def test_sipflow_sql_runs_them_too_and_knows_calls_of_two_hours(tables: CallDatabase) -> None:
    answers = [list(tables.ask(query).rows()) for query in COMMON]
    assert [row[1:] for row in answers[0]] == [(0, 4, 3, 75.0), (1, 2, 1, 50.0)]
    assert [row[:4] for row in answers[1]] == [
        ("192.0.2.2", 486, "Busy Here", 1), ("192.0.2.2", 503, "Overloaded", 1)
    ]  # fmt: skip
    assert [calls for _, calls in answers[4]] == [2, 1]
    assert [row[1:3] for row in answers[5]] == [(ACROSS, 2)]
