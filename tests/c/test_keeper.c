/* Beside a writer that goes on, the log is folded and begins anew; nothing that was committed is
 * missing. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "guard.h"
#include "keeper.h"

static char directory[] = "/tmp/sipflow-keeper-XXXXXX";
static char database[64], data[64];
static int pages;

static int log_grew(void *argument, sqlite3 *db, const char *name, int now)
{
    (void)argument;
    (void)db;
    (void)name;
    pages = now;
    return SQLITE_OK;
}

static void run(sqlite3 *db, const char *sql)
{
    CHECK(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
}

static sqlite3 *writer(void)
{
    sqlite3 *db;
    CHECK(sqlite3_open(database, &db) == SQLITE_OK);
    run(db, "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;"
            "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, x BLOB)");
    sqlite3_wal_hook(db, log_grew, NULL);
    return db;
}

static void commit(sqlite3 *db, struct sf_keeper *keeper, int told, uint64_t end)
{
    sf_keeper_begin(keeper);
    run(db, "BEGIN IMMEDIATE; INSERT INTO t (x) VALUES (zeroblob(20000)); COMMIT");
    sf_keeper_end(keeper, told, end);
}

static int64_t rows(void)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    CHECK(sqlite3_open(database, &db) == SQLITE_OK);
    CHECK(sqlite3_prepare_v2(db, "SELECT count(*) FROM t", -1, &s, NULL) == SQLITE_OK);
    CHECK(sqlite3_step(s) == SQLITE_ROW);
    int64_t found = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return found;
}

static void the_log_begins_anew_while_the_writer_goes_on(void)
{
    sqlite3 *db = writer();
    int fd = open(data, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && ftruncate(fd, 64 << 20) == 0);
    struct sf_keeper *keeper = sf_keeper_start(database, fd, 0);
    CHECK(keeper != NULL);
    int most = 0, folds = 0, commits = 0;
    for (; commits < 2000 && folds < 5; commits++) {
        int before = pages;
        /* Below the threshold nothing is folded. */
        commit(db, keeper, commits < 20 ? SF_KEEPER_PAGES - 1 : SF_KEEPER_PAGES,
               (uint64_t)commits << 15);
        CHECK(commits >= 20 || pages > before);
        folds += pages < before;
        most = pages > most ? pages : most;
        usleep(1000);
    }
    CHECK(folds == 5 && most > 20);
    CHECK(sf_keeper_stop(keeper) == NULL);
    CHECK(rows() == commits);
    /* Nobody holds the file any more: the writer may turn the log off. */
    run(db, "PRAGMA journal_mode = DELETE");
    sqlite3_close(db);
    CHECK(rows() == commits);
    close(fd);
}

static void a_reader_holds_up_the_fold_not_the_writer(void)
{
    sqlite3 *db = writer(), *reader;
    CHECK(sqlite3_open(database, &reader) == SQLITE_OK);
    run(reader, "BEGIN; SELECT count(*) FROM t");
    struct sf_keeper *keeper = sf_keeper_start(database, -1, 0);
    CHECK(keeper != NULL);
    int64_t before = rows();
    for (int i = 0; i < 20; i++) {
        int then = pages;
        commit(db, keeper, SF_KEEPER_PAGES, 0);
        CHECK(i == 0 || pages > then); /* the log cannot begin anew while it is read */
    }
    run(reader, "COMMIT");
    CHECK(sf_keeper_stop(keeper) == NULL && rows() == before + 20);
    sqlite3_close(reader);
    sqlite3_close(db);
}

static void without_a_database_there_is_none(void)
{
    CHECK(sf_keeper_start("/nonexistent/sipflow.db", -1, 0) == NULL);
    sf_keeper_begin(NULL);
    sf_keeper_end(NULL, 1, 1);
    CHECK(sf_keeper_stop(NULL) == NULL);
}

int main(void)
{
    CHECK(mkdtemp(directory) != NULL);
    snprintf(database, sizeof database, "%s/sipflow.db", directory);
    snprintf(data, sizeof data, "%s/data.raw", directory);
    the_log_begins_anew_while_the_writer_goes_on();
    a_reader_holds_up_the_fold_not_the_writer();
    without_a_database_there_is_none();
    unlink(database);
    unlink(data);
    rmdir(directory);
    puts("ok keeper");
    return 0;
}
