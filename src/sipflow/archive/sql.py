"""SQL over the calls of a window: DuckDB reads the files of the table, and nothing else.

Views: `calls`, one row per call of a node, and `call_parts`, one per call and part, as the files have it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sipflow.archive.call_files import CallFile
from sipflow.archive.columns import COLUMNS, PARTITIONS, Column
from sipflow.archive.extra import extra
from sipflow.errors import BadQuery
from sipflow.query.window import Window

ROWS_AT_ONCE: Final = 1000
# What only answers; everything else could write, or change what the next question sees.
_ANSWERS: Final = ("SELECT", "EXPLAIN")
_NAMES: Final = ", ".join([*(one.name for one in COLUMNS), *PARTITIONS])
# How the parts of a call are put together, by the columns of call_meta, as CallDigest.merge does (wire/dialog.py).
# Streams of several parts may be the same: the most of one part is what is certain.
_PARTY: Final = ("method", "from_user", "to_user", "from_uri", "to_uri", "user_agent", "src", "dst")
_MOMENTS: Final = ("invite", "ring", "answer", "cancel", "bye", "bye_answer")
_STATUS: Final = ("status", "status_time", "reason")
_BY_PARTY: Final = "(ORDER BY NOT begins, first_time) FILTER (WHERE method <> '')"
_BY_STATUS: Final = (
    "(ORDER BY status >= 300, CASE WHEN status < 300 THEN status_time END, status_time DESC) "
    "FILTER (WHERE status IS NOT NULL)"
)


def _ordered(name: str, order: str) -> str:
    clause, _, rest = order.partition(")")
    return f"first({name} {clause[1:]}){rest}"


_MERGED: Final = {
    "call_id": "call_id",
    "begins": "bool_or(begins)",
    "first_us": "epoch_us(min(first_time))",
    "last_us": "epoch_us(max(last_time))",
    **{f"{name}_us": f"epoch_us(min({name}_time))" for name in _MOMENTS},
    **{name: f"coalesce({_ordered(name, _BY_PARTY)}, '')" for name in _PARTY},
    "status": _ordered("status", _BY_STATUS),
    "status_us": f"epoch_us({_ordered('status_time', _BY_STATUS)})",
    "reason": f"coalesce({_ordered('reason', _BY_STATUS)}, '')",
    "sip_messages": "sum(sip_messages)::BIGINT",
    "rtp_packets": "sum(rtp_packets)::BIGINT",
    "rtp_streams": "max(rtp_streams)",
    "loss_percent": "max(loss_percent)",
    "jitter_us": "max(jitter_ms) * 1000.0",
    "mos": "min(mos)",
    "mos_scale": "arg_min(mos_scale, mos)",
    "one_way": "bool_and(one_way)",
    "part": "min(part)",
    "date": "min(date)",
    "hour": "arg_min(hour, part)",
    "node": "node",
}


class CallDatabase:
    """A database of views over files, asked with SQL; reads these files and nothing else. One thread."""

    def __init__(self, files: Sequence[CallFile], window: Window) -> None:
        """Show the calls of a window that the files hold. Raises MissingExtra without duckdb."""
        self._duckdb = extra("duckdb")
        self._database = self._duckdb.connect(":memory:")
        run = self._database.execute
        paths = ", ".join(_quoted(str(one.path)) for one in files)
        run("SET TimeZone = 'UTC'")
        run(f"SET allowed_paths = [{paths}]")
        run("CREATE TABLE call_files (filename VARCHAR, date DATE, hour INTEGER, node VARCHAR, live BOOLEAN)")
        self._database.executemany("INSERT INTO call_files VALUES (?, ?, ?, ?, ?)", [_row(one) for one in files])
        source = f"read_parquet([{paths}], filename = true, union_by_name = true) r"
        run(f"CREATE VIEW every_row AS SELECT * EXCLUDE (filename) FROM {source} JOIN call_files USING (filename)")
        inside = _inside(window)
        run(f"CREATE VIEW stored_row AS SELECT {_NAMES} FROM every_row WHERE NOT live")
        run(
            "CREATE VIEW live_row AS SELECT * REPLACE (first_time::DATE AS date, hour(first_time)::INTEGER AS hour) "
            f"FROM (SELECT {_NAMES} FROM every_row WHERE live)"
        )
        run(f"CREATE VIEW call_parts AS SELECT {_NAMES} FROM stored_row WHERE {inside}")
        run(f"CREATE VIEW calls AS SELECT {_NAMES} FROM ({_united()}) WHERE {inside}")
        run("SET enable_external_access = false")
        run("SET lock_configuration = true")

    def close(self) -> None:
        """Forget everything."""
        self._database.close()

    def ask(self, query: str) -> "Answer":
        """Ask one question. Raises BadQuery, whose text is one line, for what DuckDB refuses or what is no question."""
        try:
            return Answer(self._duckdb, self._database.execute(self._question(query)))
        except self._duckdb.Error as error:
            raise BadQuery(f"sql: {_line(error)}") from None

    def save(self, query: str, target: Path) -> int:
        """Write the rows that answer a question to a Parquet file; gives how many. Raises BadQuery, OSError."""
        parquet = extra("pyarrow.parquet")
        rows = 0
        try:
            with (
                self._database.sql(self._question(query)).to_arrow_reader() as reader,
                parquet.ParquetWriter(target, reader.schema, compression="zstd", version="2.6") as writer,
            ):
                for batch in reader:
                    writer.write_batch(batch)
                    rows += batch.num_rows
        except self._duckdb.Error as error:
            raise BadQuery(f"sql: {_line(error)}") from None
        return rows

    def _question(self, query: str) -> str:
        """Give the one statement of a query. Raises BadQuery when it is none that only answers."""
        statements = self._database.extract_statements(query)
        kinds = [one.type.name for one in statements]
        if len(kinds) != 1 or kinds[0] not in _ANSWERS:
            found = " and ".join(kinds) or "nothing"
            raise BadQuery(f"sql: found {found}; allowed: one statement that only answers, as SELECT does")
        question: str = statements[0].query
        return question


class Answer:
    """What a question gave: names of columns, and rows that are fetched as they are read, once."""

    def __init__(self, duckdb: Any, result: Any) -> None:
        """Use `CallDatabase.ask`."""
        self._duckdb = duckdb
        self._result = result
        self.columns: list[str] = [one[0] for one in result.description]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Give the rows as Python values. Raises BadQuery for an error that shows only now."""
        while some := self._next():
            yield from some

    def _next(self) -> list[tuple[Any, ...]]:
        try:
            found: list[tuple[Any, ...]] = self._result.fetchmany(ROWS_AT_ONCE)
        except (self._duckdb.Error, ValueError, OverflowError) as error:
            raise BadQuery(f"sql: {_line(error)}") from None
        return found


def _united() -> str:
    """Write the query that gives each call of a node once."""
    columns = ", ".join(f"{expression} AS {name}" for name, expression in _MERGED.items())
    merged = f"SELECT {columns} FROM stored_row SEMI JOIN again USING (node, call_id) GROUP BY node, call_id"
    told = ", ".join([*(_told(one) for one in COLUMNS), *PARTITIONS])
    return (
        "WITH again AS MATERIALIZED "
        "(SELECT node, call_id FROM stored_row GROUP BY node, call_id HAVING count(*) > 1) "
        f"SELECT {_NAMES} FROM stored_row "
        "ANTI JOIN again USING (node, call_id) ANTI JOIN live_row USING (node, call_id) "
        f"UNION ALL SELECT {told} FROM ({merged}) ANTI JOIN live_row USING (node, call_id) "
        f"UNION ALL SELECT {_NAMES} FROM live_row"
    )


def _told(column: Column) -> str:
    """Give a column of what was put together."""
    expression = "part" if column.name == "part" else column.expression
    return f"{f'make_timestamptz({expression})' if column.kind == 'moment' else expression} AS {column.name}"


def _inside(window: Window) -> str:
    bounds = (("last_time >=", window.start_us), ("first_time <=", window.end_us))
    return " AND ".join(f"{side} make_timestamptz({at_us})" for side, at_us in bounds if at_us is not None) or "true"


def _row(file: CallFile) -> tuple[object, ...]:
    at = file.partition
    return str(file.path), at.date or None, at.hour if at.date else None, at.node, file.live


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _line(error: Exception) -> str:
    """Write an error of DuckDB in one line: what is wrong, without the picture of where."""
    text = str(error).split("\n\nLINE ", 1)
    where = text[1].split(":", 1)[0] if len(text) > 1 else ""
    return " ".join(text[0].split()) + (f" (line {where})" if where else "")
