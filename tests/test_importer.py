"""Every capture, imported: what comes back is what was captured, octet by octet, before and after a reindex."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from captures import CAPTURES, need
from sipflow.importer import import_files
from sipflow.ingest.capture_file import CaptureFile
from sipflow.query.answer import Criteria
from sipflow.query.history import History
from sipflow.storage.layout import DATA, DATABASE, find_buckets
from sipflow.storage.reindex import reindex
from sipflow.wire.packet import Kind

Sip = tuple[str, int, str, str, bytes]
Rtp = tuple[str, int, str, str, int | None, bytes]


def everything(root: Path, call_ids: set[str]) -> tuple[Counter[Sip], Counter[Rtp], list[object]]:
    history = History.open(root)
    sip: Counter[Sip] = Counter()
    rtp: Counter[Rtp] = Counter()
    summaries: list[object] = []
    for call_id in sorted(call_ids):
        flow, media = history.flow(call_id), history.media(call_id)
        assert flow.faults == []
        assert media.faults == []
        sip.update((m.call_id, m.time_us, str(m.src), str(m.dst), m.payload) for m in flow.messages)
        for chunk in media.chunks:
            for row in chunk.rows:
                octets = chunk.data[row["offset"] : row["offset"] + row["length"]]
                key = chunk.key
                rtp[(key.call_id, int(row["time_us"]), str(key.src), str(key.dst), key.leg, octets)] += 1
        summaries.append(history.call(call_id))
    history.close()
    return sip, rtp, summaries


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
def test_an_imported_capture_comes_back_whole(capture: Path, tmp_path: Path) -> None:
    need(capture)
    packets = list(CaptureFile(capture).packets())
    (report,) = import_files([capture], tmp_path)
    assert report.sip + report.rtp == len(packets)
    calls = {packet.call_id for packet in packets}
    sip, rtp, summaries = everything(tmp_path, calls)
    assert sip == Counter(
        (p.call_id, p.time_us, str(p.src), str(p.dst), p.payload) for p in packets if p.kind is Kind.SIP
    )
    assert rtp == Counter(
        (p.call_id, p.time_us, str(p.src), str(p.dst), p.leg, p.payload) for p in packets if p.kind is Kind.RTP
    )
    history = History.open(tmp_path)
    listed = {one.call_id for one in history.calls(Criteria(limit=1000)).calls}
    history.close()
    assert listed == calls

    buckets = list(find_buckets(tmp_path))
    for bucket in buckets:
        assert subprocess.run(["zstd", "-tq", str(tmp_path / bucket / DATA)], check=False).returncode == 0
        (tmp_path / bucket / DATABASE).unlink()
    rebuilt = reindex(tmp_path).buckets
    assert [one.damage for one in rebuilt] == [[] for _ in buckets]
    assert everything(tmp_path, calls) == (sip, rtp, summaries)


def test_a_second_import_is_a_part_of_its_own(tmp_path: Path) -> None:
    capture = need(CAPTURES[0])
    import_files([capture], tmp_path)
    first = list(find_buckets(tmp_path))
    import_files([capture], tmp_path)
    assert len(list(find_buckets(tmp_path))) == 2 * len(first)


def test_a_copied_bucket_is_read_without_its_root(tmp_path: Path) -> None:
    capture = need(CAPTURES[0])
    import_files([capture], tmp_path / "a")
    (bucket,) = find_buckets(tmp_path / "a")
    shutil.copytree(tmp_path / "a" / bucket, tmp_path / "b" / bucket)
    calls = {packet.call_id for packet in CaptureFile(capture).packets()}
    assert everything(tmp_path / "b", calls) == everything(tmp_path / "a", calls)
