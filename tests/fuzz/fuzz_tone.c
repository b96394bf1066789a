/* Any rows over any octets: keys lie in what was heard, are as many as promised, and nothing is
 * read outside of the data. The input is a count of rows, the rows, and the data. */
#include <stdlib.h>
#include <string.h>

#include "tone.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n);

#define ROWS_MAX 16u
#define ROOM     4096u

static void expect(bool holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
    static struct sf_tone_key keys[ROOM];
    struct sf_spoken rows[ROWS_MAX];
    struct sf_tone receiver;
    size_t count = n > 0 ? octets[0] % (ROWS_MAX + 1) : 0;
    if (n < 1 + count * sizeof *rows) {
        return 0;
    }
    memcpy(rows, octets + 1, count * sizeof *rows);
    size_t at = 1 + count * sizeof *rows;
    struct sf_slice data = sf_slice(octets + at, n - at);
    sf_tone_begin(&receiver);
    size_t found = sf_tone_hear(&receiver, rows, count, data, keys, ROOM - 1);
    expect(found <= ROWS_MAX * data.n / SF_TONE_LEAST + 1);
    found += sf_tone_end(&receiver, keys + found);
    for (size_t i = 0; i < found; i++) {
        expect(keys[i].row < 4 && keys[i].column < 4 && keys[i].start < keys[i].stop);
        expect(keys[i].power > 0 && (i == 0 || keys[i].start >= keys[i - 1].start));
    }
    return 0;
}
