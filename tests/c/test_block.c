/* A header is read as it was written, or refused; sound blocks are found behind damage. */
#include "block.h"
#include "crc32c.h"
#include "guard.h"

static struct sf_block sample(void)
{
    return (struct sf_block){.t0_us = -1,
                             .t1_us = 0x0102030405060708,
                             .chunk = 0x1112131415161718u,
                             .records = 100,
                             .raw_length = 16000,
                             .kind = SF_BLOCK_STREAM,
                             .transform = SF_TRANSFORM_COMPANDED,
                             .flags = SF_BLOCK_CLOCK_SKEW};
}

static size_t two_blocks(uint8_t *octets, uint64_t offsets[2])
{
    struct sf_block blocks[2] = {sample(), sample()};
    struct sf_slice frames[2] = {text_slice("first frame"), text_slice("second")};
    CHECK(sf_block_assembled(frames, 2) == 2 * SF_BLOCK_HEAD + 17);
    uint8_t *end = sf_block_assemble(blocks, frames, 2, offsets, octets);
    CHECK(blocks[0].frame_length == 11 && blocks[0].version == SF_BLOCK_VERSION);
    return (size_t)(end - octets);
}

static void layout_is_what_the_document_says(void)
{
    uint8_t head[SF_BLOCK_HEAD], expected[SF_BLOCK_HEAD];
    struct sf_block block = sample();
    block.frame_length = 5;
    block.frame_crc = 0xa1b2c3d4;
    CHECK(sf_block_encode(&block, head) == head + SF_BLOCK_HEAD);
    size_t n = unhex("502a4d18 34000000 5346 01 02 01 01 0000 64000000 803e0000 05000000 d4c3b2a1"
                     "1817161514131211 ffffffffffffffff 0807060504030201",
                     expected);
    CHECK(n == SF_BLOCK_AT_HEADER_CRC && memcmp(head, expected, n) == 0);
    struct sf_block read;
    CHECK(sf_block_decode(guarded(head, sizeof head), &read) == SF_BLOCK_OK);
    CHECK(read.t0_us == -1 && read.t1_us == block.t1_us && read.chunk == block.chunk);
    CHECK(read.records == 100 && read.raw_length == 16000 && read.frame_crc == 0xa1b2c3d4);
    CHECK(read.version == 1 && read.kind == 2 && read.transform == 1 && read.flags == 1);
}

static void every_cut_and_every_flip_is_found(void)
{
    uint8_t octets[512];
    uint64_t offsets[2];
    size_t n = two_blocks(octets, offsets);
    struct sf_block block;
    for (size_t end = 0; end < SF_BLOCK_HEAD; end++) {
        CHECK(sf_block_decode(guarded(octets, end), &block) == SF_BLOCK_TRUNCATED);
    }
    for (size_t bit = 0; bit < 8 * SF_BLOCK_HEAD; bit++) {
        octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(sf_block_decode(guarded(octets, n), &block) != SF_BLOCK_OK);
        octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK(sf_block_decode(guarded(octets, n), &block) == SF_BLOCK_OK);
    struct sf_slice frame = guarded(octets + SF_BLOCK_HEAD, 11);
    CHECK(sf_block_verify(&block, frame) == SF_BLOCK_OK);
    CHECK(sf_block_verify(&block, sf_slice(frame.p, 10)) == SF_BLOCK_TRUNCATED);
    octets[SF_BLOCK_HEAD + 3] ^= 1;
    CHECK(sf_block_verify(&block, guarded(octets + SF_BLOCK_HEAD, 11)) == SF_BLOCK_BAD_FRAME);
}

static void unknown_kinds_and_transforms_are_no_damage(void)
{
    static const uint8_t pairs[][2] = {{0, 0}, {3, 0}, {1, 1}, {2, 0}, {2, 2}};
    uint8_t head[SF_BLOCK_HEAD];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct sf_block block = sample(), read;
        block.kind = pairs[i][0];
        block.transform = pairs[i][1];
        sf_block_encode(&block, head);
        CHECK(sf_block_decode(guarded(head, sizeof head), &read) == SF_BLOCK_UNKNOWN);
    }
    struct sf_block huge = sample(), read;
    huge.raw_length = SF_BLOCK_RAW_MAX + 1;
    sf_block_encode(&huge, head);
    CHECK(sf_block_decode(guarded(head, sizeof head), &read) == SF_BLOCK_BAD_HEADER);
}

static void sound_blocks_are_found(void)
{
    uint8_t octets[512];
    uint64_t offsets[2];
    size_t n = two_blocks(octets, offsets);
    CHECK(offsets[0] == 0 && offsets[1] == SF_BLOCK_HEAD + 11);
    CHECK(sf_block_find(guarded(octets, n), 0) == 0);
    CHECK(sf_block_find(guarded(octets, n), 1) == offsets[1]);
    CHECK(sf_block_find(guarded(octets, n), offsets[1] + 1) == n);
    CHECK(sf_block_find(guarded(octets, n), SIZE_MAX) == n);
    /* A header whose frame is cut off or damaged is not a sound block. */
    CHECK(sf_block_find(guarded(octets, n - 1), 1) == n - 1);
    octets[n - 1] ^= 1;
    CHECK(sf_block_find(guarded(octets, n), 1) == n);
    CHECK(sf_block_find(guarded(octets, 0), 0) == 0);
}

static void a_later_version_is_found_behind_damage_too(void)
{
    uint8_t octets[SF_BLOCK_HEAD + 7] = "damage";
    struct sf_block block = sample();
    uint8_t *head = octets + 7;
    sf_block_encode(&block, head);
    head[SF_BLOCK_AT_VERSION] = SF_BLOCK_VERSION + 1;
    uint32_t crc = sf_crc32c(0, head, SF_BLOCK_AT_HEADER_CRC);
    for (unsigned i = 0; i < 4; i++) {
        head[SF_BLOCK_AT_HEADER_CRC + i] = (uint8_t)(crc >> 8 * i);
    }
    CHECK(sf_block_decode(guarded(head, SF_BLOCK_HEAD), &block) == SF_BLOCK_NEWER);
    CHECK(sf_block_find(guarded(octets, sizeof octets), 0) == 7);
}

static void every_status_has_a_text(void)
{
    for (unsigned status = 0; status < SF_BLOCK_STATUS_COUNT; status++) {
        CHECK(strlen(sf_block_status_text((enum sf_block_status)status)) > 0);
    }
    CHECK_TEXT(text_slice(sf_block_status_text((enum sf_block_status)99)), "unknown");
}

int main(void)
{
    layout_is_what_the_document_says();
    every_cut_and_every_flip_is_found();
    unknown_kinds_and_transforms_are_no_damage();
    sound_blocks_are_found();
    a_later_version_is_found_behind_damage_too();
    every_status_has_a_text();
    puts("test_block: ok");
    return 0;
}
