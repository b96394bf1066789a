"""Which node of a cluster stores a call: jump consistent hash of the Call-ID.

Bit-exact with what RustPBX senders compute (Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm",
with a base-31 polynomial as the seed), because every party must pick the same node for the same ordered node list.
"""

_MASK = (1 << 64) - 1
_LCG = 2862933555777941757


def node_index(call_id: str, nodes: int) -> int:
    """Pick the node, 0 to nodes - 1, that stores `call_id`. Raises ValueError when there is no node."""
    if nodes < 1:
        raise ValueError(f"nodes: found {nodes}; allowed: 1 or more")
    state = 0
    for octet in call_id.encode():
        state = (state * 31 + octet) & _MASK
    bucket, jump = 0, 0
    while jump < nodes:
        bucket = jump
        state = (state * _LCG + 1) & _MASK
        # Product first, then the division: the order decides the low bits of the double.
        jump = int(float(bucket + 1) * 2147483648.0 / float((state >> 33) + 1))
    return bucket
