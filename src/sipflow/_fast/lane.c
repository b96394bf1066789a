#include "lane.h"

#include <stdlib.h>
#include <time.h>

#define SLOT_FREE    0u
#define SLOT_WRITING 1u
#define SLOT_OPEN    2u
#define SLOT_CLOSED  3u
#define STATE_BITS   2

static inline uint64_t word_of(uint64_t number, unsigned state)
{
    return number << STATE_BITS | state;
}

uint64_t sf_coarse_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void add(_Atomic uint64_t *counter, uint64_t n)
{
    /* One writer at a time: a plain add, made visible to readers. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

bool sf_lane_open(struct sf_lane *lane, uint32_t slots, uint32_t budget, uint64_t most)
{
    *lane = (struct sf_lane){.count = slots, .budget = budget, .most = most};
    lane->slots = calloc(slots, sizeof *lane->slots);
    /* Not touched before it is needed: a queue that never fills takes no memory. */
    lane->octets = malloc((size_t)slots * budget);
    if (lane->slots == NULL || lane->octets == NULL) {
        free(lane->slots);
        free(lane->octets);
        return false;
    }
    sf_lane_reset(lane);
    return true;
}

static void free_large(struct sf_slot *slot)
{
    free(slot->large);
    slot->large = NULL;
}

void sf_lane_reset(struct sf_lane *lane)
{
    pthread_mutex_init(&lane->writers, NULL);
    for (uint32_t i = 0; i < lane->count; i++) {
        free_large(&lane->slots[i]);
        atomic_init(&lane->slots[i].word, word_of(i, SLOT_FREE));
    }
    lane->put_at = 0;
    atomic_store(&lane->taken, 0);
    atomic_store(&lane->accepted, 0);
    atomic_store(&lane->done, 0);
    for (int i = 0; i < SF_LANE_DROPS; i++) {
        atomic_store(&lane->dropped[i], 0);
    }
}

void sf_lane_close(struct sf_lane *lane)
{
    for (uint32_t i = 0; i < lane->count; i++) {
        free_large(&lane->slots[i]);
    }
    free(lane->slots);
    free(lane->octets);
    pthread_mutex_destroy(&lane->writers);
}

static struct sf_slot *slot_of(const struct sf_lane *lane, uint64_t number)
{
    return &lane->slots[number % lane->count];
}

static uint64_t taken_of(const struct sf_lane *lane)
{
    return atomic_load_explicit(&lane->taken, memory_order_relaxed);
}

static uint8_t *octets_of(const struct sf_lane *lane, uint64_t number)
{
    struct sf_slot *slot = slot_of(lane, number);
    return slot->large != NULL ? slot->large
                               : lane->octets + number % lane->count * (size_t)lane->budget;
}

static void begin(struct sf_slot *slot)
{
    slot->opened_ns = sf_coarse_ns();
    slot->used = SF_BATCH_HEAD;
    slot->frames = 0;
    atomic_store_explicit(&slot->word,
                          atomic_load_explicit(&slot->word, memory_order_relaxed) | SLOT_WRITING,
                          memory_order_relaxed);
}

/*
 * Finds the slot that takes `need` octets more and holds it against the reader, closing one that
 * has not that room; `need` beyond the budget wants an empty one. NULL: the lane is full.
 */
static struct sf_slot *hold(struct sf_lane *lane, size_t need)
{
    for (;;) {
        struct sf_slot *slot = slot_of(lane, lane->put_at);
        uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
        uint64_t number = word >> STATE_BITS;
        if (number < lane->put_at) {
            return NULL; /* the datagram of one round before is still there */
        }
        if (number > lane->put_at || (word & SLOT_CLOSED) == SLOT_CLOSED) {
            lane->put_at++; /* the reader closed it by its age, and may have taken it */
            continue;
        }
        if ((word & SLOT_CLOSED) == SLOT_FREE) {
            begin(slot);
            return slot;
        }
        uint64_t writing = word_of(number, SLOT_WRITING);
        if (!atomic_compare_exchange_strong(&slot->word, &word, writing)) {
            continue;
        }
        if (slot->used + need <= lane->budget && slot->frames < UINT16_MAX) {
            return slot;
        }
        atomic_store_explicit(&slot->word, word_of(number, SLOT_CLOSED), memory_order_release);
        lane->put_at++;
    }
}

static uint8_t *write_frame(uint8_t *p, struct sf_frame_head head, uint64_t time_us,
                            uint32_t client_id, struct sf_slice payload)
{
    memcpy(p, head.octets.p, head.octets.n);
    sf_store_be32(sf_store_be64(p + head.time_at, time_us), client_id);
    p = sf_store_be32(p + head.octets.n, (uint32_t)payload.n);
    if (payload.n > 0) {
        memcpy(p, payload.p, payload.n);
    }
    return p + payload.n;
}

static enum sf_lane_drop put_held(struct sf_lane *lane, struct sf_frame_head head, uint64_t time_us,
                                  uint32_t client_id, struct sf_slice payload, uint32_t *waiting)
{
    size_t frame = head.octets.n + 4 + payload.n;
    size_t need = 4 + frame;
    if (payload.n > SF_DATAGRAM_MAX || SF_BATCH_HEAD + need > SF_DATAGRAM_MAX) {
        return SF_LANE_TOO_LARGE;
    }
    bool large = SF_BATCH_HEAD + need > lane->budget;
    if (sf_lane_queued(lane) >= lane->most) {
        return SF_LANE_FULL;
    }
    uint8_t *apart = large ? malloc(SF_BATCH_HEAD + need) : NULL;
    struct sf_slot *slot = large && apart == NULL ? NULL : hold(lane, need);
    if (slot == NULL) {
        free(apart);
        return large && apart == NULL ? SF_LANE_TOO_LARGE : SF_LANE_FULL;
    }
    slot->large = apart;
    uint8_t *datagram = octets_of(lane, lane->put_at);
    uint8_t *at = sf_store_be32(datagram + slot->used, (uint32_t)frame);
    write_frame(at, head, time_us, client_id, payload);
    slot->last_at = slot->used;
    slot->used += (uint32_t)need;
    *waiting = slot->frames++ == 0 ? (uint32_t)(lane->put_at - taken_of(lane) + 1) : 0;
    sf_batch_head(datagram, slot->frames);
    /* Counted before it can be taken: what is done never exceeds what was accepted. */
    add(&lane->accepted, 1);
    atomic_store_explicit(&slot->word, word_of(lane->put_at, large ? SLOT_CLOSED : SLOT_OPEN),
                          memory_order_release);
    return SF_LANE_TAKEN;
}

enum sf_lane_drop sf_lane_put(struct sf_lane *lane, struct sf_frame_head head, uint64_t time_us,
                              uint32_t client_id, struct sf_slice payload, uint32_t *waiting)
{
    *waiting = 0;
    pthread_mutex_lock(&lane->writers);
    enum sf_lane_drop drop = put_held(lane, head, time_us, client_id, payload, waiting);
    if (drop != SF_LANE_TAKEN) {
        add(&lane->dropped[drop], 1);
    }
    pthread_mutex_unlock(&lane->writers);
    return drop;
}

bool sf_lane_ready(struct sf_lane *lane, uint32_t ahead, uint64_t before_ns, struct sf_ready *out)
{
    if (ahead >= lane->count) {
        return false;
    }
    uint64_t number = taken_of(lane) + ahead;
    struct sf_slot *slot = slot_of(lane, number);
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    if (word == word_of(number, SLOT_OPEN) && slot->opened_ns < before_ns) {
        uint64_t closed = word_of(number, SLOT_CLOSED);
        if (atomic_compare_exchange_strong(&slot->word, &word, closed)) {
            word = closed;
        }
    }
    if (word != word_of(number, SLOT_CLOSED)) {
        return false;
    }
    *out = (struct sf_ready){.octets = octets_of(lane, number),
                             .n = slot->used,
                             .last_at = slot->last_at,
                             .frames = slot->frames,
                             .large = slot->large != NULL};
    return true;
}

void sf_lane_free_first(struct sf_lane *lane, uint32_t n)
{
    uint64_t packets = 0, first = taken_of(lane);
    for (uint64_t number = first; number < first + n; number++) {
        struct sf_slot *slot = slot_of(lane, number);
        packets += slot->frames;
        free_large(slot);
        atomic_store_explicit(&slot->word, word_of(number + lane->count, SLOT_FREE),
                              memory_order_release);
    }
    atomic_store_explicit(&lane->taken, first + n, memory_order_relaxed);
    atomic_fetch_add_explicit(&lane->done, packets, memory_order_release);
}

uint64_t sf_lane_queued(const struct sf_lane *lane)
{
    uint64_t done = atomic_load_explicit(&lane->done, memory_order_acquire);
    return atomic_load_explicit(&lane->accepted, memory_order_relaxed) - done;
}

bool sf_lane_empty(const struct sf_lane *lane)
{
    uint64_t first = taken_of(lane);
    return atomic_load(&slot_of(lane, first)->word) == word_of(first, SLOT_FREE);
}
