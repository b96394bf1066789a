/* Any octets as a message give a digest whose texts lie in the message and, made well-formed, are
 * UTF-8. */
#include <stdlib.h>

#include "digest.h"
#include "packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n);

static void check(struct sf_slice text)
{
    uint8_t *clean = malloc(sf_text_bound(text.n) + 1);
    if (clean == NULL) {
        abort();
    }
    size_t length = sf_text_clean(text, clean);
    if (length > sf_text_bound(text.n) || !sf_utf8_valid(sf_slice(clean, length)) ||
        (sf_utf8_valid(text) && !sf_slice_eq(text, sf_slice(clean, length)))) {
        abort();
    }
    free(clean);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
    struct sf_digest whole = sf_digest_span(INT64_MAX, INT64_MIN);
    for (size_t from = 0; from < 2 && from * n / 2 <= n; from++) {
        struct sf_message message = {.time_us = (int64_t)from,
                                     .family = 4,
                                     .payload = sf_slice(octets + from * n / 2, n - from * n / 2)};
        struct sf_sip head;
        struct sf_ends ends;
        sf_sip_scan(message.payload, &head);
        sf_ends_of(&message, &ends);
        struct sf_digest one = sf_digest_of(&message, &head, &ends);
        for (int i = 0; i < SF_PARTY_TEXTS; i++) {
            check(one.party[i]);
        }
        check(one.reason);
        sf_digest_merge(&whole, &one);
        /* The texts of the ends go with this turn. */
        whole.party[SF_SRC] = whole.party[SF_DST] = sf_slice(NULL, 0);
    }
    if (whole.sip_messages != 2 || whole.first_us > whole.last_us) {
        abort();
    }
    return 0;
}
