/* Any octets have a head: every value lies in front of the body, and all ways of asking agree. */
#include <stdlib.h>

#include "sip.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n);

static void expect(bool holds)
{
    if (!holds) {
        abort();
    }
}

static bool inside(struct sf_slice part, struct sf_slice whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void check_id(struct sf_slice message, const struct sf_sip *head)
{
    struct sf_slice id = {NULL, 0};
    expect(sf_sip_call_id(message, &id) == head->has_call_id);
    expect(sf_slice_eq(id, head->call_id));
    expect(id.n == 0 || memchr(id.p, '\n', id.n) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
    struct sf_slice message = sf_slice(octets, n);
    struct sf_sip h, cut;
    bool sip = sf_sip_scan(message, &h);
    expect(sip == sf_sip_looks_like(message) && sip == (h.is_request != h.is_response));
    expect(h.body <= n && (h.is_response ? h.status >= 100 && h.status <= 999 : h.status == 0));
    struct sf_slice front = sf_slice(octets, h.body);
    const struct sf_slice values[] = {
        h.method, h.uri,     h.reason, h.call_id,    h.from.uri, h.from.user,    h.from.tag,
        h.to.uri, h.to.user, h.to.tag, h.user_agent, h.branch,   h.content_type, h.cseq_method,
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        expect(inside(values[i], front));
    }
    expect(inside(h.from.user, h.from.uri) && inside(h.to.user, h.to.uri));
    check_id(message, &h);
    /* The body says nothing about the head. */
    sf_sip_scan(front, &cut);
    expect(cut.body == h.body && cut.has_call_id == h.has_call_id);
    expect(sf_slice_eq(cut.call_id, h.call_id) && sf_slice_eq(cut.from.uri, h.from.uri));
    expect(cut.has_cseq == h.has_cseq && cut.cseq == h.cseq);
    return 0;
}
