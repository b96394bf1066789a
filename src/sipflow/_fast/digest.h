/*
 * What SIP messages say of their call, gathered one by one: the row of call_meta. The same rules
 * as wire/dialog.py, which reads what is stored; tests hold the two against each other.
 *
 * Owns:    nothing.
 * Lends:   the texts, which point into the message and into `ends`,
 * Until:   either goes. Whoever keeps a digest copies them (sf_digest_merge says when).
 * Threads: one per digest.
 */
#ifndef SF_DIGEST_H
#define SF_DIGEST_H

#include "messages.h"
#include "sip.h"
#include "text.h"

#define SF_NEVER INT64_MIN

enum sf_call_moment { SF_INVITE, SF_RING, SF_ANSWER, SF_CANCEL, SF_BYE, SF_BYE_ANSWER, SF_MOMENTS };

enum sf_party_text {
    SF_METHOD,
    SF_FROM_USER,
    SF_TO_USER,
    SF_FROM_URI,
    SF_TO_URI,
    SF_USER_AGENT,
    SF_SRC,
    SF_DST,
    SF_PARTY_TEXTS
};

struct sf_digest {
    int64_t first_us;
    int64_t last_us;
    int64_t moment_us[SF_MOMENTS]; /* the earliest of each; SF_NEVER: not seen */
    int64_t status_us;
    uint32_t status; /* 0: none */
    bool begins;     /* the request that opens the dialog was among the messages */
    uint64_t sip_messages;
    int64_t
        party_us; /* of that request; of one read back from the index, of the call's first packet */
    struct sf_slice party[SF_PARTY_TEXTS]; /* of its earliest request; empty method: none */
    struct sf_slice reason;
};

/* The two ends of a message in text. */
struct sf_ends {
    uint8_t src[SF_TEXT_ENDPOINT];
    uint8_t dst[SF_TEXT_ENDPOINT];
    size_t src_length;
    size_t dst_length;
};

void sf_ends_of(const struct sf_message *message, struct sf_ends *out);

/* A digest of nothing but times, as of a call known by its media. */
struct sf_digest sf_digest_span(int64_t first_us, int64_t last_us);

/* The digest of one message; `head` is that of its payload. */
struct sf_digest sf_digest_of(const struct sf_message *message, const struct sf_sip *head,
                              const struct sf_ends *ends);

enum sf_taken { SF_TOOK_PARTY = 1, SF_TOOK_REASON = 2 };

/* Takes in what another digest of the same call knows; gives which texts now are the other's. */
unsigned sf_digest_merge(struct sf_digest *into, const struct sf_digest *other);

#endif
