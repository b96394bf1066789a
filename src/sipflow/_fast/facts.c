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

bool sf_chunk_facts(const uint8_t *chunk, size_t used, uint32_t count, struct sf_chunk_facts *out)
{
    struct sf_chunk_identity id;
    struct tally t = {.low = 0};
    if (used < sizeof id) {
        return false;
    }
    memcpy(&id, chunk, sizeof id);
    *out = (struct sf_chunk_facts){
        .packets = count,
        .ssrc = id.ssrc,
        .client_id = id.client_id,
        .leg = id.leg,
        .src_port = id.src_port,
        .dst_port = id.dst_port,
        .call_id_length = id.call_id_length,
        .family = id.family,
        .has_ssrc = id.has_ssrc,
        .clock_skew = id.clock_skew,
    };
    memcpy(out->src, id.src, 16);
    memcpy(out->dst, id.dst, 16);
    size_t at = sf_chunk_head(id.call_id_length);
    double jitter = 0, clock = 8000;
    int64_t last_us = 0;
    uint32_t last_ts = 0;
    bool timed = false;
    for (uint32_t i = 0; i < count; i++) {
        struct sf_pool_rtp record;
        if (at > used || used - at < sizeof record) {
            return false;
        }
        memcpy(&record, chunk + at, sizeof record);
        const uint8_t *packet = chunk + at + sizeof record;
        if (used - at < sf_pool_rtp_size(record.length)) {
            return false;
        }
        at += sf_pool_rtp_size(record.length);
        int64_t filed = (int64_t)(id.clock_skew ? record.arrival_us : record.time_us);
        if (i == 0) {
            out->filed_us = out->t0_us = out->t1_us = filed;
        }
        out->t0_us = filed < out->t0_us ? filed : out->t0_us;
        out->t1_us = filed > out->t1_us ? filed : out->t1_us;
        if (!id.has_ssrc || record.length < 12) {
            continue;
        }
        uint16_t seq = sf_load_be16(packet + 2);
        uint32_t ts = sf_load_be32(packet + 4);
        uint8_t type = packet[1] & 0x7f;
        if (i == 0) {
            t.base = out->first_seq = seq;
        }
        out->last_seq = seq;
        tally_sequence(&t, seq);
        t.types[type] += t.types[type] < UINT8_MAX;
        /* Events and repeats stand still on the RTP clock and would only add noise. */
        if (timed && ts != last_ts) {
            double d = (double)((int64_t)record.time_us - last_us) * clock / 1e6 -
                       (double)(int32_t)(ts - last_ts);
            jitter += ((d < 0 ? -d : d) - jitter) / 16;
        }
        if (!timed || ts != last_ts) {
            last_us = (int64_t)record.time_us;
            last_ts = ts;
            timed = true;
        }
    }
    for (unsigned type = 0; type < 128; type++) {
        if (t.types[type] > t.types[out->payload_type]) {
            out->payload_type = (uint8_t)type;
        }
    }
    if (t.distinct > 0) {
        out->lost = (uint32_t)(t.high - t.low + 1) - t.distinct;
        out->jitter_us = (uint32_t)(jitter * 1e6 / clock);
    }
    return at <= used;
}
