#include "hep_reader.h"

#include <stdlib.h>

#include "unpack.h"

struct sf_hep_reader {
    struct sf_unpacker *unpacker;
    uint8_t *key;
    size_t key_n;
};

struct sf_hep_reader *sf_hep_reader_new(struct sf_slice key)
{
    struct sf_hep_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        return NULL;
    }
    reader->unpacker = sf_unpacker_new();
    reader->key = malloc(key.n + 1);
    if (reader->unpacker == NULL || reader->key == NULL) {
        return sf_hep_reader_free(reader);
    }
    if (key.n > 0) {
        memcpy(reader->key, key.p, key.n);
    }
    reader->key_n = key.n;
    return reader;
}

struct sf_hep_reader *sf_hep_reader_free(struct sf_hep_reader *reader)
{
    if (reader != NULL) {
        sf_unpacker_free(reader->unpacker);
        free(reader->key);
        free(reader);
    }
    return NULL;
}

bool sf_hep_reader_has_room(const struct sf_hep_reader *reader)
{
    /* A frame may be packed, and the payload in it once more. */
    return sf_unpacker_has_room(reader->unpacker, 2);
}

void sf_hep_reader_clear(struct sf_hep_reader *reader)
{
    sf_unpacker_clear(reader->unpacker);
}

bool sf_hep_reader_knows(struct sf_slice octets)
{
    return sf_hep_looks_like(octets) || sf_is_gzip(octets);
}

/* Reads a frame that is not packed as a whole. */
static enum sf_status read_frame(struct sf_hep_reader *reader, struct sf_slice octets,
                                 struct sf_packet *out)
{
    struct sf_hep hep;
    enum sf_status status = sf_hep_parse(octets, &hep);
    if (status != SF_OK) {
        return status;
    }
    if (reader->key_n > 0 && !sf_hep_key_fits(hep.key, sf_slice(reader->key, reader->key_n))) {
        return SF_HEP_KEY;
    }
    if (hep.packed) {
        status = sf_unpack(reader->unpacker, hep.payload, &hep.payload);
        if (status != SF_OK) {
            return status;
        }
    }
    return sf_hep_packet(&hep, out);
}

enum sf_status sf_hep_read(struct sf_hep_reader *reader, struct sf_slice octets,
                           uint64_t arrival_us, struct sf_packet *out)
{
    enum sf_status status = SF_OK;
    if (sf_is_gzip(octets)) {
        status = sf_unpack(reader->unpacker, octets, &octets);
    }
    if (status == SF_OK) {
        status = read_frame(reader, octets, out);
    }
    if (status == SF_OK && out->time_us == 0) {
        out->time_us = arrival_us;
    }
    return status;
}
