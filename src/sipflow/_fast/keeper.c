#define _GNU_SOURCE
#include "keeper.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include <sqlite3.h>

/* Less is not worth a request to the disk. */
#define DATA_LEAST (4u << 20)
#define BUSY_MS    250
/* So often the log is followed while it grows; then the writer waits for the rest of it. */
#define ROUNDS 4
#define REST   512

struct sf_keeper {
    pthread_t thread;
    pthread_mutex_t writing; /* held by who has the database to write */
    pthread_mutex_t lock;    /* of what follows */
    pthread_cond_t changed;
    int pages;
    uint64_t end;
    bool stopping;
    /* The thread's own: */
    sqlite3 *db;
    int fd;
    uint64_t written;
};

/* Pages of the log that are not in the database yet; 0 too when that cannot be told. */
static int fold(struct sf_keeper *keeper, int mode)
{
    int all = 0, done = 0;
    int code = sqlite3_wal_checkpoint_v2(keeper->db, NULL, mode, &all, &done);
    return code == SQLITE_OK && all > done ? all - done : 0;
}

/*
 * The log begins anew only when all of it is folded, and a busy writer adds to it meanwhile: most
 * is done beside it, the rest while it waits. What fails is tried again with the next commit, whose
 * own errors tell of a disk that fails.
 */
static void fold_all(struct sf_keeper *keeper)
{
    int round = 0;
    while (fold(keeper, SQLITE_CHECKPOINT_PASSIVE) > REST && round < ROUNDS) {
        round++;
    }
    pthread_mutex_lock(&keeper->writing);
    fold(keeper, SQLITE_CHECKPOINT_RESTART);
    pthread_mutex_unlock(&keeper->writing);
}

/* Asks for it to be written, waits for nothing: dirty pages that pile up are written all at once.
 */
static void write_out(struct sf_keeper *keeper, uint64_t end)
{
    if (end > keeper->written) {
        sync_file_range(keeper->fd, (off64_t)keeper->written, (off64_t)(end - keeper->written),
                        SYNC_FILE_RANGE_WRITE);
    }
    keeper->written = end;
}

static void *keep(void *argument)
{
    struct sf_keeper *keeper = argument;
    pthread_mutex_lock(&keeper->lock);
    while (!keeper->stopping) {
        uint64_t end = keeper->end;
        bool full = keeper->pages >= SF_KEEPER_PAGES;
        bool more = end >= keeper->written + DATA_LEAST;
        if (!full && !more) {
            pthread_cond_wait(&keeper->changed, &keeper->lock);
            continue;
        }
        keeper->pages = 0;
        pthread_mutex_unlock(&keeper->lock);
        if (more) {
            write_out(keeper, end);
        }
        if (full) {
            fold_all(keeper);
        }
        pthread_mutex_lock(&keeper->lock);
    }
    pthread_mutex_unlock(&keeper->lock);
    return NULL;
}

static bool start_thread(struct sf_keeper *keeper)
{
    sigset_t all, before;
    sigfillset(&all);
    /* Signals are for the threads of the program. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&keeper->thread, NULL, keep, keeper) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) {
        pthread_setname_np(keeper->thread, "keeper");
    }
    return started;
}

static struct sf_keeper *free_keeper(struct sf_keeper *keeper)
{
    sqlite3_close(keeper->db);
    pthread_mutex_destroy(&keeper->writing);
    pthread_mutex_destroy(&keeper->lock);
    pthread_cond_destroy(&keeper->changed);
    free(keeper);
    return NULL;
}

struct sf_keeper *sf_keeper_start(const char *path, int fd, uint64_t written)
{
    struct sf_keeper *keeper = calloc(1, sizeof *keeper);
    if (keeper == NULL) {
        return NULL;
    }
    keeper->fd = fd;
    keeper->written = keeper->end = written;
    pthread_mutex_init(&keeper->writing, NULL);
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_cond_init(&keeper->changed, NULL);
    bool good = sqlite3_open_v2(path, &keeper->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                                NULL) == SQLITE_OK;
    if (good) {
        sqlite3_busy_timeout(keeper->db, BUSY_MS);
        /* Until something was read, a connection does not know that there is a log to fold. */
        good = sqlite3_exec(keeper->db, "SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL) ==
                   SQLITE_OK &&
               start_thread(keeper);
    }
    return good ? keeper : free_keeper(keeper);
}

struct sf_keeper *sf_keeper_stop(struct sf_keeper *keeper)
{
    if (keeper == NULL) {
        return NULL;
    }
    pthread_mutex_lock(&keeper->lock);
    keeper->stopping = true;
    pthread_cond_signal(&keeper->changed);
    pthread_mutex_unlock(&keeper->lock);
    pthread_join(keeper->thread, NULL);
    return free_keeper(keeper);
}

void sf_keeper_begin(struct sf_keeper *keeper)
{
    if (keeper != NULL) {
        pthread_mutex_lock(&keeper->writing);
    }
}

void sf_keeper_end(struct sf_keeper *keeper, int pages, uint64_t end)
{
    if (keeper != NULL) {
        pthread_mutex_unlock(&keeper->writing);
        pthread_mutex_lock(&keeper->lock);
        keeper->pages = pages;
        keeper->end = end;
        pthread_cond_signal(&keeper->changed);
        pthread_mutex_unlock(&keeper->lock);
    }
}
