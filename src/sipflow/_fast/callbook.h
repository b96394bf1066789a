/*
 * What the index of a bucket remembers of the calls, streams and pairs of ends it has met, so that
 * it need not ask the database for those that go on.
 *
 * Owns:    everything in it.
 * Lends:   calls, streams and paths,
 * Until:   the next sf_callbook_trim or sf_callbook_forget_all.
 * Threads: one at a time.
 */
#ifndef SF_CALLBOOK_H
#define SF_CALLBOOK_H

#include "gist.h"

struct sf_known_stream {
    struct sf_known_stream *next; /* of the same call */
    int64_t id;
    struct sf_ends_key ends;
    int32_t leg;
    uint32_t ssrc;
    bool has_ssrc;
};

enum sf_change { SF_NO_CHANGE, SF_MEDIA_CHANGED, SF_CALL_CHANGED, SF_CALL_NEW };

/* id 0: none. */
struct sf_known_path {
    int64_t id;
    struct sf_ends_key ends;
};

#define SF_CALL_PATHS 2 /* there and back */

struct sf_known_call {
    struct sf_known_call *next;          /* of the same place in the table */
    struct sf_known_call *older, *newer; /* by last use */
    struct sf_known_call *next_changed;
    uint64_t hash;
    uint64_t turn; /* of its last use */
    int64_t id;
    int64_t stored_first_us;
    uint64_t rtp_packets;
    uint64_t rtp_streams;
    struct sf_known_stream *streams;
    uint8_t *party; /* where the texts of the digest lie */
    uint8_t *reason;
    size_t octets;
    size_t row_octets; /* of its row in the index, with what it has to spare */
    size_t id_length;
    enum sf_change change;
    struct sf_known_path paths[SF_CALL_PATHS]; /* that its messages went last */
    struct sf_digest digest;
    uint8_t call_id[];
};

struct sf_callbook {
    struct sf_known_call **calls;
    struct sf_known_call *oldest, *newest;
    /* Since the last commit. In the order they were met: numbers of new calls rise, and SQLite
     * fills its pages one after the other. */
    struct sf_known_call *changed, *last_changed;
    size_t call_count, octets;
    struct sf_known_path *paths; /* each in the one place its hash has */
    uint64_t *filter;            /* bits of the hashes of all calls there are */
    bool filtered;               /* that filter is complete */
    uint64_t turn;
};

/* `empty` says that there are no calls yet. False: out of memory. */
bool sf_callbook_init(struct sf_callbook *book, bool empty);
void sf_callbook_free(struct sf_callbook *book);

/* Begins a commit: calls used in it count as used at one time. */
void sf_callbook_turn(struct sf_callbook *book);

/* Where a call would be looked for first: on its way while something else is done. */
static inline void sf_callbook_expect(const struct sf_callbook *book, uint64_t hash);

/* False: there is no such call, remembered or not. */
bool sf_callbook_may_know(const struct sf_callbook *book, uint64_t hash);
/* NULL: not remembered. */
struct sf_known_call *sf_callbook_find(struct sf_callbook *book, struct sf_slice call_id,
                                       uint64_t hash);
/* A call of which nothing but the Call-ID is known; NULL: out of memory. */
struct sf_known_call *sf_callbook_add(struct sf_callbook *book, struct sf_slice call_id,
                                      uint64_t hash);
/* Keeps copies of those texts of a call's digest that `taken` names (enum sf_taken). */
bool sf_callbook_keep(struct sf_callbook *book, struct sf_known_call *call, unsigned taken);
/* NULL: out of memory. */
struct sf_known_stream *sf_callbook_add_stream(struct sf_callbook *book, struct sf_known_call *call,
                                               const struct sf_known_stream *stream);
/* Notes that the row of a call has to be written. */
void sf_callbook_mark(struct sf_callbook *book, struct sf_known_call *call, enum sf_change change);

/* The path of a message of the call; 0: not remembered. */
int64_t sf_callbook_path(struct sf_callbook *book, struct sf_known_call *call,
                         const struct sf_ends_key *ends);
void sf_callbook_add_path(struct sf_callbook *book, struct sf_known_call *call,
                          const struct sf_ends_key *ends, int64_t id);

/* Forgets the calls longest unused, none of which may be changed, until it is small enough. */
void sf_callbook_trim(struct sf_callbook *book);
void sf_callbook_forget_all(struct sf_callbook *book);

#define SF_CALLBOOK_TABLE 65536 /* a power of two */

static inline void sf_callbook_expect(const struct sf_callbook *book, uint64_t hash)
{
    __builtin_prefetch(&book->calls[hash % SF_CALLBOOK_TABLE]);
}

#endif
