"""What an RFC 2198 payload carries beside its own: the blocks of earlier packets, for a whole stream at once."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

REDUNDANT: Final = "red"
# RFC 4733, section 2.5.1.4 repeats a few events; deeper nesting is forged.
BLOCKS_MAX: Final = 8
# One block: the index of its packet, and where it lies in the data [octets].
BLOCK: Final = np.dtype(
    [("packet", "<i8"), ("offset", "<i8"), ("length", "<i8"), ("timestamp", "<u4"), ("payload_type", "u1")]
)
_BLOCK_HEAD: Final = 4
_LAST_HEAD: Final = 1


def blocks_of(
    data: NDArray[np.uint8], offset: NDArray[np.int64], length: NDArray[np.int64], timestamp: NDArray[np.uint32]
) -> NDArray[np.void]:
    """Take payloads of RFC 2198 apart into rows of BLOCK; `offset` and `length` are theirs in `data` and lie within it.

    A payload whose headers or blocks reach beyond its end gives no block. Costs one step of Python per depth of the
    nesting, at most BLOCKS_MAX, not per packet.
    """
    at, stop = offset.copy(), offset + length
    layers: list[NDArray[np.void]] = []
    last = np.zeros(len(offset), BLOCK)
    closed = np.zeros(len(offset), bool)
    still = np.arange(len(offset))
    for _ in range(BLOCKS_MAX):
        still = still[at[still] + _LAST_HEAD <= stop[still]]
        follows = data[at[still]] >= 0x80
        ends, still = still[~follows], still[follows]
        last["payload_type"][ends] = data[at[ends]]
        closed[ends] = True
        at[ends] += _LAST_HEAD
        still = still[at[still] + _BLOCK_HEAD <= stop[still]]
        layers.append(_heads(data, at, still, timestamp))
        at[still] += _BLOCK_HEAD
    for layer in layers:
        layer["offset"] = at[layer["packet"]]
        at[layer["packet"]] += layer["length"]
    last["packet"], last["timestamp"] = np.arange(len(offset)), timestamp
    last["offset"], last["length"] = at, stop - at
    sound = closed & (at <= stop)
    found: NDArray[np.void] = np.concatenate([*layers, last])
    kept: NDArray[np.void] = found[sound[found["packet"]]]
    return kept


def _heads(
    data: NDArray[np.uint8], at: NDArray[np.int64], packets: NDArray[np.int64], timestamp: NDArray[np.uint32]
) -> NDArray[np.void]:
    """Read one header of four octets per packet (RFC 2198, section 3): type 7 bits, timestamp offset 14, length 10."""
    head = data[at[packets, None] + np.arange(_BLOCK_HEAD)].astype(np.uint32)
    blocks = np.zeros(len(packets), BLOCK)
    blocks["packet"] = packets
    blocks["payload_type"] = head[:, 0] & 0x7F
    blocks["timestamp"] = timestamp[packets] - (head[:, 1] << 6 | head[:, 2] >> 2)
    blocks["length"] = (head[:, 2] & 3) << 8 | head[:, 3]
    return blocks
