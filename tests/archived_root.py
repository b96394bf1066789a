"""A data root whose sealed parts are put into an archive and given up locally, as the archiver and retention do it."""

from collections.abc import Iterable
from pathlib import Path

from sipflow._fast import crc32c
from sipflow.archive.manifest import MANIFEST, PRINTS, ArchivedFile, encode_manifest, manifest_of, part_key
from sipflow.archive.objects import Objects
from sipflow.clock import now_us
from sipflow.query.answer import Criteria
from sipflow.query.history import History
from sipflow.query.search import parse_search
from sipflow.query.window import Window
from sipflow.storage.call_hash import call_hash
from sipflow.storage.catalog import Catalog
from sipflow.storage.contents import Contents
from sipflow.storage.layout import DATA, DATABASE
from sipflow.storage.seal import checksum

NODE = "pbx-1"


def archive_parts(root: Path, objects: Objects, node: str = NODE, *, evict: bool = True) -> list[str]:
    """Put every sealed part into an archive and, with `evict`, remove its files here; gives the keys."""
    catalog = Catalog(root)
    keys = []
    try:
        for part in catalog.parts():
            if not part.sealed or part.evicted_us is not None:
                continue
            directory, key = root / part.path, part_key(node, part.path)
            hashes = b"".join(sorted(map(call_hash, Contents(directory, sealed=True).call_ids())))
            files = [ArchivedFile(PRINTS, len(hashes), crc32c(hashes))]
            objects.put(f"{key}/{PRINTS}", hashes)
            for name in (DATA, DATABASE):
                objects.put(f"{key}/{name}", (directory / name).read_bytes())
                files.append(ArchivedFile(name, *checksum(directory / name)))
            written_us = now_us()
            objects.put(f"{key}/{MANIFEST}", encode_manifest(manifest_of(part, node, files, written_us)))
            assert catalog.archived(part, key, written_us)
            keys.append(key)
            if evict:
                assert catalog.evicting(part, now_us())
                remove(directory)
    finally:
        catalog.close()
    return keys


def remove(directory: Path, names: Iterable[str] = (DATA, DATABASE)) -> None:
    """Remove the files of a part, and its directory when nothing else is in it."""
    for name in names:
        (directory / name).unlink()
    if not any(directory.iterdir()):
        directory.rmdir()


def everything(history: History) -> list[object]:
    """Ask a history everything about every call of it, and give the answers as values that compare."""
    page = history.calls(Criteria(limit=1000))
    answers: list[object] = [page, history.statistics(Window()), history.registrations(Window())]
    answers += [history.calls(parse_search(text, Criteria(limit=1000))) for text in ("status:4xx", "text:branch mos<4")]
    for call in page.calls:
        flow, media = history.flow(call.call_id), history.media(call.call_id)
        chunks = [(chunk.key, chunk.rows.tobytes(), chunk.data) for chunk in media.chunks]
        answers.append((call.call_id, flow, chunks, media.faults, history.call(call.call_id)))
    return answers
