/*
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4), by hardware where the processor has it.
 *
 * Owns:    nothing.
 * Lends:   nothing.
 * Threads: any.
 */
#ifndef SF_CRC32C_H
#define SF_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of `octets`, continuing from `crc` (0 to begin). */
uint32_t sf_crc32c(uint32_t crc, const void *octets, size_t n);

/* The same by table alone: what sf_crc32c is tested against. */
uint32_t sf_crc32c_table(uint32_t crc, const void *octets, size_t n);

#endif
