/* Every live call once, newest first; its packets as long as the pool has them, and no others. */
#include "guard.h"
#include "intake.h"
#include "lay.h"
#include "roster.h"

#include <stdlib.h>
#include <unistd.h>

#define NOW  1750000000000000ull
#define POOL (16u << 20)

#define OPENS  "INVITE sip:bob@h SIP/2.0\r\nFrom: <sip:alice@h>;tag=1\r\nTo: <sip:bob@h>\r\n"
#define GOES   "BYE sip:alice@h SIP/2.0\r\nFrom: <sip:bob@h>;tag=2\r\nTo: <sip:alice@h>;tag=1\r\n"
#define ANSWER "SIP/2.0 200 OK\r\nFrom: <sip:alice@h>;tag=1\r\nTo: <sip:bob@h>;tag=2\r\n"

static char path[64];

static struct sf_pool_sip at_us(int64_t time_us)
{
    return (struct sf_pool_sip){.time_us = (uint64_t)time_us, .arrival_us = 7, .family = 4};
}

/* Two calls, the second of ill-formed Call-IDs that are the same text. */
static size_t first_chunk(uint8_t *memory)
{
    size_t used = lay_message(memory, 0, at_us(2000), "a", GOES);
    used = lay_message(memory, used, at_us(500), "b\xff", ANSWER);
    struct sf_pool_sip skewed = at_us(1);
    skewed.clock_skew = 1;
    skewed.arrival_us = 900;
    return lay_message(memory, used, skewed, "b\xfe", ANSWER);
}

static size_t second_chunk(uint8_t *memory)
{
    size_t used = lay_message(memory, 0, at_us(500), "c", OPENS);
    return lay_message(memory, used, at_us(1000), "a", OPENS);
}

static struct sf_roster *roster_of_two(bool heads)
{
    static uint8_t memory[4096];
    struct sf_roster *roster = sf_roster_new(NULL);
    CHECK(roster != NULL);
    struct sf_slice arena = guarded(memory, first_chunk(memory));
    CHECK(sf_roster_add(roster, 3, 30, arena, 3, heads));
    arena = guarded(memory, second_chunk(memory));
    CHECK(sf_roster_add(roster, 4, 40, arena, 2, heads) && sf_roster_sort(roster));
    return roster;
}

static void calls_are_summed_up_over_chunks(void)
{
    struct sf_roster *roster = roster_of_two(true);
    CHECK(sf_roster_count(roster) == 3);
    struct sf_roster_call a = sf_roster_call(roster, sf_roster_find(roster, text_slice("a")));
    CHECK(a.first_us == 1000 && a.last_us == 2000 && a.messages == 2 && a.begins);
    CHECK_TEXT(a.call_id, "a");
    CHECK_TEXT(a.from_user, "alice");
    CHECK_TEXT(a.to_user, "bob");
    uint32_t number = sf_roster_find(roster, text_slice("b\xef\xbf\xbd"));
    struct sf_roster_call b = sf_roster_call(roster, number);
    /* Filed by its arrival, which is kept as 1 ms after the capture. */
    CHECK(b.first_us == 500 && b.last_us == 1001 && b.messages == 2 && !b.begins);
    CHECK(b.from_user.n == 0 && b.to_user.n == 0);
    CHECK(sf_roster_find(roster, text_slice("b\xff")) == SF_ROSTER_END);
    CHECK(sf_roster_find(roster, text_slice("")) == SF_ROSTER_END);
    roster = sf_roster_free(roster);

    roster = roster_of_two(false);
    a = sf_roster_call(roster, sf_roster_find(roster, text_slice("a")));
    CHECK(a.first_us == 1000 && a.last_us == 2000 && !a.begins && a.from_user.n == 0);
    sf_roster_free(roster);
}

static void pages_are_newest_first(void)
{
    static const char *const order[] = {"a", "c", "b\xef\xbf\xbd"};
    struct sf_roster *roster = roster_of_two(false);
    uint32_t calls[4];
    CHECK(sf_roster_newest(roster, 0, sf_slice(NULL, 0), calls, 4) == 3);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_TEXT(sf_roster_call(roster, calls[i]).call_id, order[i]);
    }
    CHECK(sf_roster_newest(roster, 0, sf_slice(NULL, 0), calls, 2) == 2);
    CHECK(sf_roster_newest(roster, 500, text_slice("c"), calls, 4) == 1);
    CHECK_TEXT(sf_roster_call(roster, calls[0]).call_id, order[2]);
    CHECK(sf_roster_newest(roster, 501, text_slice(""), calls, 4) == 2);
    CHECK(sf_roster_newest(roster, 500, text_slice(""), calls, 4) == 0);
    sf_roster_free(roster);

    roster = sf_roster_new(NULL);
    CHECK(sf_roster_sort(roster) && sf_roster_count(roster) == 0);
    CHECK(sf_roster_newest(roster, 0, sf_slice(NULL, 0), calls, 4) == 0);
    CHECK(sf_roster_find(roster, text_slice("a")) == SF_ROSTER_END);
    sf_roster_free(roster);
}

static void many_calls_are_all_found(void)
{
    enum { CALLS = 5000 };
    static uint32_t calls[CALLS + 1];
    static uint8_t memory[256];
    char name[16];
    struct sf_roster *roster = sf_roster_new(NULL);
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < CALLS; i++) {
            /* Every seventh is not UTF-8: made well-formed it takes more room than it came with. */
            snprintf(name, sizeof name, "%d%s", i, i % 7 == 0 ? "\xff\xff" : "");
            size_t used = lay_message(memory, 0, at_us((i * 37) % 100), name, "");
            CHECK(sf_roster_add(roster, 0, 1, sf_slice(memory, used), 1, false));
        }
    }
    CHECK(sf_roster_sort(roster) && sf_roster_count(roster) == CALLS);
    CHECK(sf_roster_newest(roster, 0, sf_slice(NULL, 0), calls, CALLS + 1) == CALLS);
    for (int i = 0; i < CALLS; i++) {
        struct sf_roster_call call = sf_roster_call(roster, calls[i]);
        CHECK(call.messages == 2 && sf_roster_find(roster, call.call_id) == calls[i]);
        CHECK(i == 0 || call.first_us <= sf_roster_call(roster, calls[i - 1]).first_us);
    }
    sf_roster_free(roster);
}

static void damage_is_a_call_or_an_end(void)
{
    static uint8_t memory[4096];
    size_t used = first_chunk(memory);
    for (unsigned flip = 1; flip < 256; flip += 2) {
        for (size_t at = 0; at < used; at += flip == 255 ? 1 : 3) {
            memory[at] ^= (uint8_t)flip;
            struct sf_roster *roster = sf_roster_new(NULL);
            CHECK(sf_roster_add(roster, 0, 1, guarded(memory, used), 3, true));
            CHECK(sf_roster_sort(roster) && sf_roster_count(roster) <= 3);
            sf_roster_free(roster);
            memory[at] ^= (uint8_t)flip;
        }
    }
    for (size_t end = 0; end <= used; end++) {
        struct sf_slice cut = guarded(memory, end);
        struct sf_roster *roster = sf_roster_new(NULL);
        CHECK(sf_roster_add(roster, 0, 1, cut, UINT32_MAX, true) && sf_roster_sort(roster));
        uint32_t calls = sf_roster_count(roster), messages = 0, whole = 0;
        while (calls > 0) {
            messages += sf_roster_call(roster, --calls).messages;
        }
        struct sf_cursor c = sf_cursor(cut.p, cut.n);
        for (struct sf_arena_message message; sf_arena_next(&c, &message);) {
            whole++;
        }
        CHECK(messages == whole && (whole == 3 || end < used));
        sf_roster_free(roster);
    }
}

static void put(struct sf_intake *intake, uint8_t kind, const char *call_id, const char *payload,
                uint64_t time_us)
{
    struct sf_packet packet = {.time_us = time_us,
                               .leg = 1,
                               .kind = kind,
                               .family = SF_IPV4,
                               .has_metadata = true,
                               .call_id = text_slice(call_id),
                               .payload = text_slice(payload)};
    sf_intake_put(intake, &packet, 1, NOW);
}

static uint32_t messages_of(struct sf_roster *roster, const char *call_id, uint32_t *copies)
{
    struct sf_roster_packets packets;
    struct sf_arena_message message;
    uint32_t call = sf_roster_find(roster, text_slice(call_id)), at = 0, count = 0;
    CHECK(call != SF_ROSTER_END);
    for (*copies = 0; sf_roster_messages(roster, call, &at, &packets); ++*copies) {
        struct sf_cursor c = sf_cursor(packets.octets.p, packets.octets.n);
        for (uint32_t i = 0; i < packets.count; i++) {
            CHECK(sf_arena_next(&c, &message));
            CHECK_TEXT(message.call_id, call_id);
        }
        CHECK(sf_left(&c) == 0);
        count += packets.count;
    }
    CHECK(!sf_roster_messages(roster, call, &at, &packets));
    return count;
}

static uint32_t media_of(struct sf_roster *roster, const char *call_id)
{
    struct sf_roster_packets packets;
    uint32_t at = 0, count = 0;
    while (sf_roster_media(roster, text_slice(call_id), &at, &packets)) {
        struct sf_chunk chunk;
        CHECK(sf_chunk_open(packets.octets.p, packets.octets.n, &chunk));
        CHECK_TEXT(chunk.call_id, call_id);
        count += packets.count;
    }
    return count;
}

/* The chunk that holds a SIP message of a call. */
static uint32_t chunk_with(struct sf_pool *pool, const char *call_id)
{
    static uint8_t copy[SF_SIP_CHUNK];
    uint64_t id;
    uint32_t count, chunk = 0;
    while (sf_pool_call_records(pool, chunk, text_slice(call_id), copy, &id, &count) == 0) {
        chunk++;
    }
    return chunk;
}

static void packets_are_read_as_long_as_they_are_there(void)
{
    static const char rtp[] = "\x80\x08\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01payload";
    struct sf_pool *pool = sf_pool_open(path, POOL, NOW);
    CHECK(pool != NULL);
    struct sf_intake *intake =
        sf_intake_new(pool, 0, (struct sf_intake_limits){.flush_interval_us = 10, .media = true});
    put(intake, SF_SIP, "live", OPENS, NOW + 5);
    put(intake, SF_SIP, "other", OPENS, NOW);
    put(intake, SF_SIP, "live", ANSWER, NOW + 6);
    put(intake, SF_RTP, "live", rtp, NOW);
    sf_intake_drain(intake);
    put(intake, SF_SIP, "live", GOES, NOW + 9);
    struct sf_roster *roster = sf_roster_read(pool, true);
    CHECK(roster != NULL && sf_roster_count(roster) == 2);
    put(intake, SF_SIP, "live", "later", NOW + 10);
    put(intake, SF_RTP, "other", rtp, NOW);
    struct sf_roster_call live = sf_roster_call(roster, sf_roster_find(roster, text_slice("live")));
    CHECK(live.messages == 3 && live.first_us == NOW + 5 && live.last_us == NOW + 9 && live.begins);

    uint32_t copies;
    CHECK(messages_of(roster, "live", &copies) == 3 && copies == 2);
    CHECK(messages_of(roster, "other", &copies) == 1 && copies == 1);
    CHECK(media_of(roster, "live") == 1 && media_of(roster, "other") == 0);

    /* An octet that changed costs its message and what came behind it in the chunk. */
    uint32_t chunk = chunk_with(pool, "live");
    uint8_t *octet = sf_pool_data(pool, chunk) + sizeof(struct sf_pool_sip) + 2;
    *octet ^= 1;
    CHECK(messages_of(roster, "live", &copies) == 1 && copies == 1);
    *octet ^= 1;
    CHECK(messages_of(roster, "live", &copies) == 3);
    /* Lengths that reach further than the chunk, or than all that it can hold. */
    struct sf_pool_sip *record = (struct sf_pool_sip *)(void *)sf_pool_data(pool, chunk);
    uint32_t length = record->payload_length;
    for (uint32_t wrong = SF_SIP_CHUNK - 200; wrong < SF_SIP_CHUNK + 200; wrong += 8) {
        record->payload_length = wrong;
        CHECK(messages_of(roster, "live", &copies) <= 3);
    }
    record->payload_length = length;

    /* What was committed is gone, and stays so when others have the chunk. */
    uint32_t taken[8];
    for (unsigned n; (n = sf_pool_take(pool, taken, 8, 1)) > 0;) {
        while (n > 0) {
            sf_pool_release(pool, taken[--n]);
        }
    }
    CHECK(messages_of(roster, "live", &copies) == 1 && copies == 1);
    CHECK(messages_of(roster, "other", &copies) == 0 && media_of(roster, "live") == 0);
    put(intake, SF_SIP, "other", OPENS, NOW);
    put(intake, SF_RTP, "third", rtp, NOW);
    CHECK(messages_of(roster, "other", &copies) == 0 && media_of(roster, "live") == 0);

    sf_roster_free(roster);
    sf_intake_free(intake);
    sf_pool_free(pool);
    unlink(path);
}

int main(void)
{
    snprintf(path, sizeof path, "/tmp/sipflow-test-roster-%d", (int)getpid());
    calls_are_summed_up_over_chunks();
    pages_are_newest_first();
    many_calls_are_all_found();
    damage_is_a_call_or_an_end();
    packets_are_read_as_long_as_they_are_there();
    puts("test_roster: ok");
    return 0;
}
