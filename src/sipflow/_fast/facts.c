#include "facts.h"

#include <string.h>

#include "cursor.h"

#define WINDOW 1024 /* sequence numbers told apart on either side of the first */

struct tally {
    uint64_t seen[2 * WINDOW / 64];
    int32_t low, high; /* relative to the first number */
    uint32_t distinct;
    uint16_t base;
    uint8_t types[128];
};

static void tally_sequence(struct tally *t, uint16_t seq)
{
    int32_t at = (int16_t)(uint16_t)(seq - t->base);
    if (at < -WINDOW || at >= WINDOW) {
        return; /* a restart: the exact count on demand tells segments apart */
    }
    uint32_t bit = (uint32_t)(at + WINDOW);
    if ((t->seen[bit / 64] >> (bit % 64) & 1) == 0) {
        t->seen[bit / 64] |= 1ull << (bit % 64);
        t->distinct++;
    }
    t->low = at < t->low ? at : t->low;
    t->high = at > t->high ? at : t->high;
}

/* What is carried from packet to packet. */
struct gather {
    struct tally tally;
    double jitter;
    int64_t last_us;
    uint32_t last_ts;
    bool timed;
    bool any;
};

#define CLOCK 8000.0 /* the index knows no SDP; the exact figure is computed on demand */

static void gather_packet(struct gather *g, const struct sf_pool_rtp *record, const uint8_t *packet,
                          struct sf_chunk_facts *out)
{
    int64_t filed = (int64_t)(out->clock_skew ? record->arrival_us : record->time_us);
    if (!g->any) {
        out->filed_us = out->t0_us = out->t1_us = filed;
    }
    out->t0_us = filed < out->t0_us ? filed : out->t0_us;
    out->t1_us = filed > out->t1_us ? filed : out->t1_us;
    if (out->has_ssrc && record->length >= 12) {
        uint16_t seq = sf_load_be16(packet + 2);
        uint32_t ts = sf_load_be32(packet + 4);
        uint8_t type = packet[1] & 0x7f;
        if (!g->any) {
            g->tally.base = out->first_seq = seq;
        }
        out->last_seq = seq;
        tally_sequence(&g->tally, seq);
        g->tally.types[type] += g->tally.types[type] < UINT8_MAX;
        /* Events and repeats stand still on the RTP clock and would only add noise. */
        if (g->timed && ts != g->last_ts) {
            /* Wraps, because the times may be anything a sender wrote. */
            double d = (double)(int64_t)(record->time_us - (uint64_t)g->last_us) * CLOCK / 1e6 -
                       (double)(int32_t)(ts - g->last_ts);
            g->jitter += ((d < 0 ? -d : d) - g->jitter) / 16;
        }
        if (!g->timed || ts != g->last_ts) {
            g->last_us = (int64_t)record->time_us;
            g->last_ts = ts;
            g->timed = true;
        }
    }
    g->any = true;
    out->packets++;
}

static void gather_end(const struct gather *g, struct sf_chunk_facts *out)
{
    for (unsigned type = 0; type < 128; type++) {
        if (g->tally.types[type] > g->tally.types[out->payload_type]) {
            out->payload_type = (uint8_t)type;
        }
    }
    if (g->tally.distinct > 0) {
        out->lost = (uint32_t)(g->tally.high - g->tally.low + 1) - g->tally.distinct;
        double jitter_us = g->jitter * 1e6 / CLOCK;
        out->jitter_us = jitter_us < UINT32_MAX ? (uint32_t)jitter_us : UINT32_MAX;
    }
}

bool sf_chunk_facts(const uint8_t *chunk, size_t used, uint32_t count, struct sf_chunk_facts *out)
{
    struct sf_chunk stream;
    struct sf_pool_rtp record;
    struct sf_slice packet;
    struct gather g = {.any = false};
    if (!sf_chunk_open(chunk, used, &stream)) {
        return false;
    }
    const struct sf_chunk_identity *id = &stream.identity;
    *out = (struct sf_chunk_facts){
        .ssrc = id->ssrc,
        .client_id = id->client_id,
        .leg = id->leg,
        .src_port = id->src_port,
        .dst_port = id->dst_port,
        .call_id_length = id->call_id_length,
        .family = id->family,
        .has_ssrc = id->has_ssrc,
        .clock_skew = id->clock_skew,
    };
    memcpy(out->src, id->src, 16);
    memcpy(out->dst, id->dst, 16);
    while (out->packets < count) {
        if (!sf_chunk_next(&stream, &record, &packet)) {
            return false;
        }
        gather_packet(&g, &record, packet.p, out);
    }
    gather_end(&g, out);
    return true;
}

bool sf_rows_facts(const struct sf_rtp_row *rows, size_t count, struct sf_slice data,
                   struct sf_chunk_facts *out)
{
    struct gather g = {.any = false};
    for (size_t i = 0; i < count; i++) {
        const struct sf_rtp_row *row = &rows[i];
        if (row->offset > data.n || data.n - row->offset < row->length) {
            return false;
        }
        struct sf_pool_rtp record = {.time_us = (uint64_t)row->time_us,
                                     .arrival_us = (uint64_t)row->arrival_us,
                                     .length = (uint16_t)row->length};
        gather_packet(&g, &record, data.p + row->offset, out);
    }
    gather_end(&g, out);
    return true;
}
