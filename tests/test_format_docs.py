"""docs/FORMAT.md says of the header what the C code does."""

import re
from pathlib import Path

from sipflow._fast import BLOCK_FIELDS, BLOCK_HEAD_LENGTH, BLOCK_RAW_MAX, BLOCK_SKIPPABLE, BLOCK_VERSION
from sipflow.storage.seal import SEAL_FIELDS, SEAL_LENGTH, SKIPPABLE, VERSION, Seal, encode_seal

PAGE = (Path(__file__).parents[1] / "docs" / "FORMAT.md").read_text("utf-8")
ROW = re.compile(r"^\| (\d+) \| (\d+) \| `(\w+)` \| (.*) \|$", re.MULTILINE)


def header_rows(title: str = "### Header") -> list[tuple[int, int, str, str]]:
    """Read the table of a header: offset, octets, field, what."""
    table = PAGE.split(title, 1)[1].split("\n#", 1)[0]
    return [(int(offset), int(octets), name, what) for offset, octets, name, what in ROW.findall(table)]


def test_offsets_are_those_of_the_c_header() -> None:
    assert {name: offset for offset, _, name, _ in header_rows()} == BLOCK_FIELDS


def test_fields_follow_each_other_without_gaps() -> None:
    at = 0
    for offset, octets, name, _ in header_rows():
        assert offset == at, name
        at += octets
    assert at == BLOCK_HEAD_LENGTH


def test_numbers_in_the_text_are_those_of_the_code() -> None:
    said = {name: what for _, _, name, what in header_rows()}
    assert said["skippable"].startswith(f"`0x{BLOCK_SKIPPABLE:08X}`")
    assert said["size"].endswith(f": {BLOCK_HEAD_LENGTH - 8}")
    assert said["version"] == str(BLOCK_VERSION)
    assert said["raw_length"].endswith(f"at most {BLOCK_RAW_MAX}")
    assert said["header_crc"].endswith(f"octets 0 to {BLOCK_FIELDS['header_crc'] - 1}")
    assert f"starts at {BLOCK_HEAD_LENGTH} + `frame_length`" in PAGE


def test_the_seal_is_laid_out_as_its_table_says() -> None:
    at = 0
    for offset, octets, name, _ in header_rows("### Seal"):
        assert offset == at == SEAL_FIELDS[name]
        at += octets
    assert at == SEAL_LENGTH
    said = {name: what for _, _, name, what in header_rows("### Seal")}
    assert said["skippable"].startswith(f"`0x{SKIPPABLE:08X}`")
    assert said["size"].endswith(f": {SEAL_LENGTH - 8}")
    assert said["version"] == str(VERSION)
    written = encode_seal(Seal(blocks=1, records=2, end=3, index_length=4, index_crc=5))
    for name, value in {"blocks": 1, "records": 2, "end": 3, "index_length": 4, "index_crc": 5}.items():
        assert written[SEAL_FIELDS[name]] == value
