/*
 * The pool: chunks of packets in a shared-memory file, which outlives the process.
 *
 * A chunk is FREE, then OPEN (its one writer appends), then FULL (queued for or held by an
 * encoder), then FREE again once its block is committed. `fill` is written last, so after
 * kill -9 every packet below it is whole. A chunk's id is never used twice, so a reader that
 * sees the same id and a state other than FREE before and after copying has read one chunk.
 *
 * Owns:    the mapping; the recorder also the free lists, the queue and what is its own (private
 *          memory).
 * Lends:   chunk memory; to the intake that opened it until sf_pool_close_chunk, then to
 *          whoever takes it from the queue until sf_pool_release.
 * Threads: open, close, take and release from any thread (one mutex, held for O(1) each);
 *          a chunk itself has one writer. Readers are other processes and map read-only.
 */
#ifndef SF_POOL_H
#define SF_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <assert.h>

#include "chunk.h"
#include "cursor.h"
#include "status.h"

/* Longest Call-ID that is stored; real ones are under 200 octets. */
#define SF_CALL_ID_MAX 4096

#define SF_POOL_MAGIC       0x314c4f4f50465331u /* reads 1SFPOOL1 in memory */
#define SF_POOL_VERSION     3
#define SF_POOL_RECEIVERS   16
#define SF_POOL_CLIENTS     65536 /* a power of two */
#define SF_POOL_SOURCES     1024  /* a power of two */
#define SF_POOL_NOTE_OCTETS 65536
#define SF_STREAM_CHUNK     20480 /* 100 packets of 20 ms G.711 and their heads */
/*
 * One compressed block of SIP. The larger it is, the better it is packed (bench/message.py); a
 * small pool has smaller ones, so that there are enough of them.
 */
#define SF_SIP_CHUNK     1048576
#define SF_SIP_CHUNK_MIN 262144
/*
 * SIP is spread over so many chunks by call at most, fewer when little comes: the messages of a
 * call meet in one block, a block gets large enough to be packed well, and who looks for one call
 * looks at few chunks.
 */
#define SF_POOL_ARENAS 16 /* a power of two */

/* The call_hash of a SIP chunk: it holds calls of the rest `rest` when spread over `spread`. */
static inline uint64_t sf_pool_arena_mark(uint32_t spread, uint32_t rest)
{
    return (uint64_t)spread << 32 | rest;
}

/* A mark that is none leaves everything possible. */
static inline bool sf_pool_arena_may_hold(uint64_t mark, uint64_t call_hash)
{
    uint64_t spread = mark >> 32;
    return spread == 0 || call_hash % spread == (uint32_t)mark;
}

static inline size_t sf_pool_rtp_size(size_t length)
{
    return sizeof(struct sf_pool_rtp) + sf_align8(length);
}

static inline size_t sf_pool_sip_size(size_t call_id_length, size_t payload_length)
{
    return sizeof(struct sf_pool_sip) + sf_align8(call_id_length + payload_length);
}

enum sf_chunk_class { SF_STREAM_CLASS, SF_SIP_CLASS, SF_CLASSES };
/* Far apart in bits: a state that is none of these is damage, and its chunk is looked into. */
enum sf_chunk_state { SF_FREE = 0, SF_OPEN = 0x0f0f5555, SF_FULL = 0x33ccaaaa };

/* What is refused while the disk is short of room: media first, signalling last. */
enum sf_pressure { SF_NO_PRESSURE, SF_REFUSE_RTP, SF_REFUSE_ALL };

/* One per receiver or intake; single writer, read by anyone. */
struct sf_ledger {
    _Atomic uint64_t datagrams;
    _Atomic uint64_t octets;
    _Atomic uint64_t kernel_drops;
    _Atomic uint64_t frames;            /* frames found in accepted datagrams */
    _Atomic uint64_t taken[2];          /* packets put into chunks, by enum sf_kind */
    _Atomic uint64_t clock_skew;        /* of those, filed by arrival time */
    _Atomic uint64_t unidentified;      /* of those, SIP without a Call-ID */
    _Atomic uint64_t refused_datagrams; /* whole datagrams, reason below */
    _Atomic uint64_t refused[SF_STATUS_COUNT];
    _Atomic uint64_t heartbeat_us; /* monotonic clock of the last turn of the loop */
};

struct sf_chunk_desc {
    _Atomic uint64_t id;
    _Atomic uint64_t fill; /* count << 32 | octets used */
    _Atomic uint32_t state;
    uint32_t kind;      /* enum sf_chunk_class */
    uint64_t call_hash; /* sf_pool_call_hash of the call id; of SIP sf_pool_arena_mark */
    uint64_t opened_us; /* monotonic; for the age limit */
    int64_t filed_us;   /* filing time of the first record: decides the bucket */
    uint64_t reserved[2];
};

struct sf_client {
    _Atomic uint32_t client_id; /* 0: free */
    uint32_t reserved;
    _Atomic uint64_t taken;
    _Atomic uint64_t seen_us;
};

/* An address that datagrams came from. */
struct sf_source {
    _Atomic uint32_t family; /* 4 or 6; 0: free */
    uint8_t ip[16];          /* IPv4 fills the first four octets, the rest is 0 */
    uint32_t reserved;
    _Atomic uint64_t datagrams;
    _Atomic uint64_t octets;
    _Atomic uint64_t taken[2]; /* packets put into the pool, by enum sf_kind */
    _Atomic uint64_t refused;  /* frames and whole datagrams, for whatever reason */
    _Atomic uint64_t seen_us;
};

#define SF_NO_SOURCE UINT32_MAX

struct sf_pool_head {
    uint64_t magic;
    uint32_t version;
    uint32_t head_octets; /* of this struct: another layout is another version */
    uint64_t octets;
    uint32_t chunks[SF_CLASSES];
    uint32_t chunk_octets[SF_CLASSES]; /* room in each */
    uint64_t hash_seed;
    uint64_t desc_offset;
    uint64_t data_offset[SF_CLASSES];
    _Atomic uint64_t next_id;
    _Atomic uint64_t pending;      /* packets in chunks that are not FREE */
    _Atomic uint32_t pressure;     /* enum sf_pressure, as the recorder sets it */
    _Atomic uint32_t short_of_sip; /* few SIP chunks are left: RTP waits for better times */
    _Atomic uint64_t note_version;
    _Atomic uint32_t note_length;
    uint32_t recorder_pid;
    struct sf_ledger ledgers[SF_POOL_RECEIVERS];
    struct sf_client clients[SF_POOL_CLIENTS];
    struct sf_source sources[SF_POOL_SOURCES];
    uint8_t note[SF_POOL_NOTE_OCTETS]; /* what the recorder says of itself (JSON) */
};

static_assert(sizeof(struct sf_ledger) == 256, "whole cache lines");
static_assert(sizeof(struct sf_chunk_desc) == 64, "one cache line");

struct sf_pool;

/*
 * Makes the file at `path` (0600, `octets` long, every page written once so that no later write
 * faults) or, when a pool of the same layout stands there, opens that with its chunks.
 * `epoch_us` starts the chunk ids of a new pool. On failure NULL and errno; EPROTO: a pool of
 * another version, EINVAL: too small for eight chunks of each class.
 */
struct sf_pool *sf_pool_open(const char *path, size_t octets, uint64_t epoch_us);
/* Maps an existing pool read-only; NULL and errno. */
struct sf_pool *sf_pool_attach(const char *path);
struct sf_pool *sf_pool_free(struct sf_pool *pool); /* always NULL */

struct sf_pool_head *sf_pool_head(struct sf_pool *pool);
uint32_t sf_pool_chunks(const struct sf_pool *pool); /* of all classes */
/* The room in a chunk of SIP: SF_SIP_CHUNK at most. */
size_t sf_pool_sip_chunk(const struct sf_pool *pool);
struct sf_chunk_desc *sf_pool_desc(struct sf_pool *pool, uint32_t chunk);
uint8_t *sf_pool_data(struct sf_pool *pool, uint32_t chunk);
uint64_t sf_pool_call_hash(const struct sf_pool *pool, struct sf_slice call_id);

#define SF_NO_CHUNK UINT32_MAX

/* Takes a free chunk and gives it a new id; SF_NO_CHUNK when there is none. */
uint32_t sf_pool_open_chunk(struct sf_pool *pool, enum sf_chunk_class kind);
/* Publishes what was appended so far; the writer alone calls it. */
void sf_pool_publish(struct sf_pool *pool, uint32_t chunk, uint32_t count, uint32_t used);
/* Hands the chunk to the encoders; an empty one is released at once. */
void sf_pool_close_chunk(struct sf_pool *pool, uint32_t chunk);
/*
 * Takes up to `max` full chunks of one class, SIP before streams; waits up to `timeout_ms`
 * for the first. Gives how many; 0 after the time or when woken.
 */
unsigned sf_pool_take(struct sf_pool *pool, uint32_t *chunks, unsigned max, int timeout_ms);
void sf_pool_wake(struct sf_pool *pool);
/* Gives a committed chunk back. */
void sf_pool_release(struct sf_pool *pool, uint32_t chunk);
/*
 * Queues every chunk that an earlier process left unfinished, oldest first; gives how many, and
 * the `packets` in them. What
 * this process opened, or queued by an earlier call, is let alone. One whose description is
 * damaged is taken for full: its records' checksums tell how far it is.
 */
unsigned sf_pool_recover(struct sf_pool *pool, uint64_t *packets);
/* Has everything written to the file behind the pool; 0 or the errno. */
int sf_pool_sync(struct sf_pool *pool);
uint32_t sf_pool_free_chunks(struct sf_pool *pool, enum sf_chunk_class kind);
uint32_t sf_pool_queued(struct sf_pool *pool);

void sf_pool_count_client(struct sf_pool *pool, uint32_t client_id, uint64_t taken,
                          uint64_t now_us);
uint64_t sf_pool_client_taken(const struct sf_pool *pool, uint32_t client_id);
/* The place of a source, its own or that of the one longest unseen among some. */
uint32_t sf_pool_source(struct sf_pool *pool, uint8_t family, const uint8_t *ip);

/* Replaces the recorder's note; false when it is too long. */
bool sf_pool_write_note(struct sf_pool *pool, struct sf_slice note);
/* Copies the note to `dst` (SF_POOL_NOTE_OCTETS); gives its length, 0 when a writer kept
 * interfering. */
uint32_t sf_pool_read_note(const struct sf_pool *pool, uint8_t *dst);

/*
 * Copies the chunk's published octets to `dst` (SF_SIP_CHUNK octets of room) if it is of the
 * wanted call or is a SIP chunk, and was not recycled meanwhile. Gives the octets copied,
 * 0 when there is nothing to see.
 */
size_t sf_pool_snapshot(struct sf_pool *pool, uint32_t chunk, uint64_t call_hash, uint8_t *dst,
                        uint64_t *id, uint32_t *count);

/*
 * Copies to `dst` (SF_SIP_CHUNK octets of room) those records of a SIP chunk that are of one
 * call; otherwise as sf_pool_snapshot.
 */
size_t sf_pool_call_records(struct sf_pool *pool, uint32_t chunk, struct sf_slice call_id,
                            uint8_t *dst, uint64_t *id, uint32_t *count);

#endif
