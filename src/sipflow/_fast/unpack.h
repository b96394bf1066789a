/*
 * Unpacks what zlib packed (RFC 1950), gzip (RFC 1952) or deflate alone (RFC 1951), in bounded
 * memory: some octets on the wire may claim to be a thousand times as many.
 *
 * Owns:    the state of zlib and the memory that the results lie in.
 * Lends:   what was unpacked,
 * Until:   sf_unpacker_clear.
 * Threads: one per unpacker.
 */
#ifndef SF_UNPACK_H
#define SF_UNPACK_H

#include "cursor.h"
#include "status.h"

/* Octets that one input may become: no SIP message that is stored is longer. */
#define SF_UNPACKED_MAX 262144

struct sf_unpacker;

struct sf_unpacker *sf_unpacker_new(void);                          /* NULL: out of memory */
struct sf_unpacker *sf_unpacker_free(struct sf_unpacker *unpacker); /* always NULL */

/* True when so many inputs may be unpacked before sf_unpacker_clear. */
bool sf_unpacker_has_room(const struct sf_unpacker *unpacker, unsigned inputs);
void sf_unpacker_clear(struct sf_unpacker *unpacker);

/*
 * Unpacks `packed`, which may be of any of the three forms; what follows its end is ignored.
 * SF_BAD_HEP: it is none, or is cut; SF_TOO_LARGE: more than SF_UNPACKED_MAX, or no room
 * is left.
 */
enum sf_status sf_unpack(struct sf_unpacker *unpacker, struct sf_slice packed,
                         struct sf_slice *out);

/* True when the octets begin as gzip does. */
bool sf_is_gzip(struct sf_slice octets);

#endif
