#define _GNU_SOURCE
#include "index.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sqlite3.h>

#include "callbook.h"
#include "hash.h"
#include "keeper.h"
#include "text.h"
#include "worst.h"

#define CACHE_KIB "24576"
#define BUSY_MS   5000
/* So many pages of write-ahead log are left to the keeper; from then on the writer waits for the
 * disk. */
#define PAGES_MOST 131072
/* sip_msgs.id: the number of the call, and in the low bits that of the message in its call. */
#define CALL_SHIFT 32

enum statement {
    FIND_CALL,
    FIND_STREAMS,
    ADD_CALL,
    CHANGE_CALL,
    CHANGE_FIRST,
    CHANGE_MEDIA,
    ADD_PATH,
    ADD_STREAM,
    ADD_SIP,
    ADD_MEDIA,
    PUT_STATE,
    STATEMENTS
};

#define CALL_COLUMNS                                                                               \
    "call_id, first_us, last_us, invite_us, ring_us, answer_us, cancel_us, bye_us, "               \
    "bye_answer_us, method, begins, from_user, to_user, from_uri, to_uri, user_agent, src, dst, "  \
    "status, status_us, reason, sip_messages, rtp_packets, rtp_streams"
/* What a row may grow by as its call goes on: four moments, a reason, counts. */
#define ROOM_TO_GROW 40
/* A value longer than this takes two octets to tell its length (SQLite, "Record Format"). */
#define SHORT_VALUE 57

static const char *const texts[STATEMENTS] = {
    [FIND_CALL] = "SELECT " CALL_COLUMNS ", id, length(spare) FROM eras CROSS JOIN call_meta "
                  "ON id >> 16 = n AND call_id = ?",
    [FIND_STREAMS] = "SELECT id, leg, src, dst, ssrc FROM streams WHERE call = ?",
    [ADD_CALL] = "INSERT INTO call_meta (" CALL_COLUMNS ", spare, id) VALUES "
                 "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    /* Neither Call-ID nor first_us: naming them would write their indexes anew each time. */
    [CHANGE_CALL] =
        "UPDATE call_meta SET last_us = ?, invite_us = ?, ring_us = ?, answer_us = ?, "
        "cancel_us = ?, bye_us = ?, bye_answer_us = ?, method = ?, begins = ?, from_user = ?, "
        "to_user = ?, from_uri = ?, to_uri = ?, user_agent = ?, src = ?, dst = ?, status = ?, "
        "status_us = ?, reason = ?, sip_messages = ?, rtp_packets = ?, rtp_streams = ?, "
        "spare = ? WHERE id = ?",
    [CHANGE_FIRST] = "UPDATE call_meta SET first_us = ? WHERE id = ?",
    [CHANGE_MEDIA] = "UPDATE call_meta SET last_us = ?, rtp_packets = ?, rtp_streams = ?, "
                     "spare = ? WHERE id = ?",
    [ADD_PATH] = "INSERT INTO paths (src, dst) VALUES (?, ?)",
    [ADD_STREAM] = "INSERT INTO streams (call, leg, src, dst, ssrc) VALUES (?, ?, ?, ?, ?)",
    [ADD_SIP] = "INSERT INTO sip_msgs (id, t0_us, path, method, status, cseq, block, position) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [ADD_MEDIA] = "INSERT INTO media_msgs (stream, t0_us, span_us, payload_type, packets, lost, "
                  "jitter_us, first_seq, last_seq, block) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [PUT_STATE] = "INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)",
};

struct sf_index {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    int fd;
    enum sf_index_durability durability;
    uint64_t end;
    uint64_t blocks;
    uint64_t rtp_octets;
    uint64_t replay_from;
    int64_t last_call;
    uint64_t sip_rows, media_rows;
    struct sf_callbook book;
    struct sf_keeper *keeper; /* NULL: none */
    int pages;                /* in the write-ahead log */
    uint8_t *scratch;         /* a text made well-formed */
    size_t scratch_room;
    bool failed; /* out of memory or an SQLite error, in the commit at hand */
    int failure; /* an errno, when SQLite is not to blame */
};

/*
 * SQLite counts each allocation under a lock of the whole process, for statistics that nobody asks
 * for. Refused, without harm, once the process has used SQLite.
 */
__attribute__((constructor)) static void count_no_memory(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* --- errors --- */

static bool fail(struct sf_index *index, int code)
{
    index->failed = true;
    index->failure = code;
    return false;
}

static void tell(const struct sf_index *index, int code, struct sf_index_error *error)
{
    int sqlite = index != NULL && index->db != NULL ? sqlite3_errcode(index->db) : SQLITE_NOMEM;
    error->code = code != 0 ? code : -sqlite;
    const char *text = code != 0                            ? strerror(code)
                       : index != NULL && index->db != NULL ? sqlite3_errmsg(index->db)
                                                            : "out of memory";
    snprintf(error->text, sizeof error->text, "%s", text);
}

/* --- statements --- */

/* Values on their way into a statement, one behind the other; a failure is told by `run_row`. */
struct row {
    sqlite3_stmt *s;
    int at;
    int code;
};

static struct row row_of(struct sf_index *index, enum statement statement)
{
    return (struct row){index->statements[statement], 0, SQLITE_OK};
}

static void put_number(struct row *row, int64_t value)
{
    row->code |= sqlite3_bind_int64(row->s, ++row->at, value);
}

static void put_null(struct row *row)
{
    row->code |= sqlite3_bind_null(row->s, ++row->at);
}

/* The text stays where it is until the statement has run. */
static void put_text(struct row *row, struct sf_slice text)
{
    const char *p = text.n > 0 ? (const char *)text.p : "";
    row->code |= sqlite3_bind_text(row->s, ++row->at, p, (int)text.n, SQLITE_STATIC);
}

static void put_number_or_null(struct row *row, bool there, int64_t value)
{
    if (there) {
        put_number(row, value);
    } else {
        put_null(row);
    }
}

static void put_zeros(struct row *row, size_t octets)
{
    row->code |= sqlite3_bind_zeroblob(row->s, ++row->at, (int)octets);
}

static void put_time(struct row *row, int64_t time_us)
{
    put_number_or_null(row, time_us != SF_NEVER, time_us);
}

static void put_ends(struct row *row, const struct sf_ends_key *ends, struct sf_ends *text)
{
    text->src_length = sf_text_endpoint(ends->family, ends->src, ends->src_port, text->src);
    text->dst_length = sf_text_endpoint(ends->family, ends->dst, ends->dst_port, text->dst);
    put_text(row, sf_slice(text->src, text->src_length));
    put_text(row, sf_slice(text->dst, text->dst_length));
}

/* Runs a statement that gives no rows. */
static bool run_row(struct sf_index *index, struct row *row)
{
    int code = row->code == SQLITE_OK ? sqlite3_step(row->s) : row->code;
    sqlite3_reset(row->s);
    return code == SQLITE_DONE || fail(index, 0);
}

static struct sf_slice column_text(sqlite3_stmt *s, int at)
{
    const void *p = sqlite3_column_text(s, at);
    return sf_slice(p, (size_t)sqlite3_column_bytes(s, at));
}

static int64_t column_time(sqlite3_stmt *s, int at)
{
    return sqlite3_column_type(s, at) == SQLITE_NULL ? SF_NEVER : sqlite3_column_int64(s, at);
}

/* The text as the index keeps it; lent until the next call. */
static struct sf_slice clean(struct sf_index *index, struct sf_slice text)
{
    size_t need = sf_text_bound(text.n) + 1;
    if (index->scratch_room < need) {
        uint8_t *p = realloc(index->scratch, need * 2);
        if (p == NULL) {
            fail(index, ENOMEM);
            return sf_slice(NULL, 0);
        }
        index->scratch = p;
        index->scratch_room = need * 2;
    }
    return sf_slice(index->scratch, sf_text_clean(text, index->scratch));
}

/* --- calls --- */

static size_t number_octets(int64_t value)
{
    int64_t n = value < 0 ? ~value : value;
    return n < 128         ? value != 0 && value != 1
           : n < 1ll << 15 ? 2
           : n < 1ll << 23 ? 3
           : n < 1ll << 31 ? 4
           : n < 1ll << 47 ? 6
                           : 8;
}

static size_t text_octets(size_t n)
{
    return n + (n > SHORT_VALUE);
}

/* What the row of a call takes in SQLite's record format, with nothing to spare. */
static size_t row_octets(const struct sf_known_call *call)
{
    const struct sf_digest *d = &call->digest;
    /* An octet for the length of the head, and one for the kind of each value. */
    size_t octets = 1 + 31;
    octets += text_octets(call->id_length);
    octets += number_octets(d->first_us) + number_octets(d->last_us);
    for (int i = 0; i < SF_MOMENTS; i++) {
        octets += d->moment_us[i] != SF_NEVER ? number_octets(d->moment_us[i]) : 0;
    }
    for (int i = 0; i < SF_PARTY_TEXTS; i++) {
        octets += text_octets(d->party[i].n);
    }
    octets += number_octets(d->status) + text_octets(d->reason.n);
    octets += d->status_us != SF_NEVER ? number_octets(d->status_us) : 0;
    return octets + number_octets((int64_t)d->sip_messages) +
           number_octets((int64_t)call->rtp_packets) + number_octets((int64_t)call->rtp_streams);
}

/*
 * Fills the row up to the size it has: SQLite then writes it where it stands, instead of moving its
 * neighbours, and pages stay full. A row that outgrows its room gets a new one.
 */
static void put_spare(struct row *row, struct sf_known_call *call, size_t room)
{
    size_t octets = row_octets(call);
    if (octets > call->row_octets) {
        call->row_octets = octets + room;
    }
    size_t spare = call->row_octets - octets;
    put_zeros(row, spare > SHORT_VALUE ? spare - 1 : spare);
}

static bool read_digest(struct sf_index *index, struct sf_known_call *call, sqlite3_stmt *s)
{
    struct sf_digest *d = &call->digest;
    *d = sf_digest_span(sqlite3_column_int64(s, 1), sqlite3_column_int64(s, 2));
    for (int i = 0; i < SF_MOMENTS; i++) {
        d->moment_us[i] = column_time(s, 3 + i);
    }
    d->party[SF_METHOD] = column_text(s, 9);
    d->begins = sqlite3_column_int(s, 10) != 0;
    for (int i = 0; i < SF_PARTY_TEXTS - 1; i++) {
        d->party[SF_FROM_USER + i] = column_text(s, 11 + i);
    }
    d->status = (uint32_t)sqlite3_column_int(s, 18);
    d->status_us = column_time(s, 19);
    d->reason = column_text(s, 20);
    d->sip_messages = (uint64_t)sqlite3_column_int64(s, 21);
    call->rtp_packets = (uint64_t)sqlite3_column_int64(s, 22);
    call->rtp_streams = (uint64_t)sqlite3_column_int64(s, 23);
    call->id = sqlite3_column_int64(s, 24);
    call->row_octets = row_octets(call) + text_octets((size_t)sqlite3_column_int(s, 25));
    call->stored_first_us = d->first_us;
    return sf_callbook_keep(&index->book, call, SF_TOOK_PARTY | SF_TOOK_REASON) ||
           fail(index, ENOMEM);
}

static bool parse_end(struct sf_slice text, uint8_t *family, uint8_t *ip, uint16_t *port)
{
    uint8_t written[SF_TEXT_ENDPOINT];
    return sf_text_read_endpoint(text, family, ip, port) &&
           sf_slice_eq(text, sf_slice(written, sf_text_endpoint(*family, ip, *port, written)));
}

static bool read_streams(struct sf_index *index, struct sf_known_call *call)
{
    struct row row = row_of(index, FIND_STREAMS);
    sqlite3_stmt *s = row.s;
    put_number(&row, call->id);
    int code = row.code;
    while (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
        struct sf_known_stream stream = {.id = sqlite3_column_int64(s, 0),
                                         .leg = sqlite3_column_int(s, 1),
                                         .has_ssrc = sqlite3_column_type(s, 4) != SQLITE_NULL,
                                         .ssrc = (uint32_t)sqlite3_column_int64(s, 4)};
        struct sf_ends_key *ends = &stream.ends;
        /* One that cannot be read is never found again: its stream gets a further row. */
        if (!parse_end(column_text(s, 2), &ends->family, ends->src, &ends->src_port) ||
            !parse_end(column_text(s, 3), &ends->family, ends->dst, &ends->dst_port)) {
            ends->family = 0;
        }
        if (sf_callbook_add_stream(&index->book, call, &stream) == NULL) {
            sqlite3_reset(s);
            return fail(index, ENOMEM);
        }
        code = SQLITE_OK;
    }
    sqlite3_reset(s);
    return code == SQLITE_DONE || fail(index, 0);
}

/* Reads what is stored of a call that is not remembered, if it is `known`; or begins a new one. */
static bool read_call(struct sf_index *index, struct sf_known_call *call, bool known)
{
    struct row row = row_of(index, FIND_CALL);
    put_text(&row, sf_slice(call->call_id, call->id_length));
    int code = row.code != SQLITE_OK ? row.code : known ? sqlite3_step(row.s) : SQLITE_DONE;
    bool good = code == SQLITE_DONE || code == SQLITE_ROW || fail(index, 0);
    if (code == SQLITE_ROW) {
        good = read_digest(index, call, row.s);
    }
    sqlite3_reset(row.s);
    if (code == SQLITE_ROW && good) {
        return read_streams(index, call);
    }
    if (good) {
        call->id = ++index->last_call;
        call->digest = sf_digest_span(INT64_MAX, INT64_MIN);
        sf_callbook_mark(&index->book, call, SF_CALL_NEW);
    }
    return good;
}

/* Finds a call, remembered or in the database, or begins a new one; NULL on failure. */
static struct sf_known_call *call_of(struct sf_index *index, struct sf_slice call_id, uint64_t hash)
{
    struct sf_known_call *call = sf_callbook_find(&index->book, call_id, hash);
    if (call != NULL) {
        return call;
    }
    bool known = sf_callbook_may_know(&index->book, hash);
    call = sf_callbook_add(&index->book, call_id, hash);
    if (call == NULL) {
        fail(index, ENOMEM);
        return NULL;
    }
    return read_call(index, call, known) ? call : NULL;
}

static void put_digest(struct row *row, struct sf_known_call *call, size_t room)
{
    const struct sf_digest *d = &call->digest;
    put_number(row, d->last_us);
    for (int i = 0; i < SF_MOMENTS; i++) {
        put_time(row, d->moment_us[i]);
    }
    put_text(row, d->party[SF_METHOD]);
    put_number(row, d->begins);
    for (int i = SF_FROM_USER; i < SF_PARTY_TEXTS; i++) {
        put_text(row, d->party[i]);
    }
    put_number_or_null(row, d->status != 0, d->status);
    put_time(row, d->status_us);
    put_text(row, d->reason);
    put_number(row, (int64_t)d->sip_messages);
    put_number(row, (int64_t)call->rtp_packets);
    put_number(row, (int64_t)call->rtp_streams);
    put_spare(row, call, room);
    put_number(row, call->id);
}

static bool add_call(struct sf_index *index, struct sf_known_call *call)
{
    struct row row = row_of(index, ADD_CALL);
    put_text(&row, sf_slice(call->call_id, call->id_length));
    put_number(&row, call->digest.first_us);
    call->row_octets = 0;
    put_digest(&row, call, ROOM_TO_GROW);
    call->stored_first_us = call->digest.first_us;
    return run_row(index, &row);
}

static bool change_call(struct sf_index *index, struct sf_known_call *call)
{
    struct row row = row_of(index, call->change == SF_CALL_CHANGED ? CHANGE_CALL : CHANGE_MEDIA);
    if (call->change == SF_CALL_CHANGED) {
        put_digest(&row, call, 0);
    } else {
        put_number(&row, call->digest.last_us);
        put_number(&row, (int64_t)call->rtp_packets);
        put_number(&row, (int64_t)call->rtp_streams);
        put_spare(&row, call, 0);
        put_number(&row, call->id);
    }
    if (!run_row(index, &row) || call->stored_first_us == call->digest.first_us) {
        return !index->failed;
    }
    row = row_of(index, CHANGE_FIRST);
    put_number(&row, call->digest.first_us);
    put_number(&row, call->id);
    call->stored_first_us = call->digest.first_us;
    return run_row(index, &row);
}

static bool store_changed(struct sf_index *index)
{
    while (index->book.changed != NULL) {
        struct sf_known_call *call = index->book.changed;
        if (!(call->change == SF_CALL_NEW ? add_call : change_call)(index, call)) {
            return false;
        }
        call->change = SF_NO_CHANGE;
        index->book.changed = call->next_changed;
    }
    return true;
}

/* --- rows --- */

/* Finds or adds the two ends; 0 on failure. A pair that was forgotten gets a further row. */
static int64_t path_of(struct sf_index *index, struct sf_known_call *call,
                       const struct sf_ends_key *ends)
{
    int64_t path = sf_callbook_path(&index->book, call, ends);
    if (path == 0) {
        struct sf_ends text;
        struct row row = row_of(index, ADD_PATH);
        put_ends(&row, ends, &text);
        if (run_row(index, &row)) {
            path = sqlite3_last_insert_rowid(index->db);
            sf_callbook_add_path(&index->book, call, ends, path);
        }
    }
    return path;
}

static bool add_message(struct sf_index *index, struct sf_known_call *call,
                        const struct sf_gist *gist, const struct sf_message_gist *message,
                        int64_t id, uint64_t block)
{
    int64_t path = path_of(index, call, &message->ends);
    struct row row = row_of(index, ADD_SIP);
    put_number(&row, id);
    put_number(&row, message->time_us);
    put_number(&row, path);
    put_text(&row, sf_gist_text(gist, message->method));
    put_number_or_null(&row, message->status != 0, message->status);
    put_number_or_null(&row, message->has_cseq, message->cseq);
    put_number(&row, (int64_t)block);
    put_number(&row, message->position);
    index->sip_rows++;
    return path > 0 && run_row(index, &row);
}

/* The messages of one call in one block. Its rows so far are as many as its messages. */
static bool add_messages(struct sf_index *index, const struct sf_gist *gist,
                         const struct sf_call_gist *gathered, uint64_t block)
{
    struct sf_known_call *call =
        call_of(index, sf_gist_text(gist, gathered->call_id), gathered->hash);
    if (call == NULL) {
        return false;
    }
    int64_t id = (int64_t)((uint64_t)call->id << CALL_SHIFT | call->digest.sip_messages);
    struct sf_digest digest = sf_gist_digest(gist, gathered);
    if (!sf_callbook_keep(&index->book, call, sf_digest_merge(&call->digest, &digest))) {
        return fail(index, ENOMEM);
    }
    sf_callbook_mark(&index->book, call, SF_CALL_CHANGED);
    for (uint32_t i = 0; i < gathered->messages; i++) {
        const struct sf_message_gist *message = sf_gist_message(gist, gathered->message + i);
        if (!add_message(index, call, gist, message, id + i, block)) {
            return false;
        }
    }
    return true;
}

static struct sf_known_stream *stream_of(struct sf_index *index, struct sf_known_call *call,
                                         const struct sf_chunk_facts *facts)
{
    struct sf_known_stream wanted = {.leg = facts->leg,
                                     .ssrc = facts->ssrc,
                                     .has_ssrc = facts->has_ssrc,
                                     .ends = {.src_port = facts->src_port,
                                              .dst_port = facts->dst_port,
                                              .family = facts->family}};
    memcpy(wanted.ends.src, facts->src, sizeof facts->src);
    memcpy(wanted.ends.dst, facts->dst, sizeof facts->dst);
    struct sf_known_stream *stream = call->streams;
    while (stream != NULL && (stream->ssrc != wanted.ssrc || stream->has_ssrc != wanted.has_ssrc ||
                              stream->leg != wanted.leg ||
                              memcmp(&stream->ends, &wanted.ends, sizeof wanted.ends) != 0)) {
        stream = stream->next;
    }
    if (stream != NULL) {
        return stream;
    }
    struct sf_ends text;
    struct row row = row_of(index, ADD_STREAM);
    put_number(&row, call->id);
    put_number(&row, wanted.leg);
    put_ends(&row, &wanted.ends, &text);
    put_number_or_null(&row, wanted.has_ssrc, wanted.ssrc);
    if (!run_row(index, &row)) {
        return NULL;
    }
    wanted.id = sqlite3_last_insert_rowid(index->db);
    stream = sf_callbook_add_stream(&index->book, call, &wanted);
    if (stream == NULL) {
        fail(index, ENOMEM);
        return NULL;
    }
    call->rtp_streams += wanted.has_ssrc;
    return stream;
}

static bool add_chunk(struct sf_index *index, struct sf_slice octets,
                      const struct sf_chunk_facts *facts, uint64_t block)
{
    struct sf_slice call_id = clean(index, octets);
    struct sf_known_call *call =
        index->failed ? NULL : call_of(index, call_id, sf_hash(call_id.p, call_id.n, 0));
    struct sf_known_stream *stream = call == NULL ? NULL : stream_of(index, call, facts);
    if (stream == NULL) {
        return false;
    }
    struct sf_digest *d = &call->digest;
    d->first_us = facts->t0_us < d->first_us ? facts->t0_us : d->first_us;
    d->last_us = facts->t1_us > d->last_us ? facts->t1_us : d->last_us;
    call->rtp_packets += facts->packets;
    sf_callbook_mark(&index->book, call, SF_MEDIA_CHANGED);
    struct row row = row_of(index, ADD_MEDIA);
    put_number(&row, stream->id);
    put_number(&row, facts->t0_us);
    put_number(&row, (int64_t)((uint64_t)facts->t1_us - (uint64_t)facts->t0_us));
    put_number_or_null(&row, facts->has_ssrc, facts->payload_type);
    put_number(&row, facts->packets);
    put_number(&row, facts->lost);
    put_number_or_null(&row, facts->has_ssrc, facts->jitter_us);
    put_number_or_null(&row, facts->has_ssrc, facts->first_seq);
    put_number_or_null(&row, facts->has_ssrc, facts->last_seq);
    put_number(&row, (int64_t)block);
    index->media_rows++;
    return run_row(index, &row);
}

static bool add_block(struct sf_index *index, const struct sf_portion *portion,
                      const struct sf_portion_block *block, uint64_t at)
{
    const struct sf_gist *gist = &portion->gist;
    if (block->head.kind == SF_BLOCK_STREAM) {
        struct sf_slice call_id =
            sf_slice(portion->call_ids.p + block->call_id, block->call_id_length);
        return add_chunk(index, call_id, &block->facts, at);
    }
    for (uint32_t i = 0; i < block->calls; i++) {
        if (i + 2 < block->calls) {
            sf_callbook_expect(&index->book, sf_gist_call(gist, block->call + i + 2)->hash);
        }
        if (!add_messages(index, gist, sf_gist_call(gist, block->call + i), at)) {
            return false;
        }
    }
    return true;
}

static bool add_portion(struct sf_index *index, const struct sf_portion *portion, uint64_t start)
{
    for (size_t i = 0; i < portion->count; i++) {
        const struct sf_portion_block *block = sf_portion_block(portion, i);
        if (!add_block(index, portion, block, start + block->at)) {
            return false;
        }
    }
    return true;
}

static bool put_state(struct sf_index *index, const char *name, uint64_t value)
{
    struct row row = row_of(index, PUT_STATE);
    put_text(&row, sf_slice(name, strlen(name)));
    put_number(&row, (int64_t)value);
    return run_row(index, &row);
}

/* --- the whole --- */

static bool run(struct sf_index *index, const char *sql)
{
    return sqlite3_exec(index->db, sql, NULL, NULL, NULL) == SQLITE_OK || fail(index, 0);
}

static bool number(struct sf_index *index, const char *sql, uint64_t *out)
{
    sqlite3_stmt *s = NULL;
    bool good = sqlite3_prepare_v2(index->db, sql, -1, &s, NULL) == SQLITE_OK &&
                sqlite3_step(s) == SQLITE_ROW;
    if (good) {
        *out = (uint64_t)sqlite3_column_int64(s, 0);
    }
    sqlite3_finalize(s);
    return good || fail(index, 0);
}

#define STATE_OF(name) "SELECT coalesce(max(value), 0) FROM state WHERE name = '" name "'"

/* Folds the write-ahead log when nobody else does. Its errors are those of a disk that the next
 * commit meets too. */
static int log_grew(void *argument, sqlite3 *db, const char *name, int pages)
{
    struct sf_index *index = argument;
    index->pages = pages;
    if (pages >= (index->keeper == NULL ? SF_KEEPER_PAGES : PAGES_MOST)) {
        sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    }
    return SQLITE_OK;
}

static bool read_state(struct sf_index *index)
{
    uint64_t last = 0;
    bool good = number(index, STATE_OF("end"), &index->end) &&
                number(index, STATE_OF("blocks"), &index->blocks) &&
                number(index, STATE_OF("rtp_octets"), &index->rtp_octets) &&
                number(index, STATE_OF("replay_from"), &index->replay_from) &&
                number(index, "SELECT coalesce(max(id), 0) FROM call_meta", &last);
    index->last_call = (int64_t)last;
    return good;
}

struct sf_index *sf_index_open(const char *path, int fd, enum sf_index_durability durability,
                               struct sf_index_error *error)
{
    struct sf_index *index = calloc(1, sizeof *index);
    if (index == NULL) {
        tell(NULL, ENOMEM, error);
        return NULL;
    }
    index->fd = fd;
    index->durability = durability;
    bool good = sqlite3_open_v2(path, &index->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                                NULL) == SQLITE_OK;
    if (good) {
        sqlite3_busy_timeout(index->db, BUSY_MS);
        good = run(index, "PRAGMA journal_mode = WAL; PRAGMA temp_store = MEMORY;"
                          "PRAGMA cache_size = -" CACHE_KIB ";"
                          "PRAGMA journal_size_limit = 536870912") &&
               run(index, durability == SF_INDEX_DISK ? "PRAGMA synchronous = FULL"
                                                      : "PRAGMA synchronous = NORMAL");
    }
    for (int i = 0; good && i < STATEMENTS; i++) {
        good = sqlite3_prepare_v3(index->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                  &index->statements[i], NULL) == SQLITE_OK;
    }
    good = good && read_state(index) &&
           (sf_callbook_init(&index->book, index->last_call == 0) || fail(index, ENOMEM));
    if (!good) {
        tell(index, index->failure, error);
        return sf_index_free(index);
    }
    sqlite3_wal_hook(index->db, log_grew, index);
    if (fd >= 0) {
        index->keeper = sf_keeper_start(path, fd, index->end);
    }
    return index;
}

struct sf_index *sf_index_free(struct sf_index *index)
{
    if (index != NULL) {
        index->keeper = sf_keeper_stop(index->keeper);
        sf_callbook_free(&index->book);
        for (int i = 0; i < STATEMENTS; i++) {
            sqlite3_finalize(index->statements[i]);
        }
        sqlite3_close(index->db);
        free(index->scratch);
        free(index);
    }
    return NULL;
}

static bool write_data(struct sf_index *index, const struct sf_portion *const *portions,
                       size_t count)
{
    uint64_t at = index->end;
    for (size_t i = 0; i < count && index->fd >= 0; i++) {
        int code = sf_portion_write(portions[i], index->fd, at);
        if (code != 0) {
            return fail(index, code);
        }
        at += portions[i]->data.n;
    }
    if (index->fd >= 0 && index->durability == SF_INDEX_DISK && fdatasync(index->fd) != 0) {
        return fail(index, errno);
    }
    return true;
}

static uint64_t blocks_of(const struct sf_portion *const *portions, size_t count)
{
    uint64_t blocks = 0;
    for (size_t i = 0; i < count; i++) {
        blocks += portions[i]->count;
    }
    return blocks;
}

static uint64_t rtp_octets_of(const struct sf_portion *const *portions, size_t count)
{
    uint64_t octets = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < portions[i]->count; k++) {
            const struct sf_block *head = &sf_portion_block(portions[i], k)->head;
            octets += head->kind == SF_BLOCK_STREAM ? SF_BLOCK_HEAD + head->frame_length : 0;
        }
    }
    return octets;
}

/* The rows of all portions; `end` is moved behind their data. */
static bool write_rows(struct sf_index *index, const struct sf_portion *const *portions,
                       size_t count, uint64_t replay_from, uint64_t *end)
{
    for (size_t i = 0; i < count; i++) {
        if (!add_portion(index, portions[i], index->fd >= 0 ? *end : 0)) {
            return false;
        }
        *end += portions[i]->data.n;
        for (size_t k = 0; index->fd < 0 && k < portions[i]->count; k++) {
            const struct sf_portion_block *block = sf_portion_block(portions[i], k);
            uint64_t behind = block->at + SF_BLOCK_HEAD + block->head.frame_length;
            *end = behind > *end ? behind : *end;
        }
    }
    return store_changed(index) && put_state(index, "end", *end) &&
           put_state(index, "blocks", index->blocks + blocks_of(portions, count)) &&
           put_state(index, "rtp_octets", index->rtp_octets + rtp_octets_of(portions, count)) &&
           put_state(index, "replay_from", replay_from);
}

bool sf_index_append(struct sf_index *index, const struct sf_portion *const *portions, size_t count,
                     uint64_t replay_from, struct sf_index_error *error)
{
    uint64_t end = index->end;
    uint64_t sip_rows = index->sip_rows, media_rows = index->media_rows;
    int64_t last_call = index->last_call;
    index->failed = false;
    index->failure = 0;
    sf_callbook_turn(&index->book);
    bool good = write_data(index, portions, count);
    sf_keeper_begin(index->keeper);
    good = good && run(index, "BEGIN IMMEDIATE") &&
           write_rows(index, portions, count, replay_from, &end) && run(index, "COMMIT");
    if (!good) {
        tell(index, index->failure, error);
        if (!sqlite3_get_autocommit(index->db)) {
            sqlite3_exec(index->db, "ROLLBACK", NULL, NULL, NULL);
        }
    }
    sf_keeper_end(index->keeper, index->pages, good ? end : index->end);
    if (good) {
        index->replay_from = replay_from;
        index->blocks += blocks_of(portions, count);
        index->rtp_octets += rtp_octets_of(portions, count);
        index->end = end;
        sf_callbook_trim(&index->book);
        return true;
    }
    /* Ids given out inside the failed transaction would be handed to other calls by the next. */
    sf_callbook_forget_all(&index->book);
    index->sip_rows = sip_rows;
    index->media_rows = media_rows;
    index->last_call = last_call;
    return false;
}

bool sf_index_run(struct sf_index *index, const char *sql, struct sf_index_error *error)
{
    index->failure = 0;
    index->keeper = sf_keeper_stop(index->keeper);
    bool good = run(index, sql);
    if (!good) {
        tell(index, 0, error);
    }
    return good;
}

bool sf_index_judge(struct sf_index *index, struct sf_index_error *error)
{
    index->failed = false;
    index->failure = 0;
    index->keeper = sf_keeper_stop(index->keeper);
    bool good = run(index, "BEGIN IMMEDIATE");
    int code = good ? sf_worst_store(index->db) : SQLITE_OK;
    good = good && (code == SQLITE_OK || fail(index, code == SQLITE_NOMEM ? ENOMEM : 0)) &&
           run(index, "COMMIT");
    if (!good) {
        tell(index, index->failure, error);
        if (!sqlite3_get_autocommit(index->db)) {
            sqlite3_exec(index->db, "ROLLBACK", NULL, NULL, NULL);
        }
    }
    return good;
}

uint64_t sf_index_end(const struct sf_index *index)
{
    return index->end;
}

uint64_t sf_index_blocks(const struct sf_index *index)
{
    return index->blocks;
}

uint64_t sf_index_rtp_octets(const struct sf_index *index)
{
    return index->rtp_octets;
}

uint64_t sf_index_replay_from(const struct sf_index *index)
{
    return index->replay_from;
}

uint64_t sf_index_sip_rows(const struct sf_index *index)
{
    return index->sip_rows;
}

uint64_t sf_index_media_rows(const struct sf_index *index)
{
    return index->media_rows;
}
