/*
 * The worst of each call's media out of the rows of an index, under sanitizers: rows as a recorder
 * writes them, and rows that damage left.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "worst.h"

#define SCHEMA "src/sipflow/storage/schema.sql"

static sqlite3 *index_of(const char *rows)
{
    static char schema[16384];
    FILE *file = fopen(SCHEMA, "r");
    CHECK(file != NULL);
    schema[fread(schema, 1, sizeof schema - 1, file)] = '\0';
    fclose(file);
    sqlite3 *db;
    CHECK(sqlite3_open(":memory:", &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, schema, NULL, NULL, NULL) == SQLITE_OK);
    CHECK(sqlite3_exec(db, rows, NULL, NULL, NULL) == SQLITE_OK);
    return db;
}

static double ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s;
    CHECK(sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK);
    CHECK(sqlite3_step(s) == SQLITE_ROW);
    double value = sqlite3_column_type(s, 0) == SQLITE_NULL ? -1 : sqlite3_column_double(s, 0);
    sqlite3_finalize(s);
    return value;
}

#define CALLS                                                                                      \
    "INSERT INTO call_meta (id, call_id, first_us, last_us, answer_us) VALUES "                    \
    "(1, 'one', 0, 1, 5), (2, 'two', 0, 1, 5), (3, 'three', 0, 1, NULL);"                          \
    "INSERT INTO streams (id, call, leg, src, dst, ssrc) VALUES "                                  \
    "(1, 1, 0, 'a:1', 'b:2', 7), (2, 2, 0, 'a:3', 'b:4', 8), (3, 1, 1, 'b:2', 'a:1', 9), "         \
    "(4, 3, 0, 'a:5', 'b:6', 10), (5, 2, 0, 'a:3', 'b:4', NULL);"

static void the_worst_stream_speaks_for_its_call(void)
{
    /* Chunks of several calls between each other, as they are committed. */
    sqlite3 *db = index_of(
        CALLS "INSERT INTO media_msgs (stream, t0_us, span_us, payload_type, packets, lost, "
              "jitter_us, first_seq, last_seq, block) VALUES "
              "(1, 0, 1, 0, 100, 0, 500, 65500, 63, 0), (2, 0, 1, 9, 100, 0, 900, 0, 99, 0), "
              "(3, 0, 1, 0, 80, 10, 2000, 0, 89, 0), (1, 2, 1, 0, 100, 0, 700, 64, 163, 0), "
              "(3, 2, 1, 0, 100, 0, 900, 100, 199, 0), (4, 0, 1, 0, 24, 5, 9, 0, 28, 0), "
              "(5, 0, 1, NULL, 100, 50, NULL, NULL, NULL, 0);");
    CHECK(sf_worst_store(db) == SQLITE_OK);
    /* Ten inside of a chunk and ten between two, of 200 numbers. */
    CHECK(ask(db, "SELECT loss_percent = 10.0 AND jitter_us = 2000 AND mos_scale = 'NB' AND "
                  "one_way = 0 FROM call_meta WHERE id = 1") == 1);
    double mos = ask(db, "SELECT mos FROM call_meta WHERE id = 1");
    CHECK(mos > 3.40 && mos < 3.42); /* Ie,eff = 95 * 10 / (10 + 25.1): R 66.1 */
    CHECK(ask(db, "SELECT loss_percent = 0 AND one_way = 1 AND mos_scale = 'WB' FROM call_meta "
                  "WHERE id = 2") == 1);
    /* A stream of fewer than 25 packets is judged by nobody. */
    CHECK(ask(db, "SELECT loss_percent FROM call_meta WHERE id = 3") == -1);
    /* Again, with less: what stood there goes. */
    CHECK(sqlite3_exec(db, "DELETE FROM media_msgs WHERE stream = 2", NULL, NULL, NULL) == 0);
    CHECK(sf_worst_store(db) == SQLITE_OK);
    CHECK(ask(db, "SELECT mos FROM call_meta WHERE id = 2") == -1);
    CHECK(ask(db, "SELECT loss_percent FROM call_meta WHERE id = 1") == 10);
    sqlite3_close(db);
}

static void damage_is_no_figure(void)
{
    sqlite3 *db = index_of(
        CALLS "INSERT INTO streams (id, call, leg, src, dst, ssrc) VALUES "
              "(9223372036854775807, 1, 0, 'a', 'b', 1), (-5, 2, 0, '', '', 1), "
              "(77, 9223372036854775807, 0, 'x', 'y', 1), (78, -3, 0, 'x', 'y', 1);"
              "INSERT INTO media_msgs (stream, t0_us, span_us, payload_type, packets, lost, "
              "jitter_us, first_seq, last_seq, block) VALUES "
              "(1, -9223372036854775807, 1, 999, 100, -4, -500, -1, 70000, 0), "
              "(1, 0, 1, 0, -100, 0, 0, 0, 0, 0), (1, 0, 1, 0, 1 << 40, 0, 0, 0, 0, 0), "
              "(9223372036854775807, 0, 1, 0, 100, 1 << 40, 0, 0, 99, 0), "
              "(-5, 0, 1, 0, 100, 0, 0, 0, 99, 0), (77, 0, 1, 0, 100, 0, 0, 0, 99, 0), "
              "(78, 0, 1, 0, 100, 0, 0, 0, 99, 0), (4000, 0, 1, 0, 100, 0, 0, 0, 99, 0);");
    CHECK(sf_worst_store(db) == SQLITE_OK);
    CHECK(ask(db, "SELECT count(*) FROM call_meta WHERE loss_percent < 0 OR loss_percent > 100 OR "
                  "mos < 1 OR mos > 4.5") == 0);
    CHECK(ask(db, "SELECT count(*) FROM call_meta") == 3);
    sqlite3_close(db);
}

static void an_index_without_its_tables_is_an_error(void)
{
    sqlite3 *db = index_of("DROP TABLE media_msgs");
    CHECK(sf_worst_store(db) != SQLITE_OK);
    sqlite3_close(db);
}

int main(void)
{
    the_worst_stream_speaks_for_its_call();
    damage_is_no_figure();
    an_index_without_its_tables_is_an_error();
    puts("ok worst");
    return 0;
}
