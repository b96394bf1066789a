"""Damages a copy of a data root, one place at a time, and holds what is answered against the undamaged answers."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import httpx
import msgspec
from click.testing import CliRunner

from captures import SHARED, need
from memory_history import Served, SteadyRecorder
from sipflow.cli import main
from sipflow.config import Settings
from sipflow.errors import CallUnknown, SipflowError
from sipflow.importer import import_files
from sipflow.query.answer import Criteria, Fault
from sipflow.query.history import History
from sipflow.storage.block import Block, iter_blocks
from sipflow.storage.layout import CATALOG, DATA, DATABASE
from sipflow.web.app import build

CAPTURES = ("proxy-two-legs.pcap", "register-scan.pcap", "codec-g711.pcap", "b2bua-asterisk-ng.pcapng")

TOKEN = "0123456789abcdef"


class Packets(NamedTuple):
    """The packets of a call: messages and chunks of media, as octets that compare."""

    messages: tuple[bytes, ...]
    chunks: tuple[bytes, ...]


class Told(NamedTuple):
    """What a root answers: its list of calls, the packets and the summary of each; `faults` by question."""

    listed: tuple[str, ...]
    packets: dict[str, Packets]
    summaries: dict[str, str]
    faults: dict[str, list[Fault]]


class Damage(NamedTuple):
    """What was done to which file: a bit flipped at `offset`, or all octets from there on cut off."""

    file: Path
    offset: int
    bit: int | None

    def __str__(self) -> str:
        return f"{self.file}: {'cut at' if self.bit is None else f'bit {self.bit} of octet'} {self.offset}"


def make_root(directory: Path) -> Path:
    """Import some captures; skips when they are not there."""
    import_files([need(SHARED / name) for name in CAPTURES], directory)
    return directory


def every_call(root: Path) -> list[str]:
    """Name the calls of a sound root."""
    history = History.open(root)
    try:
        return [call.call_id for call in history.calls(Criteria(limit=100)).calls]
    finally:
        history.close()


def files_of(root: Path) -> list[Path]:
    """List the files that can be damaged, relative to the root."""
    return [path.relative_to(root) for path in sorted(root.rglob("*")) if path.name in (CATALOG, DATA, DATABASE)]


def damages(root: Path, count: int, seed: int) -> Iterator[Damage]:
    """Choose places at random: every kind of file as often, four flips to one cut."""
    draw = random.Random(seed)
    files = files_of(root)
    for number in range(count):
        kind = (DATA, DATABASE, CATALOG)[number % 3]
        file = draw.choice([path for path in files if path.name == kind])
        size = (root / file).stat().st_size
        if number % 5 == 4:
            borders = [block.offset for block in iter_blocks(root / file)] if kind == DATA else [0, size // 4096 * 2048]
            yield Damage(file, draw.choice([draw.randrange(size), draw.choice(borders)]), None)
        else:
            # The first page of a database holds its header: as many flips there as in all the rest.
            end = min(size, 200) if kind != DATA and draw.random() < 0.3 else size
            yield Damage(file, draw.randrange(end), draw.randrange(8))


def inflict(root: Path, damage: Damage) -> None:
    """Damage a file, keeping its mode."""
    path = root / damage.file
    mode = path.stat().st_mode
    octets = bytearray(path.read_bytes())
    if damage.bit is None:
        del octets[damage.offset :]
    else:
        octets[damage.offset] ^= 1 << damage.bit
    overwrite(path, bytes(octets), mode)


def overwrite(path: Path, octets: bytes, mode: int | None = None) -> None:
    """Write a file that may be read-only; it keeps its mode."""
    mode = path.stat().st_mode if mode is None else mode
    path.chmod(0o600)
    path.write_bytes(octets)
    path.chmod(mode)


def copy_of(root: Path, directory: Path) -> Path:
    """Copy a root, whatever stood there before."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(root, directory)
    return directory


def ask(root: Path, call_ids: list[str]) -> Told:
    """Ask a root everything about some calls. An error is a fault of that question; CallUnknown is an answer."""
    packets: dict[str, Packets] = {}
    summaries: dict[str, str] = {}
    faults: dict[str, list[Fault]] = {}
    listed: list[str] = []
    history = History.open(root)
    try:
        try:
            page = history.calls(Criteria(limit=100))
            listed = [repr(call) for call in page.calls]
            faults["calls"] = page.faults
        except SipflowError as error:
            faults["calls"] = [Fault("calls", str(error))]
        for call_id in call_ids:
            try:
                flow, media = history.flow(call_id), history.media(call_id)
                assert {message.call_id for message in flow.messages} <= {call_id}
                assert {chunk.key.call_id for chunk in media.chunks} <= {call_id}
                packets[call_id] = Packets(
                    tuple(msgspec.msgpack.encode(message.payload) for message in flow.messages),
                    tuple(chunk.rows.tobytes() + chunk.data for chunk in media.chunks),
                )
                faults[call_id] = [*flow.faults, *media.faults]
                summaries[call_id] = repr(history.call(call_id))
            except CallUnknown:
                summaries[call_id] = "unknown"
            except SipflowError as error:
                packets.setdefault(call_id, Packets((), ()))
                faults.setdefault(call_id, []).append(Fault(call_id, str(error)))
    finally:
        history.close()
    return Told(tuple(listed), packets, summaries, faults)


def hold_against(damaged: Told, sound: Told) -> bool:
    """Assert that nothing differs without being said, and that no call shows packets of another; tells what is said."""
    if damaged.listed != sound.listed:
        assert damaged.faults["calls"]
    for call_id, packets in sound.packets.items():
        found = damaged.packets[call_id]
        assert set(found.messages) <= set(packets.messages)
        assert set(found.chunks) <= set(packets.chunks)
        if found != packets or damaged.summaries.get(call_id) != sound.summaries[call_id]:
            assert damaged.faults[call_id], call_id
    return any(damaged.faults.values())


def lost_blocks(root: Path, damage: Damage) -> list[Block]:
    """List the blocks of a sound root that a damage of its data.raw destroys."""
    if damage.file.name != DATA:
        return []
    blocks = [found for found in iter_blocks(root / damage.file) if isinstance(found, Block)]
    if damage.bit is None:
        return [block for block in blocks if block.offset + block.header.length > damage.offset]
    return [block for block in blocks if 0 <= damage.offset - block.offset < block.header.length]


def without(sound: Told, blocks: list[Block]) -> dict[str, Packets]:
    """Tell what is left of the packets when some blocks are gone."""
    messages: list[tuple[str, bytes]] = []
    chunks: list[tuple[str, bytes]] = []
    for block in blocks:
        if block.header.kind == 1:
            messages += [(one.call_id, msgspec.msgpack.encode(one.payload)) for _, one in block.messages()]
        else:
            chunk = block.chunk()
            chunks.append((chunk.key.call_id, chunk.rows.tobytes() + chunk.data))
    left = {}
    for call_id, packets in sound.packets.items():
        kept = list(packets.messages), list(packets.chunks)
        for gone, some in zip((messages, chunks), kept, strict=True):
            for owner, octets in gone:
                if owner == call_id:
                    some.remove(octets)
        left[call_id] = Packets(tuple(kept[0]), tuple(kept[1]))
    return left


def run(*arguments: str | Path) -> tuple[int, str]:
    """Run `sipflow`; gives its status and what it said. A trace is an error of the test."""
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


def browse(root: Path, call_id: str) -> dict[str, httpx.Response]:
    """Ask over HTTP, every path that a call has."""
    history = History.open(root)
    quoted = quote(call_id, safe="")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    one = f"/api/v1/calls/{quoted}"
    paths = {
        "/flow": {"callid": call_id},
        "/media": {"callid": call_id},
        "/media?stats": {"callid": call_id, "stats": "1"},
        "/diag": {"callid": call_id},
        one: {},
        f"{one}/flow": {},
        f"{one}/media.wav": {},
        "/api/v1/calls": {"call_id": call_id},
    }
    answers = {}
    try:
        with Served(build(history, SteadyRecorder(), Settings(token=TOKEN))) as url:
            for path, parameters in paths.items():
                address = url + path.partition("?")[0]
                answers[path] = httpx.get(address, params=parameters, headers=headers)
    finally:
        history.close()
    return answers


def says_so(answer: httpx.Response) -> bool:
    """Tell whether an answer says that it is none, or not all."""
    if answer.status_code >= 500 or "Sipflow-Faults" in answer.headers:
        return True
    return answer.headers["content-type"].startswith("application/json") and bool(answer.json().get("partial"))


def try_damage(sound_root: Path, sound: Told, damage: Damage, scratch: Path, *, repair: bool) -> None:
    """Damage a copy and assert all that is promised of it."""
    root = copy_of(sound_root, scratch)
    inflict(root, damage)
    said = hold_against(ask(root, list(sound.packets)), sound)
    status, output = run("verify", "--dir", root)
    named = any(str(damage.file) in line for line in output.splitlines())
    if damage.file.name == CATALOG:
        # Octets of a live database that nothing uses have no checksum.
        assert status == 1 or not said
    else:
        assert (status, named) == (1, True), output
    if repair:
        run("reindex", "--dir", root)
        again = ask(root, list(sound.packets))
        assert again.packets == without(sound, lost_blocks(sound_root, damage))
        assert not any(again.faults.values())
        status, output = run("verify", "--dir", root)
        torn = damage.file.name == DATA and status == 1
        assert status == 0 or torn, output
