#include "worst.h"

#include <stdlib.h>
#include <string.h>

#define NO_TYPE 255

/* Of a stream, from its chunks. */
struct stream {
    int64_t id;
    int64_t latest_us; /* where its latest chunk begins */
    int64_t packets;
    int64_t lost;
    int64_t between; /* of these, behind a chunk and before the next */
    int64_t votes;   /* for payload_type, against all others */
    int64_t jitter_us;
    uint16_t last_seq;
    uint8_t payload_type;
    bool any;
    bool backward; /* goes against the first stream of its call */
};

/* Of a call, from its streams. */
struct call {
    int64_t id;
    char *src, *dst; /* the ends of its first stream; owned */
    int leg;
    bool judged; /* has a stream of SF_WORST_PACKETS */
    bool one_way;
    bool timed;
    double loss_percent;
    int64_t jitter_us;
    struct sf_opinion opinion;
};

/* The call and the stream at hand: an hour may have millions, which come one after the other. */
struct judging {
    sqlite3_stmt *change;
    struct call call;
    struct stream stream;
};

/* --- the E-model, as far as it goes without SDP --- */

/* Ie and Bpl of the static payload types (RFC 3551) that emodel.py has rows for. */
static bool robustness(unsigned type, double *ie, double *bpl, enum sf_scale *scale)
{
    static const struct {
        unsigned type;
        double ie, bpl;
        enum sf_scale scale;
    } rows[] = {
        {0, 0, 25.1, SF_SCALE_NB},  /* PCMU */
        {3, 20, 10, SF_SCALE_NB},   /* GSM */
        {4, 15, 16.1, SF_SCALE_NB}, /* G723 */
        {8, 0, 25.1, SF_SCALE_NB},  /* PCMA */
        {9, 13, 10, SF_SCALE_WB},   /* G722 */
        {15, 7, 16.1, SF_SCALE_NB}, /* G728 */
        {18, 10, 19, SF_SCALE_NB},  /* G729 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].type == type) {
            *ie = rows[i].ie;
            *bpl = rows[i].bpl;
            *scale = rows[i].scale;
            return true;
        }
    }
    return false;
}

struct sf_opinion sf_worst_opinion(unsigned payload_type, double loss_percent)
{
    double ie, bpl;
    struct sf_opinion opinion = {SF_SCALE_NONE, 0};
    if (!robustness(payload_type, &ie, &bpl, &opinion.scale)) {
        return opinion;
    }
    double impaired = ie + (95 - ie) * loss_percent / (loss_percent + bpl);
    double r = opinion.scale == SF_SCALE_WB ? (129 - impaired) / 1.29 : 93.2 - impaired;
    double mos = r <= 0 ? 1 : r >= 100 ? 4.5 : 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6;
    opinion.mos = mos < 1 ? 1 : mos;
    return opinion;
}

/* The index measures jitter on a clock of 8000 Hz: these types have no other (RFC 3551). */
static bool has_8000_hz(unsigned type)
{
    return type <= 5 || (type >= 7 && type <= 9) || type == 12 || type == 15 || type == 18;
}

/* --- gathering --- */

static size_t host_length(const char *end)
{
    const char *port = strrchr(end, ':');
    return port == NULL ? strlen(end) : (size_t)(port - end);
}

static bool same_host(const char *a, const char *b)
{
    size_t n = host_length(a);
    return n == host_length(b) && memcmp(a, b, n) == 0;
}

/* Tells whether src to dst goes against the first stream of the call. */
static bool goes_back(const struct call *call, const char *src, const char *dst)
{
    if (strcmp(src, call->dst) == 0 && strcmp(dst, call->src) == 0) {
        return true;
    }
    return !same_host(call->src, call->dst) && same_host(src, call->dst) &&
           same_host(dst, call->src);
}

static const char *text(sqlite3_stmt *s, int at)
{
    const char *found = (const char *)sqlite3_column_text(s, at);
    return found == NULL ? "" : found;
}

/* The numbers missing between the latest chunk and this one, which may have been committed late. */
static void count_between(struct stream *stream, int64_t t0_us, uint16_t first_seq,
                          uint16_t last_seq, int64_t spanned)
{
    if (stream->any && t0_us < stream->latest_us) {
        stream->between = stream->between > spanned ? stream->between - spanned : 0;
        return;
    }
    uint16_t hole = (uint16_t)(first_seq - stream->last_seq - 1);
    if (stream->any && hole < SF_WORST_DROPOUT) {
        stream->between += hole;
    }
    stream->latest_us = t0_us;
    stream->last_seq = last_seq;
    stream->any = true;
}

static void vote(struct stream *stream, uint8_t type, int64_t packets)
{
    if (type == stream->payload_type) {
        stream->votes += packets;
    } else if (stream->votes >= packets) {
        stream->votes -= packets;
    } else {
        stream->payload_type = type;
        stream->votes = packets - stream->votes;
    }
}

static void add_chunk(struct stream *stream, sqlite3_stmt *s)
{
    int64_t packets = sqlite3_column_int64(s, 7);
    if (packets < 0 || packets > UINT32_MAX) {
        return; /* damage, which `sipflow verify` tells of */
    }
    int64_t lost = sqlite3_column_int64(s, 8), jitter_us = sqlite3_column_int64(s, 9);
    lost = lost < 0 || lost > UINT32_MAX ? 0 : lost;
    count_between(stream, sqlite3_column_int64(s, 5), (uint16_t)sqlite3_column_int(s, 10),
                  (uint16_t)sqlite3_column_int(s, 11), packets + lost);
    vote(stream, (uint8_t)sqlite3_column_int(s, 6), packets);
    stream->packets += packets;
    stream->lost += lost;
    stream->jitter_us = jitter_us > stream->jitter_us ? jitter_us : stream->jitter_us;
}

/* --- judging --- */

static void judge(struct call *call, const struct stream *stream)
{
    if (stream->packets < SF_WORST_PACKETS) {
        return;
    }
    int64_t lost = stream->lost + stream->between;
    double loss_percent = 100.0 * (double)lost / (double)(stream->packets + lost);
    struct sf_opinion opinion = sf_worst_opinion(stream->payload_type, loss_percent);
    call->one_way = (!call->judged || call->one_way) && !stream->backward;
    call->judged = true;
    call->loss_percent = loss_percent > call->loss_percent ? loss_percent : call->loss_percent;
    if (has_8000_hz(stream->payload_type)) {
        call->timed = true;
        call->jitter_us = stream->jitter_us > call->jitter_us ? stream->jitter_us : call->jitter_us;
    }
    if (opinion.scale != SF_SCALE_NONE &&
        (call->opinion.scale == SF_SCALE_NONE || opinion.mos < call->opinion.mos)) {
        call->opinion = opinion;
    }
}

static int store(const struct call *call, sqlite3_stmt *s)
{
    static const char *const scales[] = {[SF_SCALE_NB] = "NB", [SF_SCALE_WB] = "WB"};
    int code = sqlite3_bind_double(s, 1, call->loss_percent);
    code |= call->timed ? sqlite3_bind_int64(s, 2, call->jitter_us) : sqlite3_bind_null(s, 2);
    if (call->opinion.scale != SF_SCALE_NONE) {
        code |= sqlite3_bind_double(s, 3, call->opinion.mos);
        code |= sqlite3_bind_text(s, 4, scales[call->opinion.scale], 2, SQLITE_STATIC);
    } else {
        code |= sqlite3_bind_null(s, 3);
        code |= sqlite3_bind_null(s, 4);
    }
    code |= sqlite3_bind_int(s, 5, call->one_way);
    code |= sqlite3_bind_int64(s, 6, call->id);
    if (code == SQLITE_OK && sqlite3_step(s) != SQLITE_DONE) {
        code = sqlite3_reset(s);
        return code == SQLITE_OK ? SQLITE_ERROR : code;
    }
    sqlite3_reset(s);
    return code;
}

/* Judges what is at hand of a call and stores it. */
static int end_call(struct judging *j)
{
    judge(&j->call, &j->stream);
    int code = j->call.judged ? store(&j->call, j->change) : SQLITE_OK;
    free(j->call.src);
    free(j->call.dst);
    j->call = (struct call){0};
    j->stream = (struct stream){0};
    return code;
}

/* Begins the call of a row, whose stream is its first. */
static int begin_call(struct judging *j, sqlite3_stmt *s)
{
    j->call.id = sqlite3_column_int64(s, 0);
    j->call.leg = sqlite3_column_int(s, 2);
    j->call.src = strdup(text(s, 3));
    j->call.dst = strdup(text(s, 4));
    return j->call.src != NULL && j->call.dst != NULL ? SQLITE_OK : SQLITE_NOMEM;
}

static void begin_stream(struct judging *j, sqlite3_stmt *s)
{
    judge(&j->call, &j->stream);
    j->stream = (struct stream){
        .id = sqlite3_column_int64(s, 1),
        .payload_type = NO_TYPE,
        .backward =
            sqlite3_column_int(s, 2) != j->call.leg || goes_back(&j->call, text(s, 3), text(s, 4)),
    };
}

/* One chunk of one stream of one call; those that belong together follow each other. */
static int take_row(struct judging *j, sqlite3_stmt *s)
{
    int code = SQLITE_OK;
    if (j->call.src == NULL || sqlite3_column_int64(s, 0) != j->call.id) {
        code = end_call(j);
        code = code == SQLITE_OK ? begin_call(j, s) : code;
    }
    if (code == SQLITE_OK && sqlite3_column_int64(s, 1) != j->stream.id) {
        begin_stream(j, s);
    }
    if (code == SQLITE_OK && sqlite3_column_type(s, 10) != SQLITE_NULL) {
        add_chunk(&j->stream, s);
    }
    return code;
}

/* In the order of two indexes, so that nothing is sorted, and nothing but one call remembered. */
static const char chunks_sql[] =
    "SELECT s.call, s.id, s.leg, s.src, s.dst, m.t0_us, m.payload_type, m.packets, m.lost, "
    "m.jitter_us, m.first_seq, m.last_seq FROM streams s INDEXED BY streams_call "
    "CROSS JOIN media_msgs m INDEXED BY media_msgs_stream ON m.stream = s.id "
    "WHERE s.call > 0 AND s.ssrc IS NOT NULL ORDER BY s.call, s.id, m.id";

/* Early media alone often goes one way, so that only answered calls are called so. */
static const char change_sql[] =
    "UPDATE call_meta SET spare = x'', loss_percent = ?, jitter_us = ?, mos = ?, mos_scale = ?, "
    "one_way = CASE WHEN answer_us IS NOT NULL THEN ? END WHERE id = ?";

static const char forget_sql[] =
    "UPDATE call_meta SET loss_percent = NULL, jitter_us = NULL, mos = NULL, mos_scale = NULL, "
    "one_way = NULL WHERE loss_percent IS NOT NULL";

int sf_worst_store(sqlite3 *db)
{
    struct judging j = {0};
    sqlite3_stmt *s = NULL;
    int code = sqlite3_exec(db, forget_sql, NULL, NULL, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_prepare_v2(db, change_sql, -1, &j.change, NULL);
    }
    if (code == SQLITE_OK) {
        code = sqlite3_prepare_v2(db, chunks_sql, -1, &s, NULL);
    }
    while (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
        code = take_row(&j, s);
    }
    code = code == SQLITE_DONE ? SQLITE_OK : code;
    int last = end_call(&j);
    sqlite3_finalize(s);
    sqlite3_finalize(j.change);
    return code == SQLITE_OK ? last : code;
}
