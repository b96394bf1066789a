/*
 * Sends many calls and streams at their times: a wheel of slots, frames written straight into
 * the datagrams, sendmmsg of 64. All times are capture times, in us since the epoch; the clock
 * stands at `origin_us` when the first run begins.
 *
 * Calls are stamped from their moulds message by message, when each is due; a stream is set up
 * when the message goes out after which it may begin.
 *
 * Streams and dialogs keep their order. With `offload`, audio that is `single` and messages that
 * are not, with `sip_only`, wait for the end of their tick (unpaced: of their millisecond) and go
 * out by length, so that others overtake them; else what is due is sent in the order of
 * milliseconds.
 *
 * Pacing: every tick sends what fell due in it and then sleeps to the next. A sender that was
 * kept from running catches up at no more than twice its pace, so that there is no burst.
 *
 * Owns:    its calls, copies of talkers and of their scripts.
 * Lends:   nothing; borrows moulds and what they borrow, the talkers' audio, the socket,
 * Until:   sf_sender_free.
 * Threads: one at a time.
 */
#ifndef SF_SENDER_H
#define SF_SENDER_H

#include "mould.h"
#include "outlet.h"

#define SF_SENDER_MOULDS 65535 /* at most */
#define SF_SENDER_BUDGET                                                                           \
    1472 /* octets of a datagram: Ethernet's 1500 less IPv4 and UDP headers                        \
          */

struct sf_sender_settings {
    int fd;           /* a connected, blocking UDP socket */
    bool single;      /* one frame per datagram instead of batches */
    bool offload;     /* let the kernel cut datagrams (UDP_SEGMENT): batches of one length in a row,
                         single frames and messages without streams by length */
    uint32_t budget;  /* octets of a batch datagram */
    uint32_t tick_us; /* of real time */
    double speed;     /* sender's clock per real time; 0: as fast as the socket takes it */
    uint64_t origin_us; /* a multiple of 1000 */
    bool sip_only;      /* calls without their streams */
};

struct sf_sender;

/* NULL when memory is short. */
struct sf_sender *sf_sender_new(const struct sf_sender_settings *settings);
struct sf_sender *sf_sender_free(struct sf_sender *sender);

/* Copies the talker and its script; false when memory is short. */
bool sf_sender_add_talker(struct sf_sender *sender, const struct sf_talker *talker);

/* Borrows what the mould borrows, which must be without fault; false when memory is short. Moulds
 * are numbered from 0. */
bool sf_sender_add_mould(struct sf_sender *sender, const struct sf_mould *mould);

/* A call to be sent: the number of its mould, and which of its lines are sent, a bit for each; what
 * is of the others goes elsewhere. */
struct sf_planned {
    struct sf_call call;
    uint32_t mould;
    uint32_t lines;
};

/* Copies the call, whose mould must be there; one of no line is none. False when memory is short.
 */
bool sf_sender_add_call(struct sf_sender *sender, const struct sf_planned *planned);

size_t sf_sender_moulds(const struct sf_sender *sender);

/* Runs until the clock stands at `until_us`; false when memory is short. */
bool sf_sender_run(struct sf_sender *sender, uint64_t until_us);

/* Calls and streams not yet done. */
size_t sf_sender_left(const struct sf_sender *sender);

const struct sf_sent *sf_sender_sent(const struct sf_sender *sender);

#endif
