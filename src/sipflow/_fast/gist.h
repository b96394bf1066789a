/*
 * The gist of SIP messages: what the index says of them, call by call, taken from their blocks
 * while these are encoded or read. The messages themselves are not needed any more then.
 *
 * Owns:    its texts, all of them well-formed UTF-8.
 * Lends:   texts, which point into it,
 * Until:   something is added or it is cleared.
 * Threads: one at a time.
 */
#ifndef SF_GIST_H
#define SF_GIST_H

#include "block.h"
#include "digest.h"
#include "octets.h"

/* The two ends of a packet, told apart by their octets. */
struct sf_ends_key {
    uint8_t src[16];
    uint8_t dst[16];
    uint16_t src_port;
    uint16_t dst_port;
    uint8_t family;
    uint8_t pad[3];
};

/* Where a text stands. */
struct sf_text_at {
    uint32_t at;
    uint32_t n;
};

/* A message, as its row says. */
struct sf_message_gist {
    int64_t time_us;
    struct sf_ends_key ends;
    struct sf_text_at method; /* of the request, or of the CSeq that a response answers */
    uint32_t position;        /* in the content of its block */
    uint32_t cseq;
    uint16_t status; /* 0: a request */
    bool has_cseq;
};

/* What some messages, one behind the other in a block, say of the call they belong to. */
struct sf_call_gist {
    uint64_t hash; /* sf_hash of its Call-ID */
    struct sf_text_at call_id;
    uint32_t message; /* the first of them in the gist */
    uint32_t messages;
    struct sf_text_at party[SF_PARTY_TEXTS];
    struct sf_text_at reason;
    struct sf_digest digest; /* its texts: sf_gist_digest */
};

/* All zero is empty. */
struct sf_gist {
    struct sf_octets texts;
    struct sf_octets calls;    /* struct sf_call_gist */
    struct sf_octets messages; /* struct sf_message_gist */
    size_t call_count;
    size_t message_count;
};

/*
 * Takes in the messages of a block from its content; SF_BLOCK_OK, or why not: then nothing was
 * taken. `messages` is how many the block should hold.
 */
enum sf_block_status sf_gist_add(struct sf_gist *gist, struct sf_slice content, unsigned transform,
                                 uint32_t messages);
void sf_gist_clear(struct sf_gist *gist);

const struct sf_call_gist *sf_gist_call(const struct sf_gist *gist, size_t call);
const struct sf_message_gist *sf_gist_message(const struct sf_gist *gist, size_t message);
struct sf_slice sf_gist_text(const struct sf_gist *gist, struct sf_text_at text);
/* The digest of a call with its texts. */
struct sf_digest sf_gist_digest(const struct sf_gist *gist, const struct sf_call_gist *call);
/* The memory it takes [octets]. */
size_t sf_gist_held(const struct sf_gist *gist);

#endif
