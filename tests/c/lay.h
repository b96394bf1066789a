/*
 * Lays down pool memory for tests, as the receiver does (chunk.h).
 *
 * Owns:    nothing.
 * Lends:   nothing.
 * Until:   -
 * Threads: one.
 */
#ifndef SF_TEST_LAY_H
#define SF_TEST_LAY_H

#include "chunk.h"

/* Writes an identity and its call id at `memory`; gives the octets used. */
static inline size_t lay_identity(uint8_t *memory, struct sf_chunk_identity id, const char *call_id)
{
    id.call_id_length = (uint16_t)strlen(call_id);
    size_t used = sf_chunk_head(id.call_id_length);
    memset(memory, 0, used);
    memcpy(memory, &id, sizeof id);
    memcpy(memory + sizeof id, call_id, id.call_id_length);
    return used;
}

/* Appends one packet behind `used` octets; gives the octets used then. */
static inline size_t lay_packet(uint8_t *memory, size_t used, int64_t time_us, int64_t arrival_us,
                                const void *octets, size_t n)
{
    struct sf_pool_rtp record = {
        .time_us = (uint64_t)time_us, .arrival_us = (uint64_t)arrival_us, .length = (uint16_t)n};
    memcpy(memory + used, &record, sizeof record);
    memset(memory + used + sizeof record, 0, sf_align8(n));
    if (n > 0) {
        memcpy(memory + used + sizeof record, octets, n);
    }
    return used + sizeof record + sf_align8(n);
}

/* Appends one SIP message; lengths are taken from the texts. */
static inline size_t lay_message(uint8_t *memory, size_t used, struct sf_pool_sip record,
                                 const char *call_id, const char *payload)
{
    record.call_id_length = (uint16_t)strlen(call_id);
    record.payload_length = (uint32_t)strlen(payload);
    size_t octets = strlen(call_id) + strlen(payload);
    memcpy(memory + used, &record, sizeof record);
    used += sizeof record;
    memset(memory + used, 0, sf_align8(octets));
    memcpy(memory + used, call_id, strlen(call_id));
    memcpy(memory + used + strlen(call_id), payload, strlen(payload));
    return used + sf_align8(octets);
}

#endif
