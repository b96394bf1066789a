#include "unpack.h"

#include <stdlib.h>
#include <zlib.h>

#define ROOM (4 * SF_UNPACKED_MAX)
/* As inflateInit2 takes them: zlib or gzip as the head says; deflate without a head. */
#define WITH_HEAD (MAX_WBITS + 32)
#define BARE      (-MAX_WBITS)

struct sf_unpacker {
    z_stream stream;
    uint8_t *memory;
    size_t used;
};

struct sf_unpacker *sf_unpacker_new(void)
{
    struct sf_unpacker *u = calloc(1, sizeof *u);
    if (u == NULL) {
        return NULL;
    }
    u->memory = malloc(ROOM);
    if (u->memory == NULL || inflateInit2(&u->stream, WITH_HEAD) != Z_OK) {
        free(u->memory);
        free(u);
        return NULL;
    }
    return u;
}

struct sf_unpacker *sf_unpacker_free(struct sf_unpacker *u)
{
    if (u != NULL) {
        inflateEnd(&u->stream);
        free(u->memory);
        free(u);
    }
    return NULL;
}

bool sf_unpacker_has_room(const struct sf_unpacker *u, unsigned inputs)
{
    return (ROOM - u->used) / SF_UNPACKED_MAX >= inputs;
}

void sf_unpacker_clear(struct sf_unpacker *u)
{
    u->used = 0;
}

bool sf_is_gzip(struct sf_slice octets)
{
    return octets.n >= 2 && octets.p[0] == 0x1f && octets.p[1] == 0x8b;
}

static int inflate_as(struct sf_unpacker *u, struct sf_slice packed, int form)
{
    z_stream *s = &u->stream;
    if (inflateReset2(s, form) != Z_OK) {
        return Z_DATA_ERROR;
    }
    s->next_in = (z_const Bytef *)packed.p;
    s->avail_in = (uInt)packed.n;
    s->next_out = u->memory + u->used;
    s->avail_out = SF_UNPACKED_MAX;
    return inflate(s, Z_FINISH);
}

enum sf_status sf_unpack(struct sf_unpacker *u, struct sf_slice packed, struct sf_slice *out)
{
    if (packed.n == 0) {
        return SF_BAD_HEP;
    }
    if (packed.n > UINT32_MAX || !sf_unpacker_has_room(u, 1)) {
        return SF_TOO_LARGE;
    }
    int end = inflate_as(u, packed, WITH_HEAD);
    if (end == Z_DATA_ERROR && u->stream.total_out == 0) {
        end = inflate_as(u, packed, BARE);
    }
    if (end != Z_STREAM_END) {
        /* zlib is content as long as there is room for more. */
        return u->stream.avail_out == 0 ? SF_TOO_LARGE : SF_BAD_HEP;
    }
    *out = sf_slice(u->memory + u->used, SF_UNPACKED_MAX - u->stream.avail_out);
    u->used += out->n;
    return SF_OK;
}
