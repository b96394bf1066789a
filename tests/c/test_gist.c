/* What is gathered of messages is what they say; content that is cut off leaves the gist as it was.
 */
#include "gist.h"
#include "guard.h"
#include "hash.h"
#include "lay.h"
#include "messages.h"

static size_t payload_at;

static const char invite[] =
    "INVITE sip:b@h SIP/2.0\r\nFrom: \"J\xfcrgen\" <sip:J\xfcrgen@h>;tag=1\r\n"
    "To: <sip:b@h>\r\nCSeq: 7 INVITE\r\nUser-Agent: x\r\n\r\n";
static const char busy[] = "SIP/2.0 486 Busy\r\nCSeq: 7 INVITE\r\n\r\n";
static const char bye[] =
    "BYE sip:b@h SIP/2.0\r\nFrom: <sip:late@h>\r\nTo: <sip:b@h>;tag=2\r\n\r\n";

static struct sf_pool_sip at(uint64_t time_us)
{
    return (struct sf_pool_sip){.time_us = time_us,
                                .arrival_us = time_us + 5,
                                .src_port = 5060,
                                .dst_port = 5070,
                                .family = 4,
                                .src = {192, 0, 2, 1},
                                .dst = {192, 0, 2, 2}};
}

/* Two calls, "a" of three messages laid in another order than their times, "b\xff" of one. */
static size_t content_of_four(uint8_t *content)
{
    static uint8_t arena[4096];
    struct sf_message_entry entries[4];
    struct sf_block block;
    size_t used = lay_message(arena, 0, at(300), "a", bye);
    used = lay_message(arena, used, at(100), "b\xff", busy);
    used = lay_message(arena, used, at(200), "a", busy);
    used = lay_message(arena, used, at(100), "a", invite);
    return sf_messages_encode(arena, used, 4, entries, content, &block, &payload_at);
}

static void calls_and_rows_are_what_the_messages_say(void)
{
    static uint8_t content[4096];
    size_t n = content_of_four(content);
    struct sf_gist gist = {0};
    CHECK(sf_gist_add(&gist, guarded(content, n), SF_TRANSFORM_HEADS, 4) == SF_BLOCK_OK);
    CHECK(gist.call_count == 2 && gist.message_count == 4 && sf_gist_held(&gist) > 0);
    const struct sf_call_gist *a = sf_gist_call(&gist, 0), *b = sf_gist_call(&gist, 1);
    CHECK_TEXT(sf_gist_text(&gist, a->call_id), "a");
    CHECK_TEXT(sf_gist_text(&gist, b->call_id), "b\xef\xbf\xbd");
    CHECK(a->hash == sf_hash("a", 1, 0) && a->message == 0 && a->messages == 3);
    CHECK(b->message == 3 && b->messages == 1);
    struct sf_digest d = sf_gist_digest(&gist, a);
    CHECK(d.first_us == 100 && d.last_us == 300 && d.sip_messages == 3 && d.begins);
    CHECK(d.moment_us[SF_INVITE] == 100 && d.moment_us[SF_BYE] == 300);
    CHECK(d.moment_us[SF_BYE_ANSWER] == SF_NEVER);
    CHECK(d.moment_us[SF_ANSWER] == SF_NEVER && d.status == 486 && d.status_us == 200);
    CHECK_TEXT(d.reason, "Busy");
    CHECK_TEXT(d.party[SF_METHOD], "INVITE");
    CHECK_TEXT(d.party[SF_FROM_USER], "J\xef\xbf\xbdrgen");
    CHECK_TEXT(d.party[SF_USER_AGENT], "x");
    CHECK_TEXT(d.party[SF_SRC], "192.0.2.1:5060");
    CHECK_TEXT(d.party[SF_DST], "192.0.2.2:5070");
    static const char *const methods[] = {"INVITE", "INVITE", "BYE", "INVITE"};
    static const uint16_t statuses[] = {0, 486, 0, 486};
    struct sf_messages messages;
    struct sf_message message;
    CHECK(sf_messages_open(sf_slice(content, n), SF_TRANSFORM_HEADS, &messages) == SF_BLOCK_OK);
    for (size_t i = 0; i < 4; i++) {
        const struct sf_message_gist *row = sf_gist_message(&gist, i);
        CHECK(sf_messages_next(&messages, &message));
        CHECK(row->position == message.position && row->time_us == message.time_us);
        CHECK(row->status == statuses[i] && row->has_cseq == (i != 2) && row->cseq == (i != 2) * 7);
        CHECK_TEXT(sf_gist_text(&gist, row->method), methods[i]);
        CHECK(row->ends.src_port == 5060 && row->ends.family == 4 && row->ends.dst[3] == 2);
    }
    /* A second block goes behind the first. */
    CHECK(sf_gist_add(&gist, guarded(content, n), SF_TRANSFORM_HEADS, 4) == SF_BLOCK_OK);
    CHECK(gist.call_count == 4 && sf_gist_call(&gist, 2)->message == 4);
    CHECK_TEXT(sf_gist_text(&gist, sf_gist_call(&gist, 3)->call_id), "b\xef\xbf\xbd");
    sf_gist_clear(&gist);
    CHECK(sf_gist_held(&gist) == 0 && gist.call_count == 0);
}

/* The party is that of the earliest request, whatever stood before it. */
static void a_late_request_does_not_become_the_party(void)
{
    struct sf_digest call = sf_digest_span(INT64_MAX, INT64_MIN);
    struct sf_sip head;
    struct sf_message message = {
        .family = 4, .time_us = 500, .payload = sf_slice(bye, strlen(bye))};
    struct sf_ends ends;
    sf_ends_of(&message, &ends);
    sf_sip_scan(message.payload, &head);
    struct sf_digest first = sf_digest_of(&message, &head, &ends);
    sf_digest_merge(&call, &first);
    static uint8_t content[4096];
    static const char other[] =
        "BYE sip:b@h SIP/2.0\r\nFrom: <sip:later@h>\r\nTo: <sip:b@h>;tag=2\r\n\r\n";
    static uint8_t arena[4096];
    struct sf_message_entry entries[2];
    struct sf_block block;
    size_t used =
        lay_message(arena, lay_message(arena, 0, at(100), "a", busy), at(600), "a", other);
    size_t n = sf_messages_encode(arena, used, 2, entries, content, &block, &payload_at);
    struct sf_gist gist = {0};
    CHECK(sf_gist_add(&gist, sf_slice(content, n), SF_TRANSFORM_HEADS, 2) == SF_BLOCK_OK);
    struct sf_digest block_says = sf_gist_digest(&gist, sf_gist_call(&gist, 0));
    CHECK((sf_digest_merge(&call, &block_says) & SF_TOOK_PARTY) == 0);
    CHECK_TEXT(call.party[SF_FROM_USER], "late");
    CHECK(call.first_us == 100 && call.status == 486);
    sf_gist_clear(&gist);
}

static void content_that_is_cut_off_leaves_nothing(void)
{
    static uint8_t content[4096];
    size_t n = content_of_four(content);
    struct sf_gist gist = {0};
    CHECK(sf_gist_add(&gist, sf_slice(content, n), SF_TRANSFORM_HEADS, 4) == SF_BLOCK_OK);
    size_t held = sf_gist_held(&gist);
    for (size_t cut = 0; cut < n; cut++) {
        CHECK(sf_gist_add(&gist, guarded(content, cut), SF_TRANSFORM_HEADS, 4) != SF_BLOCK_OK);
        CHECK(sf_gist_held(&gist) == held && gist.call_count == 2 && gist.message_count == 4);
    }
    CHECK(sf_gist_add(&gist, guarded(content, n), SF_TRANSFORM_HEADS, 3) == SF_BLOCK_BAD_CONTENT);
    CHECK(sf_gist_add(&gist, guarded(content, n), SF_TRANSFORM_HEADS, 5) == SF_BLOCK_BAD_CONTENT);
    CHECK(sf_gist_add(&gist, sf_slice(NULL, 0), SF_TRANSFORM_HEADS, 0) == SF_BLOCK_TRUNCATED);
    CHECK(gist.message_count == 4);
    sf_gist_clear(&gist);
}

/* Many calls, few and many messages each: buffers grow and are used again. */
static void texts_stay_where_they_belong_while_buffers_grow(void)
{
    static uint8_t arena[1 << 18], content[1 << 18];
    static struct sf_message_entry entries[4096];
    static struct sf_gist gists[2];
    for (unsigned turn = 0; turn < 40; turn++) {
        struct sf_block block;
        size_t used = 0;
        unsigned count = 0;
        for (unsigned i = 0; used + 2048 < sizeof arena; i++, count++) {
            char call_id[32];
            snprintf(call_id, sizeof call_id, "%u-%u", turn, i / (turn % 5 + 1));
            used = lay_message(arena, used, at(i), call_id, i % 2 ? busy : invite);
        }
        size_t n = sf_messages_encode(arena, used, count, entries, content, &block, &payload_at);
        CHECK(n > 0 && sf_gist_add(&gists[turn % 2], sf_slice(content, n), SF_TRANSFORM_HEADS,
                                   count) == SF_BLOCK_OK);
        if (turn % 8 == 7) {
            sf_gist_clear(&gists[1]);
        }
    }
    for (size_t i = 0; i < gists[0].call_count; i++) {
        const struct sf_call_gist *call = sf_gist_call(&gists[0], i);
        struct sf_slice call_id = sf_gist_text(&gists[0], call->call_id);
        CHECK(call->hash == sf_hash(call_id.p, call_id.n, 0) && call->messages > 0);
        CHECK(sf_gist_digest(&gists[0], call).sip_messages == call->messages);
    }
    sf_gist_clear(&gists[0]);
    sf_gist_clear(&gists[1]);
}

int main(void)
{
    calls_and_rows_are_what_the_messages_say();
    a_late_request_does_not_become_the_party();
    content_that_is_cut_off_leaves_nothing();
    texts_stay_where_they_belong_while_buffers_grow();
    puts("ok gist");
    return 0;
}
