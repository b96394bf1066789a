/*
 * Volleys: what waits in a lane, sent through one connected UDP socket with as few calls into the
 * kernel as it can be. Neighbours of nearly one length go as one message that the kernel cuts
 * (UDP_SEGMENT); the shorter are padded behind their last frame, which every collector ignores.
 *
 * Owns:    nothing.
 * Lends:   nothing; borrows the lane's datagrams during the call.
 * Threads: the lane's reader.
 */
#ifndef SF_VOLLEY_H
#define SF_VOLLEY_H

#include "lane.h"

/* What became of datagrams; several threads may read while one counts. */
struct sf_posted {
    _Atomic uint64_t packets; /* in datagrams the kernel took */
    _Atomic uint64_t datagrams;
    _Atomic uint64_t octets;
    _Atomic uint64_t lost;   /* packets in datagrams that it refused twice */
    _Atomic uint64_t errors; /* refusals; some are of an earlier datagram (ICMP) */
    _Atomic int last_errno;
};

/* True when the kernel can cut messages sent through `fd`. */
bool sf_volley_can_cut(int fd);

/*
 * Sends what is ready, up to a bound, and gives the slots back. True when there may be more;
 * false when all is gone or the socket takes no more for now. `cut` is cleared when the kernel
 * turns out to be unable to.
 */
bool sf_volley_send(int fd, bool *cut, struct sf_lane *lane, uint64_t before_ns,
                    struct sf_posted *posted);

#endif
