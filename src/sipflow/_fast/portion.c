#define _GNU_SOURCE
#include "portion.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "messages.h"

/*
 * Buffers of portions that were freed, for the next ones: the kernel clears every page that it
 * gives out, which costs as much as filling it. Shared by encoders and committer.
 */
#define SPARE_BUFFERS  24
#define SPARE_SMALLEST (256u << 10)
#define SPARE_LARGEST  (4u << 20)
#define SPARE_OCTETS   (48u << 20)

static pthread_mutex_t spare_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sf_octets spare[SPARE_BUFFERS];
static size_t spare_count, spare_octets;

static struct sf_octets take_spare(size_t room)
{
    struct sf_octets found = {0};
    pthread_mutex_lock(&spare_lock);
    for (size_t i = spare_count; i-- > 0;) {
        if (spare[i].room >= room) {
            found = spare[i];
            spare[i] = spare[--spare_count];
            spare_octets -= found.room;
            break;
        }
    }
    pthread_mutex_unlock(&spare_lock);
    return found;
}

static void give_spare(struct sf_octets octets)
{
    bool kept = false;
    pthread_mutex_lock(&spare_lock);
    if (spare_count < SPARE_BUFFERS && octets.room >= SPARE_SMALLEST &&
        octets.room <= SPARE_LARGEST && spare_octets + octets.room <= SPARE_OCTETS) {
        octets.n = 0;
        spare[spare_count++] = octets;
        spare_octets += octets.room;
        kept = true;
    }
    pthread_mutex_unlock(&spare_lock);
    if (!kept) {
        free(octets.p);
    }
}

bool sf_octets_room(struct sf_octets *octets, size_t more)
{
    if (octets->room - octets->n >= more) {
        return true;
    }
    size_t room = octets->room < 65536 ? 65536 : octets->room;
    while (room - octets->n < more) {
        room *= 2;
    }
    struct sf_octets used = room >= SPARE_SMALLEST ? take_spare(room) : (struct sf_octets){0};
    if (used.p != NULL) {
        if (octets->n > 0) {
            memcpy(used.p, octets->p, octets->n);
        }
        used.n = octets->n;
        give_spare(*octets);
        *octets = used;
        return true;
    }
    uint8_t *p = realloc(octets->p, room);
    if (p == NULL) {
        return false;
    }
    octets->p = p;
    octets->room = room;
    return true;
}

struct sf_portion *sf_portion_new(int64_t period_us)
{
    struct sf_portion *portion = calloc(1, sizeof *portion);
    if (portion != NULL) {
        portion->period_us = period_us;
    }
    return portion;
}

struct sf_portion *sf_portion_free(struct sf_portion *portion)
{
    if (portion != NULL) {
        give_spare(portion->data);
        give_spare(portion->texts);
        free(portion->blocks);
        free(portion);
    }
    return NULL;
}

struct sf_portion_block *sf_portion_add(struct sf_portion *portion, const struct sf_block *head,
                                        uint64_t at, struct sf_slice text)
{
    if (portion->count == portion->room) {
        size_t room = portion->room == 0 ? 16 : portion->room * 2;
        struct sf_portion_block *blocks = realloc(portion->blocks, room * sizeof *blocks);
        if (blocks == NULL) {
            return NULL;
        }
        portion->blocks = blocks;
        portion->room = room;
    }
    if (!sf_octets_room(&portion->texts, text.n)) {
        return NULL;
    }
    struct sf_portion_block *block = &portion->blocks[portion->count++];
    *block = (struct sf_portion_block){
        .head = *head, .at = at, .text = portion->texts.n, .text_length = text.n};
    if (text.n > 0) {
        memcpy(portion->texts.p + portion->texts.n, text.p, text.n);
        portion->texts.n += text.n;
    }
    if (head->kind == SF_BLOCK_MESSAGES) {
        portion->sip_messages += head->records;
    } else {
        portion->rtp_packets += head->records;
    }
    return block;
}

static enum sf_block_status prove_messages(const struct sf_block *head, struct sf_slice content)
{
    struct sf_message message;
    size_t position = 0;
    uint32_t found = 0;
    for (; position < content.n; found++, position = message.next) {
        enum sf_block_status status = sf_message_read(content, position, &message);
        if (status != SF_BLOCK_OK) {
            return status;
        }
    }
    return found == head->records ? SF_BLOCK_OK : SF_BLOCK_BAD_CONTENT;
}

static bool facts_of(const struct sf_columns *columns, struct sf_chunk_facts *facts)
{
    const struct sf_chunk_identity *id = &columns->identity;
    struct sf_rtp_row *rows = malloc((columns->count + 1) * sizeof *rows);
    uint8_t *data = malloc(columns->data_length + 1);
    bool done = rows != NULL && data != NULL;
    *facts = (struct sf_chunk_facts){
        .ssrc = id->ssrc,
        .client_id = id->client_id,
        .leg = id->leg,
        .src_port = id->src_port,
        .dst_port = id->dst_port,
        .call_id_length = id->call_id_length,
        .family = id->family,
        .has_ssrc = id->has_ssrc,
        .clock_skew = id->clock_skew,
    };
    memcpy(facts->src, id->src, sizeof facts->src);
    memcpy(facts->dst, id->dst, sizeof facts->dst);
    if (done) {
        sf_columns_decode(columns, rows, data);
        done = sf_rows_facts(rows, columns->count, sf_slice(data, columns->data_length), facts);
    }
    free(rows);
    free(data);
    return done;
}

enum sf_block_status sf_portion_read(struct sf_portion *portion, const struct sf_block *head,
                                     uint64_t at, struct sf_slice content)
{
    struct sf_slice text = content;
    struct sf_chunk_facts facts = {0};
    if (head->kind == SF_BLOCK_MESSAGES) {
        enum sf_block_status status = prove_messages(head, content);
        if (status != SF_BLOCK_OK) {
            return status;
        }
    } else {
        struct sf_columns columns;
        enum sf_block_status status = sf_columns_open(content, &columns);
        if (status != SF_BLOCK_OK) {
            return status;
        }
        if (columns.count != head->records || !facts_of(&columns, &facts)) {
            return SF_BLOCK_BAD_CONTENT;
        }
        facts.t0_us = head->t0_us;
        facts.t1_us = head->t1_us;
        text = columns.call_id;
    }
    struct sf_portion_block *block = sf_portion_add(portion, head, at, text);
    if (block == NULL) {
        return SF_BLOCK_BAD_CONTENT;
    }
    block->facts = facts;
    return SF_BLOCK_OK;
}

int sf_portion_write(const struct sf_portion *portion, int fd, uint64_t offset)
{
    size_t done = 0;
    while (done < portion->data.n) {
        ssize_t n =
            pwrite(fd, portion->data.p + done, portion->data.n - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0 ? ENOSPC : errno;
        }
        done += (size_t)n;
    }
    return 0;
}
