-- sipflow.db: the index of one bucket. Described in docs/FORMAT.md; user_version is set by bucket.py.
-- Times are microseconds since the epoch, UTC. blocks.offset points into data.raw.

CREATE TABLE call_meta (
    id           INTEGER PRIMARY KEY,
    call_id      TEXT NOT NULL UNIQUE,
    first_us     INTEGER NOT NULL,
    last_us      INTEGER NOT NULL,
    invite_us    INTEGER,
    ring_us      INTEGER,
    answer_us    INTEGER,
    cancel_us    INTEGER,
    bye_us       INTEGER,
    method       TEXT NOT NULL DEFAULT '',
    begins       INTEGER NOT NULL DEFAULT 0, -- the request that opens the dialog (no To tag) is here
    from_user    TEXT NOT NULL DEFAULT '',
    to_user      TEXT NOT NULL DEFAULT '',
    from_uri     TEXT NOT NULL DEFAULT '',
    to_uri       TEXT NOT NULL DEFAULT '',
    user_agent   TEXT NOT NULL DEFAULT '',
    src          TEXT NOT NULL DEFAULT '',
    dst          TEXT NOT NULL DEFAULT '',
    status       INTEGER,
    status_us    INTEGER,
    reason       TEXT NOT NULL DEFAULT '',
    sip_messages INTEGER NOT NULL DEFAULT 0,
    rtp_packets  INTEGER, -- NULL until the bucket is sealed: add up media_msgs
    rtp_streams  INTEGER
);
CREATE INDEX call_meta_first ON call_meta (first_us);

CREATE TABLE blocks (
    offset  INTEGER PRIMARY KEY, -- of the block's header in data.raw
    length  INTEGER NOT NULL,
    kind    INTEGER NOT NULL,    -- 1 SIP messages, 2 a chunk of one media stream
    records INTEGER NOT NULL,
    t0_us   INTEGER NOT NULL,
    t1_us   INTEGER NOT NULL,
    chunk   INTEGER NOT NULL     -- id of the pool chunk it was made of: commits are exactly once
);

CREATE TABLE sip_msgs (
    id          INTEGER PRIMARY KEY,
    call        INTEGER NOT NULL REFERENCES call_meta (id),
    t0_us       INTEGER NOT NULL, -- capture time
    src         TEXT NOT NULL,
    dst         TEXT NOT NULL,
    method      TEXT NOT NULL,    -- of the request, or of the CSeq a response answers
    status      INTEGER,          -- NULL: a request
    cseq        INTEGER,
    block       INTEGER NOT NULL REFERENCES blocks (offset),
    position    INTEGER NOT NULL  -- octets into the decompressed block
);
CREATE INDEX sip_msgs_call ON sip_msgs (call, t0_us);

CREATE TABLE media_msgs (
    id           INTEGER PRIMARY KEY,
    call         INTEGER NOT NULL REFERENCES call_meta (id),
    t0_us        INTEGER NOT NULL, -- first and last capture time of the chunk
    t1_us        INTEGER NOT NULL,
    leg          INTEGER NOT NULL,
    src          TEXT NOT NULL,
    dst          TEXT NOT NULL,
    ssrc         INTEGER,          -- NULL: datagrams that are not RTP
    payload_type INTEGER,
    packets      INTEGER NOT NULL,
    lost         INTEGER NOT NULL, -- holes in the sequence inside this chunk
    jitter_us    INTEGER,          -- RFC 3550, at the end of the chunk
    first_seq    INTEGER,
    last_seq     INTEGER,
    block        INTEGER NOT NULL REFERENCES blocks (offset)
);
CREATE INDEX media_msgs_call ON media_msgs (call, t0_us);
