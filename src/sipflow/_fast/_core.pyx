# The only glue between Python and the C files: bytes in, plain values out, no logic.
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int16_t, int64_t, uint8_t

from sipflow._fast._core cimport *


# --- media: G.711 packets onto a time line ---

def mix_g711(const uint8_t[::1] rows not None, bytes data not None, const int16_t[:, ::1] laws not None,
             int64_t start, int16_t[:, ::1] out not None, Py_ssize_t channel):
    cdef sf_slice octets = sf_slice_of(PyBytes_AS_STRING(data), len(data))
    cdef size_t count = <size_t>rows.shape[0] // sizeof(sf_placed)
    cdef size_t refused
    if count * sizeof(sf_placed) != <size_t>rows.shape[0]:
        raise ValueError(f"rows: found {rows.shape[0]} octets; allowed: a multiple of {sizeof(sf_placed)}")
    if laws.shape[0] != 2 or laws.shape[1] != 256:
        raise ValueError(f"laws: found {laws.shape[0]} x {laws.shape[1]}; allowed: 2 x 256")
    if not 0 <= channel < out.shape[1]:
        raise ValueError(f"channel: found {channel}; allowed: 0 to {out.shape[1] - 1}")
    if count == 0 or out.shape[0] == 0:
        return 0
    with nogil:
        refused = sf_mix(<const sf_placed *>&rows[0], count, octets, <const int16_t (*)[256]>&laws[0, 0], start,
                         &out[0, channel], out.shape[0], out.shape[1])
    return refused
