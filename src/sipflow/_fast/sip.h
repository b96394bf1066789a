/*
 * The head of a SIP message (RFC 3261, section 7): what the index needs, found in one pass.
 *
 * Owns:    nothing.
 * Lends:   slices that point into the message,
 * Until:   its buffer changes.
 * Threads: any; all functions are pure.
 *
 * Lenient where real messages are: lines may end in LF alone, names may be compact or of any
 * case, blanks may stand before the colon, values may be folded. Headers are never looked
 * for behind the empty line. Of a header that occurs twice the first counts.
 */
#ifndef SF_SIP_H
#define SF_SIP_H

#include "cursor.h"

struct sf_sip_party {
    struct sf_slice uri;  /* without angle brackets and header parameters */
    struct sf_slice user; /* between the scheme and @; empty when the URI has none */
    struct sf_slice tag;
};

struct sf_sip {
    bool is_request;
    bool is_response;
    struct sf_slice method;  /* of a request */
    struct sf_slice uri;     /* of a request */
    unsigned status;         /* of a response, 100..999 */
    struct sf_slice reason;  /* of a response */
    struct sf_slice call_id; /* any octets but LF, as they stand there */
    bool has_call_id;        /* the header stands there, even if empty */
    struct sf_sip_party from;
    struct sf_sip_party to;
    bool has_cseq;
    uint32_t cseq;
    struct sf_slice cseq_method;
    struct sf_slice user_agent; /* else Server */
    struct sf_slice branch;     /* of the topmost Via */
    struct sf_slice content_type;
    bool has_content_length; /* the header stands there and is a number */
    uint32_t content_length;
    size_t body; /* offset of the body; the length of the message when there is none */
};

/* Scans a message; true when it has a start line of SIP. The headers are read either way. */
bool sf_sip_scan(struct sf_slice message, struct sf_sip *out);

/* Finds the Call-ID alone; false when no header of that name stands there. */
bool sf_sip_call_id(struct sf_slice message, struct sf_slice *out);

/* True when the octets begin like SIP: `METHOD URI SIP/2.0` or `SIP/2.0 DDD`. */
bool sf_sip_looks_like(struct sf_slice octets);

#endif
