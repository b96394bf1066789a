"""The rows of one index as the table of calls has them: read in order of time, a batch of columns at once."""

import sqlite3
from collections.abc import Iterator
from typing import Any, Final

from sipflow.archive.columns import COLUMNS, TABLE_VERSION, Column
from sipflow.archive.extra import extra
from sipflow.storage.index import BYE_ANSWER, version_of

# Rows that are Python objects at one time; what is made of them is a tenth of the size.
ROWS_AT_ONCE: Final = 8192
# Version 1 of the index does not judge media, and knows of the answer to a BYE only by its messages.
_SOURCE: Final = {
    1: f"(SELECT *, {BYE_ANSWER[1]} AS bye_answer_us, NULL AS loss_percent, NULL AS jitter_us, NULL AS mos, "
    "NULL AS mos_scale, NULL AS one_way FROM call_meta)",
    2: "call_meta",
}
_SELECT: Final = ", ".join(f"{column.expression} AS {column.name}" for column in COLUMNS)


def arrow_type(column: Column) -> Any:
    """Give the type of a column as Arrow names it."""
    arrow = extra("pyarrow")
    types = {
        "text": arrow.string(),
        "flag": arrow.bool_(),
        "count": arrow.int64(),
        "number": arrow.float64(),
        "moment": arrow.timestamp("us", tz="UTC"),
    }
    return types[column.kind]


def arrow_schema(node: str | None = None) -> Any:
    """Give the schema of the table; the metadata of a file of it names the node and the version."""
    arrow = extra("pyarrow")
    fields = [arrow.field(one.name, arrow_type(one), metadata={"comment": one.meaning}) for one in COLUMNS]
    about = {"sipflow.version": str(TABLE_VERSION), **({} if node is None else {"sipflow.node": node})}
    return arrow.schema(fields, metadata=about)


def batches(index: sqlite3.Connection, part: str) -> Iterator[Any]:
    """Read the calls of an open index as record batches, by the time of their first packet.

    Raises sqlite3.Error, also when a row does not hold what its column says.
    """
    arrow = extra("pyarrow")
    schema = arrow_schema()
    types = [arrow_type(one) for one in COLUMNS]
    statement = f"SELECT {_SELECT} FROM {_SOURCE[version_of(index)]} ORDER BY first_us"
    cursor = index.execute(statement, {"part": part})
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        try:
            columns = [
                arrow.array(_truths(values) if one.kind == "flag" else values, kind)
                for one, kind, values in zip(COLUMNS, types, zip(*rows, strict=True), strict=True)
            ]
        except (arrow.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise sqlite3.DataError(f"its rows make no sense: {error}") from None
        yield arrow.record_batch(columns, schema=schema)


def _truths(values: tuple[Any, ...]) -> list[bool | None]:
    # SQLite has no truth values: 0 and 1 stand for them.
    return [None if value is None else bool(value) for value in values]
