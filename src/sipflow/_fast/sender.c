#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "sender.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "packet.h"

#define SLOT_US     1000u
#define SLOTS       4096u /* about four seconds; what is due later stays and is asked again */
#define BLOCK_ITEMS 253u
#define DATAGRAMS   64
#define SEGMENTS    64 /* what every kernel with UDP_SEGMENT cuts from one message */
#define RUNS        32 /* messages of one flush: as many lengths, or fewer that are frequent */
#define RUN_ROOM    (SEGMENTS * SF_TALKER_ROOM)
#define IS_CALL     0x80000000u
#define NONE        0xffffffffu
#define NEAR        4 /* items ahead whose audio or message is fetched, */
#define FAR         8 /* and whose state is */
#define LINE        64

_Static_assert(RUN_ROOM <= SF_DATAGRAM_MAX, "a run fits a message");
_Static_assert(RUNS < 256, "number of a run");

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
};

/* Asks the kernel to cut a message into datagrams. */
union cut {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(uint16_t))];
};

/* Datagrams of one length, one behind the other, which go out as one message. */
struct run {
    uint8_t *octets;
    uint32_t length;
    uint32_t n;
};

struct sf_sender {
    struct sf_sender_settings settings;
    struct sf_sent sent;
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
    bool offload;
    unsigned full;
    uint32_t used;
    uint16_t frames_in;

    /*
     * With `single` and `offload`, packets of streams that are all of one length wait in runs [0,
     * runs_n) for the end of the tick; everything else goes through the datagrams above, which are
     * sent first. So each stream keeps its order, as does each dialog; and no packet goes before a
     * message that was due before it.
     */
    struct run runs[RUNS];
    struct mmsghdr run_heads[RUNS];
    struct iovec run_vectors[RUNS];
    union cut cuts[RUNS];
    uint8_t *run_octets; /* NULL: there are no runs */
    unsigned runs_n;
    uint8_t run_of[SF_TALKER_ROOM + 1]; /* by length: the run being filled and 1 more; 0: none */
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

static void set_cut(union cut *cut, size_t octets)
{
    uint16_t length = (uint16_t)octets;
    cut->head.cmsg_level = IPPROTO_UDP;
    cut->head.cmsg_type = UDP_SEGMENT;
    cut->head.cmsg_len = CMSG_LEN(sizeof length);
    memcpy(CMSG_DATA(&cut->head), &length, sizeof length);
}

/* A kernel without UDP_SEGMENT would not refuse the control message, but send all as one. */
static bool can_cut(int fd)
{
    int none = 0;
    return setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof none) == 0;
}

struct sf_sender *sf_sender_new(const struct sf_sender_settings *settings)
{
    struct sf_sender *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->settings = *settings;
    s->clock_us = settings->origin_us;
    s->offload = settings->offload && can_cut(settings->fd);
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
    if (s->offload && settings->single) {
        s->run_octets = malloc((size_t)RUNS * RUN_ROOM);
        if (s->run_octets == NULL) {
            return sf_sender_free(s);
        }
        for (unsigned i = 0; i < RUNS; i++) {
            s->runs[i].octets = s->run_octets + (size_t)i * RUN_ROOM;
            s->run_vectors[i].iov_base = s->runs[i].octets;
            s->run_heads[i].msg_hdr.msg_iov = &s->run_vectors[i];
            s->run_heads[i].msg_hdr.msg_iovlen = 1;
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
    free(s->run_octets);
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

static void count_error(struct sf_sender *s)
{
    s->sent.errors++;
    s->sent.last_errno = errno;
}

/* After a message that was to be cut failed: a kernel or device that cannot do it is not asked
 * again, anything else is an error like any other. */
static void cut_failed(struct sf_sender *s)
{
    if (errno == EIO || errno == EINVAL || errno == EMSGSIZE || errno == EOPNOTSUPP) {
        s->offload = false;
    } else if (errno != EINTR) {
        count_error(s);
    }
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
    union cut cuts[DATAGRAMS];
    unsigned counts[DATAGRAMS];
    unsigned messages = 0;
    for (unsigned at = 0; at < s->full; at += counts[messages++]) {
        unsigned n = alike(s, at);
        cuts[messages] = (union cut){.room = {0}};
        set_cut(&cuts[messages], s->vectors[at].iov_len);
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
            cut_failed(s);
            return went;
        }
        for (unsigned end = at + (unsigned)n; at < end; at++) {
            s->sent.datagrams += counts[at];
            for (unsigned i = went; i < went + counts[at]; i++) {
                s->sent.octets += s->vectors[i].iov_len;
            }
            went += counts[at];
        }
    }
    return went;
}

/*
 * Sends datagrams of one vector each. An error of a connected socket may belong to an earlier
 * datagram (ICMP port unreachable) and is cleared by being told, so the datagram at hand is tried
 * once more before it is given up.
 */
static void send_each(struct sf_sender *s, struct mmsghdr *heads, unsigned count)
{
    unsigned at = 0;
    bool tried = false;
    while (at < count) {
        int n = sendmmsg(s->settings.fd, heads + at, count - at, 0);
        if (n > 0) {
            s->sent.datagrams += (unsigned)n;
            for (unsigned end = at + (unsigned)n; at < end; at++) {
                s->sent.octets += heads[at].msg_hdr.msg_iov->iov_len;
            }
            tried = false;
        } else if (errno != EINTR) {
            count_error(s);
            if (tried) {
                s->sent.unsent++;
                at++;
            }
            tried = !tried;
        }
    }
}

static void flush(struct sf_sender *s)
{
    unsigned at = s->offload && !s->settings.single ? flush_offloaded(s) : 0;
    send_each(s, s->heads + at, s->full - at);
    s->full = 0;
}

static void send_large(struct sf_sender *s, size_t n)
{
    for (unsigned try = 0; try < 2; try++) {
        ssize_t done = send(s->settings.fd, s->large, n, 0);
        if (done >= 0) {
            s->sent.datagrams++;
            s->sent.octets += n;
            return;
        }
        count_error(s);
    }
    s->sent.unsent++;
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

static void send_apart(struct sf_sender *s, const struct run *run)
{
    struct mmsghdr heads[SEGMENTS];
    struct iovec vectors[SEGMENTS];
    for (unsigned i = 0; i < run->n; i++) {
        vectors[i] = (struct iovec){.iov_base = run->octets + (size_t)i * run->length,
                                    .iov_len = run->length};
        heads[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
    }
    send_each(s, heads, run->n);
}

/* Sends all runs, after what is to go before them. */
static void flush_runs(struct sf_sender *s)
{
    close_datagram(s);
    flush(s);
    for (unsigned i = 0; i < s->runs_n; i++) {
        struct msghdr *head = &s->run_heads[i].msg_hdr;
        bool many = s->runs[i].n > 1;
        s->run_vectors[i].iov_len = (size_t)s->runs[i].n * s->runs[i].length;
        set_cut(&s->cuts[i], s->runs[i].length);
        head->msg_control = many ? &s->cuts[i] : NULL;
        head->msg_controllen = many ? sizeof s->cuts[i] : 0;
        s->run_of[s->runs[i].length] = 0;
    }
    unsigned at = 0;
    while (at < s->runs_n) {
        int n = s->offload ? sendmmsg(s->settings.fd, s->run_heads + at, s->runs_n - at, 0) : -1;
        if (n > 0) {
            for (unsigned end = at + (unsigned)n; at < end; at++) {
                s->sent.datagrams += s->runs[at].n;
                s->sent.octets += s->run_vectors[at].iov_len;
            }
        } else {
            if (s->offload) {
                cut_failed(s);
            }
            send_apart(s, &s->runs[at++]);
        }
    }
    s->runs_n = 0;
}

/* Gives where a frame of `n` octets goes, at most SF_TALKER_ROOM. */
static inline uint8_t *place_in_run(struct sf_sender *s, size_t n)
{
    unsigned number = s->run_of[n];
    if (number == 0 || s->runs[number - 1].n == SEGMENTS) {
        if (s->runs_n == RUNS) {
            flush_runs(s);
        }
        number = ++s->runs_n;
        s->run_of[n] = (uint8_t)number;
        s->runs[number - 1].length = (uint32_t)n;
        s->runs[number - 1].n = 0;
    }
    struct run *run = &s->runs[number - 1];
    return run->octets + (size_t)run->n++ * n;
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
    close_datagram(s);
    flush(s);
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
    bool in_runs = s->run_octets != NULL && !(t->flags & (SF_TALKER_FRAMED | SF_TALKER_SCRIPTED));
    uint64_t due_us = sf_talker_due(t);
    while (due_us < end_us) {
        size_t n = sf_talker_size(t);
        uint8_t *at = in_runs ? place_in_run(s, n) : place(s, n);
        if (at != NULL) {
            sf_talker_write(t, at);
        } else {
            at = place_large(s, n);
            sf_talker_write(t, at);
            send_large(s, (size_t)(at - s->large) + n);
        }
        s->sent.rtp++;
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
    uint64_t due_us = sf_mould_time(mould, &c->call, c->next);
    while (due_us < end_us) {
        size_t n = mould->sayings[c->next].n;
        uint8_t *at = place(s, n);
        if (at != NULL) {
            sf_mould_write(mould, &c->call, c->next, at);
        } else {
            at = place_large(s, n);
            sf_mould_write(mould, &c->call, c->next, at);
            send_large(s, (size_t)(at - s->large) + n);
        }
        s->sent.sip++;
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
        s->sent.late_ticks++;
        s->sent.worst_us = late_us > s->sent.worst_us ? late_us : s->sent.worst_us;
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
        if (paced) {
            close_datagram(s);
            flush(s);
        }
        if (s->run_octets != NULL) {
            flush_runs(s);
        }
        s->sent.ticks++;
    }
    close_datagram(s);
    flush(s);
    s->sent.cpu_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    s->sent.wall_ns += clock_ns(CLOCK_MONOTONIC) - wall;
    return !s->no_memory;
}

size_t sf_sender_left(const struct sf_sender *s)
{
    return s->left;
}

const struct sf_sent *sf_sender_sent(const struct sf_sender *s)
{
    return &s->sent;
}
