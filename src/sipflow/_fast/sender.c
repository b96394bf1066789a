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

#define SLOT_US   1000u
#define SLOTS     4096u /* about four seconds; what is due later stays and is asked again */
#define DATAGRAMS 64
#define IS_FRAME  0x80000000u
#define NONE      0xffffffffu
#define NEAR      4 /* items ahead whose audio is fetched, */
#define FAR       8 /* and whose state is */

struct slot {
    uint32_t *items;
    uint32_t n;
    uint32_t room;
};

struct frame {
    uint64_t due_us;
    uint8_t *octets;
    uint32_t n;
    uint32_t next_free;
};

struct sf_sender {
    struct sf_sender_settings settings;
    struct sf_sent sent;
    uint64_t clock_us; /* everything due before this is sent */
    uint64_t origin_ns;
    bool started;
    bool no_memory;

    struct slot slots[SLOTS];
    struct slot spare;

    struct sf_talker *talkers;
    uint32_t talkers_n, talkers_room, free_talker; /* a free talker keeps the next one in `at` */
    struct frame *frames;
    uint32_t frames_n, frames_room, free_frame;
    size_t left;

    /* Datagrams [0, full) are complete, datagram `full` is being filled up to `used`. */
    struct mmsghdr heads[DATAGRAMS];
    struct iovec vectors[DATAGRAMS];
    uint8_t *buffers;
    uint8_t *large;              /* one datagram that exceeds the budget */
    uint32_t last_at[DATAGRAMS]; /* where the length of the last frame stands */
    bool offload;
    unsigned full;
    uint32_t used;
    uint16_t frames_in;
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
    s->offload = settings->offload && !settings->single;
    s->free_talker = NONE;
    s->free_frame = NONE;
    s->buffers = malloc((size_t)DATAGRAMS * settings->budget);
    s->large = malloc(SF_DATAGRAM_MAX);
    if (s->buffers == NULL || s->large == NULL) {
        return sf_sender_free(s);
    }
    for (unsigned i = 0; i < DATAGRAMS; i++) {
        s->vectors[i].iov_base = s->buffers + (size_t)i * settings->budget;
        s->heads[i].msg_hdr.msg_iov = &s->vectors[i];
        s->heads[i].msg_hdr.msg_iovlen = 1;
    }
    return s;
}

struct sf_sender *sf_sender_free(struct sf_sender *s)
{
    if (s == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < s->talkers_n; i++) {
        free((void *)s->talkers[i].steps);
    }
    for (uint32_t i = 0; i < s->frames_n; i++) {
        free(s->frames[i].octets);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        free(s->slots[i].items);
    }
    free(s->spare.items);
    free(s->talkers);
    free(s->frames);
    free(s->buffers);
    free(s->large);
    free(s);
    return NULL;
}

/* Makes room for one more element of `size` octets; false when memory is short. */
static bool grow(void **array, uint32_t n, uint32_t *room, size_t size)
{
    if (n < *room) {
        return true;
    }
    uint32_t more = *room == 0 ? 16 : *room * 2;
    void *moved = realloc(*array, more * size);
    if (moved == NULL) {
        return false;
    }
    *array = moved;
    *room = more;
    return true;
}

/* An item due in the past goes to the slot that is sent next. */
static bool put(struct sf_sender *s, uint32_t item, uint64_t due_us)
{
    uint64_t when = due_us < s->clock_us ? s->clock_us : due_us;
    struct slot *slot = &s->slots[when / SLOT_US % SLOTS];
    void *items = slot->items;
    if (!grow(&items, slot->n, &slot->room, sizeof *slot->items)) {
        return false;
    }
    slot->items = items;
    slot->items[slot->n++] = item;
    return true;
}

bool sf_sender_add_talker(struct sf_sender *s, const struct sf_talker *talker)
{
    if (talker->count == 0) {
        return true;
    }
    uint32_t i = s->free_talker;
    if (i == NONE) {
        void *talkers = s->talkers;
        if (s->talkers_n >= IS_FRAME - 1 ||
            !grow(&talkers, s->talkers_n, &s->talkers_room, sizeof *talker)) {
            return false;
        }
        s->talkers = talkers;
        i = s->talkers_n;
    }
    struct sf_step *steps = NULL;
    if (talker->steps != NULL) {
        steps = malloc(talker->count * sizeof *steps);
        if (steps == NULL) {
            return false;
        }
        memcpy(steps, talker->steps, talker->count * sizeof *steps);
    }
    if (!put(s, i, sf_talker_due(talker))) {
        free(steps);
        return false;
    }
    if (i == s->talkers_n) {
        s->talkers_n++;
    } else {
        s->free_talker = s->talkers[i].at;
    }
    s->talkers[i] = *talker;
    s->talkers[i].steps = steps;
    s->left++;
    return true;
}

bool sf_sender_add_frame(struct sf_sender *s, uint64_t due_us, struct sf_slice octets)
{
    uint32_t i = s->free_frame;
    if (i == NONE) {
        void *frames = s->frames;
        if (s->frames_n >= IS_FRAME - 1 ||
            !grow(&frames, s->frames_n, &s->frames_room, sizeof *s->frames)) {
            return false;
        }
        s->frames = frames;
        i = s->frames_n;
    }
    uint8_t *copy = malloc(octets.n == 0 ? 1 : octets.n);
    if (copy == NULL || !put(s, i | IS_FRAME, due_us)) {
        free(copy);
        return false;
    }
    if (octets.n > 0) {
        memcpy(copy, octets.p, octets.n);
    }
    if (i == s->frames_n) {
        s->frames_n++;
    } else {
        s->free_frame = s->frames[i].next_free;
    }
    s->frames[i] = (struct frame){
        .due_us = due_us, .octets = copy, .n = (uint32_t)octets.n, .next_free = NONE};
    s->left++;
    return true;
}

static void count_error(struct sf_sender *s)
{
    s->sent.errors++;
    s->sent.last_errno = errno;
}

/* Lengthens the last frame of a batch to fill the budget: what follows a packet in its frame is
 * padding. */
static void pad(struct sf_sender *s, unsigned i)
{
    uint8_t *datagram = s->vectors[i].iov_base;
    size_t more = s->settings.budget - s->vectors[i].iov_len;
    uint8_t *length = datagram + s->last_at[i];
    sf_store_be32(length, sf_load_be32(length) + (uint32_t)more);
    memset(datagram + s->vectors[i].iov_len, 0, more);
    s->vectors[i].iov_len = s->settings.budget;
}

/*
 * Hands many datagrams over as one, which the kernel cuts at the budget; only the last may be
 * shorter. Gives how many went; a kernel or device that cannot do it is not asked again.
 */
static unsigned flush_offloaded(struct sf_sender *s)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(uint16_t))];
    } control = {.head = {.cmsg_level = IPPROTO_UDP,
                          .cmsg_type = UDP_SEGMENT,
                          .cmsg_len = CMSG_LEN(sizeof(uint16_t))}};
    uint16_t cut = (uint16_t)s->settings.budget;
    unsigned most = SF_DATAGRAM_MAX / s->settings.budget;
    unsigned at = 0;
    memcpy(CMSG_DATA(&control.head), &cut, sizeof cut);
    while (most > 1 && s->full - at > 1) {
        unsigned n = s->full - at < most ? s->full - at : most;
        for (unsigned i = at; i + 1 < at + n; i++) {
            pad(s, i);
        }
        struct iovec all = {
            .iov_base = s->vectors[at].iov_base,
            .iov_len = (size_t)(n - 1) * s->settings.budget + s->vectors[at + n - 1].iov_len,
        };
        struct msghdr message = {.msg_iov = &all,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof control};
        ssize_t done = sendmsg(s->settings.fd, &message, 0);
        if (done < 0) {
            s->offload = errno != EIO && errno != EINVAL && errno != EOPNOTSUPP;
            return at; /* the rest goes one by one, where errors are counted */
        }
        s->sent.datagrams += n;
        s->sent.octets += (size_t)done;
        at += n;
    }
    return at;
}

/*
 * An error of a connected socket may belong to an earlier datagram (ICMP port unreachable) and
 * is cleared by being told, so the datagram at hand is tried once more before it is given up.
 */
static void flush(struct sf_sender *s)
{
    unsigned at = s->offload ? flush_offloaded(s) : 0;
    bool tried = false;
    while (at < s->full) {
        int n = sendmmsg(s->settings.fd, s->heads + at, s->full - at, 0);
        if (n > 0) {
            s->sent.datagrams += (unsigned)n;
            for (unsigned end = at + (unsigned)n; at < end; at++) {
                s->sent.octets += s->vectors[at].iov_len;
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

/* Gives where a frame of `n` octets goes, or NULL when no datagram of the budget holds it. */
static uint8_t *place(struct sf_sender *s, size_t n)
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
    s->last_at[s->full] = s->used;
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

static void send_frame(struct sf_sender *s, uint32_t i)
{
    struct frame *frame = &s->frames[i];
    uint8_t *at = place(s, frame->n);
    if (at != NULL) {
        memcpy(at, frame->octets, frame->n);
    } else {
        at = place_large(s, frame->n);
        memcpy(at, frame->octets, frame->n);
        send_large(s, (size_t)(at - s->large) + frame->n);
    }
    s->sent.sip++;
    free(frame->octets);
    frame->octets = NULL;
    frame->next_free = s->free_frame;
    s->free_frame = i;
    s->left--;
}

static void end_talker(struct sf_sender *s, uint32_t i)
{
    struct sf_talker *t = &s->talkers[i];
    free((void *)t->steps);
    t->steps = NULL;
    t->at = s->free_talker;
    s->free_talker = i;
    s->left--;
}

/* Sends all of a stream that is due before `end_us`; the rest waits in its slot. */
static void speak(struct sf_sender *s, uint32_t i, uint64_t end_us)
{
    struct sf_talker *t = &s->talkers[i];
    uint64_t due_us = sf_talker_due(t);
    while (due_us < end_us) {
        size_t n = sf_talker_size(t);
        uint8_t *at = place(s, n);
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

static inline void fetch(const struct sf_sender *s, const struct slot *work, uint32_t i)
{
    if (i + FAR < work->n && (work->items[i + FAR] & IS_FRAME) == 0) {
        const char *t = (const char *)&s->talkers[work->items[i + FAR]];
        __builtin_prefetch(t, 1);
        __builtin_prefetch(t + 64);
        __builtin_prefetch(t + 128);
    }
    if (i + NEAR < work->n && (work->items[i + NEAR] & IS_FRAME) == 0) {
        const struct sf_talker *t = &s->talkers[work->items[i + NEAR]];
        uint64_t from = (uint64_t)t->position + (uint64_t)t->at * t->samples;
        const uint8_t *audio = t->audio + from % t->loop;
        __builtin_prefetch(audio);
        __builtin_prefetch(audio + 64);
        __builtin_prefetch(audio + 128);
    }
}

/* The slot is taken out first: what is sent may be put back into the very same one. */
static void send_slot(struct sf_sender *s)
{
    uint64_t end_us = s->clock_us + SLOT_US;
    struct slot *slot = &s->slots[s->clock_us / SLOT_US % SLOTS];
    struct slot work = *slot;
    *slot = s->spare;
    s->clock_us = end_us;
    for (uint32_t i = 0; i < work.n; i++) {
        uint32_t item = work.items[i];
        fetch(s, &work, i);
        if ((item & IS_FRAME) == 0) {
            speak(s, item, end_us);
        } else if (s->frames[item & ~IS_FRAME].due_us < end_us) {
            send_frame(s, item & ~IS_FRAME);
        } else {
            s->no_memory |= !put(s, item, s->frames[item & ~IS_FRAME].due_us);
        }
    }
    work.n = 0;
    s->spare = work;
}

/*
 * Waits until `end_us`, when the tick of `step_us` is over; gives when it began to be sent.
 * A late tick comes no sooner than half a tick after the last one: twice the pace.
 */
static uint64_t wait_tick(struct sf_sender *s, uint64_t end_us, uint64_t step_us, uint64_t last_ns)
{
    uint64_t tick_ns = (uint64_t)((double)step_us * 1000 / s->settings.speed);
    uint64_t due_ns = s->origin_ns + (uint64_t)((double)end_us * 1000 / s->settings.speed);
    uint64_t not_before = last_ns + tick_ns / 2;
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
    return now;
}

bool sf_sender_run(struct sf_sender *s, uint64_t until_us)
{
    uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    uint64_t wall = clock_ns(CLOCK_MONOTONIC);
    uint64_t last_ns = 0;
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
            last_ns = wait_tick(s, end_us, step_us, last_ns);
        }
        while (s->clock_us < end_us && !s->no_memory) {
            send_slot(s);
        }
        if (paced) {
            close_datagram(s);
            flush(s);
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
