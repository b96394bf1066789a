-- sipflow.db: the index of one bucket. Described in docs/FORMAT.md; user_version is set by index.py.
-- Times are microseconds since the epoch, UTC. `block` is the offset of a block's header in data.raw.

CREATE TABLE state (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- `spare` is room for what a call adds: its row is then written where it stands. The columns behind it are the worst of
-- its streams, written once the bucket is complete: estimates, NULL where nothing is known; `mos` is MOS-LQ on the scale
-- `mos_scale`, NB or WB. (SQLite keeps what is written inside of the parentheses in every bucket.)
CREATE TABLE call_meta (
    id            INTEGER PRIMARY KEY,
    call_id       TEXT NOT NULL, -- each once
    first_us      INTEGER NOT NULL,
    last_us       INTEGER NOT NULL,
    invite_us     INTEGER,
    ring_us       INTEGER,
    answer_us     INTEGER,
    cancel_us     INTEGER,
    bye_us        INTEGER,
    bye_answer_us INTEGER,
    method        TEXT NOT NULL DEFAULT '',
    begins        INTEGER NOT NULL DEFAULT 0, -- the request that opens the dialog (no To tag) is here
    from_user     TEXT NOT NULL DEFAULT '',
    to_user       TEXT NOT NULL DEFAULT '',
    from_uri      TEXT NOT NULL DEFAULT '',
    to_uri        TEXT NOT NULL DEFAULT '',
    user_agent    TEXT NOT NULL DEFAULT '',
    src           TEXT NOT NULL DEFAULT '',
    dst           TEXT NOT NULL DEFAULT '',
    status        INTEGER,
    status_us     INTEGER,
    reason        TEXT NOT NULL DEFAULT '',
    sip_messages  INTEGER NOT NULL DEFAULT 0,
    rtp_packets   INTEGER NOT NULL DEFAULT 0,
    rtp_streams   INTEGER NOT NULL DEFAULT 0,
    spare         BLOB NOT NULL DEFAULT x'',
    loss_percent  REAL,
    jitter_us     INTEGER,
    mos           REAL,
    mos_scale     TEXT,
    one_way       INTEGER
);
-- By 65,536 calls at a time: a new one is entered beside those of its time, and not anywhere in a large index, which
-- would write a page for each. Whoever looks for a Call-ID looks into each era.
CREATE INDEX call_meta_call ON call_meta (id >> 16, call_id);
CREATE VIEW eras AS
WITH RECURSIVE era (n) AS (
    -- A damaged number must not make it endless.
    SELECT min(coalesce(max(id), 0), 2147483647) >> 16 FROM call_meta UNION ALL SELECT n - 1 FROM era WHERE n > 0
)
SELECT n FROM era;
CREATE INDEX call_meta_first ON call_meta (first_us);

CREATE TABLE paths ( -- a pair may stand here more than once
    id  INTEGER PRIMARY KEY,
    src TEXT NOT NULL,
    dst TEXT NOT NULL
);

-- The messages of a call stand together, without an index of their own: of call 7 they begin at id 7 << 32.
CREATE TABLE sip_msgs (
    id       INTEGER PRIMARY KEY, -- call << 32, and the number of the message in its call, from 0
    call     INTEGER GENERATED ALWAYS AS (id >> 32) VIRTUAL,
    t0_us    INTEGER NOT NULL, -- capture time
    path     INTEGER NOT NULL REFERENCES paths (id),
    method   TEXT NOT NULL,    -- of the request, or of the CSeq a response answers
    status   INTEGER,          -- NULL: a request
    cseq     INTEGER,
    block    INTEGER NOT NULL,
    position INTEGER NOT NULL  -- octets into the decompressed block
);

CREATE TABLE streams (
    id   INTEGER PRIMARY KEY,
    call INTEGER NOT NULL REFERENCES call_meta (id),
    leg  INTEGER NOT NULL,
    src  TEXT NOT NULL,
    dst  TEXT NOT NULL,
    ssrc INTEGER               -- NULL: datagrams that are not RTP
);
CREATE INDEX streams_call ON streams (call);

CREATE TABLE media_msgs (
    id           INTEGER PRIMARY KEY,
    stream       INTEGER NOT NULL REFERENCES streams (id),
    t0_us        INTEGER NOT NULL, -- first filing time of the chunk
    span_us      INTEGER NOT NULL, -- from there to its last
    payload_type INTEGER,
    packets      INTEGER NOT NULL,
    lost         INTEGER NOT NULL, -- holes in the sequence inside this chunk
    jitter_us    INTEGER,          -- RFC 3550, at the end of the chunk
    first_seq    INTEGER,
    last_seq     INTEGER,
    block        INTEGER NOT NULL
);
CREATE INDEX media_msgs_stream ON media_msgs (stream);
