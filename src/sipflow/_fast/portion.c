#define _GNU_SOURCE
#include "portion.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

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
        sf_octets_free(&portion->data);
        sf_octets_free(&portion->call_ids);
        sf_octets_free(&portion->blocks);
        sf_gist_clear(&portion->gist);
        free(portion);
    }
    return NULL;
}

const struct sf_portion_block *sf_portion_block(const struct sf_portion *portion, size_t block)
{
    return (const struct sf_portion_block *)portion->blocks.p + block;
}

size_t sf_portion_held(const struct sf_portion *portion)
{
    return portion->data.n + portion->call_ids.n + portion->blocks.n + sf_gist_held(&portion->gist);
}

static void add(struct sf_portion *portion, const struct sf_portion_block *block)
{
    memcpy(portion->blocks.p + portion->blocks.n, block, sizeof *block);
    portion->blocks.n += sizeof *block;
    portion->count++;
}

enum sf_block_status sf_portion_add_messages(struct sf_portion *portion,
                                             const struct sf_block *head, uint64_t at,
                                             struct sf_slice content)
{
    struct sf_portion_block block = {.head = *head, .at = at};
    if (!sf_octets_room(&portion->blocks, sizeof block)) {
        return SF_BLOCK_NO_MEMORY;
    }
    block.call = (uint32_t)portion->gist.call_count;
    enum sf_block_status status =
        sf_gist_add(&portion->gist, content, head->transform, head->records);
    if (status == SF_BLOCK_OK) {
        block.calls = (uint32_t)portion->gist.call_count - block.call;
        portion->sip_messages += head->records;
        add(portion, &block);
    }
    return status;
}

enum sf_block_status sf_portion_add_stream(struct sf_portion *portion, const struct sf_block *head,
                                           uint64_t at, struct sf_slice call_id,
                                           const struct sf_chunk_facts *facts)
{
    struct sf_octets *call_ids = &portion->call_ids;
    struct sf_portion_block block = {.head = *head, .at = at};
    if (call_ids->n + call_id.n > UINT32_MAX || !sf_octets_room(call_ids, call_id.n) ||
        !sf_octets_room(&portion->blocks, sizeof block)) {
        return SF_BLOCK_NO_MEMORY;
    }
    block.facts = *facts;
    block.call_id = (uint32_t)call_ids->n;
    block.call_id_length = (uint32_t)call_id.n;
    if (call_id.n > 0) {
        memcpy(call_ids->p + call_ids->n, call_id.p, call_id.n);
        call_ids->n += call_id.n;
    }
    portion->rtp_packets += head->records;
    add(portion, &block);
    return SF_BLOCK_OK;
}

static enum sf_block_status facts_of(const struct sf_columns *columns, struct sf_chunk_facts *facts)
{
    const struct sf_chunk_identity *id = &columns->identity;
    struct sf_rtp_row *rows = malloc((columns->count + 1) * sizeof *rows);
    uint8_t *data = malloc(columns->data_length + 1);
    enum sf_block_status status = rows != NULL && data != NULL ? SF_BLOCK_OK : SF_BLOCK_NO_MEMORY;
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
    if (status == SF_BLOCK_OK) {
        sf_columns_decode(columns, rows, data);
        if (!sf_rows_facts(rows, columns->count, sf_slice(data, columns->data_length), facts)) {
            status = SF_BLOCK_BAD_CONTENT;
        }
    }
    free(rows);
    free(data);
    return status;
}

enum sf_block_status sf_portion_read(struct sf_portion *portion, const struct sf_block *head,
                                     uint64_t at, struct sf_slice content)
{
    if (head->kind == SF_BLOCK_MESSAGES) {
        return sf_portion_add_messages(portion, head, at, content);
    }
    struct sf_chunk_facts facts;
    struct sf_columns columns;
    enum sf_block_status status = sf_columns_open(content, &columns);
    if (status == SF_BLOCK_OK) {
        status = columns.count == head->records ? facts_of(&columns, &facts) : SF_BLOCK_BAD_CONTENT;
    }
    if (status != SF_BLOCK_OK) {
        return status;
    }
    facts.t0_us = head->t0_us;
    facts.t1_us = head->t1_us;
    return sf_portion_add_stream(portion, head, at, columns.call_id, &facts);
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
