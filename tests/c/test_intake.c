/* Pool and intake: what goes in is in a chunk or counted, and outlives the process that took it. */
#include "facts.h"
#include "guard.h"
#include "intake.h"

#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#define NOW     1750000000000000ull
#define POOL    (16u << 20)
#define STREAMS 40

static char path[64];

static struct sf_packet rtp(unsigned stream, uint16_t sequence, uint8_t *room)
{
    uint8_t *p = room;
    *p++ = 0x80;
    *p++ = 0;
    p = sf_store_be32(sf_store_be32(sf_store_be16(p, sequence), sequence * 160u), stream);
    memset(p, (int)stream, 160);
    struct sf_packet packet = {.time_us = NOW + sequence * 20000ull,
                               .client_id = 7,
                               .leg = 1,
                               .kind = SF_RTP,
                               .family = SF_IPV4,
                               .has_metadata = true,
                               .call_id = sf_slice("call", 4),
                               .payload = sf_slice(room, 172)};
    return packet;
}

static struct sf_packet sip(const char *text)
{
    return (struct sf_packet){
        .time_us = NOW, .kind = SF_SIP, .family = SF_IPV6, .payload = sf_slice(text, strlen(text))};
}

static struct sf_intake_limits limits(uint64_t interval_us)
{
    return (struct sf_intake_limits){.flush_interval_us = interval_us, .media = true};
}

/* Adds up the packets of all chunks that are not free, each chunk read as a reader would. */
static uint64_t visible(struct sf_pool *pool, uint64_t *sip_chunks)
{
    static uint8_t copy[SF_SIP_CHUNK];
    uint64_t packets = 0, id, hash = sf_pool_call_hash(pool, sf_slice("call", 4));
    uint32_t count;
    for (uint32_t chunk = 0; chunk < sf_pool_chunks(pool); chunk++) {
        size_t used = sf_pool_snapshot(pool, chunk, hash, copy, &id, &count);
        if (used > 0) {
            struct sf_chunk_facts facts;
            bool is_sip = sf_pool_desc(pool, chunk)->kind == SF_SIP_CLASS;
            CHECK(is_sip || (sf_chunk_facts(copy, used, count, &facts) && facts.packets == count));
            *sip_chunks += is_sip;
            packets += count;
        }
    }
    return packets;
}

static void what_was_taken_outlives_the_process(void)
{
    uint8_t room[STREAMS][172];
    uint64_t chunks = 0;
    struct sf_pool *pool = sf_pool_open(path, POOL, NOW);
    CHECK(pool != NULL);
    struct sf_intake *intake = sf_intake_new(pool, 0, limits(10000000));
    for (uint16_t sequence = 0; sequence < 250; sequence++) {
        struct sf_packet some[STREAMS];
        for (unsigned stream = 0; stream < STREAMS; stream++) {
            some[stream] = rtp(stream, sequence, room[stream]);
        }
        sf_intake_put(intake, some, STREAMS, NOW);
    }
    struct sf_packet message = sip("OPTIONS sip:h SIP/2.0\r\nCall-ID: call\r\n\r\n");
    sf_intake_put(intake, &message, 1, NOW);
    struct sf_ledger *ledger = sf_intake_ledger(intake);
    CHECK(ledger->taken[SF_RTP] == 250 * STREAMS && ledger->taken[SF_SIP] == 1);
    CHECK(sf_pool_head(pool)->pending == 250 * STREAMS + 1);
    CHECK(sf_pool_client_taken(pool, 7) == 250 * STREAMS && sf_pool_client_taken(pool, 8) == 0);
    CHECK(visible(pool, &chunks) == 250 * STREAMS + 1 && chunks == 1);
    /* No drain: this is what a killed process leaves. */
    intake = sf_intake_free(intake);
    pool = sf_pool_free(pool);

    pool = sf_pool_open(path, POOL, NOW + 1);
    CHECK(pool != NULL && sf_pool_head(pool)->pending == 0);
    uint64_t packets;
    unsigned left = sf_pool_recover(pool, &packets);
    CHECK(left > STREAMS && packets == 250 * STREAMS + 1);
    CHECK(sf_pool_head(pool)->pending == packets);
    uint32_t taken[16];
    uint64_t last = 0;
    while (left > 0) {
        unsigned n = sf_pool_take(pool, taken, 16, 100);
        CHECK(n > 0);
        for (unsigned i = 0; i < n; i++) {
            uint64_t id = sf_pool_desc(pool, taken[i])->id;
            CHECK(sf_pool_desc(pool, taken[i])->kind == SF_SIP_CLASS || id > last);
            last = sf_pool_desc(pool, taken[i])->kind == SF_SIP_CLASS ? last : id;
            sf_pool_release(pool, taken[i]);
        }
        left -= n;
    }
    chunks = 0;
    CHECK(sf_pool_head(pool)->pending == 0 && visible(pool, &chunks) == 0);
    CHECK(sf_pool_take(pool, taken, 16, 1) == 0);
    pool = sf_pool_free(pool);
    unlink(path);
}

static void a_full_pool_drops_rtp_counted_and_still_takes_sip(void)
{
    uint8_t room[172];
    struct sf_pool *pool = sf_pool_open(path, POOL, NOW);
    CHECK(pool != NULL);
    struct sf_intake *intake = sf_intake_new(pool, 3, limits(10000000));
    struct sf_ledger *ledger = sf_intake_ledger(intake);
    unsigned streams = sf_pool_head(pool)->chunks[SF_STREAM_CLASS] + 100;
    for (unsigned stream = 0; stream < streams; stream++) {
        struct sf_packet packet = rtp(stream, 1, room);
        sf_intake_put(intake, &packet, 1, NOW);
    }
    CHECK(ledger->refused[SF_POOL_FULL_RTP] == 100);
    CHECK(ledger->taken[SF_RTP] + ledger->refused[SF_POOL_FULL_RTP] == streams);
    struct sf_packet message = sip("OPTIONS sip:h SIP/2.0\r\n\r\n");
    sf_intake_put(intake, &message, 1, NOW);
    CHECK(ledger->taken[SF_SIP] == 1 && ledger->unidentified == 1);
    CHECK(ledger->frames == streams + 1);
    sf_intake_drain(intake);
    CHECK(sf_pool_queued(pool) == streams - 100 + 1);
    intake = sf_intake_free(intake);
    pool = sf_pool_free(pool);
    unlink(path);
}

static void what_this_process_took_is_not_queued_twice(void)
{
    uint8_t room[172];
    uint32_t taken[16];
    struct sf_pool *pool = sf_pool_open(path, POOL, NOW);
    CHECK(pool != NULL);
    struct sf_intake *intake = sf_intake_new(pool, 0, limits(10000000));
    for (unsigned stream = 0; stream < 3; stream++) {
        struct sf_packet packet = rtp(stream, 1, room);
        sf_intake_put(intake, &packet, 1, NOW);
    }
    intake = sf_intake_free(intake);
    pool = sf_pool_free(pool);

    pool = sf_pool_open(path, POOL, NOW + 1);
    CHECK(pool != NULL);
    intake = sf_intake_new(pool, 0, limits(10000000));
    for (unsigned stream = 10; stream < 20; stream++) {
        struct sf_packet packet = rtp(stream, 1, room);
        sf_intake_put(intake, &packet, 1, NOW);
    }
    sf_intake_drain(intake);
    struct sf_packet packet = rtp(30, 1, room);
    sf_intake_put(intake, &packet, 1, NOW); /* stays open */
    CHECK(sf_pool_take(pool, taken, 4, 100) == 4);
    uint64_t packets;
    CHECK(sf_pool_recover(pool, &packets) == 3 && packets == 3);
    CHECK(sf_pool_recover(pool, &packets) == 0 && packets == 0);
    CHECK(sf_pool_queued(pool) == 6 + 3 && sf_pool_head(pool)->pending == 11 + 3);
    sf_intake_drain(intake);
    CHECK(sf_pool_queued(pool) == 10);
    for (unsigned n = 4; n > 0; n = sf_pool_take(pool, taken, 16, 1)) {
        for (unsigned i = 0; i < n; i++) {
            sf_pool_release(pool, taken[i]);
        }
    }
    CHECK(sf_pool_queued(pool) == 0 && sf_pool_head(pool)->pending == 0);
    for (int kind = 0; kind < SF_CLASSES; kind++) {
        CHECK(sf_pool_free_chunks(pool, kind) == sf_pool_head(pool)->chunks[kind]);
    }
    intake = sf_intake_free(intake);
    pool = sf_pool_free(pool);
    unlink(path);
}

static void pools_that_are_none(void)
{
    CHECK(sf_pool_open(path, 4096, NOW) == NULL && access(path, F_OK) != 0);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fwrite(path, 1, sizeof path, file) == sizeof path && fclose(file) == 0);
    CHECK(sf_pool_open(path, POOL, NOW) == NULL && sf_pool_attach(path) == NULL);
    unlink(path);
    CHECK(sf_pool_attach(path) == NULL);
}

/* The more memory, the larger the chunks of SIP, but there are always enough of them. */
static void a_small_pool_has_small_chunks(void)
{
    const size_t sizes[] = {12u << 20, 48u << 20, 192u << 20};
    const size_t rooms[] = {SF_SIP_CHUNK_MIN, SF_SIP_CHUNK_MIN, SF_SIP_CHUNK};
    for (unsigned i = 0; i < 3; i++) {
        struct sf_pool *pool = sf_pool_open(path, sizes[i], NOW);
        CHECK(pool != NULL && sf_pool_sip_chunk(pool) == rooms[i]);
        struct sf_intake *intake = sf_intake_new(pool, 0, limits(10000000));
        struct sf_ledger *ledger = sf_intake_ledger(intake);
        uint32_t all = sf_pool_free_chunks(pool, SF_SIP_CLASS);
        CHECK(all == sf_pool_head(pool)->chunks[SF_SIP_CLASS] && all >= 8);
        /* As fast as it goes: calls are spread, and yet three quarters can wait for the disk. */
        static char text[2048], name[16];
        memset(text, 'x', sizeof text - 1);
        unsigned sent = 0;
        while (sf_pool_queued(pool) < all / 4 * 3) {
            struct sf_packet message = sip(text);
            int length = snprintf(name, sizeof name, "call-%u", sent++);
            message.call_id = sf_slice(name, (size_t)length);
            sf_intake_put(intake, &message, 1, NOW);
            CHECK(sent < 1000000);
        }
        CHECK(ledger->taken[SF_SIP] == sent);
        sf_intake_free(intake);
        sf_pool_free(pool);
        unlink(path);
    }
}

/* Whoever looks for a call finds all of it, however SIP is spread over chunks at the time. */
static void sip_is_spread_by_how_much_comes(void)
{
    static uint8_t copy[SF_SIP_CHUNK];
    static char text[8192], names[64][8];
    struct sf_pool *pool = sf_pool_open(path, 192u << 20, NOW);
    CHECK(pool != NULL);
    struct sf_intake *intake = sf_intake_new(pool, 0, limits(1));
    memset(text, 'x', sizeof text - 1);
    unsigned sent = 0, chunks = 0, found[64] = {0};
    for (unsigned i = 0; i < 64; i++) {
        snprintf(names[i], sizeof names[i], "call-%u", i);
    }
    for (unsigned turn = 0; turn < 3; turn++) {
        for (; sent < 640 * (turn + 1); sent++) {
            struct sf_packet message = sip(text);
            message.call_id = sf_slice(names[sent % 64], strlen(names[sent % 64]));
            sf_intake_put(intake, &message, 1, NOW);
        }
        if (turn == 0) {
            /* All grow old, hardly filled: fewer are opened from then on, and take in more calls.
             */
            usleep(10000);
            sf_intake_sweep(intake);
            uint32_t open = sf_pool_queued(pool);
            for (unsigned i = 0; i < 64; i++, sent++) {
                struct sf_packet message = sip("BYE sip:h SIP/2.0\r\n\r\n");
                message.call_id = sf_slice(names[i], strlen(names[i]));
                sf_intake_put(intake, &message, 1, NOW);
            }
            usleep(10000);
            sf_intake_sweep(intake);
            CHECK(sf_pool_queued(pool) == open + 1);
        }
    }
    for (uint32_t chunk = 0; chunk < sf_pool_chunks(pool); chunk++) {
        struct sf_chunk_desc *desc = sf_pool_desc(pool, chunk);
        if (desc->state == SF_FREE || desc->kind != SF_SIP_CLASS) {
            continue;
        }
        chunks++;
        for (unsigned i = 0; i < 64; i++) {
            uint64_t id;
            uint32_t count;
            struct sf_slice call_id = sf_slice(names[i], strlen(names[i]));
            if (sf_pool_call_records(pool, chunk, call_id, copy, &id, &count) > 0) {
                found[i] += count;
            }
        }
    }
    for (unsigned i = 0; i < 64; i++) {
        CHECK(found[i] == sent / 64);
    }
    CHECK(chunks > 10);
    sf_intake_drain(intake);
    sf_intake_free(intake);
    sf_pool_free(pool);
    unlink(path);
}

/* A frame of HEP with a key, its SIP message packed. */
static size_t hep_frame(uint8_t *out, const char *key, const void *message, size_t n)
{
    uint8_t *at = sf_store_be16(out + 6, 0);
    at = sf_store_be16(sf_store_be16(at, 11), 7);
    *at++ = 1;
    at = sf_store_be16(sf_store_be16(sf_store_be16(at, 0), 14), (uint16_t)(6 + strlen(key)));
    memcpy(at, key, strlen(key));
    at += strlen(key);
    uLongf packed = 65000;
    CHECK(compress(at + 6, &packed, message, n) == Z_OK);
    sf_store_be16(sf_store_be16(sf_store_be16(at, 0), 16), (uint16_t)(6 + packed));
    at += 6 + packed;
    memcpy(out, "HEP3", 4);
    sf_store_be16(out + 4, (uint16_t)(at - out));
    return (size_t)(at - out);
}

#define PACKED_CALLS 80
#define FILLER       16000 /* so much of each message that they do not fit the unpacker together */

/* Messages that were unpacked are the caller's until they are stored, however many come at once. */
static void packed_messages_stay_whole(void)
{
    static uint8_t frames[PACKED_CALLS * 400], copy[SF_SIP_CHUNK];
    static char message[FILLER + 100];
    struct sf_pool *pool = sf_pool_open(path, POOL, NOW);
    struct sf_hep_reader *reader = sf_hep_reader_new(sf_slice("s3cret", 6));
    struct sf_intake *intake = sf_intake_new(pool, 0, limits(10000000));
    struct sf_ledger *ledger = sf_intake_ledger(intake);
    struct sf_peer peer = {.family = SF_IPV4, .ip = {10, 0, 0, 1}};
    sf_intake_take_hep(intake, reader, true);
    size_t n = 0, stream_from = 0;
    for (unsigned call = 0; call < PACKED_CALLS; call++) {
        int head = snprintf(message, 100, "SIP/2.0 200 OK\r\nCall-ID: p%u\r\n\r\n", call);
        memset(message + head, 'a' + (int)(call % 26), FILLER);
        size_t length = hep_frame(frames + n, "s3cret", message, (size_t)head + FILLER);
        if (call < PACKED_CALLS / 2) {
            sf_intake_datagram(intake, sf_slice(frames + n, length), &peer, NOW);
            stream_from = n + length;
        }
        n += length;
        CHECK(n + 400 <= sizeof frames || call == PACKED_CALLS - 1);
    }
    size_t taken;
    struct sf_slice rest = sf_slice(frames + stream_from, n - stream_from);
    CHECK(sf_intake_stream(intake, rest, &peer, NOW, &taken) == SF_OK && taken == rest.n);
    for (unsigned call = 0; call < PACKED_CALLS; call++) {
        char name[16];
        unsigned found = 0;
        int length = snprintf(name, sizeof name, "p%u", call);
        for (uint32_t chunk = 0; chunk < sf_pool_chunks(pool); chunk++) {
            uint64_t id;
            uint32_t count;
            if (sf_pool_desc(pool, chunk)->kind != SF_SIP_CLASS ||
                sf_pool_call_records(pool, chunk, sf_slice(name, (size_t)length), copy, &id,
                                     &count) == 0) {
                continue;
            }
            const struct sf_pool_sip *record = (const struct sf_pool_sip *)copy;
            const uint8_t *end =
                copy + sizeof *record + record->call_id_length + record->payload_length;
            CHECK(record->payload_length > FILLER);
            for (unsigned i = 1; i <= FILLER; i++) {
                CHECK(end[-(int)i] == 'a' + call % 26);
            }
            found += count;
        }
        CHECK(found == 1);
    }
    CHECK(ledger->frames == PACKED_CALLS && ledger->taken[SF_SIP] == PACKED_CALLS);

    /* What does not carry the key, what is no HEP, and what breaks a stream off. */
    n = hep_frame(frames, "secret", "x", 1);
    sf_intake_datagram(intake, sf_slice(frames, n), &peer, NOW);
    CHECK(ledger->refused[SF_HEP_KEY] == 1 && ledger->frames == PACKED_CALLS + 1);
    sf_intake_datagram(intake, sf_slice("SG\1\0\0", 5), &peer, NOW);
    CHECK(ledger->refused[SF_BAD_MAGIC] == 1 && ledger->refused_datagrams == 1);
    CHECK(sf_intake_stream(intake, sf_slice(frames, n - 1), &peer, NOW, &taken) == SF_OK);
    CHECK(taken == 0);
    memcpy(frames + n, "GET ", 4);
    CHECK(sf_intake_stream(intake, sf_slice(frames, n + 4), &peer, NOW, &taken) == SF_BAD_MAGIC);
    CHECK(taken == n && ledger->refused[SF_HEP_KEY] == 2 && ledger->refused_datagrams == 2);
    const struct sf_source *source =
        &sf_pool_head(pool)->sources[sf_pool_source(pool, SF_IPV4, peer.ip)];
    CHECK(source->taken[SF_SIP] == PACKED_CALLS && source->refused == 4);
    CHECK(source->datagrams == PACKED_CALLS + 4);
    /* SipFlow frames and HEP at one port. */
    sf_intake_take_hep(intake, reader, false);
    sf_intake_datagram(intake, sf_slice("SG\1\0\0", 5), &peer, NOW);
    n = hep_frame(frames, "s3cret", "SIP/2.0 100 Trying\r\ni: q\r\n\r\n", 29);
    sf_intake_datagram(intake, sf_slice(frames, n), &peer, NOW);
    sf_intake_flush_batch(intake, NOW);
    CHECK(ledger->taken[SF_SIP] == PACKED_CALLS + 1 && ledger->refused_datagrams == 2);
    sf_intake_free(intake);
    sf_hep_reader_free(reader);
    sf_pool_free(pool);
    unlink(path);
}

int main(void)
{
    snprintf(path, sizeof path, "/tmp/sipflow-test-pool-%d", (int)getpid());
    what_was_taken_outlives_the_process();
    sip_is_spread_by_how_much_comes();
    a_full_pool_drops_rtp_counted_and_still_takes_sip();
    what_this_process_took_is_not_queued_twice();
    packed_messages_stay_whole();
    pools_that_are_none();
    a_small_pool_has_small_chunks();
    puts("ok intake");
    return 0;
}
