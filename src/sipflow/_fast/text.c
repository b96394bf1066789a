#include "text.h"

#include <arpa/inet.h>

static const uint8_t replacement[3] = {0xef, 0xbf, 0xbd};

/* Octets of the character, or of the maximal part of one, at p; `good` tells which. */
static size_t character(const uint8_t *p, size_t n, bool *good)
{
    uint8_t lead = p[0];
    *good = lead < 0x80;
    if (lead < 0xc2 || lead > 0xf4) {
        return 1;
    }
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    /* The second octet alone decides overlong forms, surrogates and the upper bound. */
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    size_t have = 1;
    while (have < length && have < n && p[have] >= low && p[have] <= high) {
        low = 0x80;
        high = 0xbf;
        have++;
    }
    *good = have == length;
    return have;
}

size_t sf_text_clean(struct sf_slice octets, uint8_t *dst)
{
    uint8_t *out = dst;
    size_t at = 0;
    while (at < octets.n) {
        bool good;
        size_t n = character(octets.p + at, octets.n - at, &good);
        const uint8_t *from = good ? octets.p + at : replacement;
        size_t length = good ? n : sizeof replacement;
        memcpy(out, from, length);
        out += length;
        at += n;
    }
    return (size_t)(out - dst);
}

static uint8_t *put_number(uint8_t *p, unsigned value)
{
    uint8_t digits[5];
    size_t count = 0;
    do {
        digits[count++] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (count > 0) {
        *p++ = digits[--count];
    }
    return p;
}

/* By hand, because it stands in every message: inet_ntop goes through printf. */
static uint8_t *put_ipv4(uint8_t *p, const uint8_t *ip)
{
    for (int i = 0; i < 4; i++) {
        p = put_number(p, ip[i]);
        *p++ = '.';
    }
    return p - 1;
}

static uint8_t *put_ipv6(uint8_t *p, const uint8_t *ip)
{
    char address[INET6_ADDRSTRLEN] = "";
    inet_ntop(AF_INET6, ip, address, sizeof address);
    size_t n = strlen(address);
    *p++ = '[';
    memcpy(p, address, n);
    p += n;
    *p++ = ']';
    return p;
}

size_t sf_text_endpoint(uint8_t family, const uint8_t *ip, uint16_t port, uint8_t *dst)
{
    uint8_t *p = family == 6 ? put_ipv6(dst, ip) : put_ipv4(dst, ip);
    *p++ = ':';
    return (size_t)(put_number(p, port) - dst);
}

bool sf_text_read_endpoint(struct sf_slice text, uint8_t *family, uint8_t *ip, uint16_t *port)
{
    char host[SF_TEXT_ENDPOINT];
    size_t colon = text.n;
    while (colon > 0 && text.p[colon - 1] != ':') {
        colon--;
    }
    if (colon < 2 || colon > sizeof host) {
        return false;
    }
    bool brackets = text.p[0] == '[' && text.p[colon - 2] == ']';
    size_t n = colon - 1 - (brackets ? 2 : 0);
    memcpy(host, text.p + brackets, n);
    host[n] = '\0';
    unsigned value = 0;
    for (size_t i = colon; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || value > UINT16_MAX) {
            return false;
        }
        value = value * 10 + (unsigned)(text.p[i] - '0');
    }
    memset(ip, 0, 16);
    *family = brackets ? 6 : 4;
    *port = (uint16_t)value;
    return colon < text.n && value <= UINT16_MAX &&
           inet_pton(brackets ? AF_INET6 : AF_INET, host, ip) == 1;
}
