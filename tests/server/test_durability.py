"""durability = "disk": what a power cut leaves behind is written once, however old the pool on the disk is."""

import shutil
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from running import RunningServer
from sipflow.clock import now_us
from sipflow.query.history import History
from sipflow.storage.layout import DATABASE, POOL_DIRECTORY, find_buckets
from sipflow.wire.datagram import encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

ALICE, BOB = Endpoint("192.0.2.1", 4000), Endpoint("192.0.2.2", 4000)
# The pool reaches the disk when the kernel likes and never by our own sync: the worst that can be.
NEVER_SYNCED = ("--durability", "disk", "--sync-ms", "60000", "--flush-interval", "1")


def rtp(call_id: str, sequence: int) -> Packet:
    head = b"\x80\x00" + sequence.to_bytes(2, "big") + (160 * sequence).to_bytes(4, "big") + b"\0\0\0\7"
    return Packet(Kind.RTP, ALICE, BOB, now_us(), head + sequence.to_bytes(160, "big"), call_id, 0, 77)


def send(server: RunningServer, call_id: str, sequences: range) -> None:
    before = server.metric("sipflow_packets_received_total")
    server.send(*(encode_packet(rtp(call_id, sequence)) for sequence in sequences))
    wanted = before + len(sequences)
    server.until(lambda: server.metric("sipflow_packets_received_total") == wanted, "all received")


def stored(server: RunningServer, packets: int) -> None:
    server.until(lambda: server.metric("sipflow_items_recorded_total") == packets, f"{packets} stored")


def sequences_of(root: Path, call_id: str) -> Counter[int]:
    history = History.open(root)
    media = history.media(call_id)
    history.close()
    assert media.faults == []
    return Counter(sequence for chunk in media.chunks for sequence in chunk.rows["sequence"].tolist())


def test_a_pool_older_than_the_buckets_is_not_written_twice(tmp_path: Path) -> None:
    root, old = tmp_path / "root", tmp_path / "old-pool"
    server = RunningServer(root, *NEVER_SYNCED)
    assert not (root / POOL_DIRECTORY / "pool").is_symlink()
    send(server, "a", range(50))
    # What the disk holds of the pool from now on, as if the power were cut at the end of this test.
    shutil.copyfile(root / POOL_DIRECTORY / "pool", old)
    stored(server, 50)
    for turn in range(3):  # commits that the old pool knows nothing of, in chunks that were used before
        send(server, f"b{turn}", range(30))
        stored(server, 50 + 30 * (turn + 1))
    server.stop(signal.SIGKILL)
    shutil.copyfile(old, root / POOL_DIRECTORY / "pool")
    with RunningServer(root, *NEVER_SYNCED) as again:
        again.until(lambda: again.metric("sipflow_replayed_known_total") == 50, "the replay told from what is stored")
        assert again.metric("sipflow_replayed_total") == 50
        again.until(lambda: again.metric("sipflow_pool_packets") == 0, "empty")
        assert again.metric("sipflow_unaccounted") == 0
    assert sequences_of(root, "a") == Counter(range(50))
    for turn in range(3):
        assert sequences_of(root, f"b{turn}") == Counter(range(30))


def test_what_shared_memory_still_holds_is_written_before_the_pool_moves_to_the_disk(tmp_path: Path) -> None:
    root = tmp_path / "root"
    server = RunningServer(root, "--flush-interval", "600", "--flush-count", "0")
    send(server, "a", range(50))
    assert server.metric("sipflow_items_recorded_total") == 0
    server.stop(signal.SIGKILL)
    assert (root / POOL_DIRECTORY / "pool").is_symlink()
    with RunningServer(root, *NEVER_SYNCED):
        assert not (root / POOL_DIRECTORY / "pool").is_symlink()
        assert sequences_of(root, "a") == Counter(range(50))


def test_pages_of_the_pool_that_never_reached_the_disk_are_counted_and_cost_only_themselves(tmp_path: Path) -> None:
    root = tmp_path / "root"
    server = RunningServer(root, "--durability", "disk", "--flush-interval", "600", "--flush-count", "0")
    # So few that neither chunk is full: one would be committed, and its memory given to the other stream.
    send(server, "whole", range(50))
    send(server, "cut", range(50))
    server.stop(signal.SIGKILL)
    pool = root / POOL_DIRECTORY / "pool"
    octets = bytearray(pool.read_bytes())
    lost = octets.index((40).to_bytes(160, "big"), octets.index(b"cut", octets.index(b"whole")))
    octets[lost - lost % 4096 : lost - lost % 4096 + 4096] = bytes(4096)
    pool.write_bytes(octets)
    with RunningServer(root, "--durability", "disk") as again:
        again.until(
            lambda: again.metric("sipflow_items_recorded_total") + again.metric("sipflow_damaged_total") == 100,
            "all accounted for",
        )
        damaged = again.metric("sipflow_damaged_total")
        assert (again.metric("sipflow_pool_packets"), again.metric("sipflow_unaccounted")) == (0, 0)
    assert 20 <= damaged < 50
    assert sequences_of(root, "whole") == Counter(range(50))
    assert sequences_of(root, "cut") == Counter(range(50 - damaged))
    for path in find_buckets(root):
        with closing(sqlite3.connect(root / path / DATABASE)) as index:
            assert index.execute("PRAGMA integrity_check").fetchone() == ("ok",)
