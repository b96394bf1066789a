"""The schema of catalog.db, and how a catalog of an earlier version is brought up to it."""

from sipflow.storage.part import Part
from sipflow.storage.row_crc import row_crc

VERSION = 3
# What version 2 added to a part, its checksum apart, and what version 3 did, which stands behind the checksum.
ADDED_2 = ("sip_octets", "rtp_octets", "imported_us", "erased_us", "deleted_us")
ADDED_3 = ("archived_us", "archive_key", "evicted_us", "packed_us")
_TYPES = {"archive_key": "TEXT"}
COLUMNS = ", ".join(Part._fields)
# As a reader selects them that meets an earlier version.
COLUMNS_OF = {
    version: ", ".join(f"NULL AS {name}" if name in absent else name for name in Part._fields)
    for version, absent in ((1, ADDED_2 + ADDED_3), (2, ADDED_3), (VERSION, ()))
}
# The filter of parts sealed by version 1, with fingerprints of another form.
FORMER = "call_filter"

# Whoever changes a row need not know its checksum: it is computed again before the next commit.
TRIGGER = f"""CREATE TRIGGER IF NOT EXISTS parts_changed
AFTER UPDATE OF path, start_us, end_us, state, owner, t0_us, t1_us, calls, sip_messages, rtp_packets, octets,
    {", ".join(ADDED_2 + ADDED_3)} ON parts
BEGIN UPDATE parts SET crc = NULL WHERE id = new.id; END;"""
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS parts (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,       -- relative to the root
    start_us INTEGER NOT NULL,       -- the period of filing time it covers
    end_us INTEGER NOT NULL,
    state TEXT NOT NULL,             -- making (its files do not stand yet), open, sealing, sealed, unlisted;
                                     -- deleting, deleted
    owner INTEGER NOT NULL DEFAULT 0, -- 0: the recorder; else the process id of an import
    t0_us INTEGER, t1_us INTEGER,    -- first and last time in it, once sealed
    calls INTEGER, sip_messages INTEGER, rtp_packets INTEGER, octets INTEGER,
    {", ".join(f"{name} INTEGER" for name in ADDED_2)},
    crc INTEGER,                     -- of all other columns, see part_crc; NULL: not computed
    {", ".join(f"{name} {_TYPES.get(name, 'INTEGER')}" for name in ADDED_3)}
);
CREATE INDEX IF NOT EXISTS parts_time ON parts (t1_us);
CREATE INDEX IF NOT EXISTS parts_deleted ON parts (end_us) WHERE deleted_us IS NOT NULL;
-- For each of 1024 shards of the Call-ID space, the fingerprints of a part's calls, three octets each.
CREATE TABLE IF NOT EXISTS call_prints (
    shard INTEGER NOT NULL, part INTEGER NOT NULL, prints BLOB NOT NULL, crc INTEGER,
    PRIMARY KEY (shard, part)
) WITHOUT ROWID;
-- The same of parts that are deleted, with their calls known more surely.
CREATE TABLE IF NOT EXISTS expired_filter (
    shard INTEGER NOT NULL, part INTEGER NOT NULL, width INTEGER NOT NULL, prints BLOB NOT NULL, crc INTEGER,
    PRIMARY KEY (shard, part)
) WITHOUT ROWID;
{TRIGGER}
PRAGMA user_version = {VERSION};
"""
_TO_3 = (
    *(f"ALTER TABLE parts ADD COLUMN {name} {_TYPES.get(name, 'INTEGER')}" for name in ADDED_3),
    "DROP TRIGGER IF EXISTS parts_changed",
    TRIGGER,
    f"PRAGMA user_version = {VERSION}",
)
UPGRADES = {
    1: (
        *(f"ALTER TABLE parts ADD COLUMN {name} INTEGER" for name in (*ADDED_2, "crc")),
        f"ALTER TABLE {FORMER} ADD COLUMN crc INTEGER",
        f"UPDATE {FORMER} SET crc = row_crc(shard, part, width, prints)",
        *_TO_3,
    ),
    2: _TO_3,
}
# Before every commit: of the rows that were changed, see the trigger.
COMPUTE_CRC = f"UPDATE parts SET crc = part_crc({COLUMNS}) WHERE crc IS NULL"


def part_crc(*columns: object) -> int:
    """Compute the checksum of a row of parts: up to the last column of version 3 that has a value.

    So what version 2 computed stays right, and a program of that version that still runs computes what is right.
    """
    count = len(columns)
    while count > len(columns) - len(ADDED_3) and columns[count - 1] is None:
        count -= 1
    return row_crc(*columns[:count])
