#include "intake.h"

#include <stdlib.h>
#include <time.h>

#include "hash.h"
#include "rtp.h"
#include "sip.h"

#define PACKETS_MAX    100
#define SPAN_US        2000000
#define SKEW_LIMIT_US  (24 * 3600ll * 1000000)
#define CLIENTS_A_TURN 16
/* An arena of SIP that is full in less is one of too few; one of age that is not half full, of too
 * many. */
#define FULL_SOON_US 250000
/* Of the chunks for SIP one in so many may be open at a time, by intake. */
#define OPEN_SHARE 4
/* Packets looked at together: what they touch fits the nearest cache. */
#define GROUP 64

static const char unidentified[] = "unidentified@sipflow";

struct entry {
    uint64_t hash;
    uint32_t chunk; /* SF_NO_CHUNK: empty */
};

/* What the intake alone knows of an open chunk; indexed by chunk. */
struct open_chunk {
    uint64_t hash;
    uint32_t older, newer; /* list by opening time */
    uint32_t used;
    uint16_t count;
    uint16_t limit;
};

/* Where a packet of the batch goes, between the stages of sf_intake_put. */
struct place {
    uint64_t hash;
    uint64_t call_hash;
    uint32_t chunk;
    uint32_t ssrc;
    uint32_t source;
    bool is_rtp;
    bool skewed;
    bool skip;
};

struct client_sum {
    uint32_t client_id;
    uint32_t taken;
};

struct sf_intake {
    struct sf_pool *pool;
    struct sf_ledger *ledger;
    struct sf_intake_limits limits;
    struct sf_hep_reader *hep; /* borrowed; NULL: no HEP */
    bool hep_alone;
    struct entry *table;
    uint64_t mask;
    struct open_chunk *open;
    uint32_t oldest, newest;
    uint32_t arenas[SF_POOL_ARENAS];
    uint32_t spread;     /* so many of them take new messages, by call; a power of two */
    uint32_t spread_max; /* and may: most chunks are to be full and on their way to disk */
    size_t sip_room;     /* in each */
    uint64_t dice;
    enum sf_status refuse_rtp, refuse_sip; /* SF_OK: taken */
    unsigned held;
    struct sf_peer last_peer; /* of the datagram before: nearly always of this one too */
    uint32_t last_source;
    unsigned sums;
    struct client_sum clients[CLIENTS_A_TURN];
    struct sf_packet batch[SF_INTAKE_BATCH];
    struct place places[SF_INTAKE_BATCH];
};

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    /* One writer: a plain add, made visible to readers. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static uint64_t monotonic_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

struct sf_intake *sf_intake_new(struct sf_pool *pool, unsigned slot, struct sf_intake_limits limits)
{
    struct sf_intake *intake = calloc(1, sizeof *intake);
    if (intake == NULL) {
        return NULL;
    }
    uint64_t size = 64;
    while (size < 2ull * sf_pool_head(pool)->chunks[SF_STREAM_CLASS]) {
        size *= 2;
    }
    intake->table = malloc(size * sizeof *intake->table);
    intake->open = calloc(sf_pool_chunks(pool), sizeof *intake->open);
    if (intake->table == NULL || intake->open == NULL) {
        return sf_intake_free(intake);
    }
    for (uint64_t i = 0; i < size; i++) {
        intake->table[i].chunk = SF_NO_CHUNK;
    }
    for (int i = 0; i < SF_POOL_ARENAS; i++) {
        intake->arenas[i] = SF_NO_CHUNK;
    }
    intake->spread = intake->spread_max = 1;
    while (intake->spread_max < SF_POOL_ARENAS &&
           intake->spread_max * 2 * OPEN_SHARE <= sf_pool_head(pool)->chunks[SF_SIP_CLASS]) {
        intake->spread_max *= 2;
    }
    intake->sip_room = sf_pool_sip_chunk(pool);
    intake->mask = size - 1;
    intake->pool = pool;
    intake->ledger = &sf_pool_head(pool)->ledgers[slot % SF_POOL_RECEIVERS];
    intake->limits = limits;
    intake->oldest = intake->newest = SF_NO_CHUNK;
    intake->last_source = SF_NO_SOURCE;
    intake->dice = sf_pool_head(pool)->hash_seed | 1;
    return intake;
}

struct sf_intake *sf_intake_free(struct sf_intake *intake)
{
    if (intake != NULL) {
        free(intake->table);
        free(intake->open);
        free(intake);
    }
    return NULL;
}

struct sf_ledger *sf_intake_ledger(struct sf_intake *intake)
{
    return intake->ledger;
}

void sf_intake_take_hep(struct sf_intake *intake, struct sf_hep_reader *reader, bool alone)
{
    intake->hep = reader;
    intake->hep_alone = alone;
}

void sf_intake_beat(struct sf_intake *intake)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
    atomic_store_explicit(&intake->ledger->heartbeat_us, now, memory_order_relaxed);
}

/* --- the list of open chunks, oldest first --- */

static void list_append(struct sf_intake *intake, uint32_t chunk)
{
    struct open_chunk *o = &intake->open[chunk];
    o->older = intake->newest;
    o->newer = SF_NO_CHUNK;
    if (intake->newest == SF_NO_CHUNK) {
        intake->oldest = chunk;
    } else {
        intake->open[intake->newest].newer = chunk;
    }
    intake->newest = chunk;
    sf_pool_desc(intake->pool, chunk)->opened_us = monotonic_us();
}

static void list_remove(struct sf_intake *intake, uint32_t chunk)
{
    struct open_chunk *o = &intake->open[chunk];
    if (o->older == SF_NO_CHUNK) {
        intake->oldest = o->newer;
    } else {
        intake->open[o->older].newer = o->newer;
    }
    if (o->newer == SF_NO_CHUNK) {
        intake->newest = o->older;
    } else {
        intake->open[o->newer].older = o->older;
    }
}

/* --- the table of open streams: linear probing, deletion by moving back --- */

static bool same_stream(struct sf_intake *intake, uint32_t chunk, const struct sf_packet *packet,
                        const struct place *place)
{
    const uint8_t *data = sf_pool_data(intake->pool, chunk);
    const struct sf_chunk_identity *id = (const struct sf_chunk_identity *)data;
    return id->ssrc == place->ssrc && id->has_ssrc == place->is_rtp && id->leg == packet->leg &&
           id->client_id == packet->client_id && id->clock_skew == place->skewed &&
           id->family == packet->family && id->src_port == packet->src_port &&
           id->dst_port == packet->dst_port && memcmp(id->src, packet->src, 16) == 0 &&
           memcmp(id->dst, packet->dst, 16) == 0 && id->call_id_length == packet->call_id.n &&
           memcmp(data + sizeof *id, packet->call_id.p, packet->call_id.n) == 0;
}

static struct entry *find_stream(struct sf_intake *intake, const struct sf_packet *packet,
                                 const struct place *place)
{
    for (uint64_t at = place->hash & intake->mask;; at = (at + 1) & intake->mask) {
        struct entry *entry = &intake->table[at];
        if (entry->chunk == SF_NO_CHUNK ||
            (entry->hash == place->hash && same_stream(intake, entry->chunk, packet, place))) {
            return entry;
        }
    }
}

static void forget_stream(struct sf_intake *intake, uint32_t chunk)
{
    struct entry *table = intake->table;
    uint64_t at = intake->open[chunk].hash & intake->mask;
    while (table[at].chunk != chunk) {
        at = (at + 1) & intake->mask;
    }
    for (uint64_t next = (at + 1) & intake->mask; table[next].chunk != SF_NO_CHUNK;
         next = (next + 1) & intake->mask) {
        uint64_t home = table[next].hash & intake->mask;
        /* Movable when its home does not lie between the hole and its place. */
        if (((next - home) & intake->mask) >= ((next - at) & intake->mask)) {
            table[at] = table[next];
            at = next;
        }
    }
    table[at].chunk = SF_NO_CHUNK;
}

/* --- chunks --- */

static void close_chunk(struct sf_intake *intake, uint32_t chunk)
{
    list_remove(intake, chunk);
    sf_pool_close_chunk(intake->pool, chunk);
}

static uint16_t first_limit(struct sf_intake *intake)
{
    /* Streams that start together must not fill together: that would be a burst every 2 s. */
    intake->dice = intake->dice * 6364136223846793005u + 1442695040888963407u;
    return (uint16_t)(PACKETS_MAX / 2 + (intake->dice >> 33) % (PACKETS_MAX / 2) + 1);
}

static uint32_t open_stream(struct sf_intake *intake, const struct sf_packet *packet,
                            const struct place *place, uint64_t now_us)
{
    uint32_t chunk = sf_pool_open_chunk(intake->pool, SF_STREAM_CLASS);
    if (chunk == SF_NO_CHUNK) {
        return chunk;
    }
    struct sf_chunk_desc *desc = sf_pool_desc(intake->pool, chunk);
    uint8_t *data = sf_pool_data(intake->pool, chunk);
    struct sf_chunk_identity *id = (struct sf_chunk_identity *)data;
    *id = (struct sf_chunk_identity){
        .client_id = packet->client_id,
        .leg = packet->leg,
        .ssrc = place->ssrc,
        .src_port = packet->src_port,
        .dst_port = packet->dst_port,
        .family = packet->family,
        .has_ssrc = place->is_rtp,
        .clock_skew = place->skewed,
        .has_leg = packet->has_metadata,
        .call_id_length = (uint16_t)packet->call_id.n,
    };
    memcpy(id->src, packet->src, 16);
    memcpy(id->dst, packet->dst, 16);
    memcpy(data + sizeof *id, packet->call_id.p, packet->call_id.n);
    size_t head = sf_chunk_head(packet->call_id.n);
    memset(data + sizeof *id + packet->call_id.n, 0, head - sizeof *id - packet->call_id.n);
    id->crc = sf_chunk_crc(desc->id, data, sizeof *id + packet->call_id.n);
    desc->call_hash = place->call_hash;
    desc->filed_us = (int64_t)(place->skewed ? now_us : packet->time_us);
    intake->open[chunk] = (struct open_chunk){
        .hash = place->hash, .used = (uint32_t)head, .count = 0, .limit = PACKETS_MAX};
    list_append(intake, chunk);
    return chunk;
}

static bool has_room(struct sf_intake *intake, uint32_t chunk, const struct sf_packet *packet,
                     uint64_t filed_us)
{
    const struct open_chunk *o = &intake->open[chunk];
    int64_t span = (int64_t)filed_us - sf_pool_desc(intake->pool, chunk)->filed_us;
    return o->count < o->limit && span <= SPAN_US && span >= -SPAN_US &&
           o->used + sf_pool_rtp_size(packet->payload.n) <= SF_STREAM_CHUNK;
}

static void append_rtp(struct sf_intake *intake, uint32_t chunk, const struct sf_packet *packet,
                       uint64_t now_us)
{
    struct open_chunk *o = &intake->open[chunk];
    uint8_t *at = sf_pool_data(intake->pool, chunk) + o->used;
    struct sf_pool_rtp record = {
        .time_us = packet->time_us, .arrival_us = now_us, .length = (uint16_t)packet->payload.n};
    /* Over the datagram, which is near: the chunk's memory is far, and reading it back would wait.
     */
    record.crc = sf_chunk_crc(sf_pool_desc(intake->pool, chunk)->id, &record, sizeof record);
    record.crc = sf_crc32c(record.crc, packet->payload.p, packet->payload.n);
    memcpy(at, &record, sizeof record);
    memcpy(at + sizeof record, packet->payload.p, packet->payload.n);
    o->used += (uint32_t)sf_pool_rtp_size(packet->payload.n);
    o->count++;
    sf_pool_publish(intake->pool, chunk, o->count, o->used);
}

static enum sf_status put_rtp(struct sf_intake *intake, const struct sf_packet *packet,
                              struct place *place, uint64_t now_us)
{
    uint64_t filed_us = place->skewed ? now_us : packet->time_us;
    struct entry *entry = find_stream(intake, packet, place);
    uint32_t chunk = entry->chunk;
    if (chunk == SF_NO_CHUNK || !has_room(intake, chunk, packet, filed_us)) {
        uint32_t next = open_stream(intake, packet, place, now_us);
        if (chunk != SF_NO_CHUNK) {
            close_chunk(intake, chunk);
        } else if (next != SF_NO_CHUNK) {
            intake->open[next].limit = first_limit(intake);
        }
        if (next == SF_NO_CHUNK) {
            if (chunk != SF_NO_CHUNK) {
                forget_stream(intake, chunk);
            }
            return SF_POOL_FULL_RTP;
        }
        *entry = (struct entry){place->hash, next};
        chunk = next;
    }
    append_rtp(intake, chunk, packet, now_us);
    return SF_OK;
}

static void mark(struct sf_intake *intake, uint32_t chunk, uint32_t spread, uint32_t rest)
{
    sf_pool_desc(intake->pool, chunk)->call_hash = sf_pool_arena_mark(spread, rest);
}

/*
 * More arenas while they fill at once, fewer while they grow old. What a mark says of a chunk stays
 * true when the spread grows; when it shrinks, those that go on take in further calls.
 */
static void spread_out(struct sf_intake *intake)
{
    if (intake->spread < intake->spread_max) {
        intake->spread *= 2;
    }
}

static void draw_together(struct sf_intake *intake)
{
    intake->spread = intake->spread > 1 ? intake->spread / 2 : 1;
    for (uint32_t i = 0; i < intake->spread; i++) {
        uint32_t chunk = intake->arenas[i];
        /* Never narrowed: one that was opened when there were fewer holds calls of all of them. */
        if (chunk != SF_NO_CHUNK &&
            sf_pool_desc(intake->pool, chunk)->call_hash >> 32 > intake->spread) {
            mark(intake, chunk, intake->spread, i);
        }
    }
}

/* Any arena with room, when a call gets no chunk of its own: close to full beats dropped. */
static uint32_t shared_arena(struct sf_intake *intake, size_t need)
{
    for (unsigned i = 0; i < SF_POOL_ARENAS; i++) {
        uint32_t chunk = intake->arenas[i];
        if (chunk != SF_NO_CHUNK && intake->open[chunk].used + need <= intake->sip_room) {
            mark(intake, chunk, 1, 0);
            return chunk;
        }
    }
    return SF_NO_CHUNK;
}

static uint32_t open_arena(struct sf_intake *intake, uint32_t at)
{
    uint32_t chunk = sf_pool_open_chunk(intake->pool, SF_SIP_CLASS);
    if (chunk != SF_NO_CHUNK) {
        mark(intake, chunk, intake->spread, at);
        intake->open[chunk] = (struct open_chunk){0};
        list_append(intake, chunk);
    }
    intake->arenas[at] = chunk;
    return chunk;
}

/* The chunk that takes a message of a call; SF_NO_CHUNK when nothing has room. */
static uint32_t arena_for(struct sf_intake *intake, uint64_t call_hash, size_t need)
{
    uint32_t at = call_hash % intake->spread;
    uint32_t chunk = intake->arenas[at];
    if (chunk != SF_NO_CHUNK && intake->open[chunk].used + need > intake->sip_room) {
        uint64_t opened_us = sf_pool_desc(intake->pool, chunk)->opened_us;
        close_chunk(intake, chunk);
        intake->arenas[at] = chunk = SF_NO_CHUNK;
        if (monotonic_us() - opened_us < FULL_SOON_US) {
            spread_out(intake);
            at = call_hash % intake->spread;
            chunk = intake->arenas[at];
        }
    }
    if (chunk != SF_NO_CHUNK && intake->open[chunk].used + need <= intake->sip_room) {
        return chunk;
    }
    if (chunk != SF_NO_CHUNK) {
        close_chunk(intake, chunk);
    }
    chunk = open_arena(intake, at);
    return chunk != SF_NO_CHUNK ? chunk : shared_arena(intake, need);
}

static enum sf_status put_sip(struct sf_intake *intake, const struct sf_packet *packet,
                              const struct place *place, uint64_t now_us)
{
    size_t need = sf_pool_sip_size(packet->call_id.n, packet->payload.n);
    uint32_t arena = arena_for(intake, place->call_hash, need);
    if (arena == SF_NO_CHUNK) {
        return SF_POOL_FULL_SIP;
    }
    struct open_chunk *o = &intake->open[arena];
    uint8_t *at = sf_pool_data(intake->pool, arena) + o->used;
    struct sf_pool_sip record = {
        .time_us = packet->time_us,
        .arrival_us = now_us,
        .client_id = packet->client_id,
        .leg = packet->leg,
        .src_port = packet->src_port,
        .dst_port = packet->dst_port,
        .family = packet->family,
        .has_leg = packet->has_metadata,
        .clock_skew = place->skewed,
        .payload_length = (uint32_t)packet->payload.n,
        .call_id_length = (uint16_t)packet->call_id.n,
    };
    memcpy(record.src, packet->src, 16);
    memcpy(record.dst, packet->dst, 16);
    record.crc = sf_chunk_crc(sf_pool_desc(intake->pool, arena)->id, &record, sizeof record);
    record.crc = sf_crc32c(record.crc, packet->call_id.p, packet->call_id.n);
    memcpy(at + sizeof record, packet->call_id.p, packet->call_id.n);
    if (packet->payload.n > 0) {
        record.crc = sf_crc32c(record.crc, packet->payload.p, packet->payload.n);
        memcpy(at + sizeof record + packet->call_id.n, packet->payload.p, packet->payload.n);
    }
    memcpy(at, &record, sizeof record);
    o->used += (uint32_t)need;
    o->count++;
    sf_pool_publish(intake->pool, arena, o->count, o->used);
    return SF_OK;
}

/* --- a batch, in stages so that the cache misses of many packets overlap --- */

static enum sf_status check(struct sf_intake *intake, struct sf_packet *packet)
{
    if (packet->kind == SF_RTP) {
        if (!intake->limits.media) {
            return SF_MEDIA_OFF;
        }
        if (packet->call_id.n == 0) {
            return SF_NO_CALL_ID;
        }
        if (intake->refuse_rtp != SF_OK) {
            return intake->refuse_rtp;
        }
    } else if (intake->refuse_sip != SF_OK) {
        return intake->refuse_sip;
    } else if (packet->call_id.n == 0 && !sf_sip_call_id(packet->payload, &packet->call_id)) {
        packet->call_id = sf_slice(unidentified, sizeof unidentified - 1);
        count(&intake->ledger->unidentified, 1);
    } else if (packet->call_id.n == 0) {
        packet->call_id = sf_slice(unidentified, sizeof unidentified - 1);
        count(&intake->ledger->unidentified, 1);
    }
    if (packet->call_id.n > SF_CALL_ID_MAX) {
        return SF_CALL_ID_TOO_LONG;
    }
    size_t room = packet->kind == SF_RTP ? SF_STREAM_CHUNK - sf_chunk_head(packet->call_id.n)
                                         : intake->sip_room;
    size_t need = packet->kind == SF_RTP ? sf_pool_rtp_size(packet->payload.n)
                                         : sf_pool_sip_size(packet->call_id.n, packet->payload.n);
    return need > room ? SF_TOO_LARGE : SF_OK;
}

static uint64_t stream_hash(const struct sf_packet *packet, const struct place *place)
{
    uint64_t h = place->call_hash;
    uint64_t words[4];
    memcpy(words, packet->src, 16);
    memcpy(words + 2, packet->dst, 16);
    h ^= ((uint64_t)place->ssrc << 32 | (uint32_t)packet->leg) * 0x9e3779b97f4a7c15u;
    h ^= ((uint64_t)packet->client_id << 32 | (uint32_t)packet->src_port << 16 | packet->dst_port) *
         0xc2b2ae3d27d4eb4fu;
    h ^= (words[0] ^ words[1] * 3 ^ words[2] * 5 ^ words[3] * 7) * 0x165667b19e3779f9u;
    h ^= place->skewed ? 0x5bd1e995u : 0;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    return h ^ h >> 32;
}

static void sum_client(struct sf_intake *intake, uint32_t client_id, uint64_t now_us)
{
    unsigned i = 0;
    while (i < intake->sums && intake->clients[i].client_id != client_id) {
        i++;
    }
    if (i == CLIENTS_A_TURN) {
        sf_pool_count_client(intake->pool, client_id, 1, now_us);
        return;
    }
    if (i == intake->sums) {
        intake->clients[intake->sums++] = (struct client_sum){client_id, 0};
    }
    intake->clients[i].taken++;
}

/* What one source sent, summed up while its packets follow each other. */
struct source_sum {
    uint32_t source;
    uint64_t taken[2];
    uint64_t refused;
};

static void settle_source(struct sf_intake *intake, struct source_sum *sum, uint32_t next)
{
    if (sum->source != SF_NO_SOURCE) {
        struct sf_source *source = &sf_pool_head(intake->pool)->sources[sum->source];
        for (int kind = 0; kind < 2; kind++) {
            if (sum->taken[kind] > 0) {
                atomic_fetch_add_explicit(&source->taken[kind], sum->taken[kind],
                                          memory_order_relaxed);
            }
        }
        if (sum->refused > 0) {
            atomic_fetch_add_explicit(&source->refused, sum->refused, memory_order_relaxed);
        }
    }
    *sum = (struct source_sum){.source = next};
}

/* What the state of disk and pool does not let in now: media goes before signalling. */
static void look_at_pressure(struct sf_intake *intake)
{
    struct sf_pool_head *head = sf_pool_head(intake->pool);
    uint32_t pressure = atomic_load_explicit(&head->pressure, memory_order_relaxed);
    bool short_of_sip = atomic_load_explicit(&head->short_of_sip, memory_order_relaxed);
    intake->refuse_sip = pressure >= SF_REFUSE_ALL ? SF_DISK_LOW_SIP : SF_OK;
    intake->refuse_rtp = pressure >= SF_REFUSE_RTP ? SF_DISK_LOW_RTP
                         : short_of_sip            ? SF_SIP_FIRST
                                                   : SF_OK;
}

/* Where each packet goes; what will be touched for it is asked for, and comes while others are
 * looked at. */
static void place_packets(struct sf_intake *intake, unsigned from, unsigned to, uint64_t now_us)
{
    for (unsigned i = from; i < to; i++) {
        struct sf_packet *packet = &intake->batch[i];
        struct place *place = &intake->places[i];
        enum sf_status status = check(intake, packet);
        place->skip = status != SF_OK;
        place->chunk = SF_NO_CHUNK;
        if (place->skip) {
            count(&intake->ledger->refused[status], 1);
            continue;
        }
        int64_t off = (int64_t)(packet->time_us - now_us);
        place->skewed = !intake->limits.trust_time && (off > SKEW_LIMIT_US || off < -SKEW_LIMIT_US);
        place->call_hash = sf_pool_call_hash(intake->pool, packet->call_id);
        if (packet->kind == SF_RTP) {
            place->is_rtp = sf_rtp_kind(packet->payload) == SF_RTP_PACKET;
            place->ssrc = place->is_rtp ? sf_load_be32(packet->payload.p + 8) : 0;
            place->hash = stream_hash(packet, place);
            __builtin_prefetch(&intake->table[place->hash & intake->mask]);
        }
    }
    for (unsigned i = from; i < to; i++) {
        struct place *place = &intake->places[i];
        if (place->skip || intake->batch[i].kind != SF_RTP) {
            continue;
        }
        place->chunk = intake->table[place->hash & intake->mask].chunk;
        if (place->chunk != SF_NO_CHUNK) {
            const uint8_t *data = sf_pool_data(intake->pool, place->chunk);
            __builtin_prefetch(&intake->open[place->chunk], 1);
            __builtin_prefetch(sf_pool_desc(intake->pool, place->chunk), 1);
            __builtin_prefetch(data);
            __builtin_prefetch(data + 64);
        }
    }
    for (unsigned i = from; i < to; i++) {
        uint32_t chunk = intake->places[i].chunk;
        if (chunk != SF_NO_CHUNK) {
            const uint8_t *tail = sf_pool_data(intake->pool, chunk) + intake->open[chunk].used;
            for (unsigned line = 0; line < 4; line++) {
                __builtin_prefetch(tail + line * 64, 1);
            }
        }
    }
}

/* Puts placed packets; gives how many were refused. */
static unsigned put_packets(struct sf_intake *intake, unsigned from, unsigned to, uint64_t now_us,
                            struct source_sum *sum, uint64_t *taken)
{
    unsigned refused = 0;
    for (unsigned i = from; i < to; i++) {
        const struct sf_packet *packet = &intake->batch[i];
        struct place *place = &intake->places[i];
        if (place->source != sum->source) {
            settle_source(intake, sum, place->source);
        }
        enum sf_status status = SF_OK;
        if (!place->skip) {
            status = packet->kind == SF_RTP ? put_rtp(intake, packet, place, now_us)
                                            : put_sip(intake, packet, place, now_us);
        }
        if (status != SF_OK) {
            count(&intake->ledger->refused[status], 1);
        }
        if (place->skip || status != SF_OK) {
            sum->refused++;
            refused++;
            continue;
        }
        taken[packet->kind]++;
        sum->taken[packet->kind]++;
        if (place->skewed) {
            count(&intake->ledger->clock_skew, 1);
        }
        sum_client(intake, packet->client_id, now_us);
    }
    return refused;
}

static void put_batch(struct sf_intake *intake, unsigned n, uint64_t now_us)
{
    struct sf_ledger *ledger = intake->ledger;
    _Atomic uint64_t *pending = &sf_pool_head(intake->pool)->pending;
    uint64_t taken[2] = {0, 0};
    struct source_sum sum = {.source = SF_NO_SOURCE};
    look_at_pressure(intake);
    for (unsigned from = 0; from < n; from += GROUP) {
        unsigned to = n - from < GROUP ? n : from + GROUP;
        /* Counted before it can be seen: what is pending is never below what is there. */
        atomic_fetch_add_explicit(pending, to - from, memory_order_relaxed);
        place_packets(intake, from, to, now_us);
        unsigned refused = put_packets(intake, from, to, now_us, &sum, taken);
        if (refused > 0) {
            atomic_fetch_sub_explicit(pending, refused, memory_order_relaxed);
        }
    }
    settle_source(intake, &sum, SF_NO_SOURCE);
    count(&ledger->taken[SF_SIP], taken[SF_SIP]);
    count(&ledger->taken[SF_RTP], taken[SF_RTP]);
    for (unsigned i = 0; i < intake->sums; i++) {
        sf_pool_count_client(intake->pool, intake->clients[i].client_id, intake->clients[i].taken,
                             now_us);
    }
    intake->sums = 0;
}

void sf_intake_put(struct sf_intake *intake, const struct sf_packet *packets, unsigned n,
                   uint64_t now_us)
{
    sf_intake_flush_batch(intake, now_us);
    memcpy(intake->batch, packets, n * sizeof *packets);
    for (unsigned i = 0; i < n; i++) {
        intake->places[i].source = SF_NO_SOURCE;
    }
    count(&intake->ledger->frames, n);
    put_batch(intake, n, now_us);
}

void sf_intake_flush_batch(struct sf_intake *intake, uint64_t now_us)
{
    if (intake->held > 0) {
        put_batch(intake, intake->held, now_us);
        intake->held = 0;
    }
    if (intake->hep != NULL) {
        sf_hep_reader_clear(intake->hep);
    }
}

static uint32_t source_of(struct sf_intake *intake, const struct sf_peer *peer)
{
    if (peer->family == 0) {
        return SF_NO_SOURCE;
    }
    if (memcmp(peer, &intake->last_peer, sizeof *peer) != 0 ||
        intake->last_source == SF_NO_SOURCE) {
        intake->last_peer = *peer;
        intake->last_source = sf_pool_source(intake->pool, peer->family, peer->ip);
    }
    return intake->last_source;
}

/* Counts a datagram, and frames of it that are refused, under where it came from. */
static void count_source(struct sf_intake *intake, uint32_t at, size_t octets, uint64_t refused,
                         uint64_t now_us)
{
    if (at != SF_NO_SOURCE) {
        struct sf_source *source = &sf_pool_head(intake->pool)->sources[at];
        atomic_fetch_add_explicit(&source->datagrams, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&source->octets, octets, memory_order_relaxed);
        if (refused > 0) {
            atomic_fetch_add_explicit(&source->refused, refused, memory_order_relaxed);
        }
        atomic_store_explicit(&source->seen_us, now_us, memory_order_relaxed);
    }
}

void sf_intake_refuse(struct sf_intake *intake, struct sf_slice octets, const struct sf_peer *peer,
                      enum sf_status status, uint64_t now_us)
{
    count(&intake->ledger->refused_datagrams, 1);
    count(&intake->ledger->refused[status], 1);
    count_source(intake, source_of(intake, peer), octets.n, 1, now_us);
}

static void hold_packet(struct sf_intake *intake, uint32_t source, uint64_t now_us)
{
    intake->places[intake->held].source = source;
    if (++intake->held == SF_INTAKE_BATCH) {
        sf_intake_flush_batch(intake, now_us);
    }
}

/* One frame of HEP, from a datagram or a connection. */
static void hold_hep(struct sf_intake *intake, struct sf_slice octets, uint32_t source,
                     uint64_t now_us)
{
    if (!sf_hep_reader_has_room(intake->hep)) {
        sf_intake_flush_batch(intake, now_us);
    }
    enum sf_status status = sf_hep_read(intake->hep, octets, now_us, &intake->batch[intake->held]);
    count(&intake->ledger->frames, 1);
    if (status == SF_OK) {
        hold_packet(intake, source, now_us);
    } else {
        count(&intake->ledger->refused[status], 1);
    }
    count_source(intake, source, octets.n, status != SF_OK, now_us);
}

void sf_intake_datagram(struct sf_intake *intake, struct sf_slice octets,
                        const struct sf_peer *peer, uint64_t now_us)
{
    struct sf_ledger *ledger = intake->ledger;
    struct sf_datagram datagram;
    struct sf_slice frame;
    enum sf_status status = intake->hep_alone ? SF_BAD_MAGIC : sf_datagram_open(octets, &datagram);
    if (status == SF_BAD_MAGIC && intake->hep != NULL && sf_hep_reader_knows(octets)) {
        hold_hep(intake, octets, source_of(intake, peer), now_us);
        return;
    }
    if (status != SF_OK) {
        sf_intake_refuse(intake, octets, peer, status, now_us);
        return;
    }
    uint32_t source = source_of(intake, peer);
    uint64_t refused = 0;
    count(&ledger->frames, datagram.left);
    while (sf_datagram_next(&datagram, &frame)) {
        status = sf_packet_parse(frame, &intake->batch[intake->held]);
        if (status != SF_OK) {
            count(&ledger->refused[status], 1);
            refused++;
            continue;
        }
        hold_packet(intake, source, now_us);
    }
    count_source(intake, source, octets.n, refused, now_us);
}

enum sf_status sf_intake_stream(struct sf_intake *intake, struct sf_slice octets,
                                const struct sf_peer *peer, uint64_t now_us, size_t *taken)
{
    struct sf_slice rest = octets, frame;
    enum sf_status status;
    uint64_t frames = 0;
    while ((status = sf_hep_frame(rest, &frame)) == SF_OK) {
        hold_hep(intake, frame, source_of(intake, peer), now_us);
        rest = sf_slice(rest.p + frame.n, rest.n - frame.n);
        frames++;
    }
    sf_intake_flush_batch(intake, now_us);
    *taken = octets.n - rest.n;
    count(&intake->ledger->datagrams, frames);
    count(&intake->ledger->octets, *taken);
    if (status == SF_TRUNCATED) {
        return SF_OK;
    }
    count(&intake->ledger->datagrams, 1);
    sf_intake_refuse(intake, rest, peer, status, now_us);
    return status;
}

static void retire(struct sf_intake *intake, uint32_t chunk)
{
    if (sf_pool_desc(intake->pool, chunk)->kind == SF_STREAM_CLASS) {
        forget_stream(intake, chunk);
    } else {
        for (int i = 0; i < SF_POOL_ARENAS; i++) {
            if (intake->arenas[i] == chunk) {
                intake->arenas[i] = SF_NO_CHUNK;
            }
        }
        if (intake->open[chunk].used < intake->sip_room / 2) {
            draw_together(intake);
        }
    }
    close_chunk(intake, chunk);
}

/* While chunks for SIP are scarce, one that is old but not full goes on: it can be read as it is.
 */
static bool keep_filling(struct sf_intake *intake, uint32_t chunk)
{
    struct sf_pool *pool = intake->pool;
    return sf_pool_desc(pool, chunk)->kind == SF_SIP_CLASS &&
           sf_pool_free_chunks(pool, SF_SIP_CLASS) < sf_pool_head(pool)->chunks[SF_SIP_CLASS] / 4;
}

void sf_intake_sweep(struct sf_intake *intake)
{
    uint64_t now = monotonic_us();
    uint64_t pending =
        atomic_load_explicit(&sf_pool_head(intake->pool)->pending, memory_order_relaxed);
    uint64_t limit = intake->limits.flush_interval_us;
    if (intake->limits.flush_count > 0 && pending >= intake->limits.flush_count &&
        limit > SPAN_US) {
        limit = SPAN_US;
    }
    while (intake->oldest != SF_NO_CHUNK &&
           sf_pool_desc(intake->pool, intake->oldest)->opened_us + limit <= now) {
        uint32_t chunk = intake->oldest;
        if (limit > 0 && keep_filling(intake, chunk)) {
            list_remove(intake, chunk);
            list_append(intake, chunk);
        } else {
            retire(intake, chunk);
        }
    }
}

void sf_intake_drain(struct sf_intake *intake)
{
    while (intake->oldest != SF_NO_CHUNK) {
        retire(intake, intake->oldest);
    }
}
