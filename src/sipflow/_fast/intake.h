/*
 * The intake: puts packets into the pool, each RTP packet straight behind its stream's last one.
 *
 * A stream's chunk goes to the encoders when it is full, when its packets span more than two
 * seconds, or when it has been open for `flush_interval_us` (two seconds once `flush_count`
 * packets are pending). SIP goes to one of sixteen arenas by call, so that the messages of a
 * call meet in one block.
 *
 * Owns:    the table of open streams; the chunks it has open.
 * Lends:   nothing.
 * Threads: one per intake; several intakes may share a pool.
 */
#ifndef SF_INTAKE_H
#define SF_INTAKE_H

#include "hep_reader.h"
#include "packet.h"
#include "pool.h"

#define SF_INTAKE_BATCH 512 /* packets taken at once */

struct sf_intake_limits {
    uint64_t flush_interval_us;
    uint64_t flush_count; /* 0: no limit by count */
    bool media;           /* false: RTP is counted as SF_MEDIA_OFF and dropped */
    bool trust_time;      /* true: file by capture time however old (imports) */
};

struct sf_intake;

/* `slot` (below SF_POOL_RECEIVERS) is the ledger to count in. NULL: out of memory. */
struct sf_intake *sf_intake_new(struct sf_pool *pool, unsigned slot,
                                struct sf_intake_limits limits);
struct sf_intake *sf_intake_free(struct sf_intake *intake); /* always NULL; chunks stay open */
struct sf_ledger *sf_intake_ledger(struct sf_intake *intake);

/*
 * Lets sf_intake_datagram take HEP as well, which `reader` reads for this intake alone until
 * sf_intake_free; with `alone` nothing else, so that nobody gets round the reader's key.
 */
void sf_intake_take_hep(struct sf_intake *intake, struct sf_hep_reader *reader, bool alone);

/* Stores up to SF_INTAKE_BATCH packets that arrived at `now_us` (wall clock); all is counted. */
void sf_intake_put(struct sf_intake *intake, const struct sf_packet *packets, unsigned count,
                   uint64_t now_us);
/* Where a datagram came from; family 0: not told. */
struct sf_peer {
    uint8_t family; /* enum sf_family */
    uint8_t ip[16]; /* IPv4 fills the first four octets, the rest is 0 */
};

/* Parses a datagram and stores its packets; refusals are counted by reason and by source. */
void sf_intake_datagram(struct sf_intake *intake, struct sf_slice octets,
                        const struct sf_peer *peer, uint64_t now_us);
/* Counts a datagram that is not looked into. */
void sf_intake_refuse(struct sf_intake *intake, struct sf_slice octets, const struct sf_peer *peer,
                      enum sf_status status, uint64_t now_us);
/*
 * Stores the HEP frames of version 3 that a connection brought and that are whole; `taken` is how
 * many octets they fill. All is stored when it returns. SF_OK, or why what follows is no frame:
 * that is counted, and nothing more can be read from the connection.
 */
enum sf_status sf_intake_stream(struct sf_intake *intake, struct sf_slice octets,
                                const struct sf_peer *peer, uint64_t now_us, size_t *taken);
/* Stores what sf_intake_datagram holds back to fill a batch. */
void sf_intake_flush_batch(struct sf_intake *intake, uint64_t now_us);
/* Tells that the thread of this intake is alive. */
void sf_intake_beat(struct sf_intake *intake);
/* Closes the chunks that are old enough; cheap when there are none. */
void sf_intake_sweep(struct sf_intake *intake);
/* Closes every open chunk. */
void sf_intake_drain(struct sf_intake *intake);

#endif
