/*
 * What a parser or the recorder can say of a piece of input.
 *
 * Every value but SF_OK is also the index of a counter: nothing is refused or
 * dropped without being counted under one of these names (status.c, sf_status_name).
 */
#ifndef SF_STATUS_H
#define SF_STATUS_H

enum sf_status {
    SF_OK,

    /* A frame or datagram that does not follow the wire format (docs/WIRE.md, docs/HEP.md). */
    SF_TRUNCATED,    /* a length reaches beyond the octets at hand */
    SF_BAD_MAGIC,    /* neither 53 46 nor 53 47, nor HEP where that is taken */
    SF_BAD_VERSION,  /* frame version other than 2, 3; batch version other than 1 */
    SF_BAD_KIND,     /* type other than 0 (SIP), 1 (RTP) */
    SF_BAD_FAMILY,   /* address family other than 4, 6 */
    SF_BAD_METADATA, /* length 1..7, or other than its call id needs */
    SF_BAD_CALL_ID,  /* not valid UTF-8 */
    SF_BAD_BATCH,    /* frame lengths, count and datagram length disagree */
    SF_BAD_HEP,      /* HEP: lengths that contradict each other, or a payload nothing unpacks */
    SF_HEP_KEY,      /* HEP without the key that is asked for */

    /* A sound frame that is not stored. */
    SF_NO_CALL_ID,       /* RTP that names no call */
    SF_CALL_ID_TOO_LONG, /* more than SF_CALL_ID_MAX octets */
    SF_TOO_LARGE,        /* a payload that fits no chunk of the pool */
    SF_FOREIGN_SOURCE,   /* sender outside the allow list */
    SF_HEP_OTHER,        /* HEP that carries neither SIP nor RTP: reports, log lines */
    SF_MEDIA_OFF,        /* RTP while media = false */
    SF_POOL_FULL_RTP,    /* no free chunk for RTP */
    SF_POOL_FULL_SIP,    /* no free chunk for SIP */
    SF_SIP_FIRST,        /* RTP while the last chunks for SIP are in use */
    SF_DISK_LOW_RTP,     /* RTP while the disk is short of room */
    SF_DISK_LOW_SIP,     /* SIP while the disk has no room at all */

    SF_STATUS_COUNT
};

/* A stable lower-case word for `status`, used in metrics and error texts; never NULL. */
const char *sf_status_name(enum sf_status status);

#endif
