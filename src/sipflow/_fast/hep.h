/*
 * HEP, also called EEP: frames of version 3, and of versions 1 and 2. What is taken of them:
 * docs/HEP.md.
 *
 * Owns:    nothing.
 * Lends:   payload, correlation and key, which point into the frame,
 * Until:   its buffer changes.
 * Threads: any; all functions are pure.
 *
 * Lengths are strict, contents lenient: a frame whose lengths contradict each other is refused, a
 * chunk that is unknown, another vendor's or of a size its type does not have is passed over.
 */
#ifndef SF_HEP_H
#define SF_HEP_H

#include "packet.h"

#define SF_HEP_HEAD      6
#define SF_HEP_FRAME_MAX 65535

/* Values of chunk 11 that are taken. */
enum sf_hep_protocol { SF_HEP_UNTOLD = 0, SF_HEP_SIP = 1, SF_HEP_RTP = 4, SF_HEP_RTCP = 5 };

struct sf_hep {
    uint64_t time_us;  /* 0: not told */
    uint32_t agent;    /* 0: not told */
    uint8_t protocol;  /* chunk 11; versions 1 and 2 carry SIP */
    uint8_t family;    /* enum sf_family; governs both addresses */
    bool packed;       /* the payload is compressed (chunk 16) */
    bool has_payload;  /* one of chunks 15, 16 stands there */
    uint16_t src_port; /* 0: not told */
    uint16_t dst_port;
    uint8_t src[16]; /* as in struct sf_packet; all 0: not told */
    uint8_t dst[16];
    struct sf_slice payload;
    struct sf_slice correlation;
    struct sf_slice key;
};

/* True when the octets begin like a frame of any version. */
bool sf_hep_looks_like(struct sf_slice octets);

/*
 * Finds the frame of version 3 at the start of a stream. SF_TRUNCATED: its end has not come yet;
 * SF_BAD_MAGIC, SF_BAD_HEP: no frame begins here, and nothing tells where one would.
 */
enum sf_status sf_hep_frame(struct sf_slice octets, struct sf_slice *frame);

/* Parses the frame that begins `octets`; what follows it is not looked at. */
enum sf_status sf_hep_parse(struct sf_slice octets, struct sf_hep *out);

/*
 * Makes a packet of a frame whose payload is unpacked: SIP, which names its call itself, or RTP and
 * RTCP, of the call that the correlation id names. Its time is 0 when none was told.
 * SF_HEP_OTHER: a report, a log line, or nothing at all; SF_BAD_CALL_ID: it names no call in UTF-8.
 */
enum sf_status sf_hep_packet(const struct sf_hep *hep, struct sf_packet *out);

/* Compares in a time that depends on the length of `given` alone. */
bool sf_hep_key_fits(struct sf_slice given, struct sf_slice wanted);

#endif
