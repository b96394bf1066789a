#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "sender.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "packet.h"
#include "runs.h"

#define SLOT_US     1000u
#define SLOTS       4096u /* about four seconds; what is due later stays and is asked again */
#define BLOCK_ITEMS 253u
#define DATAGRAMS   64
#define IS_CALL     0x80000000u
#define NONE        0xffffffffu
#define NEAR        4 /* items ahead whose audio or message is fetched, */
#define FAR         8 /* and whose state is */
#define LINE        64

_Static_assert(SF_TALKER_ROOM <= SF_RUNS_SLACK, "a talker stays within the runs");

/* Blocks are used again at once, while they are in the cache, whatever slot they were in. */
struct block {
    struct block *next;
    uint32_t n;
    uint32_t items[BLOCK_ITEMS];
};

struct slot {
    struct block *first;
    struct block *last;
};

struct call {
    struct sf_call call;
    uint16_t mould;
    uint16_t lines; /* that are sent, a bit for each */
    uint32_t next;  /* message; of a free call, the next free one */
    uint32_t turn;  /* of its last message, in the runs */
};

struct sf_sender {
    struct sf_sender_settings settings;
    struct sf_outlet outlet;
    uint64_t clock_us;  /* everything due before this is sent */
    uint64_t origin_ns; /* when the clock stood at its origin */
    uint64_t last_ns;   /* when the last tick began */
    bool started;
    bool no_memory;

    struct slot slots[SLOTS];
    struct block *free_blocks;

    struct sf_talker *talkers;
    uint32_t talkers_n, talkers_room, free_talker; /* a free talker keeps the next one in `at` */
    struct call *calls;
    uint32_t calls_n, calls_room, free_call;
    struct sf_mould *moulds;
    uint32_t moulds_n, moulds_room;
    size_t left;

    /* Datagrams [0, full) are complete, datagram `full` is being filled up to `used`. */
    struct mmsghdr heads[DATAGRAMS];
    struct iovec vectors[DATAGRAMS];
    uint8_t *buffers;
    uint8_t *large; /* one datagram that exceeds the budget */
    unsigned full;
    uint32_t used;
    uint16_t frames_in;

    /*
     * With `offload`, what waits for the end of the tick. With `single`, packets of streams that
     * are all of one length; everything else goes through the datagrams above, which are sent
     * first: so each stream keeps its order, as does each dialog, and no packet goes before a
     * message that was due before it. With `sip_only`, messages in batches.
     */
    struct sf_runs *runs; /* NULL: there are none */
};

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
    }
}

struct sf_sender *sf_sender_new(const struct sf_sender_settings *settings)
{
    struct sf_sender *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->settings = *settings;
    s->clock_us = settings->origin_us;
    s->outlet = sf_outlet(settings->fd, settings->offload);
    s->free_talker = NONE;
    s->free_call = NONE;
    /* A talker may touch more than it writes: the next datagram, which is not begun yet. */
    s->buffers = malloc((size_t)DATAGRAMS * settings->budget + SF_TALKER_ROOM);
    s->large = malloc(SF_DATAGRAM_MAX + SF_TALKER_ROOM);
    if (s->buffers == NULL || s->large == NULL) {
        return sf_sender_free(s);
    }
    for (unsigned i = 0; i < DATAGRAMS; i++) {
        s->vectors[i].iov_base = s->buffers + (size_t)i * settings->budget;
        s->heads[i].msg_hdr.msg_iov = &s->vectors[i];
        s->heads[i].msg_hdr.msg_iovlen = 1;
    }
    if (s->outlet.cuts && (settings->single || settings->sip_only)) {
        s->runs = sf_runs_new(settings->budget);
        if (s->runs == NULL) {
            return sf_sender_free(s);
        }
    }
    return s;
}

static void free_list(struct block *block)
{
    while (block != NULL) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
}

struct sf_sender *sf_sender_free(struct sf_sender *s)
{
    if (s == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < s->talkers_n; i++) {
        free(s->talkers[i].script);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        free_list(s->slots[i].first);
    }
    free_list(s->free_blocks);
    free(s->talkers);
    free(s->calls);
    free(s->moulds);
    free(s->buffers);
    free(s->large);
    sf_runs_free(s->runs);
    free(s);
    return NULL;
}

/* Makes room for one more element of `size` octets; false when memory is short. */
static bool grow(void *array, uint32_t n, uint32_t *room, size_t size)
{
    if (n < *room) {
        return true;
    }
    uint32_t more = *room == 0 ? 64 : *room * 2;
    size_t octets = (more * size + LINE - 1) / LINE * LINE;
    void *moved = n >= IS_CALL / 2 ? NULL : aligned_alloc(LINE, octets);
    if (moved == NULL) {
        return false;
    }
    void **place = array;
    if (n > 0) {
        memcpy(moved, *place, n * size);
    }
    free(*place);
    *place = moved;
    *room = more;
    return true;
}

static struct block *take_block(struct sf_sender *s)
{
    struct block *block = s->free_blocks;
    if (block == NULL) {
        block = malloc(sizeof *block);
        if (block == NULL) {
            return NULL;
        }
    } else {
        s->free_blocks = block->next;
    }
    block->next = NULL;
    block->n = 0;
    return block;
}

/* An item due in the past goes to the slot that is sent next. */
static bool put(struct sf_sender *s, uint32_t item, uint64_t due_us)
{
    uint64_t when = due_us < s->clock_us ? s->clock_us : due_us;
    struct slot *slot = &s->slots[when / SLOT_US % SLOTS];
    struct block *block = slot->last;
    if (block == NULL || block->n == BLOCK_ITEMS) {
        struct block *more = take_block(s);
        if (more == NULL) {
            return false;
        }
        if (block == NULL) {
            slot->first = more;
        } else {
            block->next = more;
        }
        slot->last = block = more;
    }
    block->items[block->n++] = item;
    return true;
}

/* Puts a talker into a free place, its script becoming the sender's own. */
static bool take_talker(struct sf_sender *s, const struct sf_talker *talker)
{
    uint32_t i = s->free_talker;
    if (i == NONE) {
        if (!grow(&s->talkers, s->talkers_n, &s->talkers_room, sizeof *talker)) {
            return false;
        }
        i = s->talkers_n;
    }
    if (!put(s, i, sf_talker_due(talker))) {
        return false;
    }
    if (i == s->talkers_n) {
        s->talkers_n++;
    } else {
        s->free_talker = s->talkers[i].at;
    }
    s->talkers[i] = *talker;
    s->left++;
    return true;
}

bool sf_sender_add_talker(struct sf_sender *s, const struct sf_talker *talker)
{
    struct sf_talker own = *talker;
    if (talker->count == 0) {
        return true;
    }
    if (talker->script != NULL) {
        own.script = malloc(sizeof *own.script);
        if (own.script == NULL) {
            return false;
        }
        *own.script = *talker->script;
    }
    if (!take_talker(s, &own)) {
        free(own.script);
        return false;
    }
    return true;
}

bool sf_sender_add_mould(struct sf_sender *s, const struct sf_mould *mould)
{
    if (s->moulds_n == SF_SENDER_MOULDS ||
        !grow(&s->moulds, s->moulds_n, &s->moulds_room, sizeof *mould)) {
        return false;
    }
    s->moulds[s->moulds_n++] = *mould;
    return true;
}

size_t sf_sender_moulds(const struct sf_sender *s)
{
    return s->moulds_n;
}

/* The first message from `next` on that is sent; as many as there are when none is left. */
static uint32_t next_of(const struct sf_mould *mould, uint32_t lines, uint32_t next)
{
    while (next < mould->sayings_n && !(lines >> mould->sayings[next].line & 1)) {
        next++;
    }
    return next;
}

bool sf_sender_add_call(struct sf_sender *s, const struct sf_planned *planned)
{
    const struct sf_mould *mould = &s->moulds[planned->mould];
    uint32_t next = next_of(mould, planned->lines, 0);
    uint32_t i = s->free_call;
    if (next == mould->sayings_n) {
        return true;
    }
    if (i == NONE) {
        if (!grow(&s->calls, s->calls_n, &s->calls_room, sizeof *s->calls)) {
            return false;
        }
        i = s->calls_n;
    }
    if (!put(s, i | IS_CALL, sf_mould_time(mould, &planned->call, next))) {
        return false;
    }
    if (i == s->calls_n) {
        s->calls_n++;
    } else {
        s->free_call = s->calls[i].next;
    }
    s->calls[i] = (struct call){.call = planned->call,
                                .mould = (uint16_t)planned->mould,
                                .lines = (uint16_t)planned->lines,
                                .next = next};
    s->left++;
    return true;
}

/* Counts the datagrams from `at` that the kernel can cut from one message: all of one length, but
 * that the last may be shorter. */
static unsigned alike(const struct sf_sender *s, unsigned at)
{
    size_t length = s->vectors[at].iov_len;
    size_t most = length == 0 ? 1 : SF_DATAGRAM_MAX / length;
    unsigned end = at + 1;
    while (end < s->full && end - at < most && s->vectors[end].iov_len == length) {
        end++;
    }
    if (end < s->full && end - at < most && s->vectors[end].iov_len < length) {
        end++;
    }
    return end - at;
}

/*
 * Hands batches over that are of one length in a row as one message each, which the kernel cuts.
 * Gives how many datagrams went; the rest is to go one by one.
 */
static unsigned flush_offloaded(struct sf_sender *s)
{
    struct mmsghdr heads[DATAGRAMS];
    union sf_cut cuts[DATAGRAMS];
    unsigned counts[DATAGRAMS];
    unsigned messages = 0;
    for (unsigned at = 0; at < s->full; at += counts[messages++]) {
        unsigned n = alike(s, at);
        cuts[messages] = (union sf_cut){.room = {0}};
        sf_outlet_cut(&cuts[messages], s->vectors[at].iov_len);
        counts[messages] = n;
        heads[messages].msg_hdr = (struct msghdr){
            .msg_iov = &s->vectors[at],
            .msg_iovlen = n,
            .msg_control = n > 1 ? &cuts[messages] : NULL,
            .msg_controllen = n > 1 ? sizeof cuts[messages] : 0,
        };
    }
    unsigned went = 0;
    for (unsigned at = 0; at < messages;) {
        int n = sendmmsg(s->settings.fd, heads + at, messages - at, 0);
        if (n <= 0) {
            sf_outlet_cut_failed(&s->outlet);
            return went;
        }
        for (unsigned end = at + (unsigned)n; at < end; at++) {
            s->outlet.sent.datagrams += counts[at];
            for (unsigned i = went; i < went + counts[at]; i++) {
                s->outlet.sent.octets += s->vectors[i].iov_len;
            }
            went += counts[at];
        }
    }
    return went;
}

static void flush(struct sf_sender *s)
{
    unsigned at = s->outlet.cuts && !s->settings.single ? flush_offloaded(s) : 0;
    sf_outlet_send(&s->outlet, s->heads + at, s->full - at);
    s->full = 0;
}

static void close_datagram(struct sf_sender *s)
{
    if (s->used == 0) {
        return;
    }
    if (!s->settings.single) {
        sf_batch_head(s->vectors[s->full].iov_base, s->frames_in);
    }
    s->vectors[s->full].iov_len = s->used;
    s->used = 0;
    s->frames_in = 0;
    s->full++;
    if (s->full == DATAGRAMS) {
        flush(s);
    }
}

/* Sends all that waits for the end of the tick, after what is to go before it. */
static void flush_runs(struct sf_sender *s)
{
    close_datagram(s);
    flush(s);
    if (s->runs != NULL) {
        sf_runs_send(s->runs, &s->outlet);
    }
}

/* Gives where a frame of `n` octets goes, or NULL when no datagram of the budget holds it. */
static inline uint8_t *place(struct sf_sender *s, size_t n)
{
    size_t extra = s->settings.single ? 0 : SF_BATCH_HEAD + 4;
    if (n > s->settings.budget || s->settings.budget - n < extra) {
        return NULL;
    }
    if (s->settings.single) {
        close_datagram(s);
        s->used = (uint32_t)n;
        return s->vectors[s->full].iov_base;
    }
    if (s->used != 0 && s->settings.budget - s->used < n + 4) {
        close_datagram(s);
    }
    if (s->used == 0) {
        s->used = SF_BATCH_HEAD;
    }
    uint8_t *at = sf_store_be32((uint8_t *)s->vectors[s->full].iov_base + s->used, (uint32_t)n);
    s->used += (uint32_t)n + 4;
    s->frames_in++;
    return at;
}

/* Begins the datagram for a frame that exceeds the budget; what was before it goes out first. */
static uint8_t *place_large(struct sf_sender *s, size_t n)
{
    flush_runs(s);
    return s->settings.single ? s->large : sf_store_be32(sf_batch_head(s->large, 1), (uint32_t)n);
}

static void end_talker(struct sf_sender *s, uint32_t i)
{
    struct sf_talker *t = &s->talkers[i];
    free(t->script);
    t->script = NULL;
    t->at = s->free_talker;
    s->free_talker = i;
    s->left--;
}

/* Sends all of a stream that is due before `end_us`; the rest waits in its slot. */
static void speak(struct sf_sender *s, uint32_t i, uint64_t end_us)
{
    struct sf_talker *t = &s->talkers[i];
    bool in_runs = s->runs != NULL && s->settings.single &&
                   !(t->flags & (SF_TALKER_FRAMED | SF_TALKER_SCRIPTED));
    uint64_t due_us = sf_talker_due(t);
    while (due_us < end_us) {
        size_t n = sf_talker_size(t);
        uint8_t *at = in_runs ? sf_runs_frame(s->runs, n, &s->outlet) : place(s, n);
        if (at != NULL) {
            sf_talker_write(t, at);
        } else {
            at = place_large(s, n);
            sf_talker_write(t, at);
            sf_outlet_send_one(&s->outlet, s->large, (size_t)(at - s->large) + n);
        }
        s->outlet.sent.rtp++;
        if (t->at == t->count) {
            end_talker(s, i);
            return;
        }
        due_us = sf_talker_due(t);
    }
    s->no_memory |= !put(s, i, due_us);
}

static void end_call(struct sf_sender *s, uint32_t i)
{
    s->calls[i].next = s->free_call;
    s->free_call = i;
    s->left--;
}

static void begin_streams(struct sf_sender *s, const struct sf_mould *mould, const struct call *c)
{
    for (size_t i = 0; i < mould->roles_n && !s->settings.sip_only; i++) {
        struct sf_talker talker;
        struct sf_script script;
        if (mould->roles[i].begin == c->next &&
            sf_mould_cast(mould, &c->call, i, &talker, &script)) {
            s->no_memory |= !sf_sender_add_talker(s, &talker);
        }
    }
}

/* Sends all messages of a call that are due before `end_us`; the rest waits in its slot. */
static void say(struct sf_sender *s, uint32_t i, uint64_t end_us)
{
    struct call *c = &s->calls[i];
    const struct sf_mould *mould = &s->moulds[c->mould];
    bool in_runs = s->runs != NULL && !s->settings.single;
    uint64_t due_us = sf_mould_time(mould, &c->call, c->next);
    while (due_us < end_us) {
        size_t n = mould->sayings[c->next].n;
        uint8_t *at = in_runs ? sf_runs_message(s->runs, n, &c->turn, &s->outlet) : place(s, n);
        if (at != NULL) {
            sf_mould_write(mould, &c->call, c->next, at);
        } else {
            at = place_large(s, n);
            sf_mould_write(mould, &c->call, c->next, at);
            sf_outlet_send_one(&s->outlet, s->large, (size_t)(at - s->large) + n);
        }
        s->outlet.sent.sip++;
        begin_streams(s, mould, c);
        c->next = next_of(mould, c->lines, c->next + 1);
        if (c->next == mould->sayings_n) {
            end_call(s, i);
            return;
        }
        due_us = sf_mould_time(mould, &c->call, c->next);
    }
    s->no_memory |= !put(s, i | IS_CALL, due_us);
}

static inline void fetch_state(const struct sf_sender *s, uint32_t item)
{
    if (item & IS_CALL) {
        __builtin_prefetch(&s->calls[item & ~IS_CALL], 1);
    } else {
        const char *t = (const char *)&s->talkers[item];
        __builtin_prefetch(t, 1);
        __builtin_prefetch(t + LINE);
        __builtin_prefetch(t + 2 * LINE);
    }
}

static inline void fetch_octets(const struct sf_sender *s, uint32_t item)
{
    if (item & IS_CALL) {
        const struct call *c = &s->calls[item & ~IS_CALL];
        const struct sf_mould *mould = &s->moulds[c->mould];
        const uint8_t *octets = mould->octets + mould->sayings[c->next].octets_at;
        for (unsigned i = 0; i < 4; i++) {
            __builtin_prefetch(octets + (size_t)i * LINE);
        }
    } else {
        const struct sf_talker *t = &s->talkers[item];
        const uint8_t *audio = t->audio + t->place;
        __builtin_prefetch(audio);
        __builtin_prefetch(audio + LINE);
        __builtin_prefetch(audio + 2 * LINE);
    }
}

/* The slot is taken out first: what is sent may be put back into the very same one. */
static void send_slot(struct sf_sender *s)
{
    uint64_t end_us = s->clock_us + SLOT_US;
    struct slot *slot = &s->slots[s->clock_us / SLOT_US % SLOTS];
    struct block *block = slot->first;
    *slot = (struct slot){NULL, NULL};
    s->clock_us = end_us;
    while (block != NULL) {
        for (uint32_t i = 0; i < block->n; i++) {
            uint32_t item = block->items[i];
            if (i + FAR < block->n) {
                fetch_state(s, block->items[i + FAR]);
            }
            if (i + NEAR < block->n) {
                fetch_octets(s, block->items[i + NEAR]);
            }
            if (item & IS_CALL) {
                say(s, item & ~IS_CALL, end_us);
            } else {
                speak(s, item, end_us);
            }
        }
        struct block *done = block;
        block = block->next;
        done->next = s->free_blocks;
        s->free_blocks = done;
    }
}

/*
 * Waits until `end_us`, when the tick of `step_us` is over and can be sent.
 * A late tick comes no sooner than half a tick after the last one: twice the pace.
 */
static void wait_tick(struct sf_sender *s, uint64_t end_us, uint64_t step_us)
{
    uint64_t tick_ns = (uint64_t)((double)step_us * 1000 / s->settings.speed);
    uint64_t since_us = end_us - s->settings.origin_us;
    uint64_t due_ns = s->origin_ns + (uint64_t)((double)since_us * 1000 / s->settings.speed);
    uint64_t not_before = s->last_ns + tick_ns / 2;
    uint64_t wake_ns = due_ns > not_before ? due_ns : not_before;
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    if (now < wake_ns) {
        sleep_until(wake_ns);
        now = clock_ns(CLOCK_MONOTONIC);
    }
    if (now > due_ns + tick_ns) {
        uint64_t late_us = (now - due_ns) / 1000;
        s->outlet.sent.late_ticks++;
        s->outlet.sent.worst_us =
            late_us > s->outlet.sent.worst_us ? late_us : s->outlet.sent.worst_us;
    }
    s->last_ns = now;
}

bool sf_sender_run(struct sf_sender *s, uint64_t until_us)
{
    uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    uint64_t wall = clock_ns(CLOCK_MONOTONIC);
    bool paced = s->settings.speed > 0;
    uint64_t slots =
        paced ? (uint64_t)((double)s->settings.tick_us * s->settings.speed / SLOT_US + 0.5) : 1;
    uint64_t step_us = (slots == 0 ? 1 : slots) * SLOT_US;
    if (!s->started) {
        s->origin_ns = wall;
        s->started = true;
    }
    while (s->clock_us < until_us && !s->no_memory) {
        uint64_t end_us = s->clock_us + step_us;
        if (paced) {
            wait_tick(s, end_us, step_us);
        }
        while (s->clock_us < end_us && !s->no_memory) {
            send_slot(s);
        }
        if (paced || s->runs != NULL) {
            flush_runs(s);
        }
        s->outlet.sent.ticks++;
    }
    flush_runs(s);
    s->outlet.sent.cpu_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    s->outlet.sent.wall_ns += clock_ns(CLOCK_MONOTONIC) - wall;
    return !s->no_memory;
}

size_t sf_sender_left(const struct sf_sender *s)
{
    return s->left;
}

const struct sf_sent *sf_sender_sent(const struct sf_sender *s)
{
    return &s->outlet.sent;
}
