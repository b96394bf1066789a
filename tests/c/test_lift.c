/* Messages come out of a block as the records they were, a run at a time, or not at all. */
#include "guard.h"
#include "lay.h"
#include "lift.h"

static const struct sf_pool_sip plain = {.time_us = 1000,
                                         .arrival_us = 3000,
                                         .client_id = 9,
                                         .leg = -2,
                                         .src_port = 5060,
                                         .dst_port = 5061,
                                         .family = 4,
                                         .has_leg = 1,
                                         .src = {192, 0, 2, 1},
                                         .dst = {192, 0, 2, 2}};

static uint8_t memory[1024];
static size_t used;
static struct sf_message_entry entries[3];

/* Two messages of call "a", one of "b"; gives the octets of the content. */
static size_t content_of_three(uint8_t *content, unsigned *transform)
{
    struct sf_block block;
    struct sf_pool_sip later = plain, six = plain;
    size_t payload_at;
    later.time_us = 4000;
    six.family = 6;
    six.clock_skew = 1;
    used = lay_message(memory, 0, plain, "a", "INVITE");
    used = lay_message(memory, used, later, "a", "BYE");
    used = lay_message(memory, used, six, "b", "OPTIONS");
    size_t n = sf_messages_encode(memory, used, 3, entries, content, &block, &payload_at);
    *transform = block.transform;
    return n;
}

static void what_went_in_comes_out(void)
{
    static uint8_t content[1024], again[1024];
    struct sf_message_entry others[3];
    struct sf_block block;
    struct sf_octets arena = {0};
    unsigned transform;
    uint64_t ends[2];
    size_t payload_at;
    size_t n = content_of_three(content, &transform);
    struct sf_run runs[] = {{entries[0].position, 2}, {entries[2].position, 1}};
    CHECK(sf_lift(guarded(content, n), transform, runs, 2, &arena, ends) == SF_BLOCK_OK);
    CHECK(ends[0] < ends[1] && ends[1] == arena.n && arena.n == used);
    CHECK(sf_messages_encode(arena.p, arena.n, 3, others, again, &block, &payload_at) == n);
    CHECK(memcmp(content, again, n) == 0);
    sf_octets_free(&arena);
}

static void what_is_no_run_is_refused(void)
{
    static uint8_t content[1024];
    struct sf_octets arena = {0};
    unsigned transform;
    uint64_t ends[2];
    size_t n = content_of_three(content, &transform);
    uint32_t first = entries[0].position, last = entries[2].position;
    const struct sf_run wrong[][2] = {
        {{first, 3}, {last, 1}},     /* of two calls */
        {{first, 0}, {last, 1}},     /* none */
        {{first + 1, 1}, {last, 1}}, /* no message stands there */
        {{last, 1}, {first, 1}},     /* not in order */
        {{first, 1}, {last, 2}},     /* more than there are */
        {{first, 1}, {UINT32_MAX, 1}},
    };
    struct sf_slice octets = guarded(content, n);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(sf_lift(octets, transform, wrong[i], 2, &arena, ends) == SF_BLOCK_BAD_CONTENT);
    }
    struct sf_run all[] = {{first, 2}, {last, 1}};
    for (size_t cut = 0; cut < n; cut++) {
        CHECK(sf_lift(guarded(content, cut), transform, all, 2, &arena, ends) != SF_BLOCK_OK);
    }
    sf_octets_free(&arena);
}

int main(void)
{
    what_went_in_comes_out();
    what_is_no_run_is_refused();
    puts("test_lift: ok");
    return 0;
}
