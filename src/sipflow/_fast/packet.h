/*
 * SipFlow datagrams: a single packet frame (53 46) or a batch of them (53 47).
 * Byte tables: docs/WIRE.md.
 *
 * Owns:    nothing.
 * Lends:   call_id and payload, which point into the datagram,
 * Until:   the datagram's buffer changes.
 * Threads: any; all functions are pure.
 */
#ifndef SF_PACKET_H
#define SF_PACKET_H

#include "cursor.h"
#include "status.h"

enum sf_kind { SF_SIP = 0, SF_RTP = 1 };
enum sf_family { SF_IPV4 = 4, SF_IPV6 = 6 };

#define SF_FRAME_MAGIC   0x5346
#define SF_BATCH_MAGIC   0x5347
#define SF_BATCH_VERSION 1
#define SF_BATCH_HEAD    5
#define SF_FRAME_MIN     33    /* version 2, IPv4, no metadata, no payload */
#define SF_DATAGRAM_MAX  65507 /* what one UDP datagram over IPv4 can hold */

struct sf_packet {
    uint64_t time_us;
    uint32_t client_id; /* 0: version 2, or unknown */
    int32_t leg;        /* 0 when has_metadata is false */
    uint8_t kind;       /* enum sf_kind */
    uint8_t family;     /* enum sf_family; governs both addresses */
    bool has_metadata;
    uint16_t src_port;
    uint16_t dst_port;
    uint8_t src[16]; /* network order; IPv4 fills the first four, the rest is 0 */
    uint8_t dst[16];
    struct sf_slice call_id; /* UTF-8, may be empty */
    struct sf_slice payload;
};

/* Parses the frame at the start of `octets`; what follows the frame is not looked at. */
enum sf_status sf_packet_parse(struct sf_slice octets, struct sf_packet *out);

/* Octets that sf_packet_encode will write for version 2 or 3. */
size_t sf_packet_size(const struct sf_packet *packet, unsigned version);

/* Writes a frame to `dst`, which has room for sf_packet_size octets; gives the end. */
uint8_t *sf_packet_encode(const struct sf_packet *packet, unsigned version, uint8_t *dst);

/*
 * A datagram opened for reading: one frame or many. A batch is refused whole only when its
 * lengths contradict each other, because then no frame boundary can be trusted; a frame
 * that is bad inside sound boundaries costs only itself.
 */
struct sf_datagram {
    struct sf_cursor rest;
    unsigned left; /* frames not yet taken */
    bool batch;
};

enum sf_status sf_datagram_open(struct sf_slice octets, struct sf_datagram *out);

/* Gives the octets of the next frame; false when there is none. */
bool sf_datagram_next(struct sf_datagram *datagram, struct sf_slice *frame);

/* Batch header for `count` frames; each frame follows as a 32-bit length and its octets. */
uint8_t *sf_batch_head(uint8_t *dst, uint16_t count);

/* True when `text` is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool sf_utf8_valid(struct sf_slice text);

#endif
