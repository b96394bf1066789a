/*
 * The live calls of a pool at one moment: of each what a page of calls sorts and chooses by, and
 * where its packets lie. They are read from the pool when they are asked for; what was committed
 * meanwhile is no longer there, and in a bucket.
 *
 * Owns:    its tables, a few dozen octets and the Call-ID per call and eight octets per message,
 *          and room for one chunk. Needs the pool to stay mapped.
 * Lends:   texts until it is freed; packets, which lie in its room for a chunk,
 * Until:   it is next asked for packets.
 * Threads: one per roster.
 */
#ifndef SF_ROSTER_H
#define SF_ROSTER_H

#include "pool.h"

struct sf_roster;

/* A call, and when its SIP was filed. Without heads it has no users, and begins nowhere. */
struct sf_roster_call {
    int64_t first_us;
    int64_t last_us;
    struct sf_slice call_id;   /* well-formed UTF-8, as sf_text_clean makes it */
    struct sf_slice from_user; /* of the request that a digest of the call names */
    struct sf_slice to_user;
    uint32_t messages;
    bool begins; /* the request that opens the dialog is among its messages */
};

/* What one chunk of the pool holds of a call. */
struct sf_roster_packets {
    uint64_t chunk_id;
    uint32_t count;
    struct sf_slice octets; /* as sf_pool_call_records and sf_pool_snapshot give them, and sound */
};

#define SF_ROSTER_END UINT32_MAX

/* A roster of nothing; `pool` may be NULL when no packets will be asked for. NULL: no memory. */
struct sf_roster *sf_roster_new(struct sf_pool *pool);
struct sf_roster *sf_roster_free(struct sf_roster *roster); /* always NULL */

/*
 * Takes in the first `count` messages of a copy of SIP chunk `chunk`, no further than they make
 * sense; reads their heads only if told to. False when there is no memory: the roster is as useless
 * then as one that was not sorted.
 */
bool sf_roster_add(struct sf_roster *roster, uint32_t chunk, uint64_t chunk_id,
                   struct sf_slice arena, uint32_t count, bool heads);
/* Makes the roster ready for questions; false when there is no memory. */
bool sf_roster_sort(struct sf_roster *roster);

/* All of the above for what is in a pool now; NULL: no memory. */
struct sf_roster *sf_roster_read(struct sf_pool *pool, bool heads);

uint32_t sf_roster_count(const struct sf_roster *roster);
struct sf_roster_call sf_roster_call(const struct sf_roster *roster, uint32_t call);
/* The number of a call; SF_ROSTER_END when it is not there. */
uint32_t sf_roster_find(const struct sf_roster *roster, struct sf_slice call_id);

/*
 * Writes the numbers of up to `most` calls to `calls`, newest first by first_us, then Call-ID;
 * those before (`first_us`, `call_id`), or the newest of all when `call_id.p` is NULL. Gives how
 * many.
 */
uint32_t sf_roster_newest(const struct sf_roster *roster, int64_t first_us, struct sf_slice call_id,
                          uint32_t *calls, uint32_t most);

/*
 * Copies the messages of a call from the next chunk that still holds some, those that the roster
 * counted and no later ones. `*at` is 0 for the first; false after the last.
 */
bool sf_roster_messages(struct sf_roster *roster, uint32_t call, uint32_t *at,
                        struct sf_roster_packets *out);

/* The same for the chunks that may hold its media; they may be another call's of the same hash. */
bool sf_roster_media(struct sf_roster *roster, struct sf_slice call_id, uint32_t *at,
                     struct sf_roster_packets *out);

#endif
