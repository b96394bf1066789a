/*
 * Text as the index keeps it: well-formed UTF-8, and addresses as people write them.
 *
 * Owns:    nothing.
 * Lends:   nothing.
 * Threads: any; all functions are pure.
 */
#ifndef SF_TEXT_H
#define SF_TEXT_H

#include "cursor.h"

/* What sf_text_clean writes at most for `n` octets: each may become U+FFFD. */
static inline size_t sf_text_bound(size_t n)
{
    return 3 * n;
}

/*
 * Writes `octets` to `dst` as UTF-8; what is no UTF-8 becomes U+FFFD, one for each maximal
 * part (Unicode, chapter 3, table 3-8), as Python's "replace" does. Gives the octets written.
 */
size_t sf_text_clean(struct sf_slice octets, uint8_t *dst);

/* Room for an IPv6 address in brackets, a colon and a port. */
#define SF_TEXT_ENDPOINT 64

/* Writes 192.0.2.1:5060 or [2001:db8::1]:5060, without terminator; gives the octets written. */
size_t sf_text_endpoint(uint8_t family, const uint8_t *ip, uint16_t port, uint8_t *dst);

/* Reads what sf_text_endpoint wrote; `ip` gets 16 octets, IPv4 fills the first four. */
bool sf_text_read_endpoint(struct sf_slice text, uint8_t *family, uint8_t *ip, uint16_t *port);

#endif
