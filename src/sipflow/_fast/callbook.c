#include "callbook.h"

#include <stdlib.h>

#include "hash.h"

/* Remembered at most; what is forgotten is read again. */
#define CALLS_MAX  32768
#define OCTETS_MAX (32u << 20)
#define PATHS      16384 /* a power of two */
/* Of a filter of so many bits, ten million calls leave one unknown in twenty to be looked for in
 * vain. */
#define FILTER_BITS   (1u << 26)
#define FILTER_PROBES 3

bool sf_callbook_init(struct sf_callbook *book, bool empty)
{
    *book = (struct sf_callbook){.filtered = empty};
    book->calls = calloc(SF_CALLBOOK_TABLE, sizeof *book->calls);
    book->paths = calloc(PATHS, sizeof *book->paths);
    book->filter = calloc(FILTER_BITS / 64, sizeof *book->filter);
    return book->calls != NULL && book->paths != NULL && book->filter != NULL;
}

void sf_callbook_free(struct sf_callbook *book)
{
    if (book->calls != NULL && book->paths != NULL) {
        sf_callbook_forget_all(book);
    }
    free(book->calls);
    free(book->paths);
    free(book->filter);
    *book = (struct sf_callbook){0};
}

void sf_callbook_turn(struct sf_callbook *book)
{
    book->turn++;
}

static void unlink_call(struct sf_callbook *book, struct sf_known_call *call)
{
    *(call->older != NULL ? &call->older->newer : &book->oldest) = call->newer;
    *(call->newer != NULL ? &call->newer->older : &book->newest) = call->older;
}

static void link_newest(struct sf_callbook *book, struct sf_known_call *call)
{
    call->turn = book->turn;
    call->older = book->newest;
    call->newer = NULL;
    *(book->newest != NULL ? &book->newest->newer : &book->oldest) = call;
    book->newest = call;
}

static void charge(struct sf_callbook *book, struct sf_known_call *call, size_t octets)
{
    call->octets += octets;
    book->octets += octets;
}

static uint32_t filter_bit(uint64_t hash, unsigned probe)
{
    uint64_t step = hash * 0x9e3779b97f4a7c15u >> 32 | 1;
    return (uint32_t)((hash >> 16) + probe * step) % FILTER_BITS;
}

bool sf_callbook_may_know(const struct sf_callbook *book, uint64_t hash)
{
    for (unsigned probe = 0; book->filtered && probe < FILTER_PROBES; probe++) {
        uint32_t bit = filter_bit(hash, probe);
        if (!(book->filter[bit / 64] >> bit % 64 & 1)) {
            return false;
        }
    }
    return true;
}

struct sf_known_call *sf_callbook_find(struct sf_callbook *book, struct sf_slice call_id,
                                       uint64_t hash)
{
    struct sf_known_call *call = book->calls[hash % SF_CALLBOOK_TABLE];
    while (call != NULL && (call->hash != hash || call->id_length != call_id.n ||
                            memcmp(call->call_id, call_id.p, call_id.n) != 0)) {
        call = call->next;
    }
    if (call != NULL && call->turn != book->turn) {
        unlink_call(book, call);
        link_newest(book, call);
    }
    return call;
}

struct sf_known_call *sf_callbook_add(struct sf_callbook *book, struct sf_slice call_id,
                                      uint64_t hash)
{
    struct sf_known_call *call = calloc(1, sizeof *call + call_id.n);
    if (call == NULL) {
        return NULL;
    }
    call->hash = hash;
    call->id_length = call_id.n;
    if (call_id.n > 0) {
        memcpy(call->call_id, call_id.p, call_id.n);
    }
    call->next = book->calls[hash % SF_CALLBOOK_TABLE];
    book->calls[hash % SF_CALLBOOK_TABLE] = call;
    book->call_count++;
    for (unsigned probe = 0; probe < FILTER_PROBES; probe++) {
        uint32_t bit = filter_bit(hash, probe);
        book->filter[bit / 64] |= 1ull << bit % 64;
    }
    link_newest(book, call);
    charge(book, call, sizeof *call + call_id.n);
    return call;
}

static bool keep(struct sf_callbook *book, struct sf_known_call *call, struct sf_slice *texts,
                 size_t count, uint8_t **kept)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        n += texts[i].n;
    }
    uint8_t *copy = malloc(n + 1);
    if (copy == NULL) {
        return false;
    }
    uint8_t *p = copy;
    for (size_t i = 0; i < count; i++) {
        if (texts[i].n > 0) {
            memcpy(p, texts[i].p, texts[i].n);
        }
        texts[i].p = p;
        p += texts[i].n;
    }
    free(*kept);
    *kept = copy;
    charge(book, call, n);
    return true;
}

bool sf_callbook_keep(struct sf_callbook *book, struct sf_known_call *call, unsigned taken)
{
    struct sf_digest *d = &call->digest;
    return (!(taken & SF_TOOK_PARTY) || keep(book, call, d->party, SF_PARTY_TEXTS, &call->party)) &&
           (!(taken & SF_TOOK_REASON) || keep(book, call, &d->reason, 1, &call->reason));
}

struct sf_known_stream *sf_callbook_add_stream(struct sf_callbook *book, struct sf_known_call *call,
                                               const struct sf_known_stream *stream)
{
    struct sf_known_stream *added = malloc(sizeof *added);
    if (added != NULL) {
        *added = *stream;
        added->next = call->streams;
        call->streams = added;
        charge(book, call, sizeof *added);
    }
    return added;
}

void sf_callbook_mark(struct sf_callbook *book, struct sf_known_call *call, enum sf_change change)
{
    if (call->change == SF_NO_CHANGE) {
        call->next_changed = NULL;
        *(book->changed != NULL ? &book->last_changed->next_changed : &book->changed) = call;
        book->last_changed = call;
    }
    call->change = change > call->change ? change : call->change;
}

static void forget_call(struct sf_callbook *book, struct sf_known_call *call)
{
    struct sf_known_call **at = &book->calls[call->hash % SF_CALLBOOK_TABLE];
    while (*at != call) {
        at = &(*at)->next;
    }
    *at = call->next;
    unlink_call(book, call);
    book->call_count--;
    book->octets -= call->octets;
    while (call->streams != NULL) {
        struct sf_known_stream *stream = call->streams;
        call->streams = stream->next;
        free(stream);
    }
    free(call->party);
    free(call->reason);
    free(call);
}

static struct sf_known_path *place_of(const struct sf_callbook *book,
                                      const struct sf_ends_key *ends)
{
    return &book->paths[sf_hash(ends, sizeof *ends, 1) % PATHS];
}

static bool is(const struct sf_known_path *path, const struct sf_ends_key *ends)
{
    return path->id > 0 && memcmp(&path->ends, ends, sizeof *ends) == 0;
}

static void note_path(struct sf_known_call *call, const struct sf_known_path *path)
{
    call->paths[1] = call->paths[0];
    call->paths[0] = *path;
}

int64_t sf_callbook_path(struct sf_callbook *book, struct sf_known_call *call,
                         const struct sf_ends_key *ends)
{
    for (int i = 0; i < SF_CALL_PATHS; i++) {
        if (is(&call->paths[i], ends)) {
            return call->paths[i].id;
        }
    }
    const struct sf_known_path *path = place_of(book, ends);
    if (!is(path, ends)) {
        return 0;
    }
    note_path(call, path);
    return path->id;
}

void sf_callbook_add_path(struct sf_callbook *book, struct sf_known_call *call,
                          const struct sf_ends_key *ends, int64_t id)
{
    struct sf_known_path *path = place_of(book, ends);
    *path = (struct sf_known_path){id, *ends};
    note_path(call, path);
}

/* The filter stays: what it says of calls that were never stored costs a look. */
void sf_callbook_trim(struct sf_callbook *book)
{
    while (book->call_count > CALLS_MAX || book->octets > OCTETS_MAX) {
        forget_call(book, book->oldest);
    }
}

void sf_callbook_forget_all(struct sf_callbook *book)
{
    while (book->oldest != NULL) {
        forget_call(book, book->oldest);
    }
    book->changed = NULL;
    memset(book->paths, 0, PATHS * sizeof *book->paths);
}
