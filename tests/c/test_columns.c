/* Any packets come back octet for octet, and any octets are a value or an error. */
#include "columns.h"
#include "guard.h"
#include "lay.h"

#define ROOM  16384
#define COUNT 24

static size_t payload_at;

static const struct sf_chunk_identity stream = {.client_id = 7,
                                                .leg = -1,
                                                .ssrc = 0x11223344,
                                                .src_port = 40000,
                                                .dst_port = 50000,
                                                .family = 4,
                                                .has_ssrc = 1,
                                                .has_leg = 1,
                                                .src = {192, 0, 2, 1},
                                                .dst = {192, 0, 2, 2}};

static size_t roll_packet(uint64_t *dice, uint8_t *packet, uint32_t ssrc, unsigned i)
{
    static const uint8_t types[] = {0, 8, 0x80, 0x88, 101, 18, 200};
    size_t n = roll(dice) % 8 == 0 ? roll(dice) % 13 : 12 + roll(dice) % 200;
    for (size_t k = 0; k < n; k++) {
        packet[k] = (uint8_t)roll(dice);
    }
    if (n >= 12) {
        packet[0] = roll(dice) % 4 == 0 ? (uint8_t)roll(dice) : 0x80;
        packet[1] = types[roll(dice) % sizeof types];
        sf_store_be16(packet + 2, (uint16_t)(65530 + i));
        sf_store_be32(packet + 8, ssrc);
    }
    return n;
}

static size_t roll_chunk(uint64_t *dice, uint8_t *memory, unsigned count)
{
    struct sf_chunk_identity id = stream;
    id.has_ssrc = roll(dice) % 4 != 0;
    id.family = roll(dice) % 2 ? 4 : 6;
    id.clock_skew = roll(dice) % 2;
    uint8_t packet[256];
    size_t used = lay_identity(memory, id, "a84b4c76e66710@192.0.2.4");
    for (unsigned i = 0; i < count; i++) {
        size_t n = roll_packet(dice, packet, id.ssrc, i);
        int64_t time_us = roll(dice) % 5 ? 1780272000000000 + 20000 * (int64_t)i : INT64_MIN;
        int64_t arrival_us = roll(dice) % 5 ? 1780272000000400 : INT64_MAX;
        used = lay_packet(memory, used, time_us, arrival_us, packet, n);
    }
    return used;
}

/* What a reader of the content sees is what a reader of the chunk sees. */
static void check_roundtrip(struct sf_slice chunk, unsigned count)
{
    static uint8_t content[ROOM + 64], data[ROOM], live[ROOM];
    static struct sf_rtp_row rows[COUNT], live_rows[COUNT];
    struct sf_block block;
    size_t n = sf_columns_encode(chunk.p, chunk.n, count, content, &block, &payload_at);
    CHECK(n > 0 && n <= sf_columns_bound(chunk.n) && block.raw_length == n &&
          block.records == count);
    int64_t length = sf_chunk_data_length(chunk.p, chunk.n, count);
    CHECK(sf_chunk_rows(chunk.p, chunk.n, count, live_rows, live, (size_t)length));
    struct sf_columns columns;
    CHECK(sf_columns_open(guarded(content, n), &columns) == SF_BLOCK_OK);
    CHECK(columns.count == count && columns.data_length == (size_t)length);
    sf_columns_decode(&columns, rows, data);
    CHECK(memcmp(rows, live_rows, count * sizeof *rows) == 0);
    CHECK(memcmp(data, live, (size_t)length) == 0);
    for (unsigned i = 0; i < count; i++) {
        int64_t filed = columns.identity.clock_skew ? rows[i].arrival_us : rows[i].time_us;
        CHECK(block.t0_us <= filed && filed <= block.t1_us);
    }
}

static void any_packets_come_back(void)
{
    static uint8_t memory[ROOM];
    uint64_t dice = 0x5f1f;
    for (unsigned turn = 0; turn < 2000; turn++) {
        unsigned count = turn % (COUNT + 1);
        size_t used = roll_chunk(&dice, memory, count);
        check_roundtrip(guarded(memory, used), count);
    }
}

static void delays_are_rounded_to_the_nearest_millisecond(void)
{
    static const int64_t cases[][2] = {{0, 0},        {499, 0},       {500, 1000},
                                       {1499, 1000},  {1500, 2000},   {-500, 0},
                                       {-501, -1000}, {-1500, -1000}, {-1501, -2000}};
    static uint8_t memory[512], content[1024];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t used = lay_identity(memory, stream, "x");
        used = lay_packet(memory, used, 1000000, 1000000 + cases[i][0], "no rtp", 6);
        struct sf_block block;
        size_t n = sf_columns_encode(memory, used, 1, content, &block, &payload_at);
        struct sf_columns columns;
        struct sf_rtp_row row;
        uint8_t data[6];
        CHECK(sf_columns_open(sf_slice(content, n), &columns) == SF_BLOCK_OK);
        sf_columns_decode(&columns, &row, data);
        CHECK(row.arrival_us == 1000000 + cases[i][1] && row.flags == 0);
    }
}

static void chunks_that_contradict_themselves_are_refused(void)
{
    static uint8_t memory[ROOM], dst[ROOM + 64];
    uint64_t dice = 3;
    struct sf_block block;
    size_t used = roll_chunk(&dice, memory, 5);
    CHECK(sf_columns_encode(memory, used, 6, dst, &block, &payload_at) == 0);
    struct sf_rtp_row rows[8];
    for (size_t n = 0; n < used; n++) {
        struct sf_slice cut = guarded(memory, n);
        if (sf_columns_encode(cut.p, cut.n, 5, dst, &block, &payload_at) == 0) {
            CHECK(!sf_chunk_rows(cut.p, cut.n, 5, rows, dst, ROOM));
        }
    }
    memory[offsetof(struct sf_chunk_identity, family)] = 5;
    CHECK(sf_columns_encode(memory, used, 5, dst, &block, &payload_at) == 0);
}

/* Decodes into memory of exactly the size that open promised. */
static void decode_whatever_it_is(struct sf_slice content)
{
    struct sf_columns columns;
    if (sf_columns_open(content, &columns) != SF_BLOCK_OK) {
        return;
    }
    CHECK(columns.count <= content.n / 3 && columns.data_length <= 5 * content.n);
    struct sf_rtp_row *rows = malloc(columns.count * sizeof *rows + 1);
    uint8_t *data = malloc(columns.data_length + 1);
    CHECK(rows != NULL && data != NULL);
    sf_columns_decode(&columns, rows, data);
    for (unsigned i = 0; i < columns.count; i++) {
        CHECK((size_t)rows[i].offset + rows[i].length <= columns.data_length);
        CHECK((size_t)rows[i].payload_offset + rows[i].payload_length <= columns.data_length);
    }
    free(rows);
    free(data);
}

static void damaged_content_is_a_value_or_an_error(void)
{
    static uint8_t memory[ROOM], content[ROOM + 64];
    uint64_t dice = 9;
    struct sf_block block;
    for (unsigned turn = 0; turn < 40; turn++) {
        size_t used = roll_chunk(&dice, memory, 6);
        size_t n = sf_columns_encode(memory, used, 6, content, &block, &payload_at);
        for (size_t end = 0; end < n; end++) {
            struct sf_columns columns;
            CHECK(sf_columns_open(guarded(content, end), &columns) != SF_BLOCK_OK);
        }
        for (size_t at = 0; at < n; at++) {
            uint8_t kept = content[at];
            content[at] ^= (uint8_t)(1 + roll(&dice) % 255);
            decode_whatever_it_is(guarded(content, n));
            content[at] = kept;
        }
    }
}

static void layout_is_what_the_document_says(void)
{
    static uint8_t memory[512], content[1024];
    /* Two mu-law packets, 20 ms apart, 2 ms on their way. */
    uint8_t packet[] = {0x80, 0, 0, 1, 0, 0, 0, 160, 0x11, 0x22, 0x33, 0x44, 0x7f, 0xff, 0xfe};
    size_t used = lay_identity(memory, stream, "id");
    used = lay_packet(memory, used, 5, 2005, packet, sizeof packet);
    packet[1] = 0x80, packet[3] = 2, packet[6] = 1, packet[7] = 64;
    used = lay_packet(memory, used, 20005, 22005, packet, sizeof packet);
    uint8_t expected[128];
    size_t n = unhex("0b 04 07000000 ffffffff 44332211 409c 50c3 c0000201 c0000202 0200 6964"
                     "02 0a c0b802 04 00 1e 00"  /* count, times, delays, lengths */
                     "8080 0080 02 02 c002 c002" /* first, second, sequence, timestamp */
                     "ff 01 01 fe 01 01",
                     expected);
    struct sf_block block;
    CHECK(sf_columns_encode(memory, used, 2, content, &block, &payload_at) == n);
    CHECK(memcmp(content, expected, n) == 0);
    CHECK(block.t0_us == 5 && block.t1_us == 20005 && block.kind == 2 && block.transform == 1);
}

int main(void)
{
    layout_is_what_the_document_says();
    any_packets_come_back();
    delays_are_rounded_to_the_nearest_millisecond();
    chunks_that_contradict_themselves_are_refused();
    damaged_content_is_a_value_or_an_error();
    puts("test_columns: ok");
    return 0;
}
