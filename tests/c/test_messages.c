/* Messages come back exactly, a call together, and any octets are a value or an error. */
#include "messages.h"
#include "guard.h"
#include "lay.h"

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
    size_t n = sf_messages_encode(arena.p, arena.n, 4, entries, content, &block);
    CHECK(n > 0 && n <= sf_messages_bound(used) && block.raw_length == n && block.records == 4);
    CHECK(block.t0_us == 99 && block.t1_us == 2000 && block.flags == SF_BLOCK_CLOCK_SKEW);
    static const unsigned order[] = {2, 1, 3, 0};
    static const char *const payloads[] = {"OPTIONS", "INVITE", "ACK", "BYE"};
    struct sf_slice octets = guarded(content, n);
    size_t position = 0;
    for (unsigned i = 0; i < 4; i++) {
        struct sf_message message;
        CHECK(entries[i].order == order[i] && entries[i].position == position);
        CHECK(sf_message_read(octets, position, &message) == SF_BLOCK_OK);
        CHECK_TEXT(message.payload, payloads[i]);
        CHECK_TEXT(message.call_id, i == 0 ? "b" : "bb");
        CHECK(message.leg == -2 && message.has_leg && message.client_id == 9);
        CHECK(message.family == (i == 0 ? 6 : 4) && message.clock_skew == (i == 0));
        CHECK(memcmp(message.src, plain.src, 16) == 0 && memcmp(message.dst, plain.dst, 16) == 0);
        CHECK(message.src_port == 5060 && message.dst_port == 5061);
        position = message.next;
    }
    CHECK(position == n);
}

static void layout_is_what_the_document_says(void)
{
    static uint8_t memory[256], content[256];
    uint8_t expected[128];
    size_t used = lay_message(memory, 0, plain, "id", "SIP");
    size_t n =
        unhex("e803000000000000 d204000000000000 09000000 feffffff c413 c513 04 01 0200 03000000"
              "c0000201 c0000202 6964 534950",
              expected);
    struct sf_message_entry entry;
    struct sf_block block;
    CHECK(sf_messages_encode(memory, used, 1, &entry, content, &block) == n);
    CHECK(memcmp(content, expected, n) == 0);
}

static void damage_is_a_value_or_an_error(void)
{
    static uint8_t memory[1024], content[1024];
    struct sf_message_entry entries[5];
    struct sf_block block;
    struct sf_message message;
    size_t used = arena_of_four(memory);
    size_t n = sf_messages_encode(memory, used, 4, entries, content, &block);
    for (unsigned flip = 1; flip < 256; flip += 2) {
        for (size_t at = 0; at < n; at++) {
            content[at] ^= (uint8_t)flip;
            struct sf_slice octets = guarded(content, n);
            for (size_t position = 0; position <= n; position++) {
                if (sf_message_read(octets, position, &message) == SF_BLOCK_OK) {
                    CHECK(message.next > position && message.next <= n);
                    CHECK(lies_inside(message.call_id, octets) &&
                          lies_inside(message.payload, octets));
                }
            }
            content[at] ^= (uint8_t)flip;
        }
    }
    CHECK(sf_message_read(guarded(content, n), SIZE_MAX, &message) != SF_BLOCK_OK);
    CHECK(sf_messages_encode(memory, used, 5, entries, content, &block) == 0);
    for (size_t end = 0; end + 8 <= used; end++) {
        struct sf_slice cut = guarded(memory, end);
        CHECK(sf_messages_encode(cut.p, cut.n, 4, entries, content, &block) == 0);
    }
}

int main(void)
{
    layout_is_what_the_document_says();
    calls_lie_together_in_order_of_time();
    damage_is_a_value_or_an_error();
    puts("test_messages: ok");
    return 0;
}
