/*
 * Reads HEP frames as packets: asks for the key, unpacks what is packed, and tells what is in it.
 *
 * Owns:    the key and the memory of unpacked payloads.
 * Lends:   packets that point into the frame, or into that memory,
 * Until:   the frame's buffer changes; sf_hep_reader_clear.
 * Threads: one per reader.
 */
#ifndef SF_HEP_READER_H
#define SF_HEP_READER_H

#include "hep.h"

struct sf_hep_reader;

/* With a key, frames that do not carry it are refused; empty takes all. NULL: out of memory. */
struct sf_hep_reader *sf_hep_reader_new(struct sf_slice key);
struct sf_hep_reader *sf_hep_reader_free(struct sf_hep_reader *reader); /* always NULL */

/* True when sf_hep_read may be called before sf_hep_reader_clear. */
bool sf_hep_reader_has_room(const struct sf_hep_reader *reader);
void sf_hep_reader_clear(struct sf_hep_reader *reader);

/* True when the octets begin like something sf_hep_read takes: a frame, or one packed as gzip. */
bool sf_hep_reader_knows(struct sf_slice octets);

/*
 * Reads the frame that begins `octets`; one that tells no time is of `arrival_us`. SF_HEP_KEY: the
 * key is wrong or missing; else as sf_hep_parse, sf_unpack and sf_hep_packet have it.
 */
enum sf_status sf_hep_read(struct sf_hep_reader *reader, struct sf_slice octets,
                           uint64_t arrival_us, struct sf_packet *out);

#endif
