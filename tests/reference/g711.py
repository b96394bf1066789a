"""G.711 from the recommendation's own description: sign, segment, step; no table and no shortcut.

An oracle for the C code. Samples are 16-bit; a code stands for an interval of them and decodes to its middle.
"""


def ulaw_decode(code: int) -> int:
    """Give the sample of a mu-law code (ITU-T G.711, table 2): all bits are sent inverted."""
    bits = code ^ 0xFF
    segment, step = bits >> 4 & 7, bits & 15
    # Segment 0 starts 132 below zero of the biased scale; each segment doubles the step of 8.
    low = (16 + step << segment + 3) - 132
    magnitude = low + (1 << segment + 3) // 2
    return -magnitude if bits & 0x80 else magnitude


def alaw_decode(code: int) -> int:
    """Give the sample of an A-law code (ITU-T G.711, table 1): every second bit is sent inverted."""
    bits = code ^ 0x55
    segment, step = bits >> 4 & 7, bits & 15
    width = 16 << max(segment - 1, 0)
    low = step * width if segment == 0 else (16 + step) * width
    magnitude = low + width // 2
    return magnitude if bits & 0x80 else -magnitude


def ulaw_encode(sample: int) -> int:
    """Give the mu-law code whose interval holds a sample; the loudest interval takes what is beyond it."""
    return _encode(sample, [(16 + i % 16 << i // 16 + 3) - 132 for i in range(128)], inverted=0xFF, positive=0)


def alaw_encode(sample: int) -> int:
    """Give the A-law code whose interval holds a sample."""
    lows = [(i % 16 + (16 if i >= 16 else 0)) * (16 << max(i // 16 - 1, 0)) for i in range(128)]
    return _encode(sample, lows, inverted=0x55, positive=0x80)


def _encode(sample: int, lows: list[int], inverted: int, positive: int) -> int:
    # A sample on a decision value belongs to the interval above it, so -1 mirrors 0 (ITU-T G.191).
    magnitude = sample if sample >= 0 else -1 - sample
    bits = max(i for i, low in enumerate(lows) if low <= magnitude)
    return (bits | (positive if sample >= 0 else positive ^ 0x80)) ^ inverted
