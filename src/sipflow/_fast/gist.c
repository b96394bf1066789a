#include "gist.h"

#include "hash.h"
#include "messages.h"
#include "sip.h"

/* A call while its messages are gone through. */
struct reading {
    struct sf_slice call_id; /* as captured */
    struct sf_digest digest; /* texts in the content and in `ends` */
    struct sf_ends ends;     /* of the message that the party is from */
    uint32_t message;
};

const struct sf_call_gist *sf_gist_call(const struct sf_gist *gist, size_t call)
{
    return (const struct sf_call_gist *)gist->calls.p + call;
}

const struct sf_message_gist *sf_gist_message(const struct sf_gist *gist, size_t message)
{
    return (const struct sf_message_gist *)gist->messages.p + message;
}

struct sf_slice sf_gist_text(const struct sf_gist *gist, struct sf_text_at text)
{
    return sf_slice(gist->texts.p + text.at, text.n);
}

struct sf_digest sf_gist_digest(const struct sf_gist *gist, const struct sf_call_gist *call)
{
    struct sf_digest digest = call->digest;
    for (int i = 0; i < SF_PARTY_TEXTS; i++) {
        digest.party[i] = sf_gist_text(gist, call->party[i]);
    }
    digest.reason = sf_gist_text(gist, call->reason);
    return digest;
}

size_t sf_gist_held(const struct sf_gist *gist)
{
    return gist->texts.n + gist->calls.n + gist->messages.n;
}

void sf_gist_clear(struct sf_gist *gist)
{
    sf_octets_free(&gist->texts);
    sf_octets_free(&gist->calls);
    sf_octets_free(&gist->messages);
    *gist = (struct sf_gist){0};
}

static bool put_text(struct sf_gist *gist, struct sf_slice text, struct sf_text_at *out)
{
    struct sf_octets *texts = &gist->texts;
    size_t bound = sf_text_bound(text.n) + 1; /* never nothing: an empty text has a place too */
    if (texts->n + bound > UINT32_MAX || !sf_octets_room(texts, bound)) {
        return false;
    }
    out->at = (uint32_t)texts->n;
    out->n = (uint32_t)sf_text_clean(text, texts->p + texts->n);
    texts->n += out->n;
    return true;
}

static bool put_call(struct sf_gist *gist, const struct reading *reading)
{
    struct sf_call_gist call = {.message = reading->message,
                                .messages = (uint32_t)gist->message_count - reading->message,
                                .digest = reading->digest};
    bool good = put_text(gist, reading->call_id, &call.call_id) &&
                put_text(gist, reading->digest.reason, &call.reason);
    for (int i = 0; good && i < SF_PARTY_TEXTS; i++) {
        good = put_text(gist, reading->digest.party[i], &call.party[i]);
    }
    if (!good || !sf_octets_room(&gist->calls, sizeof call)) {
        return false;
    }
    struct sf_slice call_id = sf_gist_text(gist, call.call_id);
    call.hash = sf_hash(call_id.p, call_id.n, 0);
    memcpy(gist->calls.p + gist->calls.n, &call, sizeof call);
    gist->calls.n += sizeof call;
    gist->call_count++;
    return true;
}

/* The method again and again: one text serves messages that follow each other. */
static bool put_method(struct sf_gist *gist, struct sf_slice method, struct sf_text_at *out)
{
    if (gist->message_count > 0) {
        struct sf_text_at last = sf_gist_message(gist, gist->message_count - 1)->method;
        if (sf_slice_eq(method, sf_gist_text(gist, last))) {
            *out = last;
            return true;
        }
    }
    return put_text(gist, method, out);
}

static bool put_message(struct sf_gist *gist, const struct sf_message *message,
                        const struct sf_sip *head, size_t position)
{
    struct sf_message_gist row = {.time_us = message->time_us,
                                  .position = (uint32_t)position,
                                  .cseq = head->cseq,
                                  .status = head->is_response ? (uint16_t)head->status : 0,
                                  .has_cseq = head->has_cseq};
    memcpy(row.ends.src, message->src, sizeof row.ends.src);
    memcpy(row.ends.dst, message->dst, sizeof row.ends.dst);
    row.ends.src_port = message->src_port;
    row.ends.dst_port = message->dst_port;
    row.ends.family = message->family;
    if (!put_method(gist, head->is_request ? head->method : head->cseq_method, &row.method) ||
        !sf_octets_room(&gist->messages, sizeof row)) {
        return false;
    }
    memcpy(gist->messages.p + gist->messages.n, &row, sizeof row);
    gist->messages.n += sizeof row;
    gist->message_count++;
    return true;
}

static void read_message(struct reading *reading, const struct sf_message *message,
                         const struct sf_sip *head)
{
    struct sf_ends ends;
    if (head->is_request) {
        sf_ends_of(message, &ends);
    }
    struct sf_digest digest = sf_digest_of(message, head, &ends);
    if (sf_digest_merge(&reading->digest, &digest) & SF_TOOK_PARTY) {
        reading->ends = ends;
        reading->digest.party[SF_SRC].p = reading->ends.src;
        reading->digest.party[SF_DST].p = reading->ends.dst;
    }
}

static enum sf_block_status take_messages(struct sf_gist *gist, struct sf_slice content,
                                          unsigned transform, uint32_t messages)
{
    struct sf_messages all;
    struct sf_message message;
    struct sf_sip head;
    struct reading reading = {0};
    uint32_t found = 0;
    enum sf_block_status status = sf_messages_open(content, transform, &all);
    if (status != SF_BLOCK_OK) {
        return status;
    }
    for (; sf_messages_next(&all, &message); found++) {
        sf_sip_scan(message.payload, &head);
        if (found == 0 || !sf_slice_eq(reading.call_id, message.call_id)) {
            if (found > 0 && !put_call(gist, &reading)) {
                return SF_BLOCK_NO_MEMORY;
            }
            reading.call_id = message.call_id;
            reading.digest = sf_digest_span(INT64_MAX, INT64_MIN);
            reading.message = (uint32_t)gist->message_count;
        }
        read_message(&reading, &message, &head);
        if (!put_message(gist, &message, &head, message.position)) {
            return SF_BLOCK_NO_MEMORY;
        }
    }
    if (found != messages) {
        return SF_BLOCK_BAD_CONTENT;
    }
    return found == 0 || put_call(gist, &reading) ? SF_BLOCK_OK : SF_BLOCK_NO_MEMORY;
}

enum sf_block_status sf_gist_add(struct sf_gist *gist, struct sf_slice content, unsigned transform,
                                 uint32_t messages)
{
    struct sf_gist before = *gist;
    enum sf_block_status status = take_messages(gist, content, transform, messages);
    if (status != SF_BLOCK_OK) {
        gist->texts.n = before.texts.n;
        gist->calls.n = before.calls.n;
        gist->messages.n = before.messages.n;
        gist->call_count = before.call_count;
        gist->message_count = before.message_count;
    }
    return status;
}
