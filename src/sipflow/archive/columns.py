"""The table of calls as it leaves sipflow: its columns once, with type, meaning, and how call_meta gives them.

`docs/ANALYTICS.md` shows this table to people. The expressions are SQL that SQLite and DuckDB read alike, over columns
named as those of call_meta (docs/FORMAT.md).
"""

import re
from pathlib import Path
from typing import Final, Literal, NamedTuple

from sipflow.clock import to_datetime
from sipflow.storage.layout import ENDLESS, period_at

Kind = Literal["text", "flag", "count", "number", "moment"]

# Of the files: changes when a column changes its meaning. New columns come behind, and need no new version.
TABLE_VERSION: Final = 1
# Names of the directories that say where rows come from; engines make columns of them (Apache Hive's layout).
PARTITIONS: Final = ("date", "hour", "node")
# Where the table begins, beside the directories of the nodes.
TABLE: Final = "calls"


class Column(NamedTuple):
    """A column: `kind` is what it holds, `meaning` a phrase for people, `expression` how call_meta gives it.

    A `moment` is in microseconds since the epoch in the expression, and a time in UTC in the table.
    """

    name: str
    kind: Kind
    meaning: str
    expression: str


_ENDED = "CASE WHEN bye_us IS NOT NULL OR status IS NULL OR status < 300 THEN bye_us ELSE status_us END"
# As CallDigest.state has it (wire/dialog.py).
_STATE = (
    "CASE WHEN invite_us IS NULL THEN 'other' "
    "WHEN answer_us IS NOT NULL THEN CASE WHEN bye_us IS NULL THEN 'answered' ELSE 'completed' END "
    "WHEN status >= 300 THEN CASE WHEN cancel_us IS NULL THEN 'failed' ELSE 'cancelled' END "
    "WHEN ring_us IS NOT NULL THEN 'ringing' ELSE 'trying' END"
)


def _seconds(begin: str, end: str) -> str:
    """Give the time between two moments [s]; none where it would be negative, which clocks that are set can make it."""
    return f"CASE WHEN ({end}) >= ({begin}) THEN (({end}) - ({begin})) / 1000000.0 END"


def _host(address: str) -> str:
    # Without the port, and the brackets of IPv6.
    return f"trim(rtrim(rtrim({address}, '0123456789'), ':'), '[]')"


COLUMNS: Final = (
    Column("call_id", "text", "Call-ID, as captured", "call_id"),
    Column("begins", "flag", "the request that opens the dialog is in this part: count calls by it", "begins"),
    Column("first_time", "moment", "first packet in this part; rows are sorted by it", "first_us"),
    Column("last_time", "moment", "last packet in this part", "last_us"),
    Column("invite_time", "moment", "earliest INVITE, or response to one", "invite_us"),
    Column("ring_time", "moment", "earliest 101 to 199 to an INVITE", "ring_us"),
    Column("answer_time", "moment", "earliest 2xx to an INVITE", "answer_us"),
    Column("cancel_time", "moment", "earliest CANCEL", "cancel_us"),
    Column("bye_time", "moment", "earliest BYE", "bye_us"),
    Column("end_time", "moment", "its end: the first BYE, or the response that refused it", _ENDED),
    Column("setup_s", "number", "seconds from INVITE to answer", _seconds("invite_us", "answer_us")),
    Column("ring_s", "number", "seconds from ringing to the answer, or to the end without one",
           _seconds("ring_us", f"coalesce(answer_us, {_ENDED})")),
    Column("talk_s", "number", "seconds from answer to BYE", _seconds("answer_us", "bye_us")),
    Column("method", "text", "of the first request; so are the next eight", "method"),
    Column("from_user", "text", "user part of From", "from_user"),
    Column("to_user", "text", "user part of To", "to_user"),
    Column("from_uri", "text", "URI of From", "from_uri"),
    Column("to_uri", "text", "URI of To", "to_uri"),
    Column("user_agent", "text", "User-Agent, else Server", "user_agent"),
    Column("src", "text", "where it came from, address and port", "src"),
    Column("dst", "text", "where it went, address and port", "dst"),
    Column("src_ip", "text", "where it came from, address alone", _host("src")),
    Column("dst_ip", "text", "where it went, address alone", _host("dst")),
    Column("status", "count", "the final status that decides: the first 2xx, else the latest one", "status"),
    Column("status_time", "moment", "when it was seen", "status_us"),
    Column("reason", "text", "its reason phrase", "reason"),
    Column("state", "text",
           "`trying`, `ringing`, `answered`, `completed`, `failed`, `cancelled`; `other` is no INVITE", _STATE),
    Column("sip_messages", "count", "SIP messages in this part", "sip_messages"),
    Column("rtp_packets", "count", "packets of its media in this part", "coalesce(rtp_packets, 0)"),
    Column("rtp_streams", "count", "RTP streams (leg, ends, SSRC) in this part", "coalesce(rtp_streams, 0)"),
    Column("loss_percent", "number", "worst loss of a stream; an estimate, as the next four", "loss_percent"),
    Column("jitter_ms", "number", "worst jitter of a stream [ms]", "jitter_us / 1000.0"),
    Column("mos", "number", "lowest MOS-LQ of a stream (ITU-T G.107)", "mos"),
    Column("mos_scale", "text", "`NB` or `WB`: what `mos` is relative to; the two are not comparable", "mos_scale"),
    Column("one_way", "flag", "answered, and all its streams go in one direction", "one_way"),
    Column("part", "text", "the part that holds it, e.g. `2026/06/01/00`; `sipflow` finds its packets there", ":part"),
    Column("bye_answer_time", "moment", "earliest 2xx to a BYE", "bye_answer_us"),
)  # fmt: skip


class Partition(NamedTuple):
    """Where the rows of one part belong: what its directories say, and the part's path under the data root."""

    date: str
    hour: int
    node: str
    part: str

    @property
    def key(self) -> str:
        """Name the object that holds them, below the root of the archive."""
        name = self.part.replace("/", "-")
        return f"{TABLE}/date={self.date}/hour={self.hour:02}/node={self.node}/{name}.parquet"


def partition_of(node: str, part: str) -> Partition:
    """Tell where the rows of a part belong; those of a whole day stand under its first hour.

    Raises ValueError for what is no part, and for that of a root without directories, which is never sealed.
    """
    period = period_at(Path(part))
    if period == ENDLESS:
        raise ValueError(f"part: found {part!r}; allowed: a directory of an hour or a day, e.g. 2026/06/01/00")
    begins = to_datetime(period.start_us)
    return Partition(begins.strftime("%Y-%m-%d"), begins.hour, node, part)


_KEY: Final = re.compile(
    rf"{TABLE}/date=(\d{{4}}-\d\d-\d\d)/hour=(\d\d)/node=([^/]+)/"
    r"(\d{4})-(\d\d)-(\d\d)(?:-(\d\d))?(?:-(part-\d{4,}))?\.parquet\Z",
    re.ASCII,
)


def partition_at(key: str) -> Partition | None:
    """Read what `Partition.key` wrote; None for another name."""
    found = _KEY.match(key)
    if found is None:
        return None
    date, hour, node, *names = found.groups()
    return Partition(date, int(hour), node, "/".join(name for name in names if name is not None))
