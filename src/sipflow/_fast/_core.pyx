# cython: language_level=3
"""Glue between the C core and Python: takes octets, gives values, and decides nothing."""

import os

from cpython cimport array
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.errno cimport errno
from libc.string cimport memcpy, memset

import array


cdef inline sf_slice slice_of(bytes octets):
    return sf_slice_of(PyBytes_AS_STRING(octets), len(octets))


cdef inline bytes octets_of(sf_slice s):
    return PyBytes_FromStringAndSize(<const char *>s.p, s.n) if s.n > 0 else b""


# ---- frames and datagrams ----

cdef tuple packet_tuple(const sf_packet *packet):
    cdef size_t octets = 16 if packet.family == 6 else 4
    return (
        packet.kind,
        packet.family,
        PyBytes_FromStringAndSize(<const char *>packet.src, octets),
        packet.src_port,
        PyBytes_FromStringAndSize(<const char *>packet.dst, octets),
        packet.dst_port,
        packet.time_us,
        packet.client_id,
        bool(packet.has_metadata),
        packet.leg,
        octets_of(packet.call_id),
        octets_of(packet.payload),
    )


def parse_datagram(bytes octets):
    cdef sf_datagram datagram
    cdef sf_slice frame
    cdef sf_packet packet
    cdef sf_status status = sf_datagram_open(slice_of(octets), &datagram)
    if status != SF_OK:
        return None, [(<bytes>sf_status_name(status)).decode()]
    packets = []
    refused = []
    while sf_datagram_next(&datagram, &frame):
        status = sf_packet_parse(frame, &packet)
        if status == SF_OK:
            packets.append(packet_tuple(&packet))
        else:
            refused.append((<bytes>sf_status_name(status)).decode())
    return packets, refused


def encode_frame(int version, int kind, int family, bytes src, int src_port, bytes dst, int dst_port, uint64_t time_us,
                 uint32_t client_id, bytes call_id, leg, bytes payload):
    cdef sf_packet packet
    cdef size_t octets = 16 if family == 6 else 4
    if len(src) != octets or len(dst) != octets:
        raise ValueError(f"family {family} takes addresses of {octets} octets")
    memset(&packet, 0, sizeof(packet))
    packet.time_us = time_us
    packet.client_id = client_id
    packet.leg = 0 if leg is None else leg
    packet.kind = kind
    packet.family = family
    packet.has_metadata = leg is not None or len(call_id) > 0
    packet.src_port = src_port
    packet.dst_port = dst_port
    memcpy(packet.src, <const char *>src, octets)
    memcpy(packet.dst, <const char *>dst, octets)
    packet.call_id = slice_of(call_id)
    packet.payload = slice_of(payload)
    out = PyBytes_FromStringAndSize(NULL, sf_packet_size(&packet, version))
    sf_packet_encode(&packet, version, <uint8_t *>PyBytes_AS_STRING(out))
    return out


# ---- SIP, RTP ----

def sip_head(bytes message):
    cdef sf_sip head
    sf_sip_scan(slice_of(message), &head)
    return (
        bool(head.is_request),
        octets_of(head.method),
        octets_of(head.uri),
        head.status if head.is_response else None,
        octets_of(head.reason),
        octets_of(head.call_id) if head.has_call_id else None,
        octets_of(head.sender.uri),
        octets_of(head.sender.user),
        octets_of(head.sender.tag),
        octets_of(head.to.uri),
        octets_of(head.to.user),
        octets_of(head.to.tag),
        head.cseq if head.has_cseq else None,
        octets_of(head.cseq_method),
        octets_of(head.user_agent),
        octets_of(head.branch),
        octets_of(head.content_type),
        head.body,
    )


def sip_looks_like(bytes octets):
    return bool(sf_sip_looks_like(slice_of(octets)))


def rtp_kind(bytes packet):
    return <int>sf_rtp_kind_of(slice_of(packet))


def rtp_head(bytes packet):
    cdef sf_rtp head
    if not sf_rtp_parse(slice_of(packet), &head):
        return None
    return (bool(head.marker), head.payload_type, head.sequence, head.timestamp, head.ssrc, octets_of(head.payload))


# ---- G.711, checksum, placement ----

cdef enum:
    ULAW = 0
    ALAW = 1


def g711_decode(bytes codes, int law):
    cdef size_t n = len(codes)
    out = PyBytes_FromStringAndSize(NULL, 2 * n)
    cdef int16_t *samples = <int16_t *>PyBytes_AS_STRING(out)
    cdef const uint8_t *p = <const uint8_t *>PyBytes_AS_STRING(codes)
    with nogil:
        if law == ALAW:
            sf_alaw_decode(p, samples, n)
        else:
            sf_ulaw_decode(p, samples, n)
    return out


def g711_encode(bytes samples, int law):
    cdef size_t n = len(samples) // 2
    out = PyBytes_FromStringAndSize(NULL, n)
    cdef uint8_t *codes = <uint8_t *>PyBytes_AS_STRING(out)
    cdef const int16_t *p = <const int16_t *>PyBytes_AS_STRING(samples)
    with nogil:
        if law == ALAW:
            sf_alaw_encode(p, codes, n)
        else:
            sf_ulaw_encode(p, codes, n)
    return out


def crc32c(bytes octets, uint32_t crc=0):
    return sf_crc32c(crc, PyBytes_AS_STRING(octets), len(octets))


def jump_node(bytes call_id, int nodes):
    return sf_jump(slice_of(call_id), nodes)


# ---- media ----

def mix_g711(const uint8_t[::1] rows not None, bytes data not None, int64_t start, int16_t[:, ::1] out not None,
             Py_ssize_t channel):
    cdef sf_slice octets = slice_of(data)
    cdef size_t count = <size_t>rows.shape[0] // sizeof(sf_placed)
    cdef size_t refused
    if count * sizeof(sf_placed) != <size_t>rows.shape[0]:
        raise ValueError(f"rows: found {rows.shape[0]} octets; allowed: a multiple of {sizeof(sf_placed)}")
    if not 0 <= channel < out.shape[1]:
        raise ValueError(f"channel: found {channel}; allowed: 0 to {out.shape[1] - 1}")
    if count == 0 or out.shape[0] == 0:
        return 0
    with nogil:
        refused = sf_mix(<const sf_placed *>&rows[0], count, octets, start, &out[0, channel], out.shape[0],
                         out.shape[1])
    return refused
