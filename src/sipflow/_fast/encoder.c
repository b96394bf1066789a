#define _GNU_SOURCE
#include "encoder.h"

#include <stdlib.h>
#include <time.h>

/* For ZSTD_c_literalCompressionMode, which every libzstd since 1.4 understands. */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#include <zstd_errors.h>

#include "arrival.h"
#include "columns.h"
#include "crc32c.h"
#include "messages.h"

/*
 * Measured (bench/packet.py): behind the companded delta hardly a string repeats, so what pays is
 * a fast look for long matches (silence) and Huffman coding of the rest.
 */
#define AUDIO_LEVEL  (-5)
#define AUDIO_WINDOW 15
#define AUDIO_HASH   10
#define AUDIO_MATCH  7
/* Of busy SIP in blocks of this size level 1 packs as tight as 2 and 3, and is faster
 * (bench/message.py). */
#define SIP_LEVEL 1
/* Below so many messages a second there is time for a better look. */
#define SIP_CALM_LEVEL 6
#define CALM_RATE      5000

struct sf_encoder {
    int64_t period_us;
    struct sf_known *known;
    size_t known_count;
    ZSTD_CCtx *audio;
    ZSTD_CCtx *sip;
    uint8_t *content; /* of one block */
    uint8_t *arena;   /* the records of one period, where a chunk spans two */
    struct sf_message_entry *entries;
    size_t expected;             /* octets of the portion in the making: growing means copying */
    uint64_t messages, since_us; /* encoded in the second at hand, and its beginning */
    bool calm;
};

#define RECORDS_MAX (SF_SIP_CHUNK / sizeof(struct sf_pool_sip))
/* A flush begins a further zstd block, with a head of its own (RFC 8878, section 3.1.1.2). */
#define FLUSH_ROOM 64

static void set(ZSTD_CCtx *z, ZSTD_cParameter parameter, int value)
{
    /* A parameter that this libzstd does not know leaves its own choice: larger, not wrong. */
    (void)ZSTD_CCtx_setParameter(z, parameter, value);
}

static int compare_known(const void *left, const void *right)
{
    const struct sf_known *a = left, *b = right;
    if (a->chunk != b->chunk) {
        return a->chunk < b->chunk ? -1 : 1;
    }
    return (a->period_us > b->period_us) - (a->period_us < b->period_us);
}

struct sf_encoder *sf_encoder_new(int64_t period_us, const struct sf_known *known, size_t count)
{
    struct sf_encoder *e = calloc(1, sizeof *e);
    if (e == NULL) {
        return NULL;
    }
    e->period_us = period_us;
    e->known = malloc((count + 1) * sizeof *known);
    e->known_count = count;
    e->audio = ZSTD_createCCtx();
    e->sip = ZSTD_createCCtx();
    e->content = malloc(sf_messages_bound(SF_SIP_CHUNK));
    e->arena = malloc(SF_SIP_CHUNK);
    e->entries = malloc(RECORDS_MAX * sizeof *e->entries);
    if (e->known == NULL || e->audio == NULL || e->sip == NULL || e->content == NULL ||
        e->arena == NULL || e->entries == NULL) {
        return sf_encoder_free(e);
    }
    if (count > 0) {
        memcpy(e->known, known, count * sizeof *known);
        qsort(e->known, count, sizeof *known, compare_known);
    }
    set(e->audio, ZSTD_c_compressionLevel, AUDIO_LEVEL);
    set(e->audio, ZSTD_c_windowLog, AUDIO_WINDOW);
    set(e->audio, ZSTD_c_hashLog, AUDIO_HASH);
    set(e->audio, ZSTD_c_minMatch, AUDIO_MATCH);
    set(e->audio, ZSTD_c_literalCompressionMode, ZSTD_ps_enable);
    for (int i = 0; i < 2; i++) {
        /* Content and room stand still while a frame is made: zstd need not copy them. */
        set(i == 0 ? e->audio : e->sip, ZSTD_c_stableInBuffer, 1);
        set(i == 0 ? e->audio : e->sip, ZSTD_c_stableOutBuffer, 1);
    }
    return e;
}

struct sf_encoder *sf_encoder_free(struct sf_encoder *e)
{
    if (e != NULL) {
        free(e->known);
        ZSTD_freeCCtx(e->audio);
        ZSTD_freeCCtx(e->sip);
        free(e->content);
        free(e->arena);
        free(e->entries);
        free(e);
    }
    return NULL;
}

void sf_encoded_clear(struct sf_encoded *encoded)
{
    for (size_t i = 0; i < encoded->count; i++) {
        sf_portion_free(encoded->portions[i]);
    }
    free(encoded->portions);
    *encoded = (struct sf_encoded){0};
}

int64_t sf_period_of(int64_t filed_us, int64_t period_us)
{
    if (period_us == 0) {
        return INT64_MIN;
    }
    int64_t rest = filed_us % period_us;
    return filed_us - rest - (rest < 0 ? period_us : 0);
}

static bool is_known(const struct sf_encoder *e, int64_t period_us, uint64_t chunk)
{
    struct sf_known wanted = {period_us, chunk};
    return e->known_count > 0 &&
           bsearch(&wanted, e->known, e->known_count, sizeof wanted, compare_known) != NULL;
}

static struct sf_portion *portion_for(struct sf_encoder *e, struct sf_encoded *out,
                                      int64_t period_us)
{
    for (size_t i = 0; i < out->count; i++) {
        if (out->portions[i]->period_us == period_us) {
            return out->portions[i];
        }
    }
    struct sf_portion **more = realloc(out->portions, (out->count + 1) * sizeof *more);
    if (more == NULL) {
        return NULL;
    }
    out->portions = more;
    struct sf_portion *portion = sf_portion_new(period_us);
    if (portion != NULL) {
        out->portions[out->count++] = portion;
        sf_octets_room(&portion->data, e->expected);
    }
    return portion;
}

/*
 * Compresses `n` octets into one frame; gives its length or a code of zstd. The octets before
 * `split` are of another nature than those behind it: each get codes of their own.
 */
static size_t compress(ZSTD_CCtx *z, uint8_t *dst, size_t room, const uint8_t *src, size_t split,
                       size_t n)
{
    ZSTD_inBuffer in = {src, split, 0};
    ZSTD_outBuffer out = {dst, room, 0};
    size_t left = ZSTD_CCtx_reset(z, ZSTD_reset_session_only);
    if (!ZSTD_isError(left)) {
        left = ZSTD_CCtx_setPledgedSrcSize(z, n);
    }
    if (!ZSTD_isError(left)) {
        left = ZSTD_compressStream2(z, &out, &in, ZSTD_e_flush);
    }
    in.size = n;
    if (!ZSTD_isError(left)) {
        left = ZSTD_compressStream2(z, &out, &in, ZSTD_e_end);
    }
    /* There is room for the worst: nothing may be left. */
    return left == 0 ? out.pos : left;
}

/*
 * Writes the block of head->raw_length octets of content behind the portion's data; it counts once
 * `settle` is called. The first `split` octets of the content are unlike the rest.
 */
static enum sf_block_status write_block(struct sf_portion *portion, ZSTD_CCtx *z,
                                        const uint8_t *content, size_t split, struct sf_block *head)
{
    struct sf_octets *data = &portion->data;
    size_t bound = ZSTD_compressBound(head->raw_length) + FLUSH_ROOM;
    if (!sf_octets_room(data, SF_BLOCK_HEAD + bound)) {
        return SF_BLOCK_NO_MEMORY;
    }
    uint8_t *at = data->p + data->n;
    size_t n = compress(z, at + SF_BLOCK_HEAD, bound, content, split, head->raw_length);
    if (ZSTD_isError(n)) {
        return ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation ? SF_BLOCK_NO_MEMORY
                                                                    : SF_BLOCK_BAD_FRAME;
    }
    head->frame_length = (uint32_t)n;
    head->frame_crc = sf_crc32c(0, at + SF_BLOCK_HEAD, n);
    sf_block_encode(head, at);
    return SF_BLOCK_OK;
}

/* Lets a block count that was written; one that cannot be is lost, and counted so. */
static bool settle(struct sf_portion *portion, const struct sf_block *head,
                   enum sf_block_status status, struct sf_encoded *out)
{
    if (status == SF_BLOCK_OK) {
        portion->data.n += SF_BLOCK_HEAD + head->frame_length;
    } else if (status != SF_BLOCK_NO_MEMORY) {
        out->damaged_chunks++;
        out->damaged_packets += head->records;
    }
    return status != SF_BLOCK_NO_MEMORY;
}

static bool encode_stream(struct sf_encoder *e, struct sf_pool *pool, uint32_t chunk,
                          struct sf_encoded *out)
{
    const struct sf_chunk_desc *desc = sf_pool_desc(pool, chunk);
    const uint8_t *memory = sf_pool_data(pool, chunk);
    uint32_t used = (uint32_t)desc->fill;
    uint32_t count = (uint32_t)(desc->fill >> 32);
    uint32_t sound = used <= SF_STREAM_CHUNK ? sf_chunk_sound(memory, &used, count, desc->id) : 0;
    struct sf_chunk_facts facts;
    struct sf_block head;
    struct sf_chunk stream;
    size_t payload_at;
    if (sound < count) {
        out->damaged_chunks++;
        out->damaged_packets += count - sound;
    }
    if (sound == 0) {
        return true;
    }
    if (!sf_chunk_facts(memory, used, sound, &facts) ||
        sf_columns_encode(memory, used, sound, e->content, &head, &payload_at) == 0 ||
        !sf_chunk_open(memory, used, &stream)) {
        out->damaged_chunks++;
        out->damaged_packets += sound;
        return true;
    }
    int64_t period_us = sf_period_of(facts.filed_us, e->period_us);
    if (is_known(e, period_us, desc->id)) {
        out->known_packets += sound;
        return true;
    }
    struct sf_portion *portion = portion_for(e, out, period_us);
    if (portion == NULL) {
        return false;
    }
    facts.id = head.chunk = desc->id;
    facts.chunk = chunk;
    enum sf_block_status status = write_block(portion, e->audio, e->content, payload_at, &head);
    if (status == SF_BLOCK_OK) {
        status = sf_portion_add_stream(portion, &head, portion->data.n, stream.call_id, &facts);
    }
    return settle(portion, &head, status, out);
}

static int64_t filed_of(const struct sf_pool_sip *record)
{
    int64_t time_us = (int64_t)record->time_us;
    return record->clock_skew ? sf_kept_arrival(time_us, (int64_t)record->arrival_us) : time_us;
}

static bool encode_messages(struct sf_encoder *e, const uint8_t *arena, size_t used, uint32_t count,
                            int64_t period_us, uint64_t chunk, struct sf_encoded *out)
{
    struct sf_block head;
    if (is_known(e, period_us, chunk)) {
        out->known_packets += count;
        return true;
    }
    size_t payload_at;
    size_t n = sf_messages_encode(arena, used, count, e->entries, e->content, &head, &payload_at);
    if (n == 0) {
        out->damaged_chunks++;
        out->damaged_packets += count;
        return true;
    }
    struct sf_portion *portion = portion_for(e, out, period_us);
    if (portion == NULL) {
        return false;
    }
    head.chunk = chunk;
    enum sf_block_status status = write_block(portion, e->sip, e->content, payload_at, &head);
    if (status == SF_BLOCK_OK) {
        struct sf_slice content = sf_slice(e->content, n);
        status = sf_portion_add_messages(portion, &head, portion->data.n, content);
    }
    return settle(portion, &head, status, out);
}

/* Encodes those records of the arena that belong to one period; gives the records taken. */
static uint32_t gather_period(struct sf_encoder *e, const uint8_t *memory, size_t used,
                              uint32_t count, int64_t period_us, size_t *octets)
{
    struct sf_cursor c = sf_cursor(memory, used);
    struct sf_arena_message message;
    uint32_t taken = 0;
    *octets = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *start = c.p;
        sf_arena_next(&c, &message);
        if (sf_period_of(filed_of(&message.record), e->period_us) == period_us) {
            size_t n = (size_t)(c.p - start);
            memcpy(e->arena + *octets, start, n);
            *octets += n;
            taken++;
        }
    }
    return taken;
}

static bool encode_arena(struct sf_encoder *e, struct sf_pool *pool, uint32_t chunk,
                         struct sf_encoded *out)
{
    const struct sf_chunk_desc *desc = sf_pool_desc(pool, chunk);
    const uint8_t *memory = sf_pool_data(pool, chunk);
    uint32_t used = (uint32_t)desc->fill;
    uint32_t count = (uint32_t)(desc->fill >> 32);
    uint32_t sound = used <= sf_pool_sip_chunk(pool) && count <= RECORDS_MAX
                         ? sf_arena_sound(memory, &used, count, desc->id)
                         : 0;
    if (sound < count) {
        out->damaged_chunks++;
        out->damaged_packets += count - sound;
    }
    int64_t low = INT64_MAX, high = INT64_MIN;
    struct sf_cursor c = sf_cursor(memory, used);
    struct sf_arena_message message;
    for (uint32_t i = 0; i < sound; i++) {
        sf_arena_next(&c, &message);
        int64_t period_us = sf_period_of(filed_of(&message.record), e->period_us);
        low = period_us < low ? period_us : low;
        high = period_us > high ? period_us : high;
    }
    if (sound == 0) {
        return true;
    }
    if (low == high) {
        return encode_messages(e, memory, used, sound, low, desc->id, out);
    }
    /* Few at most: a record is filed within a day of its arrival. Imports may span more. */
    for (uint32_t left = sound; left > 0;) {
        size_t octets;
        uint32_t taken = gather_period(e, memory, used, sound, low, &octets);
        if (taken > 0 && !encode_messages(e, e->arena, octets, taken, low, desc->id, out)) {
            return false;
        }
        left -= taken;
        int64_t next = INT64_MAX;
        c = sf_cursor(memory, used);
        for (uint32_t i = 0; i < sound; i++) {
            sf_arena_next(&c, &message);
            int64_t period_us = sf_period_of(filed_of(&message.record), e->period_us);
            next = period_us > low && period_us < next ? period_us : next;
        }
        low = next;
    }
    return true;
}

/* Learns once a second whether messages come slowly enough for the higher level. */
static void look_at_rate(struct sf_encoder *e)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    uint64_t now = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
    uint64_t passed = now - e->since_us;
    if (passed >= 1000000) {
        e->calm = e->messages * 1000000 / passed < CALM_RATE;
        e->messages = 0;
        e->since_us = now;
    }
}

/* What the blocks of some chunks will take, as a guess that is seldom too low. */
static size_t expected_octets(struct sf_pool *pool, const uint32_t *chunks, size_t count)
{
    size_t octets = 0;
    for (size_t i = 0; i < count; i++) {
        const struct sf_chunk_desc *desc = sf_pool_desc(pool, chunks[i]);
        uint32_t used = (uint32_t)desc->fill;
        octets += desc->kind == SF_SIP_CLASS ? used / 5 : used / 4 * 3;
    }
    /* One block is first written where its worst would have room. */
    return octets + ZSTD_compressBound(SF_SIP_CHUNK);
}

bool sf_encoder_encode(struct sf_encoder *e, struct sf_pool *pool, const uint32_t *chunks,
                       size_t count, struct sf_encoded *out)
{
    *out = (struct sf_encoded){0};
    look_at_rate(e);
    set(e->sip, ZSTD_c_compressionLevel, e->calm ? SIP_CALM_LEVEL : SIP_LEVEL);
    e->expected = expected_octets(pool, chunks, count);
    for (size_t i = 0; i < count; i++) {
        const struct sf_chunk_desc *desc = sf_pool_desc(pool, chunks[i]);
        bool sip = desc->kind == SF_SIP_CLASS;
        e->messages += sip ? desc->fill >> 32 : 0;
        if (!(sip ? encode_arena : encode_stream)(e, pool, chunks[i], out)) {
            sf_encoded_clear(out);
            return false;
        }
    }
    return true;
}
