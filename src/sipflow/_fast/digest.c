#include "digest.h"

#define FAILED 300

void sf_ends_of(const struct sf_message *message, struct sf_ends *out)
{
    out->src_length = sf_text_endpoint(message->family, message->src, message->src_port, out->src);
    out->dst_length = sf_text_endpoint(message->family, message->dst, message->dst_port, out->dst);
}

struct sf_digest sf_digest_span(int64_t first_us, int64_t last_us)
{
    struct sf_digest digest = {
        .first_us = first_us, .last_us = last_us, .status_us = SF_NEVER, .party_us = first_us};
    for (int i = 0; i < SF_MOMENTS; i++) {
        digest.moment_us[i] = SF_NEVER;
    }
    return digest;
}

static bool is(struct sf_slice text, const char *word)
{
    return text.n == strlen(word) && memcmp(text.p, word, text.n) == 0;
}

static bool is_one_of(struct sf_slice text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (is(text, *words)) {
            return true;
        }
    }
    return false;
}

/* Requests whose answers say nothing of how the call as a whole went. */
static const char *const within[] = {"BYE",    "CANCEL", "ACK",    "PRACK",
                                     "UPDATE", "INFO",   "NOTIFY", NULL};

static void note_response(struct sf_digest *digest, const struct sf_sip *head, int64_t time_us)
{
    if (is(head->cseq_method, "INVITE")) {
        /* A response alone proves the INVITE, whose own copy may not have been captured. */
        digest->moment_us[SF_INVITE] = time_us;
        if (head->status > 100 && head->status < 200) {
            digest->moment_us[SF_RING] = time_us;
        } else if (head->status >= 200 && head->status < FAILED) {
            digest->moment_us[SF_ANSWER] = time_us;
        }
    } else if (head->status >= 200 && head->status < FAILED && is(head->cseq_method, "BYE")) {
        digest->moment_us[SF_BYE_ANSWER] = time_us;
    }
    if (head->status >= 200 && !is_one_of(head->cseq_method, within)) {
        digest->status = head->status;
        digest->status_us = time_us;
        digest->reason = head->reason;
    }
}

static void note_request(struct sf_digest *digest, const struct sf_sip *head, int64_t time_us)
{
    digest->party[SF_METHOD] = head->method;
    digest->party[SF_FROM_USER] = head->from.user;
    digest->party[SF_TO_USER] = head->to.user;
    digest->party[SF_FROM_URI] = head->from.uri;
    digest->party[SF_TO_URI] = head->to.uri;
    digest->party[SF_USER_AGENT] = head->user_agent;
    /* The request that opens a dialog has no To tag (RFC 3261, section 12.1). */
    digest->begins = head->to.tag.n == 0 && !is(head->method, "ACK") && !is(head->method, "CANCEL");
    if (is(head->method, "INVITE")) {
        digest->moment_us[SF_INVITE] = time_us;
    } else if (is(head->method, "CANCEL")) {
        digest->moment_us[SF_CANCEL] = time_us;
    } else if (is(head->method, "BYE")) {
        digest->moment_us[SF_BYE] = time_us;
    }
}

struct sf_digest sf_digest_of(const struct sf_message *message, const struct sf_sip *head,
                              const struct sf_ends *ends)
{
    int64_t filed_us = message->clock_skew ? message->arrival_us : message->time_us;
    struct sf_digest digest = sf_digest_span(filed_us, filed_us);
    digest.sip_messages = 1;
    if (head->is_request) {
        note_request(&digest, head, filed_us);
        digest.party[SF_SRC] = sf_slice(ends->src, ends->src_length);
        digest.party[SF_DST] = sf_slice(ends->dst, ends->dst_length);
    } else if (head->is_response) {
        note_response(&digest, head, filed_us);
    }
    return digest;
}

static bool before(const struct sf_digest *a, const struct sf_digest *b)
{
    return a->begins != b->begins ? a->begins : a->party_us < b->party_us;
}

/* The first success decides a call for good; before it, the latest final response does. */
static bool outranks(const struct sf_digest *a, const struct sf_digest *b)
{
    bool a_good = a->status < FAILED, b_good = b->status < FAILED;
    if (a_good != b_good) {
        return a_good;
    }
    return a_good ? a->status_us < b->status_us : a->status_us > b->status_us;
}

unsigned sf_digest_merge(struct sf_digest *into, const struct sf_digest *other)
{
    unsigned taken = 0;
    if (other->party[SF_METHOD].n > 0 && (into->party[SF_METHOD].n == 0 || before(other, into))) {
        memcpy(into->party, other->party, sizeof into->party);
        into->party_us = other->party_us;
        taken |= SF_TOOK_PARTY;
    }
    if (other->status != 0 && (into->status == 0 || outranks(other, into))) {
        into->status = other->status;
        into->status_us = other->status_us;
        into->reason = other->reason;
        taken |= SF_TOOK_REASON;
    }
    into->begins = into->begins || other->begins;
    for (int i = 0; i < SF_MOMENTS; i++) {
        int64_t theirs = other->moment_us[i];
        if (theirs != SF_NEVER && (into->moment_us[i] == SF_NEVER || theirs < into->moment_us[i])) {
            into->moment_us[i] = theirs;
        }
    }
    into->first_us = other->first_us < into->first_us ? other->first_us : into->first_us;
    into->last_us = other->last_us > into->last_us ? other->last_us : into->last_us;
    into->sip_messages += other->sip_messages;
    return taken;
}
