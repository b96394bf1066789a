#define _GNU_SOURCE
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hash.h"

#define PAGE 4096u
/* SIP is small beside media, and is kept longest: a quarter of the pool is its own. */
#define SIP_SHARE     4
#define SIP_CHUNKS    32 /* so many at least, unless they get too small */
#define CLIENT_PROBES 32
/* With so few of its chunks left, SIP is not yet lost but media has to stand back. */
#define SIP_SHORT     32
#define SIP_SHORT_MIN 2u

struct queue {
    uint32_t *chunks;
    uint32_t head;
    uint32_t count;
};

struct sf_pool {
    struct sf_pool_head *head;
    size_t octets;
    struct sf_chunk_desc *descs;
    uint32_t total;
    bool readonly;
    pthread_mutex_t lock;
    pthread_cond_t filled;
    uint32_t *free_chunks[SF_CLASSES];
    uint32_t free_count[SF_CLASSES];
    struct queue full[SF_CLASSES];
    /* Per chunk: this process opened or queued it, and nobody released it since. */
    bool *ours;
    uint32_t waiters;
    uint32_t wakes;
};

static size_t page_up(size_t n)
{
    return (n + PAGE - 1) / PAGE * PAGE;
}

static bool plan(size_t octets, struct sf_pool_head *head)
{
    size_t fixed = page_up(sizeof *head);
    if (octets < fixed + 16 * PAGE) {
        return false;
    }
    size_t room = octets - fixed - PAGE;
    size_t sip = room / SIP_SHARE;
    size_t sip_chunk = SF_SIP_CHUNK;
    while (sip_chunk > SF_SIP_CHUNK_MIN && sip / sip_chunk < SIP_CHUNKS) {
        sip_chunk /= 2;
    }
    head->chunk_octets[SF_STREAM_CLASS] = SF_STREAM_CHUNK;
    head->chunk_octets[SF_SIP_CLASS] = (uint32_t)sip_chunk;
    head->chunks[SF_SIP_CLASS] = (uint32_t)(sip / (sip_chunk + sizeof(struct sf_chunk_desc)));
    head->chunks[SF_STREAM_CLASS] =
        (uint32_t)((room - sip) / (SF_STREAM_CHUNK + sizeof(struct sf_chunk_desc)));
    if (head->chunks[SF_SIP_CLASS] < 8 || head->chunks[SF_STREAM_CLASS] < 8) {
        return false;
    }
    size_t descs = sizeof(struct sf_chunk_desc) * ((size_t)head->chunks[0] + head->chunks[1]);
    head->octets = octets;
    head->desc_offset = fixed;
    head->data_offset[SF_STREAM_CLASS] = page_up(fixed + descs);
    head->data_offset[SF_SIP_CLASS] =
        page_up(head->data_offset[SF_STREAM_CLASS] +
                (size_t)head->chunks[SF_STREAM_CLASS] * SF_STREAM_CHUNK);
    return head->data_offset[SF_SIP_CLASS] + (size_t)head->chunks[SF_SIP_CLASS] * sip_chunk <=
           octets;
}

/* True when the file at hand is a pool whose inner offsets can be trusted. */
static bool sound(const struct sf_pool_head *head, size_t octets)
{
    struct sf_pool_head wanted = {0};
    return head->magic == SF_POOL_MAGIC && head->octets == octets &&
           head->head_octets == sizeof *head && plan(octets, &wanted) &&
           wanted.chunks[0] == head->chunks[0] && wanted.chunks[1] == head->chunks[1] &&
           wanted.chunk_octets[0] == head->chunk_octets[0] &&
           wanted.chunk_octets[1] == head->chunk_octets[1] &&
           wanted.desc_offset == head->desc_offset &&
           wanted.data_offset[0] == head->data_offset[0] &&
           wanted.data_offset[1] == head->data_offset[1];
}

static struct sf_pool *map(int fd, size_t octets, bool readonly)
{
    struct sf_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        return NULL;
    }
    int access = readonly ? PROT_READ : PROT_READ | PROT_WRITE;
    void *base = mmap(NULL, octets, access, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        free(pool);
        return NULL;
    }
    pool->head = base;
    pool->octets = octets;
    pool->readonly = readonly;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->filled, &attr);
    pthread_condattr_destroy(&attr);
    return pool;
}

static void settle(struct sf_pool *pool)
{
    pool->total = pool->head->chunks[0] + pool->head->chunks[1];
    pool->descs = (struct sf_chunk_desc *)((uint8_t *)pool->head + pool->head->desc_offset);
}

static bool make_lists(struct sf_pool *pool)
{
    for (int kind = 0; kind < SF_CLASSES; kind++) {
        size_t n = pool->head->chunks[kind];
        pool->free_chunks[kind] = malloc(n * sizeof(uint32_t));
        pool->full[kind].chunks = malloc(n * sizeof(uint32_t));
        if (pool->free_chunks[kind] == NULL || pool->full[kind].chunks == NULL) {
            return false;
        }
    }
    pool->ours = calloc(pool->total, sizeof *pool->ours);
    if (pool->ours == NULL) {
        return false;
    }
    /* Pushed from the top, so that the lowest chunk is taken first and stays warm. */
    for (uint32_t chunk = pool->total; chunk-- > 0;) {
        struct sf_chunk_desc *desc = &pool->descs[chunk];
        desc->kind = chunk < pool->head->chunks[SF_STREAM_CLASS] ? SF_STREAM_CLASS : SF_SIP_CLASS;
        bool open_or_full = desc->state == SF_OPEN || desc->state == SF_FULL;
        if (desc->state == SF_FREE || (open_or_full && desc->fill >> 32 == 0)) {
            desc->state = SF_FREE;
            pool->free_chunks[desc->kind][pool->free_count[desc->kind]++] = chunk;
        }
    }
    return true;
}

/* Whether a chunk can hold what its description says. */
static bool fits(const struct sf_pool *pool, const struct sf_chunk_desc *desc)
{
    uint32_t used = (uint32_t)desc->fill, count = (uint32_t)(desc->fill >> 32);
    size_t least =
        desc->kind == SF_SIP_CLASS ? sizeof(struct sf_pool_sip) : sizeof(struct sf_pool_rtp);
    return used <= pool->head->chunk_octets[desc->kind] && count <= used / least;
}

/* Makes the description of a chunk that cannot be right say as much as its records prove. */
static void look_into(struct sf_pool *pool, uint32_t chunk)
{
    struct sf_chunk_desc *desc = &pool->descs[chunk];
    uint32_t used = pool->head->chunk_octets[desc->kind];
    const uint8_t *data = sf_pool_data(pool, chunk);
    uint32_t count = desc->kind == SF_SIP_CLASS ? sf_arena_sound(data, &used, used, desc->id)
                                                : sf_chunk_sound(data, &used, used, desc->id);
    desc->fill = (uint64_t)count << 32 | used;
}

static bool lay_out(struct sf_pool *pool, uint64_t epoch_us)
{
    struct sf_pool_head *head = pool->head;
    /* Written, not populated: a populated shared page is still read-only and faults once more. */
    memset(head, 0, pool->octets);
    if (!plan(pool->octets, head)) {
        errno = EINVAL;
        return false;
    }
    head->version = SF_POOL_VERSION;
    head->head_octets = sizeof *head;
    head->next_id = epoch_us;
    if (getrandom(&head->hash_seed, sizeof head->hash_seed, 0) != sizeof head->hash_seed) {
        return false;
    }
    /* Last: a half-made pool has no magic and is made again. */
    atomic_thread_fence(memory_order_release);
    head->magic = SF_POOL_MAGIC;
    return true;
}

struct sf_pool *sf_pool_open(const char *path, size_t octets, uint64_t epoch_us)
{
    octets = octets / PAGE * PAGE;
    struct sf_pool_head trial = {0};
    struct sf_pool *pool = NULL;
    struct stat st;
    int saved;
    bool fresh = false;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &st) != 0) {
        goto fail;
    }
    fresh = st.st_size == 0;
    if (!fresh) {
        octets = (size_t)st.st_size;
    }
    if (octets < sizeof trial || !plan(octets, &trial)) {
        errno = fresh ? EINVAL : EPROTO;
        goto fail;
    }
    /* Space is claimed now: running out later would be SIGBUS in the middle of a packet. */
    if (fresh && (errno = posix_fallocate(fd, 0, (off_t)octets)) != 0) {
        goto fail;
    }
    pool = map(fd, octets, false);
    if (pool == NULL) {
        goto fail;
    }
    if (!fresh && pool->head->magic == SF_POOL_MAGIC &&
        (pool->head->version != SF_POOL_VERSION || !sound(pool->head, octets))) {
        errno = EPROTO;
        goto fail;
    }
    if (pool->head->magic != SF_POOL_MAGIC && !lay_out(pool, epoch_us)) {
        goto fail;
    }
    settle(pool);
    if (!make_lists(pool)) {
        errno = ENOMEM;
        goto fail;
    }
    memset(pool->head->ledgers, 0, sizeof pool->head->ledgers);
    memset((void *)pool->head->clients, 0, sizeof pool->head->clients);
    memset((void *)pool->head->sources, 0, sizeof pool->head->sources);
    pool->head->pending = 0;
    pool->head->pressure = SF_NO_PRESSURE;
    pool->head->short_of_sip = 0;
    /* A writer killed inside a note leaves an odd version, which would stop every reader. */
    pool->head->note_version &= ~(uint64_t)1;
    pool->head->note_length = 0;
    pool->head->recorder_pid = (uint32_t)getpid();
    close(fd);
    return pool;
fail:
    saved = errno;
    pool = sf_pool_free(pool);
    if (fresh && st.st_size == 0 && saved != EPROTO) {
        unlink(path);
    }
    close(fd);
    errno = saved;
    return NULL;
}

struct sf_pool *sf_pool_attach(const char *path)
{
    struct stat st;
    struct sf_pool *pool = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &st) == 0 && (size_t)st.st_size >= sizeof(struct sf_pool_head)) {
        pool = map(fd, (size_t)st.st_size, true);
    } else {
        errno = EPROTO;
    }
    if (pool != NULL &&
        (pool->head->version != SF_POOL_VERSION || !sound(pool->head, pool->octets))) {
        pool = sf_pool_free(pool);
        errno = EPROTO;
    }
    if (pool != NULL) {
        settle(pool);
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return pool;
}

struct sf_pool *sf_pool_free(struct sf_pool *pool)
{
    if (pool != NULL) {
        for (int kind = 0; kind < SF_CLASSES; kind++) {
            free(pool->free_chunks[kind]);
            free(pool->full[kind].chunks);
        }
        free(pool->ours);
        pthread_cond_destroy(&pool->filled);
        pthread_mutex_destroy(&pool->lock);
        munmap(pool->head, pool->octets);
        free(pool);
    }
    return NULL;
}

struct sf_pool_head *sf_pool_head(struct sf_pool *pool)
{
    return pool->head;
}

uint32_t sf_pool_chunks(const struct sf_pool *pool)
{
    return pool->total;
}

size_t sf_pool_sip_chunk(const struct sf_pool *pool)
{
    return pool->head->chunk_octets[SF_SIP_CLASS];
}

struct sf_chunk_desc *sf_pool_desc(struct sf_pool *pool, uint32_t chunk)
{
    return &pool->descs[chunk];
}

uint8_t *sf_pool_data(struct sf_pool *pool, uint32_t chunk)
{
    uint32_t streams = pool->head->chunks[SF_STREAM_CLASS];
    uint8_t *base = (uint8_t *)pool->head;
    if (chunk < streams) {
        return base + pool->head->data_offset[SF_STREAM_CLASS] + (size_t)chunk * SF_STREAM_CHUNK;
    }
    return base + pool->head->data_offset[SF_SIP_CLASS] +
           (size_t)(chunk - streams) * sf_pool_sip_chunk(pool);
}

uint64_t sf_pool_call_hash(const struct sf_pool *pool, struct sf_slice call_id)
{
    return sf_hash(call_id.p, call_id.n, pool->head->hash_seed);
}

static void note_sip_room(struct sf_pool *pool)
{
    uint32_t few = pool->head->chunks[SF_SIP_CLASS] / SIP_SHORT;
    bool low = pool->free_count[SF_SIP_CLASS] <= (few < SIP_SHORT_MIN ? SIP_SHORT_MIN : few);
    atomic_store_explicit(&pool->head->short_of_sip, low, memory_order_relaxed);
}

uint32_t sf_pool_open_chunk(struct sf_pool *pool, enum sf_chunk_class kind)
{
    uint32_t chunk = SF_NO_CHUNK;
    pthread_mutex_lock(&pool->lock);
    if (pool->free_count[kind] > 0) {
        chunk = pool->free_chunks[kind][--pool->free_count[kind]];
        pool->ours[chunk] = true;
    }
    if (kind == SF_SIP_CLASS) {
        note_sip_room(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    if (chunk != SF_NO_CHUNK) {
        struct sf_chunk_desc *desc = &pool->descs[chunk];
        atomic_store_explicit(&desc->fill, 0, memory_order_relaxed);
        atomic_store_explicit(&desc->id, atomic_fetch_add(&pool->head->next_id, 1),
                              memory_order_release);
        atomic_store_explicit(&desc->state, SF_OPEN, memory_order_release);
    }
    return chunk;
}

void sf_pool_publish(struct sf_pool *pool, uint32_t chunk, uint32_t count, uint32_t used)
{
    atomic_store_explicit(&pool->descs[chunk].fill, (uint64_t)count << 32 | used,
                          memory_order_release);
}

static void push(struct sf_pool *pool, uint32_t chunk)
{
    struct queue *q = &pool->full[pool->descs[chunk].kind];
    uint32_t size = pool->head->chunks[pool->descs[chunk].kind];
    q->chunks[(q->head + q->count++) % size] = chunk;
}

void sf_pool_close_chunk(struct sf_pool *pool, uint32_t chunk)
{
    struct sf_chunk_desc *desc = &pool->descs[chunk];
    if (desc->fill >> 32 == 0) {
        sf_pool_release(pool, chunk);
        return;
    }
    atomic_store_explicit(&desc->state, SF_FULL, memory_order_release);
    pthread_mutex_lock(&pool->lock);
    push(pool, chunk);
    bool signal = pool->waiters > 0;
    pthread_mutex_unlock(&pool->lock);
    if (signal) {
        pthread_cond_signal(&pool->filled);
    }
}

static unsigned pop(struct sf_pool *pool, uint32_t *chunks, unsigned max)
{
    for (int kind = SF_SIP_CLASS; kind >= SF_STREAM_CLASS; kind--) {
        struct queue *q = &pool->full[kind];
        /* A SIP chunk is as large as a dozen of the others. */
        unsigned most = kind == SF_SIP_CLASS && max > 1 ? (max + 15) / 16 : max;
        unsigned n = q->count < most ? q->count : most;
        for (unsigned i = 0; i < n; i++) {
            chunks[i] = q->chunks[q->head];
            q->head = (q->head + 1) % pool->head->chunks[kind];
        }
        q->count -= n;
        if (n > 0) {
            return n;
        }
    }
    return 0;
}

unsigned sf_pool_take(struct sf_pool *pool, uint32_t *chunks, unsigned max, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&pool->lock);
    uint32_t wakes = pool->wakes;
    unsigned n;
    pool->waiters++;
    while ((n = pop(pool, chunks, max)) == 0 && pool->wakes == wakes) {
        if (pthread_cond_timedwait(&pool->filled, &pool->lock, &until) == ETIMEDOUT) {
            n = pop(pool, chunks, max);
            break;
        }
    }
    pool->waiters--;
    pthread_mutex_unlock(&pool->lock);
    return n;
}

void sf_pool_wake(struct sf_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->wakes++;
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_broadcast(&pool->filled);
}

void sf_pool_release(struct sf_pool *pool, uint32_t chunk)
{
    struct sf_chunk_desc *desc = &pool->descs[chunk];
    uint64_t count = desc->fill >> 32;
    atomic_store_explicit(&desc->state, SF_FREE, memory_order_release);
    pthread_mutex_lock(&pool->lock);
    pool->free_chunks[desc->kind][pool->free_count[desc->kind]++] = chunk;
    pool->ours[chunk] = false;
    if (desc->kind == SF_SIP_CLASS) {
        note_sip_room(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    atomic_fetch_sub_explicit(&pool->head->pending, count, memory_order_relaxed);
}

static int by_id(const void *a, const void *b, void *descs)
{
    const struct sf_chunk_desc *all = descs;
    uint64_t x = all[*(const uint32_t *)a].id, y = all[*(const uint32_t *)b].id;
    return x < y ? -1 : x > y;
}

unsigned sf_pool_recover(struct sf_pool *pool, uint64_t *packets)
{
    unsigned found = 0;
    *packets = 0;
    uint32_t *left = malloc(pool->total * sizeof *left);
    if (left == NULL) {
        return 0;
    }
    pthread_mutex_lock(&pool->lock);
    for (uint32_t chunk = 0; chunk < pool->total; chunk++) {
        struct sf_chunk_desc *desc = &pool->descs[chunk];
        if (desc->state == SF_FREE || pool->ours[chunk]) {
            continue;
        }
        if ((desc->state != SF_OPEN && desc->state != SF_FULL) || !fits(pool, desc)) {
            look_into(pool, chunk);
        }
        left[found++] = chunk;
    }
    qsort_r(left, found, sizeof *left, by_id, pool->descs);
    for (unsigned i = 0; i < found; i++) {
        pool->ours[left[i]] = true;
        pool->descs[left[i]].state = SF_FULL;
        *packets += pool->descs[left[i]].fill >> 32;
        push(pool, left[i]);
    }
    pool->head->pending += *packets;
    pthread_mutex_unlock(&pool->lock);
    free(left);
    return found;
}

int sf_pool_sync(struct sf_pool *pool)
{
    return msync(pool->head, pool->octets, MS_SYNC) == 0 ? 0 : errno;
}

uint32_t sf_pool_free_chunks(struct sf_pool *pool, enum sf_chunk_class kind)
{
    uint32_t n = 0;
    if (pool->readonly) {
        for (uint32_t chunk = 0; chunk < pool->total; chunk++) {
            n += pool->descs[chunk].kind == (uint32_t)kind && pool->descs[chunk].state == SF_FREE;
        }
        return n;
    }
    pthread_mutex_lock(&pool->lock);
    n = pool->free_count[kind];
    pthread_mutex_unlock(&pool->lock);
    return n;
}

uint32_t sf_pool_queued(struct sf_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    uint32_t n = pool->full[0].count + pool->full[1].count;
    pthread_mutex_unlock(&pool->lock);
    return n;
}

/* The place of a client, or the one to give it: its own, a free one, else the longest unseen. */
static struct sf_client *find_client(struct sf_pool_head *head, uint32_t client_id)
{
    uint32_t at = client_id * 2654435761u;
    struct sf_client *oldest = NULL;
    for (unsigned i = 0; i < CLIENT_PROBES; i++) {
        struct sf_client *client = &head->clients[(at + i) & (SF_POOL_CLIENTS - 1)];
        if (client->client_id == client_id || client->client_id == 0) {
            return client;
        }
        if (oldest == NULL || client->seen_us < oldest->seen_us) {
            oldest = client;
        }
    }
    return oldest;
}

void sf_pool_count_client(struct sf_pool *pool, uint32_t client_id, uint64_t taken, uint64_t now_us)
{
    if (client_id == 0 || taken == 0) {
        return;
    }
    struct sf_client *client = find_client(pool->head, client_id);
    if (client->client_id != client_id) {
        atomic_store(&client->taken, 0);
        atomic_store(&client->client_id, client_id);
    }
    atomic_fetch_add_explicit(&client->taken, taken, memory_order_relaxed);
    atomic_store_explicit(&client->seen_us, now_us, memory_order_relaxed);
}

uint64_t sf_pool_client_taken(const struct sf_pool *pool, uint32_t client_id)
{
    const struct sf_client *client = find_client(pool->head, client_id);
    return client_id != 0 && client->client_id == client_id ? client->taken : 0;
}

uint32_t sf_pool_source(struct sf_pool *pool, uint8_t family, const uint8_t *ip)
{
    struct sf_source *sources = pool->head->sources;
    uint32_t start = (uint32_t)sf_hash(ip, 16, family);
    uint32_t oldest = start & (SF_POOL_SOURCES - 1);
    for (uint32_t i = 0; i < CLIENT_PROBES; i++) {
        uint32_t at = (start + i) & (SF_POOL_SOURCES - 1);
        if (sources[at].family == family && memcmp(sources[at].ip, ip, 16) == 0) {
            return at;
        }
        if (sources[at].family == 0) {
            oldest = at;
            break;
        }
        oldest = sources[at].seen_us < sources[oldest].seen_us ? at : oldest;
    }
    struct sf_source *source = &sources[oldest];
    atomic_store(&source->family, 0);
    memset((void *)source, 0, sizeof *source);
    memcpy(source->ip, ip, 16);
    atomic_store(&source->family, family);
    return oldest;
}

bool sf_pool_write_note(struct sf_pool *pool, struct sf_slice note)
{
    if (note.n > SF_POOL_NOTE_OCTETS) {
        return false;
    }
    atomic_fetch_add(&pool->head->note_version, 1); /* odd: being written */
    memcpy(pool->head->note, note.p, note.n);
    atomic_store(&pool->head->note_length, (uint32_t)note.n);
    atomic_fetch_add(&pool->head->note_version, 1);
    return true;
}

uint32_t sf_pool_read_note(const struct sf_pool *pool, uint8_t *dst)
{
    for (int tries = 0; tries < 1000; tries++) {
        uint64_t before = atomic_load(&pool->head->note_version);
        uint32_t length = atomic_load(&pool->head->note_length);
        if (before % 2 == 0 && length <= SF_POOL_NOTE_OCTETS) {
            memcpy(dst, pool->head->note, length);
            atomic_thread_fence(memory_order_acquire);
            if (atomic_load(&pool->head->note_version) == before) {
                return length;
            }
        }
        usleep(50);
    }
    return 0;
}

size_t sf_pool_snapshot(struct sf_pool *pool, uint32_t chunk, uint64_t call_hash, uint8_t *dst,
                        uint64_t *id, uint32_t *count)
{
    struct sf_chunk_desc *desc = &pool->descs[chunk];
    if (atomic_load_explicit(&desc->state, memory_order_acquire) == SF_FREE ||
        (desc->kind == SF_STREAM_CLASS && desc->call_hash != call_hash)) {
        return 0;
    }
    uint64_t before = atomic_load_explicit(&desc->id, memory_order_acquire);
    uint64_t fill = atomic_load_explicit(&desc->fill, memory_order_acquire);
    size_t used = (uint32_t)fill;
    if (desc->kind >= SF_CLASSES || fill >> 32 == 0 ||
        used > pool->head->chunk_octets[desc->kind]) {
        return 0;
    }
    memcpy(dst, sf_pool_data(pool, chunk), used);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&desc->id, memory_order_relaxed) != before ||
        atomic_load_explicit(&desc->state, memory_order_relaxed) == SF_FREE) {
        return 0;
    }
    *id = before;
    *count = (uint32_t)(fill >> 32);
    return used;
}

size_t sf_pool_call_records(struct sf_pool *pool, uint32_t chunk, struct sf_slice call_id,
                            uint8_t *dst, uint64_t *id, uint32_t *count)
{
    struct sf_chunk_desc *desc = &pool->descs[chunk];
    uint64_t hash = sf_pool_call_hash(pool, call_id);
    if (atomic_load_explicit(&desc->state, memory_order_acquire) == SF_FREE ||
        desc->kind != SF_SIP_CLASS || !sf_pool_arena_may_hold(desc->call_hash, hash)) {
        return 0;
    }
    uint64_t before = atomic_load_explicit(&desc->id, memory_order_acquire);
    uint64_t fill = atomic_load_explicit(&desc->fill, memory_order_acquire);
    if ((uint32_t)fill > sf_pool_sip_chunk(pool)) {
        return 0;
    }
    struct sf_cursor c = sf_cursor(sf_pool_data(pool, chunk), (uint32_t)fill);
    struct sf_arena_message message;
    size_t used = 0;
    *count = 0;
    for (uint32_t left = (uint32_t)(fill >> 32); left > 0; left--) {
        const uint8_t *start = c.p;
        if (!sf_arena_next(&c, &message)) {
            break;
        }
        if (sf_slice_eq(message.call_id, call_id)) {
            memcpy(dst + used, start, (size_t)(c.p - start));
            used += (size_t)(c.p - start);
            ++*count;
        }
    }
    /* The chunk may have been given to others meanwhile: what was read then is worth nothing. */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&desc->id, memory_order_relaxed) != before ||
        atomic_load_explicit(&desc->state, memory_order_relaxed) == SF_FREE) {
        return 0;
    }
    *id = before;
    return used;
}
