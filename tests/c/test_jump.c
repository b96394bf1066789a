/* The node of a Call-ID, as every RustPBX sender computes it; and the hash of our own tables. */
#include "guard.h"
#include "hash.h"
#include "jump.h"

static void nodes_of_calls(void)
{
    static const int32_t nodes[] = {2, 3, 4, 5, 8, 16, 100};
    static const struct {
        const char *id;
        int32_t node[7];
    } golden[] = {
        {"", {0, 0, 0, 0, 0, 0, 0}},
        {"a", {0, 0, 0, 0, 0, 0, 29}},
        {"abc", {0, 0, 0, 0, 7, 8, 8}},
        {"c1", {1, 1, 1, 1, 5, 5, 89}},
        {"call-1", {0, 0, 0, 4, 4, 4, 75}},
        {"call-123", {1, 2, 2, 2, 2, 2, 92}},
        {"call-000000", {0, 2, 3, 3, 5, 14, 36}},
        {"call-000001", {1, 1, 1, 1, 1, 1, 1}},
        {"remote-call-1", {1, 1, 1, 1, 1, 1, 82}},
        {"1-2345@10.0.0.1", {1, 2, 2, 4, 4, 4, 99}},
        {"a84b4c76e66710@pc33.atlanta.com", {1, 1, 1, 4, 5, 5, 17}},
        {"3848276298220188511@atlanta.example.com", {0, 2, 2, 2, 6, 9, 63}},
        {"f81d4fae-7dec-11d0-a765-00a0c91e6bf6@biloxi.com", {0, 2, 2, 2, 2, 12, 61}},
        {"\xe5\x91\xbc\xe5\x8f\xab-1", {1, 2, 2, 2, 2, 2, 2}},
        {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
         "xxxxxxxxxxx"
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
         "xxxxxxxxxxx"
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
         "xxxxxxxxxxx",
         {0, 2, 3, 3, 3, 3, 86}},
    };
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        struct sf_slice id = guarded(golden[i].id, strlen(golden[i].id));
        CHECK(sf_jump(id, 1) == 0);
        CHECK(sf_jump(id, 0) == -1 && sf_jump(id, -5) == -1);
        for (size_t k = 0; k < sizeof nodes / sizeof *nodes; k++) {
            CHECK(sf_jump(id, nodes[k]) == golden[i].node[k]);
        }
        CHECK(sf_jump(id, INT32_MAX) >= 0);
    }
    /* Published for the bare jump hash; ids whose base-31 number is the key: 42, 10, 256, 1. */
    CHECK(sf_jump(text_slice("*"), 57) == 43);
    CHECK(sf_jump(text_slice("\n"), 3) == 2);
    CHECK(sf_jump(text_slice("\b\b"), 1024) == 520);
    CHECK(sf_jump(text_slice("\x01"), 1) == 0);
}

/* A call moves only to a node that was added behind the others. */
static void only_the_new_node_takes_calls(void)
{
    uint64_t state = 7;
    unsigned moved = 0;
    for (int i = 0; i < 2000; i++) {
        char id[16];
        int n = snprintf(id, sizeof id, "%08x", roll(&state));
        int32_t three = sf_jump(sf_slice(id, (size_t)n), 3);
        int32_t four = sf_jump(sf_slice(id, (size_t)n), 4);
        CHECK(four == three || four == 3);
        moved += four != three;
    }
    CHECK(moved > 400 && moved < 600); /* a quarter */
}

/* Not a matter of bits, only of use: seeds differ, lengths differ, places fill evenly. */
static void hash_spreads(void)
{
    uint8_t zeros[64] = {0};
    for (size_t n = 1; n <= sizeof zeros; n++) {
        struct sf_slice in = guarded(zeros, n);
        CHECK(sf_hash(in.p, n, 1) != sf_hash(in.p, n - 1, 1));
        CHECK(sf_hash(in.p, n, 1) != sf_hash(in.p, n, 2));
    }
    unsigned filled[256] = {0};
    for (unsigned i = 0; i < 256 * 100; i++) {
        char id[16];
        int n = snprintf(id, sizeof id, "call-%06u", i);
        filled[sf_hash(guarded(id, (size_t)n).p, (size_t)n, 5) & 255]++;
    }
    for (unsigned i = 0; i < 256; i++) {
        CHECK(filled[i] > 50 && filled[i] < 150);
    }
}

int main(void)
{
    nodes_of_calls();
    only_the_new_node_takes_calls();
    hash_spreads();
    puts("ok jump");
    return 0;
}
