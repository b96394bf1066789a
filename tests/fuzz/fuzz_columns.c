/* Any octets are a stream's content or an error; what opens decodes within what was promised. */
#include <stdlib.h>

#include "columns.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
    struct sf_columns columns;
    if (sf_columns_open(sf_slice(octets, n), &columns) == SF_BLOCK_OK) {
        struct sf_rtp_row *rows = malloc(columns.count * sizeof *rows + 1);
        uint8_t *data = malloc(columns.data_length + 1);
        if (columns.count > n / 3 || columns.data_length > 5 * n || rows == NULL || data == NULL) {
            abort();
        }
        sf_columns_decode(&columns, rows, data);
        for (unsigned i = 0; i < columns.count; i++) {
            if ((size_t)rows[i].payload_offset + rows[i].payload_length > columns.data_length) {
                abort();
            }
        }
        free(rows);
        free(data);
    }
    /* The same octets as pool memory: what encodes comes back. */
    unsigned count = n > 0 ? octets[n - 1] % 8 : 0;
    uint8_t *content = malloc(sf_columns_bound(n));
    struct sf_block block;
    size_t payload_at;
    size_t length = sf_columns_encode(octets, n, count, content, &block, &payload_at);
    int64_t data_length = sf_chunk_data_length(octets, n, count);
    if (length > sf_columns_bound(n) || (length > 0) != (data_length >= 0)) {
        abort();
    }
    if (length > 0) {
        struct sf_rtp_row rows[8], live_rows[8];
        uint8_t *data = malloc((size_t)data_length + 1), *live = malloc((size_t)data_length + 1);
        if (sf_columns_open(sf_slice(content, length), &columns) != SF_BLOCK_OK || data == NULL ||
            live == NULL || columns.data_length != (size_t)data_length ||
            !sf_chunk_rows(octets, n, count, live_rows, live, (size_t)data_length)) {
            abort();
        }
        sf_columns_decode(&columns, rows, data);
        if (memcmp(rows, live_rows, count * sizeof *rows) != 0 ||
            memcmp(data, live, (size_t)data_length) != 0) {
            abort();
        }
        free(data);
        free(live);
    }
    free(content);
    return 0;
}
