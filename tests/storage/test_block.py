"""data.raw: what C writes, a plain reader reads alike, and damage is an error or a value, never anything else."""

import shutil
import struct
import subprocess
from array import array
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reference import block as reference
from reference.chunk import Datagram, Sip, Stream, arena_memory, chunk_memory, padded, rtp
from sipflow._fast import (
    block_header_decode,
    block_header_encode,
    blocks_assemble,
    chunk_rows,
    columns_decode,
    columns_encode_batch,
    messages_decode_all,
    messages_decode_at,
    messages_encode,
)
from sipflow.errors import DamagedBlock, NewerFormat, SipflowError
from sipflow.storage.block import (
    BLOCK_HEAD,
    Block,
    Damage,
    iter_blocks,
    live_chunk,
    read_block,
)
from sipflow.storage.record import live_messages
from sipflow.wire.packet import ROW_MARKER, ROW_VALID, RTP_ROW

HERE = Path("data.raw")
T0 = 1_780_272_000_000_000

times = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(T0, T0 + 10_000_000)
addresses = st.tuples(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4)) | st.tuples(
    st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16)
)
legs = st.none() | st.integers(-(1 << 31), (1 << 31) - 1)
ports = st.integers(0, 65535)
call_ids = st.text(st.characters(codec="utf-8"), max_size=40).map(str.encode)


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    src, dst = draw(addresses)
    return Stream(
        call_id=draw(call_ids),
        leg=draw(legs),
        client_id=draw(st.integers(0, (1 << 32) - 1)),
        src=src,
        src_port=draw(ports),
        dst=dst,
        dst_port=draw(ports),
        ssrc=draw(st.none() | st.integers(0, (1 << 32) - 1)),
        clock_skew=draw(st.booleans()),
    )


@st.composite
def packets_of(draw: st.DrawFn, ssrc: int | None) -> bytes:
    """Anything that may come on a media port: RTP of any shape, RTCP, keep-alives, another SSRC now and then."""
    if ssrc is None or draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=60))
    if draw(st.integers(0, 29)) == 0:
        ssrc ^= 1
    first = draw(st.sampled_from([0x80, 0x80, 0x90, 0xA0, 0x82, 0xBF, 0x00]))
    second = draw(st.sampled_from([0, 0x80, 8, 0x88, 101, 18, 200]))
    sequence, timestamp = draw(st.integers(0, 65535)), draw(st.integers(0, (1 << 32) - 1))
    return struct.pack(">BBHII", first, second, sequence, timestamp, ssrc) + draw(st.binary(max_size=60))


@st.composite
def chunks(draw: st.DrawFn) -> tuple[Stream, list[Datagram]]:
    stream = draw(streams())
    datagrams = st.builds(Datagram, times, times, packets_of(stream.ssrc))
    return stream, draw(st.lists(datagrams, max_size=12))


@st.composite
def sips(draw: st.DrawFn) -> Sip:
    src, dst = draw(addresses)
    return Sip(
        call_id=draw(st.sampled_from([b"", b"a@b", b"b@c", "ü@é".encode()])),
        time_us=draw(times),
        arrival_us=draw(times),
        payload=draw(st.binary(max_size=80)),
        leg=draw(legs),
        client_id=draw(st.integers(0, (1 << 32) - 1)),
        src=src,
        src_port=draw(ports),
        dst=dst,
        dst_port=draw(ports),
        clock_skew=draw(st.booleans()),
    )


def encode(
    memories: list[bytes], counts: list[int], ids: list[int] | None = None
) -> tuple[list[bytes], NDArray[np.void]]:
    """Encode chunks that lie one behind the other in a pool; gives contents and header rows."""
    offsets, at = [], 0
    for memory in memories:
        offsets.append(at)
        at += len(padded(memory))
    pool = b"".join(padded(memory) for memory in memories)
    out, segments, heads, refused = columns_encode_batch(
        pool,
        array("Q", offsets),
        array("I", map(len, memories)),
        array("I", counts),
        array("Q", ids or [1] * len(memories)),
    )
    assert refused == []
    spans = np.frombuffer(segments, np.uint64).reshape(-1, 2).tolist()
    return [out[start : start + length] for start, length in spans], np.frombuffer(heads, BLOCK_HEAD)


def encode_one(stream: Stream, datagrams: list[Datagram]) -> bytes:
    return encode([chunk_memory(stream, datagrams)], [len(datagrams)])[0][0]


def assemble(heads: NDArray[np.void], contents: list[bytes]) -> bytes:
    frames = [zstandard.ZstdCompressor(level=1).compress(content) for content in contents]
    return blocks_assemble(heads.tobytes(), frames)[0]


def wrapped(value: int) -> int:
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def kept_arrival(datagram: Datagram | Sip) -> int:
    """Round the delay to the nearest millisecond, halves up, in 64-bit arithmetic that wraps."""
    delay = wrapped(datagram.arrival_us - datagram.time_us)
    return wrapped(datagram.time_us + (delay + 500) // 1000 * 1000)


def speech(seed: int, n: int = 160) -> bytes:
    """Give octets that wander like speech, so that zstd has something to find."""
    value, octets = seed % 127, []
    for i in range(n):
        value = (value + (i * seed) % 5 - 2) % 256
        octets.append(value)
    return bytes(octets)


def call(n: int = 30) -> tuple[Stream, list[Datagram]]:
    return Stream(), [
        Datagram(T0 + 20_000 * i + i % 3, T0 + 20_000 * i + 2_400, rtp(65530 + i, 160 * i, speech(i + 3)))
        for i in range(n)
    ]


def file_of_two() -> bytes:
    """Give a data.raw with a stream block and a message block."""
    content, heads = encode([chunk_memory(*call())], [30], [99])
    messages = [Sip(b"a@b", T0 + i, T0 + i + 5, b"OPTIONS sip:x SIP/2.0\r\n\r\n", leg=i) for i in range(5)]
    sip, head, _ = messages_encode(arena_memory(messages), 5)
    return assemble(heads, content) + assemble(np.frombuffer(head, BLOCK_HEAD), [sip])


@given(chunks())
def test_stream_comes_back_byte_for_byte_in_both_readers(chunk: tuple[Stream, list[Datagram]]) -> None:
    stream, datagrams = chunk
    content = encode_one(stream, datagrams)

    identity, raw_rows, data = columns_decode(content)
    rows = np.frombuffer(raw_rows, RTP_ROW)
    assert identity == (
        stream.call_id.decode(),
        stream.leg,
        stream.client_id,
        stream.src,
        stream.src_port,
        stream.dst,
        stream.dst_port,
        stream.ssrc,
        stream.clock_skew,
    )
    found = [
        Datagram(row["time_us"], row["arrival_us"], data[row["offset"] : row["offset"] + row["length"]]) for row in rows
    ]
    assert found == [one._replace(arrival_us=kept_arrival(one)) for one in datagrams]
    assert len(data) == sum(len(one.octets) for one in datagrams)

    plain, packets = reference.stream(content)
    assert [tuple(packet) for packet in packets] == [tuple(one) for one in found]
    assert plain["call_id"] == stream.call_id
    assert (plain["leg"], plain["ssrc"], plain["clock_skew"]) == (stream.leg, stream.ssrc, stream.clock_skew)


@given(chunks())
def test_live_chunk_looks_like_the_sealed_one(chunk: tuple[Stream, list[Datagram]]) -> None:
    stream, datagrams = chunk
    memory = chunk_memory(stream, datagrams)
    assert chunk_rows(memory, len(datagrams)) == columns_decode(encode_one(stream, datagrams))


@given(chunks())
def test_header_bounds_are_those_of_the_filing_times_a_reader_sees(chunk: tuple[Stream, list[Datagram]]) -> None:
    stream, datagrams = chunk
    if not datagrams:
        return
    _, heads = encode([chunk_memory(stream, datagrams)], [len(datagrams)])
    filed = [kept_arrival(one) if stream.clock_skew else one.time_us for one in datagrams]
    assert (heads["t0_us"][0], heads["t1_us"][0]) == (min(filed), max(filed))
    assert heads["flags"][0] == (1 if stream.clock_skew else 0)


def test_rows_tell_rtp_from_the_rest() -> None:
    extension = struct.pack(">BBHII", 0xB1, 0x88, 9, 800, 0x11223344)  # padding, extension, one CSRC, marker, PCMA
    extension += b"CSRC" + b"\xbe\xde\x00\x01" + b"EXT!" + b"voice" + b"\x00\x00\x03"
    short = b"\x80\x00short"
    rtcp = struct.pack(">BBHII", 0x80, 200, 6, 0x11223344, 0x11223344) + bytes(16)
    datagrams = [Datagram(T0 + i, T0 + i, octets) for i, octets in enumerate([extension, short, rtcp])]
    _, raw_rows, data = columns_decode(encode_one(Stream(), datagrams))
    rows = np.frombuffer(raw_rows, RTP_ROW)
    first = rows[0]
    assert data[first["payload_offset"] :][: first["payload_length"]] == b"voice"
    assert (first["sequence"], first["timestamp"], first["payload_type"]) == (9, 800, 8)
    assert first["flags"] == ROW_VALID | ROW_MARKER
    assert rows["flags"][1:].tolist() == [0, 0]
    assert rows["payload_length"][1:].tolist() == [0, 0]


def test_delta_is_applied_to_g711_and_only_to_it() -> None:
    ramp = bytes(range(0x80, 0x90))  # mu-law levels one step apart, downwards
    for payload_type, expected in ((0, b"\xff" * 15), (18, ramp[1:])):
        content = encode_one(Stream(), [Datagram(T0, T0, rtp(1, 1, ramp, payload_type))])
        assert content.endswith(expected)


def test_a_foreign_ssrc_turns_columns_off_for_the_chunk() -> None:
    datagrams = [Datagram(T0, T0, rtp(1, 1, b"x" * 20)), Datagram(T0, T0, rtp(2, 1, b"y" * 20, ssrc=5))]
    content = encode_one(Stream(), datagrams)
    assert content.endswith(datagrams[0].octets + datagrams[1].octets)
    assert columns_decode(content)[2] == datagrams[0].octets + datagrams[1].octets


def test_several_chunks_are_encoded_in_one_go_and_a_damaged_one_is_named() -> None:
    good = chunk_memory(*call(3))
    bad = bytearray(good)
    bad[20] = 9  # no such address family
    pool = good + bytes(bad) + good
    offsets, lengths = array("Q", [0, len(good), 2 * len(good)]), array("I", [len(good)] * 3)
    out, segments, raw_heads, refused = columns_encode_batch(
        memoryview(pool), offsets, lengths, array("I", [3, 3, 2]), array("Q", [11, 12, 13])
    )
    assert refused == [1]
    spans = np.frombuffer(segments, np.uint64).reshape(-1, 2).tolist()
    contents = [out[start : start + length] for start, length in spans]
    heads = np.frombuffer(raw_heads, BLOCK_HEAD)
    assert heads["chunk"].tolist() == [11, 13]
    assert heads["records"].tolist() == [3, 2]
    assert heads["raw_length"].tolist() == [len(content) for content in contents]
    frames = zstandard.ZstdCompressor(level=1).multi_compress_to_buffer(zstandard.BufferWithSegments(out, segments))
    octets, _, _ = blocks_assemble(heads.tobytes(), [frames[i] for i in range(len(frames))])
    assert [len(block.packets) for block in reference.read(octets)] == [3, 2]


@pytest.mark.parametrize(
    ("offsets", "used", "counts", "chunks_"),
    [([1 << 62], [64], [0], [1]), ([0], [4000], [0], [1]), ([0], [64], [0, 1], [1]), ([0], [64], [0], [])],
)
def test_arrays_that_do_not_fit_the_pool_are_refused(
    offsets: list[int], used: list[int], counts: list[int], chunks_: list[int]
) -> None:
    with pytest.raises(ValueError, match="allowed"):
        columns_encode_batch(bytes(128), array("Q", offsets), array("I", used), array("I", counts), array("Q", chunks_))


@given(st.lists(sips(), min_size=1, max_size=12))
def test_messages_come_back_exactly_a_call_together(messages: list[Sip]) -> None:
    content, raw_head, index = messages_encode(arena_memory(messages), len(messages))
    order = sorted(range(len(messages)), key=lambda i: (messages[i].call_id, messages[i].time_us, i))
    assert [entry[1] for entry in index] == order
    found = messages_decode_all(content, 2)
    assert [(position, fields) for position, _, fields in index] == found
    for (position, fields), i in zip(found, order, strict=True):
        one = messages[i]
        assert fields == (
            one.call_id.decode(),
            one.time_us,
            kept_arrival(one),
            one.src,
            one.src_port,
            one.dst,
            one.dst_port,
            one.payload,
            one.leg,
            one.client_id,
            one.clock_skew,
        )
        assert messages_decode_at(content, 2, position) == fields
    plain = reference.messages(content)
    assert [position for position, _ in plain] == [position for position, _ in found]
    assert [message["payload"] for _, message in plain] == [messages[i].payload for i in order]
    assert [message["arrival_us"] for _, message in plain] == [kept_arrival(messages[i]) for i in order]
    filed = [kept_arrival(one) if one.clock_skew else one.time_us for one in messages]
    head = np.frombuffer(raw_head, BLOCK_HEAD)[0]
    assert (head["t0_us"], head["t1_us"]) == (min(filed), max(filed))
    assert (head["kind"], head["records"], head["raw_length"]) == (1, len(messages), len(content))


def test_live_messages_are_read_in_order_of_arrival() -> None:
    arena = arena_memory([Sip(b"b", 2, 2, b"one"), Sip(b"a", 1, 1, b"two"), Sip(b"a", 3, 3, b"three")])
    assert [message.payload for message in live_messages(arena, 3)] == [b"one", b"two", b"three"]
    assert [message.payload for message in live_messages(arena, 2)] == [b"one", b"two"]
    for memory, count in ((arena, 4), (arena[:-8], 3)):
        with pytest.raises(ValueError, match="not an arena"):
            live_messages(memory, count)
        with pytest.raises(ValueError, match="not an arena"):
            messages_encode(memory, count)


def test_a_file_reads_alike_in_c_and_in_plain_python(tmp_path: Path) -> None:
    octets = file_of_two()
    path = tmp_path / "data.raw"
    path.write_bytes(octets)
    plain = reference.read(octets)
    found = list(iter_blocks(path))
    assert [block.offset for block in found] == [block.offset for block in plain]
    stream, sip = found
    assert isinstance(stream, Block)
    assert isinstance(sip, Block)
    assert (stream.header.chunk, stream.header.records, stream.header.t0_us) == (99, 30, T0)
    chunk = stream.chunk()
    assert chunk.data == b"".join(packet.octets for packet in plain[0].packets)
    assert chunk.rows["time_us"].tolist() == [packet.time_us for packet in plain[0].packets]
    assert str(chunk.key.src) == "192.0.2.1:40000"
    messages = sip.messages()
    assert [message.payload for _, message in messages] == [each["payload"] for _, each in plain[1].messages]
    position, third = messages[2]
    assert sip.message_at(position) == third
    with path.open("rb") as file:
        assert read_block(file.fileno(), 0, path).chunk().data == chunk.data
        with pytest.raises(DamagedBlock, match="found kind 1"):
            read_block(file.fileno(), sip.offset, path).chunk()
    for position in (len(sip.content), 1 << 70, -1):
        with pytest.raises(DamagedBlock, match="message at"):
            sip.message_at(position)


def test_stock_zstd_accepts_the_file(tmp_path: Path) -> None:
    zstd = shutil.which("zstd")
    if zstd is None:
        pytest.skip("no zstd on PATH: the stock tool cannot be asked")
    path = tmp_path / "data.raw"
    path.write_bytes(file_of_two())
    subprocess.run([zstd, "-tq", path], check=True, capture_output=True)
    plain = subprocess.run([zstd, "-dcq", path], check=True, capture_output=True).stdout
    assert plain == b"".join(block.content for block in iter_blocks(path) if isinstance(block, Block))


@given(chunks(), st.data())
def test_damaged_columns_give_an_error_or_a_value(chunk: tuple[Stream, list[Datagram]], data: st.DataObject) -> None:
    content = bytearray(encode_one(*chunk))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    _decodes_alike(bytes(content[: data.draw(st.integers(0, len(content)))]))
    _decodes_alike(bytes(content))


@given(st.binary(max_size=200))
def test_any_octets_as_content_give_an_error_or_a_value(octets: bytes) -> None:
    _decodes_alike(octets)
    with pytest.raises(ValueError, match=r"\w+"):
        messages_decode_at(octets, 2, len(octets))
    try:
        found = [(position, fields[7]) for position, fields in messages_decode_all(octets, 2)]
    except ValueError:
        with pytest.raises(ValueError, match=r"\w+"):
            reference.messages(octets)
    else:
        assert found == [(position, message["payload"]) for position, message in reference.messages(octets)]


def _decodes_alike(content: bytes) -> None:
    try:
        _, rows, data = columns_decode(content)
    except ValueError:
        with pytest.raises(ValueError, match=r"\w+"):
            reference.stream(content)
        return
    _, packets = reference.stream(content)
    assert data == b"".join(packet.octets for packet in packets)
    read = np.frombuffer(rows, RTP_ROW)
    assert read["time_us"].tolist() == [packet.time_us for packet in packets]
    assert read["arrival_us"].tolist() == [packet.arrival_us for packet in packets]


def test_every_truncation_and_byte_flip_of_a_content_is_an_error_or_a_value() -> None:
    content = encode_one(*call(4))
    for end in range(len(content)):
        with pytest.raises(ValueError, match=r"\w+"):
            columns_decode(content[:end])
    for at in range(len(content) - 640):
        for flip in (0x01, 0x80, 0xFF):
            _decodes_alike(content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :])


def test_every_truncation_and_byte_flip_of_a_block_is_found() -> None:
    octets = file_of_two()[: reference.block(file_of_two(), 0)[1]]
    assert read_block(octets, 0, HERE).header.records == 30
    for end in range(len(octets)):
        with pytest.raises(DamagedBlock):
            read_block(octets[:end], 0, HERE)
    for at in range(len(octets)):
        with pytest.raises(DamagedBlock):
            read_block(octets[:at] + bytes([octets[at] ^ 0x10]) + octets[at + 1 :], 0, HERE)


def test_later_versions_are_told_from_damage() -> None:
    head = bytearray(file_of_two()[:60])
    head[10] = 2
    head[56:] = struct.pack("<I", reference.crc32c(bytes(head[:56])))
    with pytest.raises(NewerFormat, match="later version"):
        read_block(bytes(head), 0, HERE)


def test_a_block_of_a_later_kind_is_named_and_stepped_over(tmp_path: Path) -> None:
    sound = file_of_two()
    head = np.zeros(1, BLOCK_HEAD)
    head["kind"] = 3
    later = blocks_assemble(head.tobytes(), [sound])[0]  # blocks inside its frame must not be found
    path = tmp_path / "data.raw"
    path.write_bytes(later + sound)
    stranger, *rest = iter_blocks(path)
    assert isinstance(stranger, Damage)
    assert stranger.length == len(later)
    assert "only a later version reads" in stranger.what
    assert [block.offset for block in rest] == [len(later) + block.offset for block in reference.read(sound)]
    with pytest.raises(NewerFormat, match="only a later version reads"):
        read_block(later, 0, path)


def test_a_frame_that_claims_more_than_its_header_is_refused_before_memory_is_asked_for() -> None:
    content, heads = encode([chunk_memory(*call())], [30])
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(8 << 20))
    octets, _, _ = blocks_assemble(heads.tobytes(), [bomb])
    with pytest.raises(DamagedBlock, match="claims 8388608 octets"):
        read_block(octets, 0, HERE)
    unsized = zstandard.ZstdCompressor(level=1, write_content_size=False).compress(bytes(8 << 20))
    octets, _, _ = blocks_assemble(heads.tobytes(), [unsized])
    with pytest.raises(DamagedBlock):
        read_block(octets, 0, HERE)
    octets, _, _ = blocks_assemble(heads.tobytes(), [zstandard.ZstdCompressor().compress(content[0] + b"!")])
    with pytest.raises(DamagedBlock):
        read_block(octets, 0, HERE)


@settings(max_examples=60)
@given(st.integers(0, 1 << 30), st.integers(1, 40))
def test_damage_costs_no_other_block(at: int, length: int) -> None:
    one = file_of_two()
    octets = bytearray(one * 3)
    starts = [block.offset for block in reference.read(bytes(octets))]
    at %= len(octets)
    damaged = bytes(octets[:at]) + b"\xee" * min(length, len(octets) - at) + bytes(octets[at + length :])
    path = Path("/dev/shm") / "sipflow-test-damage.raw"  # one small file, rewritten for every example
    path.write_bytes(damaged)
    try:
        found = list(iter_blocks(path))
    finally:
        path.unlink()
    assert sum(each.length if isinstance(each, Damage) else each.header.length for each in found) == len(octets)
    ends = [*starts[1:], len(octets)]
    whole = {start for start, end in zip(starts, ends, strict=True) if damaged[start:end] == octets[start:end]}
    assert {each.offset for each in found if isinstance(each, Block)} == whole


def test_a_write_that_was_cut_off_is_damage_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "data.raw"
    octets = file_of_two()
    path.write_bytes(octets + octets[:100])
    *sound, tail = iter_blocks(path)
    assert len(sound) == 2
    assert isinstance(tail, Damage)
    assert (tail.offset, tail.length) == (len(octets), 100)
    path.write_bytes(b"")
    assert list(iter_blocks(path)) == []


def test_a_live_chunk_that_contradicts_itself_is_refused() -> None:
    memory = chunk_memory(*call(3))
    assert len(live_chunk(memory, 3).rows) == 3
    for octets, count in ((memory, 4), (memory[:70], 3), (b"", 0)):
        with pytest.raises(ValueError, match="not a chunk"):
            live_chunk(octets, count)


@given(
    st.tuples(times, times, st.integers(0, (1 << 64) - 1)),
    st.integers(0, 1 << 32 - 1),
    st.integers(0, 16 << 20),
    st.sampled_from([(1, 2), (2, 1)]),
)
def test_header_comes_back(bounds: tuple[int, int, int], records: int, raw_length: int, kind: tuple[int, int]) -> None:
    head = np.array([(*bounds, records, raw_length, 5, 0xDEADBEEF, 0, *kind, 1, 0)], BLOCK_HEAD)
    octets = block_header_encode(head.tobytes())
    status, fields = block_header_decode(octets + b"more")
    assert status == 0
    assert fields == (1, *kind, 1, records, raw_length, 5, 0xDEADBEEF, bounds[2], bounds[0], bounds[1])


def test_errors_are_ours() -> None:
    with pytest.raises(SipflowError, match=r"data\.raw: block at octet 7: it ends too early"):
        read_block(b"", 7, HERE)
