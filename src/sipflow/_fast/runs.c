#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runs.h"

#include <stdlib.h>
#include <string.h>

#include "packet.h"

#define RUNS 32
/* Batches are of lengths so far apart: half of it is what a message costs in zeros. */
#define STEP 64
#define ROOM (SF_DATAGRAM_MAX + SF_RUNS_SLACK)

struct run {
    uint8_t *octets;
    uint32_t length;  /* of a datagram */
    uint32_t n;       /* datagrams that are complete */
    uint32_t used;    /* of a batch that is being filled, 0: none */
    uint32_t last_at; /* where in it the length of its last frame stands */
    uint16_t frames;
};

struct sf_runs {
    struct run runs[RUNS];
    unsigned n;
    uint32_t turn; /* of the first run; that of the others follow */
    uint32_t budget;
    struct mmsghdr heads[RUNS];
    struct iovec vectors[RUNS];
    union sf_cut cuts[RUNS];
    uint8_t *octets;
    /* By length, and by length / STEP rounded up: the run being filled and 1 more; 0: none. */
    uint8_t of_frames[SF_DATAGRAM_MAX + 1];
    uint8_t of_batches[SF_DATAGRAM_MAX / STEP + 2];
};

_Static_assert(RUNS < 256, "number of a run");

struct sf_runs *sf_runs_new(uint32_t budget)
{
    struct sf_runs *runs = calloc(1, sizeof *runs);
    if (runs == NULL) {
        return NULL;
    }
    runs->budget = budget;
    runs->turn = 1;
    runs->octets = malloc((size_t)RUNS * ROOM);
    if (runs->octets == NULL) {
        return sf_runs_free(runs);
    }
    for (unsigned i = 0; i < RUNS; i++) {
        runs->runs[i].octets = runs->octets + (size_t)i * ROOM;
        runs->vectors[i].iov_base = runs->runs[i].octets;
        runs->heads[i].msg_hdr.msg_iov = &runs->vectors[i];
        runs->heads[i].msg_hdr.msg_iovlen = 1;
    }
    return runs;
}

struct sf_runs *sf_runs_free(struct sf_runs *runs)
{
    if (runs != NULL) {
        free(runs->octets);
        free(runs);
    }
    return NULL;
}

static uint8_t *open_batch(struct run *run)
{
    return run->octets + (size_t)run->n * run->length;
}

/* Completes the batch that is being filled, to its whole length if it is to be one of several. */
static void close_batch(struct run *run, bool whole)
{
    if (run->used == 0) {
        return;
    }
    uint8_t *batch = open_batch(run);
    sf_batch_head(batch, run->frames);
    if (whole) {
        memset(batch + run->used, 0, run->length - run->used);
        sf_store_be32(batch + run->last_at, run->length - run->last_at - 4);
        run->n++;
        run->used = 0;
    }
    run->frames = 0;
}

static uint32_t octets_of(const struct run *run)
{
    return run->n * run->length + run->used;
}

/* Sends the datagrams of a run one by one. */
static void send_apart(const struct run *run, struct sf_outlet *outlet)
{
    struct mmsghdr heads[SF_CUT_MAX];
    struct iovec vectors[SF_CUT_MAX];
    unsigned n = 0;
    for (uint32_t at = 0; at < octets_of(run); at += run->length, n++) {
        uint32_t left = octets_of(run) - at;
        vectors[n] = (struct iovec){.iov_base = run->octets + at,
                                    .iov_len = left < run->length ? left : run->length};
        heads[n] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[n], .msg_iovlen = 1}};
    }
    sf_outlet_send(outlet, heads, n);
}

void sf_runs_send(struct sf_runs *runs, struct sf_outlet *outlet)
{
    for (unsigned i = 0; i < runs->n; i++) {
        struct run *run = &runs->runs[i];
        struct msghdr *head = &runs->heads[i].msg_hdr;
        close_batch(run, false);
        bool many = octets_of(run) > run->length;
        runs->vectors[i].iov_len = octets_of(run);
        sf_outlet_cut(&runs->cuts[i], run->length);
        head->msg_control = many ? &runs->cuts[i] : NULL;
        head->msg_controllen = many ? sizeof runs->cuts[i] : 0;
    }
    unsigned at = 0;
    while (at < runs->n) {
        int n = outlet->cuts ? sendmmsg(outlet->fd, runs->heads + at, runs->n - at, 0) : -1;
        if (n > 0) {
            for (unsigned end = at + (unsigned)n; at < end; at++) {
                const struct run *run = &runs->runs[at];
                outlet->sent.datagrams += run->n + (run->used != 0);
                outlet->sent.octets += octets_of(run);
            }
        } else {
            if (outlet->cuts) {
                sf_outlet_cut_failed(outlet);
            }
            send_apart(&runs->runs[at++], outlet);
        }
    }
    for (unsigned i = 0; i < runs->n; i++) {
        const struct run *run = &runs->runs[i];
        runs->of_batches[(run->length + STEP - 1) / STEP] = 0;
        runs->of_frames[run->length] = 0;
    }
    runs->turn += runs->n;
    runs->n = 0;
}

/* Begins a run, having sent all if there is no room for one. */
static struct run *begin(struct sf_runs *runs, uint8_t *of, size_t length, struct sf_outlet *outlet)
{
    if (runs->n == RUNS) {
        sf_runs_send(runs, outlet);
    }
    struct run *run = &runs->runs[runs->n++];
    *of = (uint8_t)runs->n;
    *run = (struct run){.octets = run->octets, .length = (uint32_t)length};
    return run;
}

static bool is_full(const struct run *run)
{
    return run->n == SF_CUT_MAX || (run->n + 1) * run->length > SF_DATAGRAM_MAX;
}

uint8_t *sf_runs_frame(struct sf_runs *runs, size_t n, struct sf_outlet *outlet)
{
    uint8_t *of = &runs->of_frames[n];
    struct run *run = *of != 0 ? &runs->runs[*of - 1] : NULL;
    if (run == NULL || is_full(run)) {
        run = begin(runs, of, n, outlet);
    }
    return run->octets + (size_t)run->n++ * n;
}

/* How long the batches are that a message goes into: of small ones a batch has several. */
static uint32_t batch_of(const struct sf_runs *runs, uint32_t alone)
{
    uint32_t length = (alone + STEP - 1) / STEP * STEP;
    return 2 * alone - SF_BATCH_HEAD <= runs->budget || length > runs->budget ? runs->budget
                                                                              : length;
}

uint8_t *sf_runs_message(struct sf_runs *runs, size_t n, uint32_t *turn, struct sf_outlet *outlet)
{
    if (n > runs->budget || runs->budget - n < SF_BATCH_HEAD + 4) {
        return NULL;
    }
    uint32_t alone = SF_BATCH_HEAD + 4 + (uint32_t)n;
    uint32_t length = batch_of(runs, alone);
    uint8_t *of = &runs->of_batches[(length + STEP - 1) / STEP];
    struct run *run = *of != 0 ? &runs->runs[*of - 1] : NULL;
    if (run != NULL && run->used != 0 && run->length - run->used < n + 4) {
        close_batch(run, true);
    }
    /* Turns begin anew some day: the difference counts. */
    if (run == NULL || is_full(run) || (int32_t)(runs->turn + *of - 1 - *turn) < 0) {
        run = begin(runs, of, length, outlet);
    }
    *turn = runs->turn + *of - 1;
    if (run->used == 0) {
        run->used = SF_BATCH_HEAD;
    }
    run->last_at = run->used;
    uint8_t *at = sf_store_be32(open_batch(run) + run->used, (uint32_t)n);
    run->used += (uint32_t)n + 4;
    run->frames++;
    return at;
}
