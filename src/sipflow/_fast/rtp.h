/*
 * The RTP header (RFC 3550, section 5.1).
 *
 * Owns:    nothing.
 * Lends:   the payload, which points into the packet,
 * Until:   the packet's buffer changes.
 * Threads: any; all functions are pure.
 */
#ifndef SF_RTP_H
#define SF_RTP_H

#include "cursor.h"

#define SF_RTP_HEAD 12

enum sf_rtp_kind {
    SF_RTP_OTHER, /* not RTP version 2, or shorter than its header */
    SF_RTP_PACKET,
    SF_RTP_CONTROL /* RTCP on the same port (RFC 5761, section 4) */
};

struct sf_rtp {
    bool marker;
    uint8_t payload_type;
    uint16_t sequence;
    uint32_t timestamp;
    uint32_t ssrc;
    struct sf_slice payload; /* without CSRC list, extension and padding */
};

enum sf_rtp_kind sf_rtp_kind(struct sf_slice packet);

/* False when CSRC list, extension or padding reach beyond the packet, or it is not RTP. */
bool sf_rtp_parse(struct sf_slice packet, struct sf_rtp *out);

/* Distance from b to a on the circle of sequence numbers (RFC 1982), -32768 to 32767. */
static inline int sf_sequence_distance(uint16_t a, uint16_t b)
{
    return (int16_t)(uint16_t)(a - b);
}

/* Distance from b to a on the circle of timestamps [clock units]. */
static inline int32_t sf_timestamp_distance(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b);
}

#endif
