"""docs/WIRE.md says of datagrams what the code does: field offsets, vectors, words of refusal."""

import re
from pathlib import Path

import pytest

from sipflow.errors import WireError
from sipflow.wire.datagram import decode_datagram, encode_batch, encode_packet
from sipflow.wire.endpoint import Endpoint
from sipflow.wire.packet import Kind, Packet

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "WIRE.md").read_text("utf-8")
VECTOR = re.compile(r"^\*\*(\w)\.\*\* .*?^```hex\n(.*?)^```\n```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VECTORS = VECTOR.findall(PAGE)
CALL_ID = "call@example"
METADATA = 8 + len(CALL_ID)


def section(title: str) -> str:
    return re.split(r"^#+ ", PAGE.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(title: str) -> list[list[str]]:
    """Read the rows of the table of a section, head and rule left out."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def frame_of(family: int) -> tuple[bytes, dict[str, bytes]]:
    """Encode a frame whose fields all differ, and say what each must look like."""
    src, dst = ("192.0.2.17", "198.51.100.34") if family == 4 else ("2001:db8::17", "2001:db8::22")
    packet = Packet(
        Kind.RTP, Endpoint(src, 4001), Endpoint(dst, 4003), 0x0102030405060708, b"payload", CALL_ID, -2, 0x090A0B0C
    )
    fields = {
        "magic": b"\x53\x46",
        "version": b"\x03",
        "type": b"\x01",
        "family": bytes([family]),
        "src": packet.src.packed,
        "src_port": (4001).to_bytes(2, "big"),
        "dst": packet.dst.packed,
        "dst_port": (4003).to_bytes(2, "big"),
        "time": bytes(range(1, 9)),
        "client_id": bytes(range(9, 13)),
        "metadata_length": METADATA.to_bytes(4, "big"),
        "leg": b"\xff\xff\xff\xfe",
        "call_id_length": len(CALL_ID).to_bytes(4, "big"),
        "call_id": CALL_ID.encode(),
        "payload_length": (7).to_bytes(4, "big"),
        "payload": b"payload",
    }
    fields["metadata"] = fields["leg"] + fields["call_id_length"] + fields["call_id"]
    return encode_packet(packet), fields


def offset_of(cell: str) -> int:
    at, _, more = cell.partition(" + ")
    assert more in ("", "M")
    return int(at) + (METADATA if more else 0)


@pytest.mark.parametrize(("family", "column"), [(4, 0), (6, 1)])
def test_fields_of_a_frame_stand_where_the_table_says(family: int, column: int) -> None:
    frame, fields = frame_of(family)
    listed = rows("Frame")
    end = 0
    for row in listed:
        at, name = offset_of(row[column]), row[3].strip("`")
        assert at == end, name
        assert frame[at : at + len(fields[name])] == fields[name], name
        end = at + len(fields[name])
    assert end == len(frame)
    assert {row[3].strip("`") for row in listed} == fields.keys() - {"leg", "call_id_length", "call_id"}


def test_fields_of_metadata_stand_where_the_table_says() -> None:
    _, fields = frame_of(4)
    for at, _, name, _ in rows("Metadata"):
        value = fields[name.strip("`")]
        assert fields["metadata"][int(at) : int(at) + len(value)] == value, name


def test_fields_of_a_batch_stand_where_the_table_says() -> None:
    frame, _ = frame_of(4)
    batch = encode_batch([frame, frame])
    found = {name.strip("`"): int(at) for at, _, name, _ in rows("Batch")}
    assert batch[found["magic"] :][:2] == b"\x53\x47"
    assert batch[found["version"]] == 1
    assert batch[found["count"] :][:2] == b"\0\2"
    assert int.from_bytes(batch[found["length"] :][:4], "big") == len(frame)
    assert batch[found["frame"] :][: len(frame)] == frame


def read(octets: bytes) -> list[str]:
    """Decode a datagram into lines as the page writes them, refusals first."""
    try:
        packets, refused = decode_datagram(octets)
    except WireError as error:
        return [f"refused whole {error.reason}"]
    return [f"refused {reason}" for reason in refused] + [
        f"{packet.kind.name} {packet.src} > {packet.dst} time {packet.time_us} client {packet.client_id} "
        f"leg {'-' if packet.leg is None else packet.leg} call {packet.call_id or '-'} payload {len(packet.payload)}"
        for packet in packets
    ]


def test_every_vector_is_read() -> None:
    assert [name for name, _, _ in VECTORS] == [chr(ord("A") + n) for n in range(len(VECTORS))]
    assert len(VECTORS) == PAGE.count("```hex")


@pytest.mark.parametrize(("octets", "lines"), [vector[1:] for vector in VECTORS], ids=[each[0] for each in VECTORS])
def test_a_vector_is_read_as_the_page_says(octets: str, lines: str) -> None:
    assert read(bytes.fromhex("".join(octets.split()))) == lines.splitlines()


def test_every_word_of_refusal_is_explained() -> None:
    source = (ROOT / "src" / "sipflow" / "_fast" / "status.c").read_text("utf-8")
    words = set(re.findall(r'= "(\w+)"', source)) - {"ok"}
    assert len(words) > 10
    assert words - set(re.findall(r"`(\w+)`", section("What is accepted"))) == set()
