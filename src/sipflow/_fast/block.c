#include "block.h"

#include "crc32c.h"
#include "little.h"

static const uint8_t magic[] = {0x53, 0x46};

static const char *const texts[SF_BLOCK_STATUS_COUNT] = {
    [SF_BLOCK_OK] = "ok",
    [SF_BLOCK_TRUNCATED] = "it ends too early",
    [SF_BLOCK_BAD_MAGIC] = "no block starts here",
    [SF_BLOCK_BAD_HEADER] = "its header is damaged",
    [SF_BLOCK_NEWER] = "it was written by a later version",
    [SF_BLOCK_UNKNOWN] = "it is of a kind that only a later version reads",
    [SF_BLOCK_BAD_FRAME] = "its compressed octets are damaged",
    [SF_BLOCK_BAD_CONTENT] = "its content contradicts itself",
    [SF_BLOCK_NO_MEMORY] = "out of memory",
};

const char *sf_block_status_text(enum sf_block_status status)
{
    return (unsigned)status < SF_BLOCK_STATUS_COUNT ? texts[status] : "unknown";
}

uint8_t *sf_block_encode(const struct sf_block *block, uint8_t *dst)
{
    uint8_t *p = sf_store_le32(dst, SF_BLOCK_SKIPPABLE);
    p = sf_store_le32(p, SF_BLOCK_HEAD - SF_BLOCK_AT_MAGIC);
    *p++ = magic[0];
    *p++ = magic[1];
    *p++ = SF_BLOCK_VERSION;
    *p++ = block->kind;
    *p++ = block->transform;
    *p++ = block->flags;
    p = sf_store_le16(p, 0);
    p = sf_store_le32(p, block->records);
    p = sf_store_le32(p, block->raw_length);
    p = sf_store_le32(p, block->frame_length);
    p = sf_store_le32(p, block->frame_crc);
    p = sf_store_le64(p, block->chunk);
    p = sf_store_le64(p, (uint64_t)block->t0_us);
    p = sf_store_le64(p, (uint64_t)block->t1_us);
    return sf_store_le32(p, sf_crc32c(0, dst, SF_BLOCK_AT_HEADER_CRC));
}

enum sf_block_status sf_block_decode(struct sf_slice octets, struct sf_block *out)
{
    struct sf_cursor c = sf_cursor(octets.p, octets.n);
    uint32_t skippable = sf_read_le32(&c);
    uint32_t size = sf_read_le32(&c);
    const uint8_t *mark = sf_take(&c, sizeof magic);
    uint8_t version = sf_read_u8(&c);
    if (c.bad) {
        return SF_BLOCK_TRUNCATED;
    }
    if (skippable != SF_BLOCK_SKIPPABLE || memcmp(mark, magic, sizeof magic) != 0) {
        return SF_BLOCK_BAD_MAGIC;
    }
    /* Later versions keep the octets up to here and the checksum at the end of the header. */
    size_t rest = (size_t)SF_BLOCK_AT_VERSION + 1 - SF_BLOCK_AT_MAGIC;
    if (size < rest + 4 || size > 4096 ||
        (version == SF_BLOCK_VERSION && size != SF_BLOCK_HEAD - 8)) {
        return SF_BLOCK_BAD_HEADER;
    }
    if (octets.n - 8 < size) {
        return SF_BLOCK_TRUNCATED;
    }
    size_t covered = 8 + (size_t)size - 4;
    if (sf_crc32c(0, octets.p, covered) != sf_load_le32(octets.p + covered)) {
        return SF_BLOCK_BAD_HEADER;
    }
    if (version > SF_BLOCK_VERSION) {
        return SF_BLOCK_NEWER;
    }
    out->version = version;
    out->kind = sf_read_u8(&c);
    out->transform = sf_read_u8(&c);
    out->flags = sf_read_u8(&c);
    out->reserved = sf_read_le16(&c);
    out->records = sf_read_le32(&c);
    out->raw_length = sf_read_le32(&c);
    out->frame_length = sf_read_le32(&c);
    out->frame_crc = sf_read_le32(&c);
    out->chunk = sf_read_le64(&c);
    out->t0_us = (int64_t)sf_read_le64(&c);
    out->t1_us = (int64_t)sf_read_le64(&c);
    if (version == 0 || out->reserved != 0 || out->raw_length > SF_BLOCK_RAW_MAX ||
        out->frame_length > SF_BLOCK_FRAME_MAX) {
        return SF_BLOCK_BAD_HEADER;
    }
    bool messages = out->kind == SF_BLOCK_MESSAGES &&
                    (out->transform == SF_TRANSFORM_HEADS || out->transform == SF_TRANSFORM_NONE);
    bool stream = out->kind == SF_BLOCK_STREAM && out->transform == SF_TRANSFORM_COMPANDED;
    return messages || stream ? SF_BLOCK_OK : SF_BLOCK_UNKNOWN;
}

enum sf_block_status sf_block_verify(const struct sf_block *block, struct sf_slice frame)
{
    if (frame.n < block->frame_length) {
        return SF_BLOCK_TRUNCATED;
    }
    uint32_t crc = sf_crc32c(0, frame.p, block->frame_length);
    return crc == block->frame_crc ? SF_BLOCK_OK : SF_BLOCK_BAD_FRAME;
}

size_t sf_block_find(struct sf_slice octets, size_t from)
{
    while (from < octets.n && octets.n - from >= SF_BLOCK_HEAD) {
        const uint8_t *at =
            memchr(octets.p + from, SF_BLOCK_SKIPPABLE & 0xff, octets.n - from - SF_BLOCK_HEAD + 1);
        if (at == NULL) {
            break;
        }
        from = (size_t)(at - octets.p);
        struct sf_slice rest = sf_slice(at, octets.n - from);
        struct sf_block block;
        enum sf_block_status status = sf_block_decode(rest, &block);
        if (status == SF_BLOCK_NEWER) {
            return from;
        }
        if (status == SF_BLOCK_OK || status == SF_BLOCK_UNKNOWN) {
            rest = sf_slice(rest.p + SF_BLOCK_HEAD, rest.n - SF_BLOCK_HEAD);
            if (sf_block_verify(&block, rest) == SF_BLOCK_OK) {
                return from;
            }
        }
        from++;
    }
    return octets.n;
}

size_t sf_block_assembled(const struct sf_slice *frames, size_t count)
{
    size_t octets = count * SF_BLOCK_HEAD;
    for (size_t i = 0; i < count; i++) {
        octets += frames[i].n;
    }
    return octets;
}

uint8_t *sf_block_assemble(struct sf_block *blocks, const struct sf_slice *frames, size_t count,
                           uint64_t *offsets, uint8_t *dst)
{
    uint8_t *p = dst;
    for (size_t i = 0; i < count; i++) {
        offsets[i] = (uint64_t)(p - dst);
        blocks[i].version = SF_BLOCK_VERSION;
        blocks[i].frame_length = (uint32_t)frames[i].n;
        blocks[i].frame_crc = sf_crc32c(0, frames[i].p, frames[i].n);
        p = sf_block_encode(&blocks[i], p);
        if (frames[i].n > 0) {
            memcpy(p, frames[i].p, frames[i].n);
        }
        p += frames[i].n;
    }
    return p;
}
