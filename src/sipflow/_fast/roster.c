#define _GNU_SOURCE
#include "roster.h"

#include <stdlib.h>

#include "digest.h"
#include "hash.h"
#include "messages.h"
#include "sip.h"
#include "text.h"

/* A text in `octets`. */
struct text {
    uint32_t at;
    uint32_t n;
};

struct call {
    int64_t first_us;
    int64_t last_us;
    struct text call_id;
    struct text from_user;
    struct text to_user;
    uint32_t messages;
    uint32_t first; /* its messages, in the order in which they were found */
    uint32_t last;
    bool begins;
    bool has_party;
};

struct message {
    uint32_t offset; /* of its record in the chunk */
    uint32_t next;   /* of the same call */
};

/* A SIP chunk, and the first of its messages; they lie together. */
struct source {
    uint64_t id;
    uint32_t chunk;
    uint32_t message;
};

struct stream {
    uint64_t call_hash;
    uint32_t chunk;
};

struct order {
    int64_t first_us;
    uint32_t call;
};

/* A place of the table; a call's is where its hash leads, or behind. */
struct slot {
    uint32_t hash;
    uint32_t call; /* its number + 1; 0: free */
};

struct sf_roster {
    struct sf_pool *pool;
    uint64_t seed;
    struct call *calls;
    struct message *messages;
    struct source *sources;
    struct stream *streams;
    struct order *order;
    struct slot *table;
    uint8_t *octets;
    uint8_t *scratch;
    size_t calls_n, calls_room;
    size_t messages_n, messages_room;
    size_t sources_n, sources_room;
    size_t streams_n, streams_room;
    size_t table_room; /* a power of two, or 0 */
    size_t octets_n, octets_room;
};

/* Makes room for `need` items, in steps that grow with it; false when there is no memory. */
static bool grow(void **items, size_t *room, size_t need, size_t size)
{
    if (need <= *room) {
        return true;
    }
    size_t more = need + need / 2 + 64;
    /* Numbers and offsets are of 32 bits, and the last is SF_ROSTER_END. */
    void *memory = need < SF_ROSTER_END ? realloc(*items, more * size) : NULL;
    if (memory != NULL) {
        *items = memory;
        *room = more;
    }
    return memory != NULL;
}

#define ROOM(roster, name, need)                                                                   \
    grow((void **)&(roster)->name, &(roster)->name##_room, need, sizeof *(roster)->name)

struct sf_roster *sf_roster_new(struct sf_pool *pool)
{
    struct sf_roster *roster = calloc(1, sizeof *roster);
    if (roster == NULL || (roster->scratch = malloc(SF_SIP_CHUNK)) == NULL) {
        return sf_roster_free(roster);
    }
    roster->pool = pool;
    roster->seed = pool != NULL ? sf_pool_head(pool)->hash_seed : 0;
    return roster;
}

struct sf_roster *sf_roster_free(struct sf_roster *roster)
{
    if (roster != NULL) {
        free(roster->calls);
        free(roster->messages);
        free(roster->sources);
        free(roster->streams);
        free(roster->order);
        free(roster->table);
        free(roster->octets);
        free(roster->scratch);
        free(roster);
    }
    return NULL;
}

static struct sf_slice slice_of(const struct sf_roster *roster, struct text text)
{
    return text.n > 0 ? sf_slice(roster->octets + text.at, text.n) : sf_slice(NULL, 0);
}

/* Where a Call-ID stands in the table, or is to stand; the table has a free place. */
static struct slot *place_of(const struct sf_roster *roster, struct sf_slice call_id, uint32_t hash)
{
    size_t at = hash & (roster->table_room - 1);
    for (;; at = (at + 1) & (roster->table_room - 1)) {
        struct slot *slot = &roster->table[at];
        if (slot->call == 0 ||
            (slot->hash == hash &&
             sf_slice_eq(slice_of(roster, roster->calls[slot->call - 1].call_id), call_id))) {
            return slot;
        }
    }
}

static bool grow_table(struct sf_roster *roster)
{
    if (2 * (roster->calls_n + 1) <= roster->table_room) {
        return true;
    }
    size_t room = roster->table_room == 0 ? 1024 : 2 * roster->table_room;
    struct slot *table = calloc(room, sizeof *table);
    if (table == NULL) {
        return false;
    }
    for (size_t i = 0; i < roster->table_room; i++) {
        struct slot slot = roster->table[i];
        size_t at = slot.hash & (room - 1);
        while (slot.call != 0 && table[at].call != 0) {
            at = (at + 1) & (room - 1);
        }
        if (slot.call != 0) {
            table[at] = slot;
        }
    }
    free(roster->table);
    roster->table = table;
    roster->table_room = room;
    return true;
}

static bool is_ascii(struct sf_slice s)
{
    uint8_t bits = 0;
    for (size_t i = 0; i < s.n; i++) {
        bits |= s.p[i];
    }
    return bits < 0x80;
}

/* Keeps a text behind the others; false when there is no memory. */
static bool keep(struct sf_roster *roster, struct sf_slice octets, struct text *out)
{
    if (!ROOM(roster, octets, roster->octets_n + octets.n)) {
        return false;
    }
    if (octets.n > 0) {
        memcpy(roster->octets + roster->octets_n, octets.p, octets.n);
    }
    *out = (struct text){(uint32_t)roster->octets_n, (uint32_t)octets.n};
    roster->octets_n += octets.n;
    return true;
}

/* The number of the call, which may be a new one; SF_ROSTER_END when there is no memory. */
static uint32_t call_of(struct sf_roster *roster, struct sf_slice call_id)
{
    struct sf_slice clean = call_id;
    /* Twice the bound: the clean text is made behind the place where it will be kept. */
    size_t bound = is_ascii(call_id) ? 0 : sf_text_bound(call_id.n);
    if (!grow_table(roster) || !ROOM(roster, calls, roster->calls_n + 1) ||
        !ROOM(roster, octets, roster->octets_n + 2 * bound)) {
        return SF_ROSTER_END;
    }
    if (bound > 0) {
        uint8_t *at = roster->octets + roster->octets_n + bound;
        clean = sf_slice(at, sf_text_clean(call_id, at));
    }
    uint32_t hash = (uint32_t)sf_hash(clean.p, clean.n, roster->seed);
    struct slot *slot = place_of(roster, clean, hash);
    if (slot->call == 0) {
        struct call *call = &roster->calls[roster->calls_n];
        *call = (struct call){.first_us = INT64_MAX, .last_us = INT64_MIN};
        if (!keep(roster, clean, &call->call_id)) {
            return SF_ROSTER_END;
        }
        *slot = (struct slot){hash, (uint32_t)++roster->calls_n};
    }
    return slot->call - 1;
}

/* Takes in whom a message names and whether it begins the call, by the rules of a digest. */
static bool read_head(struct sf_roster *roster, struct call *call, const struct sf_message *message)
{
    static const struct sf_ends nowhere;
    struct sf_sip head;
    sf_sip_scan(message->payload, &head);
    struct sf_digest one = sf_digest_of(message, &head, &nowhere);
    struct sf_digest known = sf_digest_span(call->first_us, call->last_us);
    known.begins = call->begins;
    known.party[SF_METHOD] = sf_slice(NULL, call->has_party);
    if (sf_digest_merge(&known, &one) & SF_TOOK_PARTY) {
        call->has_party = true;
        if (!keep(roster, one.party[SF_FROM_USER], &call->from_user) ||
            !keep(roster, one.party[SF_TO_USER], &call->to_user)) {
            return false;
        }
    }
    call->begins = known.begins;
    return true;
}

static bool add_message(struct sf_roster *roster, const struct sf_message *message, size_t offset,
                        bool heads)
{
    uint32_t number = (uint32_t)roster->messages_n;
    uint32_t at = call_of(roster, message->call_id);
    if (at == SF_ROSTER_END || !ROOM(roster, messages, roster->messages_n + 1)) {
        return false;
    }
    struct call *call = &roster->calls[at];
    if (heads && !read_head(roster, call, message)) {
        return false;
    }
    int64_t filed_us = message->clock_skew ? message->arrival_us : message->time_us;
    call->first_us = filed_us < call->first_us ? filed_us : call->first_us;
    call->last_us = filed_us > call->last_us ? filed_us : call->last_us;
    roster->messages[number] = (struct message){(uint32_t)offset, SF_ROSTER_END};
    if (call->messages == 0) {
        call->first = number;
    } else {
        roster->messages[call->last].next = number;
    }
    call->last = number;
    call->messages++;
    roster->messages_n++;
    return true;
}

bool sf_roster_add(struct sf_roster *roster, uint32_t chunk, uint64_t chunk_id,
                   struct sf_slice arena, uint32_t count, bool heads)
{
    if (!ROOM(roster, sources, roster->sources_n + 1)) {
        return false;
    }
    roster->sources[roster->sources_n++] =
        (struct source){chunk_id, chunk, (uint32_t)roster->messages_n};
    struct sf_message message;
    size_t at = 0;
    for (; count > 0 && sf_message_of_arena(arena.p, arena.n, at, &message); count--) {
        if (!add_message(roster, &message, at, heads)) {
            return false;
        }
        at = message.next;
    }
    return true;
}

static int compare(int64_t a_us, struct sf_slice a, int64_t b_us, struct sf_slice b)
{
    if (a_us != b_us) {
        return a_us < b_us ? -1 : 1;
    }
    size_t n = a.n < b.n ? a.n : b.n;
    int difference = n > 0 ? memcmp(a.p, b.p, n) : 0;
    return difference != 0 ? difference : (a.n > b.n) - (a.n < b.n);
}

static int compare_calls(const void *left, const void *right, void *roster)
{
    const struct order *a = left, *b = right;
    const struct call *calls = ((const struct sf_roster *)roster)->calls;
    return compare(a->first_us, slice_of(roster, calls[a->call].call_id), b->first_us,
                   slice_of(roster, calls[b->call].call_id));
}

static int compare_streams(const void *left, const void *right)
{
    const struct stream *a = left, *b = right;
    if (a->call_hash != b->call_hash) {
        return a->call_hash < b->call_hash ? -1 : 1;
    }
    return a->chunk < b->chunk ? -1 : a->chunk > b->chunk;
}

bool sf_roster_sort(struct sf_roster *roster)
{
    roster->order = malloc((roster->calls_n + 1) * sizeof *roster->order);
    if (roster->order == NULL || !grow_table(roster)) {
        return false;
    }
    for (size_t i = 0; i < roster->calls_n; i++) {
        roster->order[i] = (struct order){roster->calls[i].first_us, (uint32_t)i};
    }
    qsort_r(roster->order, roster->calls_n, sizeof *roster->order, compare_calls, roster);
    if (roster->streams_n > 0) {
        qsort(roster->streams, roster->streams_n, sizeof *roster->streams, compare_streams);
    }
    return true;
}

static bool read_sip(struct sf_roster *roster, uint32_t chunk, bool heads)
{
    uint64_t id;
    uint32_t count;
    uint32_t used =
        (uint32_t)sf_pool_snapshot(roster->pool, chunk, 0, roster->scratch, &id, &count);
    if (used == 0) {
        return true;
    }
    count = sf_arena_sound(roster->scratch, &used, count, id);
    return count == 0 ||
           sf_roster_add(roster, chunk, id, sf_slice(roster->scratch, used), count, heads);
}

static bool note_stream(struct sf_roster *roster, uint32_t chunk)
{
    const struct sf_chunk_desc *desc = sf_pool_desc(roster->pool, chunk);
    if (atomic_load_explicit(&desc->state, memory_order_acquire) == SF_FREE) {
        return true;
    }
    if (!ROOM(roster, streams, roster->streams_n + 1)) {
        return false;
    }
    roster->streams[roster->streams_n++] = (struct stream){desc->call_hash, chunk};
    return true;
}

struct sf_roster *sf_roster_read(struct sf_pool *pool, bool heads)
{
    struct sf_roster *roster = sf_roster_new(pool);
    bool good = roster != NULL;
    for (uint32_t chunk = 0; good && chunk < sf_pool_chunks(pool); chunk++) {
        bool is_sip = sf_pool_desc(pool, chunk)->kind == SF_SIP_CLASS;
        good = is_sip ? read_sip(roster, chunk, heads) : note_stream(roster, chunk);
    }
    return good && sf_roster_sort(roster) ? roster : sf_roster_free(roster);
}

uint32_t sf_roster_count(const struct sf_roster *roster)
{
    return (uint32_t)roster->calls_n;
}

struct sf_roster_call sf_roster_call(const struct sf_roster *roster, uint32_t number)
{
    const struct call *call = &roster->calls[number];
    return (struct sf_roster_call){.first_us = call->first_us,
                                   .last_us = call->last_us,
                                   .call_id = slice_of(roster, call->call_id),
                                   .from_user = slice_of(roster, call->from_user),
                                   .to_user = slice_of(roster, call->to_user),
                                   .messages = call->messages,
                                   .begins = call->begins};
}

uint32_t sf_roster_find(const struct sf_roster *roster, struct sf_slice call_id)
{
    uint32_t hash = (uint32_t)sf_hash(call_id.p, call_id.n, roster->seed);
    uint32_t call = place_of(roster, call_id, hash)->call;
    return call == 0 ? SF_ROSTER_END : call - 1;
}

uint32_t sf_roster_newest(const struct sf_roster *roster, int64_t first_us, struct sf_slice call_id,
                          uint32_t *calls, uint32_t most)
{
    size_t low = 0, high = roster->calls_n;
    while (call_id.p != NULL && low < high) {
        size_t middle = low + (high - low) / 2;
        struct order one = roster->order[middle];
        if (compare(one.first_us, slice_of(roster, roster->calls[one.call].call_id), first_us,
                    call_id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    uint32_t n = 0;
    for (; n < most && high > 0; n++) {
        calls[n] = roster->order[--high].call;
    }
    return n;
}

/* The chunk a message lies in. */
static const struct source *source_of(const struct sf_roster *roster, uint32_t message)
{
    size_t low = 0, high = roster->sources_n;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (roster->sources[middle].message <= message) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &roster->sources[low];
}

static bool holds(struct sf_roster *roster, const struct source *source)
{
    const struct sf_chunk_desc *desc = sf_pool_desc(roster->pool, source->chunk);
    return atomic_load_explicit(&desc->state, memory_order_acquire) != SF_FREE &&
           atomic_load_explicit(&desc->id, memory_order_acquire) == source->id;
}

/* Copies the record at `offset` of a chunk behind `used` octets; gives the octets used then. */
static size_t copy_record(struct sf_roster *roster, uint32_t chunk, uint32_t offset, size_t used)
{
    const uint8_t *at = sf_pool_data(roster->pool, chunk) + offset;
    struct sf_cursor c = sf_cursor(at, sf_pool_sip_chunk(roster->pool) - offset);
    struct sf_arena_message message;
    /* The chunk may be another's by now: then records may seem longer than all of them were. */
    if (!sf_arena_next(&c, &message) || (size_t)(c.p - at) > SF_SIP_CHUNK - used) {
        return used;
    }
    memcpy(roster->scratch + used, at, (size_t)(c.p - at));
    return used + (size_t)(c.p - at);
}

bool sf_roster_messages(struct sf_roster *roster, uint32_t call, uint32_t *at,
                        struct sf_roster_packets *out)
{
    /* The message numbered 0 is the first of its call, so 0 is no place to go on from. */
    uint32_t message = *at == 0 ? roster->calls[call].first : *at;
    while (message != SF_ROSTER_END) {
        const struct source *source = source_of(roster, message);
        bool is_last = source + 1 == roster->sources + roster->sources_n;
        uint32_t end = is_last ? (uint32_t)roster->messages_n : source[1].message;
        bool there = holds(roster, source);
        uint32_t count = 0;
        size_t used = 0;
        for (; message < end; message = roster->messages[message].next, count++) {
            if (there) {
                used = copy_record(roster, source->chunk, roster->messages[message].offset, used);
            }
        }
        atomic_thread_fence(memory_order_acquire);
        if (there && holds(roster, source)) {
            uint32_t length = (uint32_t)used;
            count = sf_arena_sound(roster->scratch, &length, count, source->id);
            if (count > 0) {
                *at = message;
                *out = (struct sf_roster_packets){source->id, count,
                                                  sf_slice(roster->scratch, length)};
                return true;
            }
        }
    }
    *at = SF_ROSTER_END;
    return false;
}

bool sf_roster_media(struct sf_roster *roster, struct sf_slice call_id, uint32_t *at,
                     struct sf_roster_packets *out)
{
    uint64_t hash = sf_pool_call_hash(roster->pool, call_id);
    size_t low = 0, high = roster->streams_n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (roster->streams[middle].call_hash < hash) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (low += *at; low < roster->streams_n && roster->streams[low].call_hash == hash; low++) {
        uint64_t id;
        uint32_t count;
        uint32_t used = (uint32_t)sf_pool_snapshot(roster->pool, roster->streams[low].chunk, hash,
                                                   roster->scratch, &id, &count);
        ++*at;
        count = used > 0 ? sf_chunk_sound(roster->scratch, &used, count, id) : 0;
        if (count > 0) {
            *out = (struct sf_roster_packets){id, count, sf_slice(roster->scratch, used)};
            return true;
        }
    }
    return false;
}
