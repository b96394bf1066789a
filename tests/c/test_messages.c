/* Messages come back exactly, a call together, and any octets are a value or an error. */
#include "messages.h"
#include "guard.h"
#include "lay.h"

static size_t payload_at;

static const struct sf_pool_sip plain = {.time_us = 1000,
                                         .arrival_us = 1234,
                                         .client_id = 9,
                                         .leg = -2,
                                         .src_port = 5060,
                                         .dst_port = 5061,
                                         .family = 4,
                                         .has_leg = 1,
                                         .src = {192, 0, 2, 1},
                                         .dst = {192, 0, 2, 2}};

static size_t arena_of_four(uint8_t *memory)
{
    struct sf_pool_sip later = plain, six = plain;
    later.time_us = 2000;
    six.family = 6;
    six.clock_skew = 1;
    six.arrival_us = 99;
    size_t used = lay_message(memory, 0, later, "bb", "BYE");
    used = lay_message(memory, used, plain, "bb", "INVITE");
    used = lay_message(memory, used, six, "b", "OPTIONS");
    return lay_message(memory, used, plain, "bb", "ACK");
}

static void calls_lie_together_in_order_of_time(void)
{
    static uint8_t memory[1024], content[1024];
    struct sf_message_entry entries[4];
    struct sf_block block;
    size_t used = arena_of_four(memory);
    struct sf_slice arena = guarded(memory, used);
    size_t n = sf_messages_encode(arena.p, arena.n, 4, entries, content, &block, &payload_at);
    CHECK(n > 0 && n <= sf_messages_bound(used) && block.raw_length == n && block.records == 4);
    /* The arrival, 0.901 ms before the capture, is kept to the millisecond. */
    CHECK(block.t0_us == 0 && block.t1_us == 2000 && block.flags == SF_BLOCK_CLOCK_SKEW);
    static const unsigned order[] = {2, 1, 3, 0};
    static const char *const payloads[] = {"OPTIONS", "INVITE", "ACK", "BYE"};
    struct sf_slice octets = guarded(content, n);
    struct sf_messages messages;
    struct sf_message message;
    CHECK(sf_messages_open(octets, SF_TRANSFORM_HEADS, &messages) == SF_BLOCK_OK &&
          messages.count == 4);
    for (unsigned i = 0; i < 4; i++) {
        CHECK(sf_messages_next(&messages, &message));
        CHECK(entries[i].order == order[i] && entries[i].position == message.position);
        CHECK(sf_message_at(octets, SF_TRANSFORM_HEADS, message.position, &message) == SF_BLOCK_OK);
        CHECK(message.position == entries[i].position);
        CHECK_TEXT(message.payload, payloads[i]);
        CHECK_TEXT(message.call_id, i == 0 ? "b" : "bb");
        CHECK(message.leg == -2 && message.has_leg && message.client_id == 9);
        CHECK(message.family == (i == 0 ? 6 : 4) && message.clock_skew == (i == 0));
        CHECK(memcmp(message.src, plain.src, 16) == 0 && memcmp(message.dst, plain.dst, 16) == 0);
        CHECK(message.src_port == 5060 && message.dst_port == 5061);
    }
    CHECK(!sf_messages_next(&messages, &message) && message.position + 4 == n);
}

static void layout_is_what_the_document_says(void)
{
    static uint8_t memory[512], content[512];
    uint8_t expected[256];
    struct sf_pool_sip answer = plain;
    answer.time_us = 1003;
    answer.arrival_us = 2504; /* 1.501 ms later */
    size_t used = lay_message(memory, 0, plain, "id", "SIP");
    used = lay_message(memory, used, answer, "id", "");
    used = lay_message(memory, used, plain, "k", "i:k");
    static const char ends[] = "09000000 feffffff c413 c513 04 01 0000"
                               "c0000201 000000000000000000000000"
                               "c0000202 000000000000000000000000";
    size_t n = unhex("e803000000000000 01", expected);
    n += unhex(ends, expected + n);
    n += unhex("02 0201 0201 0003 6964 000000 000600 000400 030003 5349500a 0a 693a6b0a",
               expected + n);
    struct sf_message_entry entries[3];
    struct sf_block block;
    CHECK(sf_messages_encode(memory, used, 3, entries, content, &block, &payload_at) == n);
    CHECK(memcmp(content, expected, n) == 0);
    CHECK(payload_at == n - 9 && entries[0].position == n - 9 && entries[1].position == n - 5);
    CHECK(block.kind == SF_BLOCK_MESSAGES && block.transform == SF_TRANSFORM_HEADS);
}

static void version_0_1_0_is_read(void)
{
    uint8_t content[256];
    size_t second =
        unhex("e803000000000000 d204000000000000 09000000 feffffff c413 c513 04 01 0200 "
              "03000000 c0000201 c0000202 6964 534950",
              content);
    size_t n = second + unhex("e903000000000000 d204000000000000 09000000 00000000 c413 c513 04 00 "
                              "0100 00000000 c0000201 c0000202 6b",
                              content + second);
    struct sf_message message;
    struct sf_messages messages;
    struct sf_slice octets = guarded(content, n);
    CHECK(sf_messages_open(octets, SF_TRANSFORM_NONE, &messages) == SF_BLOCK_OK);
    CHECK(messages.count == 2 && sf_messages_next(&messages, &message));
    CHECK_TEXT(message.call_id, "id");
    CHECK_TEXT(message.payload, "SIP");
    CHECK(message.time_us == 1000 && message.arrival_us == 1234 && message.position == 0);
    CHECK(message.leg == -2 && message.has_leg && message.src_port == 5060);
    CHECK(sf_message_at(octets, SF_TRANSFORM_NONE, second, &message) == SF_BLOCK_OK);
    CHECK_TEXT(message.call_id, "k");
    CHECK(message.payload.n == 0 && !message.has_leg && message.time_us == 1001);
    for (size_t end = 1; end < n; end++) {
        if (end != second) {
            octets = guarded(content, end);
            CHECK(sf_messages_open(octets, SF_TRANSFORM_NONE, &messages) == SF_BLOCK_TRUNCATED);
        }
    }
}

static void damage_is_a_value_or_an_error(void)
{
    static uint8_t memory[1024], content[1024];
    struct sf_message_entry entries[5];
    struct sf_block block;
    struct sf_message message;
    size_t used = arena_of_four(memory);
    size_t n = sf_messages_encode(memory, used, 4, entries, content, &block, &payload_at);
    for (unsigned flip = 1; flip < 256; flip += 2) {
        for (size_t at = 0; at < n; at++) {
            content[at] ^= (uint8_t)flip;
            struct sf_slice octets = guarded(content, n);
            struct sf_messages messages;
            if (sf_messages_open(octets, SF_TRANSFORM_HEADS, &messages) == SF_BLOCK_OK) {
                while (sf_messages_next(&messages, &message)) {
                    CHECK(lies_inside(message.call_id, octets) &&
                          lies_inside(message.payload, octets));
                }
            }
            content[at] ^= (uint8_t)flip;
        }
    }
    CHECK(sf_message_at(guarded(content, n), SF_TRANSFORM_HEADS, SIZE_MAX, &message) ==
          SF_BLOCK_BAD_CONTENT);
    CHECK(sf_message_at(guarded(content, n), SF_TRANSFORM_HEADS, 0, &message) ==
          SF_BLOCK_BAD_CONTENT);
    for (size_t end = 0; end < n; end++) {
        struct sf_messages messages;
        CHECK(sf_messages_open(guarded(content, end), SF_TRANSFORM_HEADS, &messages) !=
              SF_BLOCK_OK);
    }
    CHECK(sf_messages_encode(memory, used, 5, entries, content, &block, &payload_at) == 0);
    for (size_t end = 0; end + 8 <= used; end++) {
        struct sf_slice cut = guarded(memory, end);
        CHECK(sf_messages_encode(cut.p, cut.n, 4, entries, content, &block, &payload_at) == 0);
    }
}

int main(void)
{
    layout_is_what_the_document_says();
    calls_lie_together_in_order_of_time();
    version_0_1_0_is_read();
    damage_is_a_value_or_an_error();
    puts("test_messages: ok");
    return 0;
}
