"""The schema of catalog.db, and how a catalog of version 1 is brought up to it."""

from sipflow.storage.part import Part

VERSION = 2
# What version 2 added to a part, its checksum apart.
ADDED = ("sip_octets", "rtp_octets", "imported_us", "erased_us", "deleted_us")
COLUMNS = ", ".join(Part._fields)
COLUMNS_1 = ", ".join(f"NULL AS {name}" if name in ADDED else name for name in Part._fields)
# The filter of parts sealed by version 1, with fingerprints of another form.
FORMER = "call_filter"

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
    {", ".join(f"{name} INTEGER" for name in ADDED)},
    crc INTEGER                      -- of the columns before it; NULL: not computed
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
-- Whoever changes a row need not know its checksum: it is computed again before the next commit.
CREATE TRIGGER IF NOT EXISTS parts_changed
AFTER UPDATE OF path, start_us, end_us, state, owner, t0_us, t1_us, calls, sip_messages, rtp_packets, octets,
    {", ".join(ADDED)} ON parts
BEGIN UPDATE parts SET crc = NULL WHERE id = new.id; END;
PRAGMA user_version = {VERSION};
"""
FROM_VERSION_1 = (
    *(f"ALTER TABLE parts ADD COLUMN {name} INTEGER" for name in (*ADDED, "crc")),
    f"ALTER TABLE {FORMER} ADD COLUMN crc INTEGER",
    f"UPDATE {FORMER} SET crc = row_crc(shard, part, width, prints)",
    f"PRAGMA user_version = {VERSION}",
)
# Before every commit: of the rows that were changed, see the trigger.
COMPUTE_CRC = f"UPDATE parts SET crc = row_crc({COLUMNS}) WHERE crc IS NULL"
