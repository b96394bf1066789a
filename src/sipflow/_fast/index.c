#define _GNU_SOURCE
#include "index.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sqlite3.h>

#include "digest.h"
#include "hash.h"
#include "text.h"

/* Remembered at most; what is forgotten is read again. */
#define CALLS_MAX  65536
#define OCTETS_MAX (48u << 20)
#define PATHS_MAX  65536
#define TABLE      131072 /* a power of two, above the two */
#define CACHE_KIB  "65536"
#define BUSY_MS    5000
/* Pages of write-ahead log before it is folded in: often is dear, seldom makes a large file. */
#define CHECKPOINT "8192"

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
    "call_id, first_us, last_us, invite_us, ring_us, answer_us, cancel_us, bye_us, method, "       \
    "begins, from_user, to_user, from_uri, to_uri, user_agent, src, dst, status, status_us, "      \
    "reason, sip_messages, rtp_packets, rtp_streams"

static const char *const texts[STATEMENTS] = {
    [FIND_CALL] = "SELECT " CALL_COLUMNS ", id FROM call_meta WHERE call_id = ?",
    [FIND_STREAMS] = "SELECT id, leg, src, dst, ssrc FROM streams WHERE call = ?",
    [ADD_CALL] = "INSERT INTO call_meta (" CALL_COLUMNS ", id) VALUES "
                 "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    /* Neither Call-ID nor first_us: naming them would write their indexes anew each time. */
    [CHANGE_CALL] =
        "UPDATE call_meta SET last_us = ?, invite_us = ?, ring_us = ?, answer_us = ?, "
        "cancel_us = ?, bye_us = ?, method = ?, begins = ?, from_user = ?, to_user = ?, "
        "from_uri = ?, to_uri = ?, user_agent = ?, src = ?, dst = ?, status = ?, status_us = ?, "
        "reason = ?, sip_messages = ?, rtp_packets = ?, rtp_streams = ? WHERE id = ?",
    [CHANGE_FIRST] = "UPDATE call_meta SET first_us = ? WHERE id = ?",
    [CHANGE_MEDIA] = "UPDATE call_meta SET last_us = ?, rtp_packets = ?, rtp_streams = ? "
                     "WHERE id = ?",
    [ADD_PATH] = "INSERT INTO paths (src, dst) VALUES (?, ?)",
    [ADD_STREAM] = "INSERT INTO streams (call, leg, src, dst, ssrc) VALUES (?, ?, ?, ?, ?)",
    [ADD_SIP] = "INSERT INTO sip_msgs (call, t0_us, path, method, status, cseq, block, position) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [ADD_MEDIA] = "INSERT INTO media_msgs (stream, t0_us, span_us, payload_type, packets, lost, "
                  "jitter_us, first_seq, last_seq, block) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [PUT_STATE] = "INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)",
};

/* The two ends of a packet, told apart by their octets. */
struct ends {
    uint8_t src[16];
    uint8_t dst[16];
    uint16_t src_port;
    uint16_t dst_port;
    uint8_t family;
    uint8_t pad[3];
};

struct stream {
    struct stream *next; /* of the same call */
    int64_t id;
    struct ends ends;
    int32_t leg;
    uint32_t ssrc;
    bool has_ssrc;
};

enum change { NO_CHANGE, MEDIA_CHANGED, CALL_CHANGED, CALL_NEW };

struct call {
    struct call *next;          /* of the same place in the table */
    struct call *older, *newer; /* by last use */
    struct call *next_changed;
    uint64_t hash;
    int64_t id;
    int64_t stored_first_us;
    struct sf_digest digest; /* its texts lie in `party` and `reason` */
    uint64_t rtp_packets;
    uint64_t rtp_streams;
    uint8_t *party;
    uint8_t *reason;
    struct stream *streams;
    enum change change;
    size_t octets;
    size_t id_length;
    uint8_t call_id[];
};

struct path {
    struct path *next;
    uint64_t hash;
    int64_t id;
    struct ends ends;
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
    struct call **calls;
    struct call *oldest, *newest;
    struct call *changed;
    size_t call_count, octets;
    struct path **paths;
    size_t path_count;
    uint8_t *scratch; /* a text made well-formed */
    size_t scratch_room;
    bool failed; /* out of memory or an SQLite error, in the commit at hand */
    int failure; /* an errno, when SQLite is not to blame */
};

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

static void bind_text(sqlite3_stmt *s, int at, struct sf_slice text)
{
    sqlite3_bind_text(s, at, text.n > 0 ? (const char *)text.p : "", (int)text.n, SQLITE_STATIC);
}

static void bind_time(sqlite3_stmt *s, int at, int64_t time_us)
{
    if (time_us == SF_NEVER) {
        sqlite3_bind_null(s, at);
    } else {
        sqlite3_bind_int64(s, at, time_us);
    }
}

static bool step_done(struct sf_index *index, sqlite3_stmt *s)
{
    int code = sqlite3_step(s);
    sqlite3_reset(s);
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

/* --- what is remembered of calls --- */

static void unlink_call(struct sf_index *index, struct call *call)
{
    *(call->older != NULL ? &call->older->newer : &index->oldest) = call->newer;
    *(call->newer != NULL ? &call->newer->older : &index->newest) = call->older;
}

static void link_newest(struct sf_index *index, struct call *call)
{
    call->older = index->newest;
    call->newer = NULL;
    *(index->newest != NULL ? &index->newest->newer : &index->oldest) = call;
    index->newest = call;
}

static void forget_call(struct sf_index *index, struct call *call)
{
    struct call **at = &index->calls[call->hash % TABLE];
    while (*at != call) {
        at = &(*at)->next;
    }
    *at = call->next;
    unlink_call(index, call);
    index->call_count--;
    index->octets -= call->octets;
    while (call->streams != NULL) {
        struct stream *stream = call->streams;
        call->streams = stream->next;
        free(stream);
    }
    free(call->party);
    free(call->reason);
    free(call);
}

static void forget_paths(struct sf_index *index)
{
    for (size_t i = 0; i < TABLE && index->path_count > 0; i++) {
        while (index->paths[i] != NULL) {
            struct path *path = index->paths[i];
            index->paths[i] = path->next;
            index->path_count--;
            free(path);
        }
    }
}

static void forget_all(struct sf_index *index)
{
    while (index->oldest != NULL) {
        forget_call(index, index->oldest);
    }
    index->changed = NULL;
    forget_paths(index);
}

static void charge(struct sf_index *index, struct call *call, size_t octets)
{
    call->octets += octets;
    index->octets += octets;
}

/* Keeps a copy of the party's texts, made well-formed. */
static bool keep_party(struct sf_index *index, struct call *call)
{
    struct sf_slice *party = call->digest.party;
    size_t bound = 1;
    for (int i = 0; i < SF_PARTY_TEXTS; i++) {
        bound += sf_text_bound(party[i].n);
    }
    uint8_t *kept = malloc(bound);
    if (kept == NULL) {
        return fail(index, ENOMEM);
    }
    size_t used = 0;
    for (int i = 0; i < SF_PARTY_TEXTS; i++) {
        size_t n = sf_text_clean(party[i], kept + used);
        party[i] = sf_slice(kept + used, n);
        used += n;
    }
    free(call->party);
    call->party = kept;
    charge(index, call, used);
    return true;
}

static bool keep_reason(struct sf_index *index, struct call *call)
{
    struct sf_slice reason = call->digest.reason;
    uint8_t *kept = malloc(sf_text_bound(reason.n) + 1);
    if (kept == NULL) {
        return fail(index, ENOMEM);
    }
    call->digest.reason = sf_slice(kept, sf_text_clean(reason, kept));
    free(call->reason);
    call->reason = kept;
    charge(index, call, call->digest.reason.n);
    return true;
}

static bool keep(struct sf_index *index, struct call *call, unsigned taken)
{
    return (!(taken & SF_TOOK_PARTY) || keep_party(index, call)) &&
           (!(taken & SF_TOOK_REASON) || keep_reason(index, call));
}

static void mark(struct sf_index *index, struct call *call, enum change change)
{
    if (call->change == NO_CHANGE) {
        call->next_changed = index->changed;
        index->changed = call;
    }
    call->change = change > call->change ? change : call->change;
}

static struct call *new_call(struct sf_index *index, struct sf_slice call_id, uint64_t hash)
{
    struct call *call = calloc(1, sizeof *call + call_id.n);
    if (call == NULL) {
        fail(index, ENOMEM);
        return NULL;
    }
    call->hash = hash;
    call->id_length = call_id.n;
    if (call_id.n > 0) {
        memcpy(call->call_id, call_id.p, call_id.n);
    }
    call->next = index->calls[hash % TABLE];
    index->calls[hash % TABLE] = call;
    index->call_count++;
    link_newest(index, call);
    charge(index, call, sizeof *call + call_id.n);
    return call;
}

static bool read_digest(struct sf_index *index, struct call *call, sqlite3_stmt *s)
{
    struct sf_digest *d = &call->digest;
    *d = sf_digest_span(sqlite3_column_int64(s, 1), sqlite3_column_int64(s, 2));
    for (int i = 0; i < SF_MOMENTS; i++) {
        d->moment_us[i] = column_time(s, 3 + i);
    }
    d->party[SF_METHOD] = column_text(s, 8);
    d->begins = sqlite3_column_int(s, 9) != 0;
    for (int i = 0; i < SF_PARTY_TEXTS - 1; i++) {
        d->party[SF_FROM_USER + i] = column_text(s, 10 + i);
    }
    d->status = (uint32_t)sqlite3_column_int(s, 17);
    d->status_us = column_time(s, 18);
    d->reason = column_text(s, 19);
    d->sip_messages = (uint64_t)sqlite3_column_int64(s, 20);
    call->rtp_packets = (uint64_t)sqlite3_column_int64(s, 21);
    call->rtp_streams = (uint64_t)sqlite3_column_int64(s, 22);
    call->id = sqlite3_column_int64(s, 23);
    call->stored_first_us = d->first_us;
    return keep(index, call, SF_TOOK_PARTY | SF_TOOK_REASON);
}

static bool parse_end(struct sf_slice text, uint8_t *family, uint8_t *ip, uint16_t *port);

static bool read_streams(struct sf_index *index, struct call *call)
{
    sqlite3_stmt *s = index->statements[FIND_STREAMS];
    int code;
    sqlite3_bind_int64(s, 1, call->id);
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
        struct stream *stream = calloc(1, sizeof *stream);
        if (stream == NULL) {
            sqlite3_reset(s);
            return fail(index, ENOMEM);
        }
        stream->id = sqlite3_column_int64(s, 0);
        stream->leg = sqlite3_column_int(s, 1);
        stream->has_ssrc = sqlite3_column_type(s, 4) != SQLITE_NULL;
        stream->ssrc = (uint32_t)sqlite3_column_int64(s, 4);
        struct ends *ends = &stream->ends;
        /* One that cannot be read is never found again: its stream gets a further row. */
        if (!parse_end(column_text(s, 2), &ends->family, ends->src, &ends->src_port) ||
            !parse_end(column_text(s, 3), &ends->family, ends->dst, &ends->dst_port)) {
            ends->family = 0;
        }
        stream->next = call->streams;
        call->streams = stream;
        charge(index, call, sizeof *stream);
    }
    sqlite3_reset(s);
    return code == SQLITE_DONE || fail(index, 0);
}

/* Finds a call, remembered or in the database, or begins a new one; NULL on failure. */
static struct call *find_call(struct sf_index *index, struct sf_slice octets)
{
    struct sf_slice call_id = clean(index, octets);
    uint64_t hash = sf_hash(call_id.p, call_id.n, 0);
    struct call *call = index->calls[hash % TABLE];
    while (call != NULL && (call->hash != hash || call->id_length != call_id.n ||
                            memcmp(call->call_id, call_id.p, call_id.n) != 0)) {
        call = call->next;
    }
    if (call != NULL) {
        unlink_call(index, call);
        link_newest(index, call);
        return call;
    }
    if (index->failed || (call = new_call(index, call_id, hash)) == NULL) {
        return NULL;
    }
    sqlite3_stmt *s = index->statements[FIND_CALL];
    bind_text(s, 1, sf_slice(call->call_id, call->id_length));
    int code = sqlite3_step(s);
    bool good = code == SQLITE_DONE || code == SQLITE_ROW ? true : fail(index, 0);
    if (code == SQLITE_ROW) {
        good = read_digest(index, call, s);
    }
    sqlite3_reset(s);
    if (code == SQLITE_ROW && good) {
        good = read_streams(index, call);
    } else if (good) {
        call->id = ++index->last_call;
        call->digest = sf_digest_span(INT64_MAX, INT64_MIN);
        mark(index, call, CALL_NEW);
    }
    return good ? call : NULL;
}

static void bind_digest(sqlite3_stmt *s, const struct call *call, int at)
{
    const struct sf_digest *d = &call->digest;
    sqlite3_bind_int64(s, at++, d->last_us);
    for (int i = 0; i < SF_MOMENTS; i++) {
        bind_time(s, at++, d->moment_us[i]);
    }
    bind_text(s, at++, d->party[SF_METHOD]);
    sqlite3_bind_int(s, at++, d->begins);
    for (int i = SF_FROM_USER; i < SF_PARTY_TEXTS; i++) {
        bind_text(s, at++, d->party[i]);
    }
    if (d->status != 0) {
        sqlite3_bind_int64(s, at++, d->status);
    } else {
        sqlite3_bind_null(s, at++);
    }
    bind_time(s, at++, d->status_us);
    bind_text(s, at++, d->reason);
    sqlite3_bind_int64(s, at++, (int64_t)d->sip_messages);
    sqlite3_bind_int64(s, at++, (int64_t)call->rtp_packets);
    sqlite3_bind_int64(s, at++, (int64_t)call->rtp_streams);
    sqlite3_bind_int64(s, at++, call->id);
}

static bool add_call(struct sf_index *index, struct call *call)
{
    sqlite3_stmt *s = index->statements[ADD_CALL];
    bind_text(s, 1, sf_slice(call->call_id, call->id_length));
    sqlite3_bind_int64(s, 2, call->digest.first_us);
    bind_digest(s, call, 3);
    call->stored_first_us = call->digest.first_us;
    return step_done(index, s);
}

static bool change_call(struct sf_index *index, struct call *call)
{
    sqlite3_stmt *s = index->statements[call->change == CALL_CHANGED ? CHANGE_CALL : CHANGE_MEDIA];
    if (call->change == CALL_CHANGED) {
        bind_digest(s, call, 1);
    } else {
        sqlite3_bind_int64(s, 1, call->digest.last_us);
        sqlite3_bind_int64(s, 2, (int64_t)call->rtp_packets);
        sqlite3_bind_int64(s, 3, (int64_t)call->rtp_streams);
        sqlite3_bind_int64(s, 4, call->id);
    }
    if (!step_done(index, s) || call->stored_first_us == call->digest.first_us) {
        return !index->failed;
    }
    s = index->statements[CHANGE_FIRST];
    sqlite3_bind_int64(s, 1, call->digest.first_us);
    sqlite3_bind_int64(s, 2, call->id);
    call->stored_first_us = call->digest.first_us;
    return step_done(index, s);
}

static bool store_changed(struct sf_index *index)
{
    while (index->changed != NULL) {
        struct call *call = index->changed;
        if (!(call->change == CALL_NEW ? add_call : change_call)(index, call)) {
            return false;
        }
        call->change = NO_CHANGE;
        index->changed = call->next_changed;
    }
    return true;
}

/* --- rows --- */

static bool parse_end(struct sf_slice text, uint8_t *family, uint8_t *ip, uint16_t *port)
{
    uint8_t written[SF_TEXT_ENDPOINT];
    return sf_text_read_endpoint(text, family, ip, port) &&
           sf_slice_eq(text, sf_slice(written, sf_text_endpoint(*family, ip, *port, written)));
}

static void bind_ends(sqlite3_stmt *s, int at, const struct ends *ends, struct sf_ends *text)
{
    text->src_length = sf_text_endpoint(ends->family, ends->src, ends->src_port, text->src);
    text->dst_length = sf_text_endpoint(ends->family, ends->dst, ends->dst_port, text->dst);
    bind_text(s, at, sf_slice(text->src, text->src_length));
    bind_text(s, at + 1, sf_slice(text->dst, text->dst_length));
}

/* Finds or adds the two ends; -1 on failure. A pair that was forgotten gets a further row. */
static int64_t path_of(struct sf_index *index, const struct ends *ends)
{
    uint64_t hash = sf_hash(ends, sizeof *ends, 1);
    struct path *path = index->paths[hash % TABLE];
    while (path != NULL && (path->hash != hash || memcmp(&path->ends, ends, sizeof *ends) != 0)) {
        path = path->next;
    }
    if (path != NULL) {
        return path->id;
    }
    struct sf_ends text;
    sqlite3_stmt *s = index->statements[ADD_PATH];
    bind_ends(s, 1, ends, &text);
    if (!step_done(index, s)) {
        return -1;
    }
    int64_t id = sqlite3_last_insert_rowid(index->db);
    if (index->path_count >= PATHS_MAX) {
        forget_paths(index);
    }
    if ((path = malloc(sizeof *path)) != NULL) {
        *path = (struct path){index->paths[hash % TABLE], hash, id, *ends};
        index->paths[hash % TABLE] = path;
        index->path_count++;
    }
    return id;
}

static bool add_message(struct sf_index *index, const struct sf_message *message, uint64_t block,
                        size_t position)
{
    struct sf_sip head;
    struct sf_ends text;
    struct ends ends = {
        .src_port = message->src_port, .dst_port = message->dst_port, .family = message->family};
    memcpy(ends.src, message->src, sizeof ends.src);
    memcpy(ends.dst, message->dst, sizeof ends.dst);
    sf_sip_scan(message->payload, &head);
    struct call *call = find_call(index, message->call_id);
    int64_t path = call == NULL ? -1 : path_of(index, &ends);
    if (path < 0) {
        return false;
    }
    if (head.is_request) {
        sf_ends_of(message, &text);
    }
    struct sf_digest digest = sf_digest_of(message, &head, &text);
    if (!keep(index, call, sf_digest_merge(&call->digest, &digest))) {
        return false;
    }
    mark(index, call, CALL_CHANGED);
    sqlite3_stmt *s = index->statements[ADD_SIP];
    struct sf_slice method = clean(index, head.is_request ? head.method : head.cseq_method);
    sqlite3_bind_int64(s, 1, call->id);
    sqlite3_bind_int64(s, 2, message->time_us);
    sqlite3_bind_int64(s, 3, path);
    bind_text(s, 4, method);
    if (head.is_response) {
        sqlite3_bind_int64(s, 5, head.status);
    } else {
        sqlite3_bind_null(s, 5);
    }
    if (head.has_cseq) {
        sqlite3_bind_int64(s, 6, head.cseq);
    } else {
        sqlite3_bind_null(s, 6);
    }
    sqlite3_bind_int64(s, 7, (int64_t)block);
    sqlite3_bind_int64(s, 8, (int64_t)position);
    index->sip_rows++;
    return step_done(index, s);
}

static bool add_messages(struct sf_index *index, struct sf_slice content, uint64_t block)
{
    struct sf_message message;
    for (size_t position = 0; position < content.n; position = message.next) {
        if (sf_message_read(content, position, &message) != SF_BLOCK_OK) {
            return fail(index, EBADMSG);
        }
        if (!add_message(index, &message, block, position)) {
            return false;
        }
    }
    return true;
}

static struct stream *stream_of(struct sf_index *index, struct call *call,
                                const struct sf_chunk_facts *facts)
{
    struct ends ends = {
        .src_port = facts->src_port, .dst_port = facts->dst_port, .family = facts->family};
    memcpy(ends.src, facts->src, sizeof ends.src);
    memcpy(ends.dst, facts->dst, sizeof ends.dst);
    struct stream *stream = call->streams;
    while (stream != NULL &&
           (stream->ssrc != facts->ssrc || stream->has_ssrc != facts->has_ssrc ||
            stream->leg != facts->leg || memcmp(&stream->ends, &ends, sizeof ends) != 0)) {
        stream = stream->next;
    }
    if (stream != NULL) {
        return stream;
    }
    struct sf_ends text;
    sqlite3_stmt *s = index->statements[ADD_STREAM];
    sqlite3_bind_int64(s, 1, call->id);
    sqlite3_bind_int(s, 2, facts->leg);
    bind_ends(s, 3, &ends, &text);
    if (facts->has_ssrc) {
        sqlite3_bind_int64(s, 5, facts->ssrc);
    } else {
        sqlite3_bind_null(s, 5);
    }
    if (!step_done(index, s)) {
        return NULL;
    }
    stream = malloc(sizeof *stream);
    if (stream == NULL) {
        fail(index, ENOMEM);
        return NULL;
    }
    *stream = (struct stream){.next = call->streams,
                              .id = sqlite3_last_insert_rowid(index->db),
                              .ends = ends,
                              .leg = facts->leg,
                              .ssrc = facts->ssrc,
                              .has_ssrc = facts->has_ssrc};
    call->streams = stream;
    call->rtp_streams += facts->has_ssrc;
    charge(index, call, sizeof *stream);
    return stream;
}

static bool add_chunk(struct sf_index *index, struct sf_slice call_id,
                      const struct sf_chunk_facts *facts, uint64_t block)
{
    struct call *call = find_call(index, call_id);
    struct stream *stream = call == NULL ? NULL : stream_of(index, call, facts);
    if (stream == NULL) {
        return false;
    }
    struct sf_digest *d = &call->digest;
    d->first_us = facts->t0_us < d->first_us ? facts->t0_us : d->first_us;
    d->last_us = facts->t1_us > d->last_us ? facts->t1_us : d->last_us;
    call->rtp_packets += facts->packets;
    mark(index, call, MEDIA_CHANGED);
    sqlite3_stmt *s = index->statements[ADD_MEDIA];
    sqlite3_bind_int64(s, 1, stream->id);
    sqlite3_bind_int64(s, 2, facts->t0_us);
    sqlite3_bind_int64(s, 3, (int64_t)((uint64_t)facts->t1_us - (uint64_t)facts->t0_us));
    sqlite3_bind_int64(s, 5, facts->packets);
    sqlite3_bind_int64(s, 6, facts->lost);
    if (facts->has_ssrc) {
        sqlite3_bind_int(s, 4, facts->payload_type);
        sqlite3_bind_int64(s, 7, facts->jitter_us);
        sqlite3_bind_int(s, 8, facts->first_seq);
        sqlite3_bind_int(s, 9, facts->last_seq);
    } else {
        sqlite3_bind_null(s, 4);
        sqlite3_bind_null(s, 7);
        sqlite3_bind_null(s, 8);
        sqlite3_bind_null(s, 9);
    }
    sqlite3_bind_int64(s, 10, (int64_t)block);
    index->media_rows++;
    return step_done(index, s);
}

static bool add_portion(struct sf_index *index, const struct sf_portion *portion, uint64_t start)
{
    for (size_t i = 0; i < portion->count; i++) {
        const struct sf_portion_block *block = &portion->blocks[i];
        struct sf_slice text = sf_slice(portion->texts.p + block->text, block->text_length);
        uint64_t at = start + block->at;
        if (!(block->head.kind == SF_BLOCK_MESSAGES ? add_messages(index, text, at)
                                                    : add_chunk(index, text, &block->facts, at))) {
            return false;
        }
    }
    return true;
}

static bool put_state(struct sf_index *index, const char *name, uint64_t value)
{
    sqlite3_stmt *s = index->statements[PUT_STATE];
    bind_text(s, 1, sf_slice(name, strlen(name)));
    sqlite3_bind_int64(s, 2, (int64_t)value);
    return step_done(index, s);
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
    index->calls = calloc(TABLE, sizeof *index->calls);
    index->paths = calloc(TABLE, sizeof *index->paths);
    if (index->calls == NULL || index->paths == NULL) {
        tell(index, ENOMEM, error);
        return sf_index_free(index);
    }
    bool good = sqlite3_open_v2(path, &index->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                                NULL) == SQLITE_OK;
    if (good) {
        sqlite3_busy_timeout(index->db, BUSY_MS);
        good = run(index, "PRAGMA journal_mode = WAL; PRAGMA temp_store = MEMORY;"
                          "PRAGMA cache_size = -" CACHE_KIB ";"
                          "PRAGMA wal_autocheckpoint = " CHECKPOINT ";"
                          "PRAGMA journal_size_limit = 67108864") &&
               run(index, durability == SF_INDEX_DISK ? "PRAGMA synchronous = FULL"
                                                      : "PRAGMA synchronous = NORMAL");
    }
    for (int i = 0; good && i < STATEMENTS; i++) {
        good = sqlite3_prepare_v3(index->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                  &index->statements[i], NULL) == SQLITE_OK;
    }
    if (!good || !read_state(index)) {
        tell(index, index->failure, error);
        return sf_index_free(index);
    }
    return index;
}

struct sf_index *sf_index_free(struct sf_index *index)
{
    if (index != NULL) {
        if (index->calls != NULL && index->paths != NULL) {
            forget_all(index);
        }
        for (int i = 0; i < STATEMENTS; i++) {
            sqlite3_finalize(index->statements[i]);
        }
        sqlite3_close(index->db);
        free(index->calls);
        free(index->paths);
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
            const struct sf_block *head = &portions[i]->blocks[k].head;
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
            const struct sf_portion_block *block = &portions[i]->blocks[k];
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
    if (write_data(index, portions, count) && run(index, "BEGIN IMMEDIATE") &&
        write_rows(index, portions, count, replay_from, &end) && run(index, "COMMIT")) {
        index->replay_from = replay_from;
        index->blocks += blocks_of(portions, count);
        index->rtp_octets += rtp_octets_of(portions, count);
        index->end = end;
        while (index->call_count > CALLS_MAX || index->octets > OCTETS_MAX) {
            forget_call(index, index->oldest);
        }
        return true;
    }
    tell(index, index->failure, error);
    if (!sqlite3_get_autocommit(index->db)) {
        sqlite3_exec(index->db, "ROLLBACK", NULL, NULL, NULL);
    }
    /* Ids given out inside the failed transaction would be handed to other calls by the next. */
    forget_all(index);
    index->sip_rows = sip_rows;
    index->media_rows = media_rows;
    index->last_call = last_call;
    return false;
}

bool sf_index_run(struct sf_index *index, const char *sql, struct sf_index_error *error)
{
    index->failure = 0;
    bool good = run(index, sql);
    if (!good) {
        tell(index, 0, error);
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
