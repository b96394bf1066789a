/*
 * From the pool into a bucket: encoder and index, held against what went in; under sanitizers,
 * with damage in the pool and a database that refuses.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <sqlite3.h>

#include "encoder.h"
#include "guard.h"
#include "index.h"
#include "intake.h"

#define NOW     1750000000000000ull
#define POOL    (16u << 20)
#define CALLS   2000
#define HOUR_US 3600000000ll
#define SCHEMA  "src/sipflow/storage/schema.sql"

static char directory[] = "/tmp/sipflow-index-XXXXXX";

static char *named(const char *name)
{
    static char paths[4][128];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static void make_tables(const char *path)
{
    static char schema[16384];
    FILE *file = fopen(SCHEMA, "r");
    CHECK(file != NULL);
    size_t n = fread(schema, 1, sizeof schema - 1, file);
    schema[n] = '\0';
    fclose(file);
    sqlite3 *db;
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, schema, NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(db);
}

static int64_t ask(const char *path, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    CHECK(sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK);
    CHECK(sqlite3_step(s) == SQLITE_ROW);
    int64_t value = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return value;
}

static struct sf_packet rtp(unsigned stream, uint16_t sequence, uint8_t *room)
{
    uint8_t *p = room;
    *p++ = 0x80;
    *p++ = 8;
    p = sf_store_be32(sf_store_be32(sf_store_be16(p, sequence), sequence * 160u), stream);
    memset(p, 0xd5, 160);
    return (struct sf_packet){.time_us = NOW + sequence * 20000ull,
                              .client_id = 7,
                              .leg = (int32_t)(stream % 2),
                              .kind = SF_RTP,
                              .family = SF_IPV4,
                              .has_metadata = true,
                              .src_port = (uint16_t)stream,
                              .call_id = sf_slice(stream < 2 ? "one" : "two", 3),
                              .payload = sf_slice(room, 172)};
}

static struct sf_packet sip(const char *call_id, const char *text, uint64_t time_us)
{
    return (struct sf_packet){.time_us = time_us,
                              .kind = SF_SIP,
                              .family = SF_IPV6,
                              .has_metadata = true,
                              .call_id = sf_slice(call_id, strlen(call_id)),
                              .payload = sf_slice(text, strlen(text))};
}

static const char invite[] =
    "INVITE sip:b@h SIP/2.0\r\nFrom: \"J\xfcrgen\" <sip:J\xfcrgen@h>;tag=1\r\n"
    "To: <sip:b@h>\r\nCSeq: 1 INVITE\r\n\r\n";
static const char busy[] = "SIP/2.0 486 Besch\xe4"
                           "ftigt\r\nCSeq: 1 INVITE\r\n\r\n";

/* Four streams of 120 packets in two calls, and three messages, the last one an hour later. */
static struct sf_pool *filled(uint64_t later_us)
{
    uint8_t room[4][172];
    struct sf_pool *pool = sf_pool_open(named("pool"), POOL, NOW);
    CHECK(pool != NULL);
    struct sf_intake *intake =
        sf_intake_new(pool, 0,
                      (struct sf_intake_limits){
                          .flush_interval_us = 10000000, .media = true, .trust_time = true});
    for (uint16_t sequence = 0; sequence < 120; sequence++) {
        struct sf_packet some[4];
        for (unsigned stream = 0; stream < 4; stream++) {
            some[stream] = rtp(stream, sequence, room[stream]);
        }
        sf_intake_put(intake, some, 4, NOW);
    }
    struct sf_packet messages[3] = {sip("one", invite, NOW), sip("one", busy, NOW + 1),
                                    sip("one", busy, NOW + later_us)};
    sf_intake_put(intake, messages, 3, NOW);
    sf_intake_drain(intake);
    sf_intake_free(intake);
    return pool;
}

static struct sf_encoded encoded(struct sf_pool *pool, int64_t period_us,
                                 const struct sf_known *known, size_t count)
{
    uint32_t chunks[256];
    unsigned n = 0, more;
    struct sf_encoded out;
    struct sf_encoder *encoder = sf_encoder_new(period_us, known, count);
    CHECK(encoder != NULL);
    while ((more = sf_pool_take(pool, chunks + n, 128, 0)) > 0) {
        n += more;
        CHECK(n <= 128);
    }
    CHECK(sf_encoder_encode(encoder, pool, chunks, n, &out));
    sf_encoder_free(encoder);
    return out;
}

static void what_went_in_is_in_the_bucket(void)
{
    struct sf_pool *pool = filled(2);
    struct sf_encoded out = encoded(pool, 0, NULL, 0);
    CHECK(out.count == 1 && out.damaged_packets == 0);
    CHECK(out.portions[0]->rtp_packets == 480 && out.portions[0]->sip_messages == 3);
    char *database = named("a.db");
    make_tables(database);
    int fd = open(named("a.raw"), O_RDWR | O_CREAT, 0600);
    struct sf_index_error error;
    struct sf_index *index = sf_index_open(database, fd, SF_INDEX_DISK, &error);
    CHECK(index != NULL);
    CHECK(sf_index_append(index, (const struct sf_portion *const *)out.portions, 1, 0, &error));
    CHECK(sf_index_end(index) == (uint64_t)lseek(fd, 0, SEEK_END));
    CHECK(sf_index_sip_rows(index) == 3);
    sf_index_free(index);
    CHECK(ask(database, "SELECT count(*) FROM call_meta") == 2);
    CHECK(ask(database, "SELECT count(*) FROM streams") == 4);
    CHECK(ask(database, "SELECT sum(packets) FROM media_msgs") == 480);
    CHECK(ask(database, "SELECT sum(rtp_packets) FROM call_meta") == 480);
    CHECK(ask(database, "SELECT status FROM call_meta WHERE call_id = 'one'") == 486);
    CHECK(ask(database, "SELECT from_user = 'J\xef\xbf\xbdrgen' AND reason = "
                        "'Besch\xef\xbf\xbd"
                        "ftigt' FROM call_meta WHERE call_id = 'one'") == 1);
    /* A second writer finds calls, streams and paths again. */
    index = sf_index_open(database, fd, SF_INDEX_PROCESS, &error);
    CHECK(index != NULL && sf_index_end(index) == (uint64_t)lseek(fd, 0, SEEK_END));
    uint64_t end = sf_index_end(index);
    CHECK(sf_index_append(index, (const struct sf_portion *const *)out.portions, 1, end, &error));
    CHECK(sf_index_replay_from(index) == end && sf_index_end(index) == 2 * end);
    sf_index_free(index);
    CHECK(ask(database, "SELECT count(*) FROM call_meta") == 2);
    CHECK(ask(database, "SELECT count(*) FROM streams") == 4);
    CHECK(ask(database, "SELECT count(DISTINCT src || dst) FROM paths") == 1);
    CHECK(ask(database, "SELECT sum(rtp_packets) FROM call_meta") == 960);
    close(fd);
    sf_encoded_clear(&out);
    sf_pool_free(pool);
    unlink(named("pool"));
}

static void a_chunk_that_spans_two_periods_is_parted(void)
{
    struct sf_pool *pool = filled(HOUR_US);
    struct sf_encoded out = encoded(pool, HOUR_US, NULL, 0);
    CHECK(out.count == 2);
    uint64_t messages = 0;
    for (size_t i = 0; i < 2; i++) {
        int64_t start = sf_period_of((int64_t)NOW + (i == 1 ? HOUR_US : 0), HOUR_US);
        CHECK(out.portions[0]->period_us == start || out.portions[1]->period_us == start);
        messages += out.portions[i]->sip_messages;
    }
    CHECK(messages == 3 && sf_period_of(-1, HOUR_US) == -HOUR_US);
    sf_encoded_clear(&out);
    sf_pool_free(pool);
    unlink(named("pool"));
}

static void damage_in_the_pool_costs_what_lies_behind_it(void)
{
    struct sf_pool *pool = filled(2);
    uint64_t known_chunk = 0, cut = 0;
    for (uint32_t chunk = 0; chunk < sf_pool_chunks(pool); chunk++) {
        struct sf_chunk_desc *desc = sf_pool_desc(pool, chunk);
        if (desc->state != SF_FULL || desc->kind != SF_STREAM_CLASS) {
            continue;
        }
        if (cut == 0) {
            /* One octet of a packet in the middle: it and those behind it are gone. */
            sf_pool_data(pool, chunk)[(uint32_t)desc->fill / 2] ^= 1;
            cut = desc->fill >> 32;
        } else {
            known_chunk = desc->id;
        }
    }
    struct sf_known known = {INT64_MIN, known_chunk};
    struct sf_encoded out = encoded(pool, 0, &known, 1);
    CHECK(out.count == 1 && out.damaged_chunks == 1);
    CHECK(out.damaged_packets > 0 && out.damaged_packets < cut);
    CHECK(out.known_packets > 0);
    CHECK(out.portions[0]->rtp_packets + out.damaged_packets + out.known_packets == 480);
    sf_encoded_clear(&out);
    sf_pool_free(pool);
    unlink(named("pool"));
}

static void a_refused_commit_leaves_nothing(void)
{
    struct sf_pool *pool = filled(2);
    struct sf_encoded out = encoded(pool, 0, NULL, 0);
    char *database = named("b.db");
    make_tables(database);
    struct sf_index_error error;
    int fd = open(named("b.raw"), O_RDWR | O_CREAT, 0600);
    struct sf_index *index = sf_index_open(database, fd, SF_INDEX_PROCESS, &error);
    CHECK(index != NULL);
    CHECK(sf_index_run(index,
                       "CREATE TEMP TRIGGER no BEFORE INSERT ON media_msgs BEGIN "
                       "SELECT RAISE(ABORT, 'not now'); END",
                       &error));
    const struct sf_portion *const *portions = (const struct sf_portion *const *)out.portions;
    CHECK(!sf_index_append(index, portions, 1, 0, &error));
    CHECK(error.code < 0 && strstr(error.text, "not now") != NULL);
    CHECK(sf_index_end(index) == 0 && sf_index_sip_rows(index) == 0);
    CHECK(ask(database, "SELECT count(*) FROM call_meta") == 0);
    CHECK(sf_index_run(index, "DROP TRIGGER no", &error));
    CHECK(sf_index_append(index, portions, 1, 0, &error));
    sf_index_free(index);
    CHECK(ask(database, "SELECT sum(sip_messages) FROM call_meta") == 3);
    close(fd);
    fd = open(named("b.raw"), O_RDONLY);
    index = sf_index_open(database, fd, SF_INDEX_PROCESS, &error);
    CHECK(!sf_index_append(index, portions, 1, 0, &error) && error.code == EBADF);
    sf_index_free(index);
    CHECK(sf_index_open(named("none.db"), -1, SF_INDEX_PROCESS, &error) == NULL);
    close(fd);
    sf_encoded_clear(&out);
    sf_pool_free(pool);
    unlink(named("pool"));
}

/* Appends one message for each of many calls. */
static void append_to_all(struct sf_index *index, const char *text, uint64_t time_us)
{
    struct sf_pool *pool = sf_pool_open(named("pool"), POOL, NOW);
    struct sf_intake *intake = sf_intake_new(
        pool, 0, (struct sf_intake_limits){.flush_interval_us = 10000000, .trust_time = true});
    for (unsigned call = 0; call < CALLS; call++) {
        char call_id[32];
        snprintf(call_id, sizeof call_id, "call-%u@example", call);
        struct sf_packet message = sip(call_id, text, time_us);
        sf_intake_put(intake, &message, 1, NOW);
    }
    sf_intake_drain(intake);
    sf_intake_free(intake);
    struct sf_encoded out = encoded(pool, 0, NULL, 0);
    struct sf_index_error error;
    CHECK(out.count == 1 && out.portions[0]->sip_messages == CALLS);
    CHECK(sf_index_append(index, (const struct sf_portion *const *)out.portions, 1, 0, &error));
    sf_encoded_clear(&out);
    sf_pool_free(pool);
    unlink(named("pool"));
}

/* New calls fill page after page, and what a call adds later moves none of them. */
static void a_row_stays_where_it_stands(void)
{
    static const char answer[] = "SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n";
    static const char bye[] = "BYE sip:b@h SIP/2.0\r\nTo: <sip:b@h>;tag=2\r\nCSeq: 2 BYE\r\n\r\n";
    static const char gone[] = "SIP/2.0 200 OK\r\nCSeq: 2 BYE\r\n\r\n";
    char database[128];
    snprintf(database, sizeof database, "%s", named("rows.db"));
    make_tables(database);
    struct sf_index_error error;
    int fd = open(named("rows.raw"), O_RDWR | O_CREAT, 0600);
    struct sf_index *index = sf_index_open(database, fd, SF_INDEX_PROCESS, &error);
    CHECK(index != NULL);
    append_to_all(index, invite, NOW);
    /* 129; 213 were they half empty, as after inserts that do not rise. */
    CHECK(ask(database, "PRAGMA page_count") < 150);
    int64_t spare = ask(database, "SELECT sum(length(spare)) FROM call_meta");
    append_to_all(index, answer, NOW + 2000000);
    append_to_all(index, bye, NOW + 4000000);
    append_to_all(index, gone, NOW + 5000000);
    CHECK(ask(database, "SELECT count(*) FROM call_meta WHERE answer_us < bye_us") == CALLS);
    CHECK(ask(database, "SELECT count(*) FROM call_meta WHERE bye_us + 1000000 = bye_answer_us") ==
          CALLS);
    /* New are four times, a status, its phrase, and a count above one: 4 * 8 + 2 + 2 + 1 octets.
     */
    CHECK(ask(database, "SELECT sum(length(spare)) FROM call_meta") == spare - 37 * CALLS);
    sf_index_free(index);
    close(fd);
}

int main(void)
{
    CHECK(mkdtemp(directory) != NULL);
    what_went_in_is_in_the_bucket();
    a_row_stays_where_it_stands();
    a_chunk_that_spans_two_periods_is_parted();
    damage_in_the_pool_costs_what_lies_behind_it();
    a_refused_commit_leaves_nothing();
    static const char *const names[] = {"a.db",     "a.raw",    "b.db",     "b.raw",
                                        "a.db-wal", "a.db-shm", "b.db-wal", "b.db-shm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unlink(named(names[i]));
    }
    rmdir(directory);
    puts("ok index");
    return 0;
}
