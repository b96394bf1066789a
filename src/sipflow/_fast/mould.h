/*
 * A call with holes: its SIP messages and the heads of its media streams as whole frames, and
 * what goes into the holes of a certain call. Two calls of one mould differ in their Call-IDs,
 * tags, branches, numbers, addresses, times and audio, and are alike in everything else. A call
 * has one dialog, or several that belong together, each with its own Call-ID: its lines.
 *
 * A call is a key and two times; everything in it is computed from them whenever it is needed,
 * so that a call costs 24 octets however long it is. load/draw.py and load/mould.py compute
 * the same, octet by octet.
 *
 * Owns:    nothing.
 * Lends:   nothing; a mould borrows its arrays and voices,
 * Until:   the mould is not used any more.
 * Threads: any; all functions are pure.
 */
#ifndef SF_MOULD_H
#define SF_MOULD_H

#include "draw.h"
#include "talker.h"

#define SF_FIELD_WIDTH 16    /* octets of the widest field */
#define SF_SHARE_ALL   65536 /* of a span */
#define SF_LINES       16    /* dialogs that belong together, at most */
#define SF_CALL_ID     255   /* octets of the longest Call-ID */

/* What the first draws of every call are for; fields and streams have the others. */
enum sf_draw {
    SF_DRAW_TEMPO = 1,
    SF_DRAW_VOICE = 2,
    SF_DRAW_OTHER = 3,
    SF_DRAW_PLACE = 4,
};

enum sf_form { SF_HEX, SF_DECIMAL, SF_BINARY };

/* What goes into a hole: low + step * [0, count), or with a count of 0 the top 4 * width bits of
 * the draw. Of SF_BINARY the width counts octets, big-endian; else digits. */
struct sf_field {
    uint64_t low;
    uint32_t count;
    uint32_t step;
    uint16_t draw;
    uint8_t form; /* enum sf_form */
    uint8_t width;
    uint32_t unused;
};

/* A hole of a frame. Patches of one field stand together, so that it is written once. */
struct sf_patch {
    uint16_t at;
    uint16_t field;
};

/* A moment of a call: so long after its begin, or before its end, but no more than a share of its
 * span [1/65536]. The tempo of a call stretches `at_us` by up to a quarter. */
struct sf_moment {
    uint32_t at_us;
    uint16_t share;
    uint16_t from_end;
};

/* One SIP message: a whole frame. */
struct sf_saying {
    uint32_t octets_at;
    uint32_t n;
    uint32_t patches_at;
    uint32_t patches_n;
    struct sf_moment when;
    uint16_t line;
    uint16_t unused;
};

/* One Call-ID, by which a cluster decides where everything of the line goes. */
struct sf_line {
    uint32_t octets_at;
    uint32_t n;
    uint32_t patches_at;
    uint32_t patches_n;
};

enum sf_speaker { SF_CALLER, SF_OTHER, SF_RINGBACK };

/* One media stream, of the line of the messages it lies between: the frame up to and with the RTP
 * header. */
struct sf_role {
    uint32_t octets_at;
    uint32_t n;
    uint32_t patches_at;
    uint32_t patches_n;
    uint32_t lag_us;              /* from message `begin` to the first packet */
    uint32_t tail_us;             /* from the last one to message `end`, at least */
    struct sf_impairment network; /* what it goes through */
    uint16_t begin;               /* the message after which it may begin */
    uint16_t end;                 /* the message at which it ends */
    uint16_t samples;             /* per packet */
    uint16_t draw;        /* of the SSRC; those of sequence number, timestamp and script follow */
    uint16_t first_voice; /* ringing tone of the right codec in the table of voices */
    uint8_t payload_type;
    uint8_t event_type;
    uint8_t ticks;      /* of the codec's clock in a sample of 8 kHz */
    uint8_t speaker;    /* enum sf_speaker */
    uint8_t quarters;   /* of the time between the two messages in which it speaks: 1 to 4 */
    uint8_t suppressed; /* sends nothing while its voice is silent */
    uint8_t scripted;   /* has digits, or goes through a network that is not perfect */
    uint8_t digits;     /* keys that are pressed */
    uint16_t unused;
};

struct sf_mould {
    const uint8_t *octets;
    const struct sf_field *fields;
    const struct sf_patch *patches;
    const struct sf_saying *sayings;
    const struct sf_role *roles;
    const struct sf_line *lines;
    const struct sf_voice *voices; /* per codec the ringing tone, then `speakers` voices */
    size_t octets_n, fields_n, patches_n, sayings_n, roles_n, lines_n, voices_n;
    uint32_t speakers;
    uint32_t time_at; /* where in a frame the capture time stands */
    bool hep;         /* frames are HEP's; else SipFlow's */
};

struct sf_call {
    uint64_t key;
    uint64_t start_us; /* since the epoch */
    uint64_t span_us;
};

/* NULL when everything in the mould stays within its arrays, else what does not. */
const char *sf_mould_fault(const struct sf_mould *mould);

/* Capture time of message `i`, since the epoch. */
uint64_t sf_mould_time(const struct sf_mould *mould, const struct sf_call *call, size_t i);

/* Writes the frame of message `i`, sayings[i].n octets; gives the end. */
uint8_t *sf_mould_write(const struct sf_mould *mould, const struct sf_call *call, size_t i,
                        uint8_t *dst);

/* Sets up stream `i` before its first packet, `script` too if it is a scripted one; false when
 * there is no time for one. */
bool sf_mould_cast(const struct sf_mould *mould, const struct sf_call *call, size_t i,
                   struct sf_talker *out, struct sf_script *script);

/* Writes the Call-ID of a line, SF_CALL_ID octets at most; gives how many. */
size_t sf_mould_call_id(const struct sf_mould *mould, uint64_t key, size_t line, uint8_t *dst);

/* Which of so many nodes keeps a line of the call with this key, as placement.py has it. */
int32_t sf_mould_node(const struct sf_mould *mould, uint64_t key, size_t line, int32_t nodes);

#endif
