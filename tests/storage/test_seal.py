"""The seal: it tells of every change to the files of a sealed bucket, and nobody needs it to read them."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import block as reference
from sample_root import make_open, make_sample
from sipflow._fast import crc32c
from sipflow.errors import DamagedSeal, NewerFormat, StorageError
from sipflow.query.answer import Criteria
from sipflow.query.history import History
from sipflow.storage.block import Block, iter_blocks
from sipflow.storage.bucket import Bucket
from sipflow.storage.layout import DATA, DATABASE
from sipflow.storage.seal import (
    SEAL_FIELDS,
    SEAL_LENGTH,
    Seal,
    broken_seal,
    decode_seal,
    encode_seal,
    read_seal,
    write_seal,
)

numbers = st.integers(0, (1 << 64) - 1)
seals = st.builds(Seal, numbers, numbers, numbers, numbers, st.integers(0, (1 << 32) - 1))
HERE = Path("data.raw")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("seal") / "root")


@pytest.fixture
def bucket(sample: Path, tmp_path: Path) -> Path:
    shutil.copytree(sample, tmp_path / "root")
    found: Path = next((tmp_path / "root").rglob(DATA)).parent
    return found


@given(seals)
def test_what_is_written_is_read(seal: Seal) -> None:
    octets = encode_seal(seal)
    assert len(octets) == SEAL_LENGTH
    assert decode_seal(octets, HERE) == seal


@given(seals, st.integers(0, SEAL_LENGTH * 8 - 1))
def test_no_bit_of_it_may_change(seal: Seal, bit: int) -> None:
    octets = bytearray(encode_seal(seal))
    octets[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DamagedSeal):
        decode_seal(bytes(octets), HERE)


def test_a_later_version_is_refused_in_a_sentence() -> None:
    octets = bytearray(encode_seal(Seal(1, 2, 3, 4, 5)))
    octets[SEAL_FIELDS["version"]] = 2
    octets[SEAL_FIELDS["seal_crc"] :] = crc32c(bytes(octets[: SEAL_FIELDS["seal_crc"]])).to_bytes(4, "little")
    with pytest.raises(NewerFormat, match="its seal is of version 2; this sipflow reads 1"):
        decode_seal(bytes(octets), HERE)


def test_a_plain_reader_reads_it(bucket: Path) -> None:
    octets = (bucket / DATA).read_bytes()
    blocks = reference.read(octets)
    index = (bucket / DATABASE).read_bytes()
    assert reference.seal(octets) == {
        "blocks": len(blocks),
        "records": sum(block.records for block in blocks),
        "end": len(octets) - SEAL_LENGTH,
        "index_length": len(index),
        "index_crc": reference.crc32c(index),
    }
    assert [block.offset for block in blocks] == [block.offset for block in iter_blocks(bucket / DATA)]


def test_the_stock_tool_steps_over_it(bucket: Path) -> None:
    if shutil.which("zstd") is None:
        pytest.skip("zstd is not installed: apt-get install zstd")
    assert subprocess.run(["zstd", "-tq", str(bucket / DATA)], check=False).returncode == 0
    plain = subprocess.run(["zstd", "-dcq", str(bucket / DATA)], check=True, capture_output=True).stdout
    assert plain == b"".join(found.content for found in iter_blocks(bucket / DATA) if isinstance(found, Block))


def test_a_span_that_retention_erased_is_stepped_over(bucket: Path, tmp_path: Path) -> None:
    octets = (bucket / DATA).read_bytes()
    blocks = [found for found in iter_blocks(bucket / DATA) if isinstance(found, Block)]
    at, length = blocks[1].offset, blocks[1].header.length
    erased = b"\x51\x2a\x4d\x18" + (length - 8).to_bytes(4, "little") + b"SFER".ljust(length - 8, b"\0")
    path = tmp_path / DATA
    path.write_bytes(octets[:at] + erased + octets[at + length :])
    left = [found.offset for found in iter_blocks(path)]
    assert left == [block.offset for block in blocks if block.offset != at]
    assert [block.offset for block in reference.read(path.read_bytes())] == left
    # Its length has no checksum: a wrong one must not hide what follows.
    path.write_bytes(octets[:at] + erased[:4] + (length + 7).to_bytes(4, "little") + erased[8:] + octets[at + length :])
    found = list(iter_blocks(path))
    assert [one.offset for one in found if isinstance(one, Block)] == left
    assert [one.offset for one in found if not isinstance(one, Block)] == [at]


def test_a_second_seal_takes_the_place_of_the_first(bucket: Path) -> None:
    first = read_seal(bucket / DATA)
    (bucket / DATA).chmod(0o600)
    size = (bucket / DATA).stat().st_size
    assert write_seal(bucket, first.blocks, first.records) == first
    assert (bucket / DATA).stat().st_size == size
    # One bit of the old one gone: it is a seal all the same, and replaced.
    octets = bytearray((bucket / DATA).read_bytes())
    octets[-9] ^= 1
    (bucket / DATA).write_bytes(octets)
    assert write_seal(bucket, first.blocks, first.records) == first
    assert (bucket / DATA).stat().st_size == size


def test_the_index_is_held_against_it(bucket: Path) -> None:
    database = bucket / DATABASE
    assert broken_seal(bucket) == ""
    octets = bytearray(database.read_bytes())
    octets[-1] ^= 1
    database.chmod(0o600)
    database.write_bytes(octets)
    assert "its checksum is not the one it was sealed with" in broken_seal(bucket)
    database.write_bytes(octets[:-4096])
    assert "when it was sealed it had" in broken_seal(bucket)
    database.unlink()
    assert "No such file" in broken_seal(bucket)


def test_an_index_that_is_not_complete_is_not_sealed(bucket: Path) -> None:
    (bucket / DATA).chmod(0o600)
    (bucket / (DATABASE + "-wal")).write_bytes(b"rows")
    with pytest.raises(StorageError, match="not folded in yet"):
        write_seal(bucket, 1, 1)


def test_a_bucket_that_was_just_asked_can_be_sealed(tmp_path: Path) -> None:
    directory = make_open(tmp_path / "root")
    bucket = Bucket(directory)
    history = History.open(tmp_path / "root")
    assert len(history.calls(Criteria()).calls) == 1
    bucket.seal()
    assert broken_seal(directory) == ""
    assert read_seal(directory / DATA).blocks == 1
    history.close()
