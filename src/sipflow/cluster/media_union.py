"""The media of one call that several nodes hold: of copies each packet once, of parts all."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from sipflow.cluster.prints import SAME, print_of
from sipflow.cluster.remote_chunk import RemoteChunk
from sipflow.errors import StorageError
from sipflow.query.answer import Fault, MediaParts, together
from sipflow.wire.packet import Chunk, StreamKey


def union_of_media(call_id: str, found: Sequence[tuple[str, MediaParts]]) -> MediaParts:
    """Put media together; each is given with the name of its node, and names what could not be compared."""
    faults = together(*(parts.faults for _, parts in found))
    by_stream: dict[StreamKey, list[list[Chunk]]] = {}
    for _, parts in found:
        here: dict[StreamKey, list[Chunk]] = {}
        for chunk in parts.chunks:
            here.setdefault(chunk.key, []).append(chunk)
        for key, chunks in here.items():
            by_stream.setdefault(key, []).append(chunks)
    chunks = []
    for copies in by_stream.values():
        try:
            chunks += _once(copies)
        except StorageError as error:
            chunks += max(copies, key=_packets)
            faults.append(Fault("", f"two nodes have a stream of this call, and could not be compared: {error}"))
    chunks.sort(key=lambda chunk: chunk.first_us())
    return MediaParts(call_id, chunks, faults)


def _once(copies: list[list[Chunk]]) -> list[Chunk]:
    """Take the fullest copy of a stream, and of the others what it lacks. Raises StorageError."""
    whole, *others = sorted(copies, key=_packets, reverse=True)
    for other in others:
        if _packets(whole) == _packets(other) and _print(whole) == _print(other):
            continue
        whole = [*whole, *(rest for chunk in other if (rest := _lacking(chunk, whole)) is not None)]
    return whole


def _packets(chunks: Iterable[Chunk]) -> int:
    return sum(chunk.packets for chunk in chunks)


def _print(chunks: Sequence[Chunk]) -> int:
    """Give the print of a stream; where a node has not told it, content is fetched for it."""
    told = (chunk.print if isinstance(chunk, RemoteChunk) else None for chunk in chunks)
    return sum(print_of(chunk.rows) if known is None else known for chunk, known in zip(chunks, told, strict=True)) % (
        1 << 64
    )


def _lacking(chunk: Chunk, whole: Sequence[Chunk]) -> Chunk | None:
    """Give what of a chunk is nowhere in `whole`, None for nothing; as it is when that has nothing of its time."""
    near = [one for one in whole if one.first_us() <= chunk.last_us and one.last_us >= chunk.first_us()]
    if not near:
        return chunk
    rows, data = chunk.content()
    known = np.concatenate([_same(one.rows) for one in near])
    new = ~np.isin(_same(rows), known)
    return Chunk(chunk.key, rows[new], data, chunk.clock_skew) if new.any() else None


def _same(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Give the columns that tell packets apart, as octets that can be compared."""
    columns = [np.ascontiguousarray(rows[name]).view(np.uint8).reshape(len(rows), -1) for name in SAME]
    octets = np.ascontiguousarray(np.concatenate(columns, axis=1))
    return octets.view(np.dtype((np.void, octets.shape[1]))).reshape(len(rows))
