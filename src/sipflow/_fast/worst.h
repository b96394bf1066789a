/*
 * How bad the media of each call was, as far as the rows of an index tell: written into call_meta
 * once a bucket is complete.
 *
 * Owns:    nothing; what it gathers is freed before it returns.
 * Lends:   nothing.
 * Threads: that of the connection.
 */
#ifndef SF_WORST_H
#define SF_WORST_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

/* A stream of fewer packets is judged by nobody: half a second of speech. */
#define SF_WORST_PACKETS 25
/* A step ahead up to this is loss, beyond it a restart (RFC 3550, appendix A.1). */
#define SF_WORST_DROPOUT 3000

enum sf_scale {
    SF_SCALE_NONE, /* nothing is known of the codec */
    SF_SCALE_NB,
    SF_SCALE_WB,
};

struct sf_opinion {
    enum sf_scale scale;
    double mos; /* listening quality (LQ), without delay */
};

/*
 * MOS of a static payload type at a share of random loss, by the tables of sipflow.media.emodel
 * (ITU-T G.107, G.107.1).
 */
struct sf_opinion sf_worst_opinion(unsigned payload_type, double loss_percent);

/*
 * Fills in loss_percent, jitter_us, mos, mos_scale and one_way of every call, in the transaction
 * at hand; what stood there before is gone. Gives a result code of SQLite, SQLITE_OK for done.
 */
int sf_worst_store(sqlite3 *db);

#endif
