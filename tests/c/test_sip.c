/* The head of a SIP message: what is found, what is not, and nothing behind the empty line. */
#include "guard.h"
#include "sip.h"

static struct sf_slice copy(const char *text)
{
    return guarded(text, strlen(text));
}

/* The Call-ID of `text`, "-" when there is none; both ways of asking must agree. */
static struct sf_slice id_in(const char *text)
{
    struct sf_slice in = copy(text);
    struct sf_slice id = text_slice("-");
    struct sf_sip head;
    bool found = sf_sip_call_id(in, &id);
    sf_sip_scan(in, &head);
    CHECK(found == head.has_call_id);
    CHECK(!found || sf_slice_eq(id, head.call_id));
    return id;
}

static void call_ids(void)
{
    CHECK_TEXT(id_in("INVITE sip:a@b SIP/2.0\r\nCall-ID: abc@h\r\n\r\n"), "abc@h");
    CHECK_TEXT(id_in("X\r\ncall-id:  spaced \r\n"), "spaced");
    CHECK_TEXT(id_in("X\r\ni: cmp\r\n"), "cmp");
    CHECK_TEXT(id_in("X\r\nI:cmp2\r\n"), "cmp2");
    CHECK_TEXT(id_in("X\nCALL-ID:lf\n"), "lf");
    CHECK_TEXT(id_in("X\r\nCall-ID: one\r\nCall-ID: two\r\n"), "one");
    CHECK_TEXT(id_in("X\r\ni: one\r\nCall-ID: two\r\n"), "one");
    CHECK_TEXT(id_in("X\r\nCall-ID: a\xff"
                     "b"),
               "a\xff"
               "b");
    CHECK_TEXT(id_in("X\rCall-ID: cr\r"), "-");
    CHECK_TEXT(id_in(""), "-");
    CHECK_TEXT(id_in("\x1f\x8b\x08"), "-");
    CHECK_TEXT(id_in("i:c\n"), "c");

    /* Where we read more than the reference, or less (RFC 3261, 7.3.1). */
    CHECK_TEXT(id_in("X\r\nCall-ID : sp\r\n"), "sp");
    CHECK_TEXT(id_in("X\r\nCall-ID \t :\tsp\r\n"), "sp");
    CHECK_TEXT(id_in("X\r\nCall-ID:\r\n folded\r\n"), "folded");
    CHECK_TEXT(id_in("X\r\nCall-ID:\r\n \r\n\t folded\r\n\r\n"), "folded");
    CHECK_TEXT(id_in("X\r\nCall-ID: one\r\n two\r\n"), "one");
    CHECK_TEXT(id_in("X\r\n\r\ni: from-body\r\n"), "-");
    CHECK_TEXT(id_in("X\n\ni: from-body\n"), "-");
    CHECK_TEXT(id_in("\r\n\r\nX\r\ni: after-keepalive\r\n"), "after-keepalive");
    CHECK_TEXT(id_in("X\r\nSubject: hello\r\n i: folded-subject\r\ni: real\r\n"), "real");
    CHECK_TEXT(id_in("INVITE sip:a SIP/2.0\r\n Call-ID: folded-start\r\n\r\n"), "-");
    CHECK_TEXT(id_in("X\r\nX-Call-ID: no\r\nCall-IDs: no\r\nid: no\r\nCall-ID\r\n\r\n"), "-");
    CHECK_TEXT(id_in("X\r\nCall-ID:"), "");
    CHECK_TEXT(id_in("X\r\nCall-ID:\r\n\r\nbody"), "");
    CHECK_TEXT(id_in("X\r\nCall-ID: a b\r\n"), "a b");
}

static const char INVITE[] =
    "INVITE sip:bob@biloxi.example.com;user=phone SIP/2.0\r\n"
    "Via: SIP/2.0/UDP pc33.example.com:5060;rport;branch=z9hG4bK776;received=192.0.2.1\r\n"
    "Via: SIP/2.0/UDP second.example.com;branch=z9hG4bK2\r\n"
    "Max-Forwards: 70\r\n"
    "To: \"Bob \\\"; tag=no <sip:x@y>\" <sip:bob@biloxi.example.com:5070;lr>\r\n"
    "From: Alice <sips:alice:secret@atlanta.example.com>;x=\"a;tag=no\" ; TAG = 1928301774\r\n"
    "Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\n"
    "CSeq: 314159 INVITE\r\n"
    "User-Agent: Phone 1.0 (build 7)\r\n"
    "Server: not this\r\n"
    "Content-Type: application/sdp\r\n"
    "Content-Length: 3\r\n"
    "\r\n"
    "v=0i: body";

static void whole_head(void)
{
    struct sf_sip h;
    struct sf_slice in = copy(INVITE);
    CHECK(sf_sip_scan(in, &h));
    CHECK(h.is_request && !h.is_response && h.status == 0);
    CHECK_TEXT(h.method, "INVITE");
    CHECK_TEXT(h.uri, "sip:bob@biloxi.example.com;user=phone");
    CHECK_TEXT(h.branch, "z9hG4bK776");
    CHECK_TEXT(h.to.uri, "sip:bob@biloxi.example.com:5070;lr");
    CHECK_TEXT(h.to.user, "bob");
    CHECK_TEXT(h.to.tag, "");
    CHECK_TEXT(h.from.uri, "sips:alice:secret@atlanta.example.com");
    CHECK_TEXT(h.from.user, "alice");
    CHECK_TEXT(h.from.tag, "1928301774");
    CHECK_TEXT(h.call_id, "a84b4c76e66710@pc33.atlanta.example.com");
    CHECK(h.has_cseq && h.cseq == 314159);
    CHECK_TEXT(h.cseq_method, "INVITE");
    CHECK_TEXT(h.user_agent, "Phone 1.0 (build 7)");
    CHECK_TEXT(h.content_type, "application/sdp");
    CHECK(h.has_content_length && h.content_length == 3);
    CHECK_TEXT(sf_slice(in.p + h.body, in.n - h.body), "v=0i: body");
}

static void compact_and_folded(void)
{
    struct sf_sip h;
    CHECK(sf_sip_scan(copy("sip/2.0 407 Proxy Authentication Required\n"
                           "v:SIP/2.0/TCP [2001:db8::1];branch = \n b1\n"
                           "f: sip:a@h;tag=x\n"
                           "t : <tel:+4930123;phone-context=h>\n\t;tag=y\n"
                           "i:\n id\n"
                           "CSEQ: 0009\n  ACK\n"
                           "SERVER: proxy\n one\n"
                           "c: text/plain\n"
                           "l: 0\n\n"),
                      &h));
    CHECK(h.is_response && !h.is_request && h.status == 407);
    CHECK_TEXT(h.reason, "Proxy Authentication Required");
    CHECK_TEXT(h.branch, "b1");
    CHECK_TEXT(h.from.uri, "sip:a@h");
    CHECK_TEXT(h.from.user, "a");
    CHECK_TEXT(h.from.tag, "x");
    CHECK_TEXT(h.to.uri, "tel:+4930123;phone-context=h");
    CHECK_TEXT(h.to.user, "+4930123");
    CHECK_TEXT(h.to.tag, "y");
    CHECK_TEXT(h.call_id, "id");
    CHECK(h.has_cseq && h.cseq == 9);
    CHECK_TEXT(h.cseq_method, "ACK");
    CHECK_TEXT(h.user_agent, "proxy\n one");
    CHECK_TEXT(h.content_type, "text/plain");
    CHECK(h.has_content_length && h.content_length == 0);
}

static struct sf_sip with(const char *header)
{
    char text[512];
    struct sf_sip h;
    snprintf(text, sizeof text, "BYE sip:h SIP/2.0\r\n%s\r\n\r\n", header);
    CHECK(sf_sip_scan(copy(text), &h));
    return h;
}

static void odd_values(void)
{
    CHECK_TEXT(with("From: \"J. User <sip:j.user@example.com>;tag=1").from.user, "j.user");
    CHECK_TEXT(with("From: \"J. User <sip:j.user@example.com>;tag=1").from.tag, "1");
    CHECK_TEXT(with("From: <sip:unclosed@h;tag=1").from.uri, "sip:unclosed@h;tag=1");
    CHECK_TEXT(with("From: <sip:unclosed@h;tag=1").from.tag, "");
    CHECK_TEXT(with("From: <sip:h>;tag=t;tag=u").from.tag, "t");
    CHECK_TEXT(with("From: <sip:h>;tag=t;tag=u").from.user, "");
    CHECK_TEXT(with("From: <sip:h>;tagged=no;lr;tag").from.tag, "");
    CHECK_TEXT(with("From:").from.uri, "");
    CHECK_TEXT(with("From: \"open\\").from.uri, "\"open\\");
    CHECK_TEXT(with("To: <urn:service:sos>").to.user, "");
    CHECK_TEXT(with("From: ralph@example.com:5060").from.user, "ralph");
    CHECK_TEXT(with("From: <sip:example.com:5060>").from.user, "");
    CHECK_TEXT(with("From: <TEL:112>").from.user, "112");
    CHECK_TEXT(with("From: <sip:>").from.user, "");
    CHECK_TEXT(with("From: <sip:@h>").from.user, "");
    CHECK_TEXT(with("To: <sip:user;par=u%40example.net@example.com>").to.user,
               "user;par=u%40example.net");
    CHECK_TEXT(with("Via: SIP/2.0/UDP a, SIP/2.0/UDP b;branch=second").branch, "");
    CHECK_TEXT(with("Via: SIP/2.0/UDP a;branch=first, SIP/2.0/UDP b;branch=second").branch,
               "first");
    CHECK_TEXT(with("Server: s\r\nUser-Agent: u").user_agent, "u");
    CHECK_TEXT(with("User-Agent: u\r\nServer: s").user_agent, "u");
    CHECK(with("CSeq: 4294967295 BYE").cseq == 4294967295u);
    CHECK(!with("CSeq: 36893488147419103232 REGISTER").has_cseq);
    CHECK_TEXT(with("CSeq: 36893488147419103232 REGISTER").cseq_method, "REGISTER");
    CHECK(!with("CSeq: -1 BYE").has_cseq && !with("CSeq:").has_cseq && !with("X: 1").has_cseq);
    CHECK(!with("Content-Length: -9").has_content_length);
    CHECK(!with("l: 99999999999999999999").has_content_length);
    CHECK(!with("l: 1 2").has_content_length);
}

static void start_lines(void)
{
    static const char *const sip[] = {"OPTIONS sip:h SIP/2.0\r\n",
                                      "OPTIONS sip:h sip/2.0",
                                      "SIP/2.0 200 OK\r\n",
                                      "SIP/2.0 200\r\n",
                                      "SIP/2.0 100 \r\n",
                                      "\r\n\r\nACK sip:h SIP/2.0\r\n",
                                      "!x%*_+`'~ sip:h SIP/2.0\n",
                                      "INVITE  sip:h   SIP/2.0  \r\n",
                                      "INVITE sip:a b;lr SIP/2.0\r\n"};
    static const char *const other[] = {"",
                                        "\r\n\r\n",
                                        "SIP/2.0",
                                        "SIP/2.0 \r\n",
                                        "SIP/2.0 abc",
                                        "SIP/2.0 4294967301 big\r\n",
                                        "SIP/2.0 099 low",
                                        "OPTIONS SIP/2.0\r\n",
                                        "OPTIONS sip:h SIP/7.0\r\n",
                                        "GET / HTTP/1.1\r\n",
                                        "HELLO",
                                        "a\x01 sip:h SIP/2.0\r\n",
                                        "INVITE sip:h\r\n SIP/2.0",
                                        "i: sip:h SIP/2.0\r\n",
                                        " OPTIONS sip:h SIP/2.0\r\n"};
    for (size_t i = 0; i < sizeof sip / sizeof *sip; i++) {
        struct sf_sip h;
        CHECK(sf_sip_looks_like(copy(sip[i])));
        CHECK(sf_sip_scan(copy(sip[i]), &h) && h.is_request != h.is_response);
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        struct sf_sip h;
        CHECK(!sf_sip_looks_like(copy(other[i])));
        CHECK(!sf_sip_scan(copy(other[i]), &h) && !h.is_request && !h.is_response);
        CHECK(h.method.n == 0 && h.reason.n == 0 && h.status == 0);
    }
    struct sf_sip h;
    CHECK(sf_sip_scan(copy("INVITE  sip:a b;lr  SIP/2.0 \r\n"), &h));
    CHECK_TEXT(h.uri, "sip:a b;lr");
    CHECK(sf_sip_scan(copy("SIP/2.0 180\r\nCSeq: 1 INVITE\r\n"), &h));
    CHECK(h.status == 180 && h.reason.n == 0 && h.body == 29);
}

static void stays_inside(struct sf_slice in)
{
    struct sf_sip h;
    struct sf_slice id = {NULL, 0};
    bool sip = sf_sip_scan(in, &h);
    CHECK(sip == sf_sip_looks_like(in));
    CHECK(sf_sip_call_id(in, &id) == h.has_call_id);
    CHECK(sf_slice_eq(id, h.call_id) && h.body <= in.n);
    struct sf_slice all[] = {h.method,    h.uri,        h.reason,       h.call_id,    h.from.uri,
                             h.from.user, h.from.tag,   h.to.uri,       h.to.user,    h.to.tag,
                             h.branch,    h.user_agent, h.content_type, h.cseq_method};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        /* Every value stands in the head. */
        CHECK(lies_inside(all[i], sf_slice(in.p, h.body)));
    }
}

static void truncations_and_flips(void)
{
    char text[sizeof INVITE];
    size_t n = sizeof INVITE - 1;
    memcpy(text, INVITE, sizeof INVITE);
    for (size_t cut = 0; cut <= n; cut++) {
        stays_inside(guarded(text, cut));
        stays_inside(guarded(text + cut, n - cut));
    }
    static const char changes[] = {'\0', '\n', '\r', ' ', ':', ';',
                                   '"',  '\\', '<',  '>', '@', '\xff'};
    for (size_t at = 0; at < n; at++) {
        char was = text[at];
        for (size_t i = 0; i < sizeof changes; i++) {
            text[at] = changes[i];
            stays_inside(guarded(text, n));
        }
        text[at] = was;
    }
}

int main(void)
{
    call_ids();
    whole_head();
    compact_and_folded();
    odd_values();
    start_lines();
    truncations_and_flips();
    puts("ok sip");
    return 0;
}
