"""A call with holes: all its messages and streams, for as many calls as there are numbers to put into the holes.

What `Mould` computes for one call, in Python, the C core computes from `frames` when it sends (mould.h): every octet
and every time are the same.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipflow._fast import Mould as Frames
from sipflow.load.address import Address
from sipflow.load.bank import RINGBACK, VOICES, Coding, VoiceBank
from sipflow.load.codec import BY_TYPE
from sipflow.load.draw import Draw, draw, draw_below
from sipflow.load.framing import Frame, Framing
from sipflow.load.hole import Field, Form, Holes, Patch, Stamp, template
from sipflow.load.impairment import Impairment
from sipflow.load.moment import Moment
from sipflow.load.stream import EVENT_TYPE, EVENTS, Stream
from sipflow.wire.packet import Kind, Packet

FIELD = np.dtype(
    [("low", "<u8"), ("count", "<u4"), ("step", "<u4"), ("draw", "<u2"), ("form", "u1"), ("width", "u1"),
     ("unused", "<u4")]
)  # fmt: skip
PATCH = np.dtype([("at", "<u2"), ("field", "<u2")])
_PLACED = [("octets_at", "<u4"), ("n", "<u4"), ("patches_at", "<u4"), ("patches_n", "<u4")]
SAYING = np.dtype(
    [*_PLACED, ("at_us", "<u4"), ("share", "<u2"), ("from_end", "<u2"), ("line", "<u2"), ("unused", "<u2")]
)
LINE = np.dtype(_PLACED)
ROLE = np.dtype(
    [*_PLACED, ("lag_us", "<u4"), ("tail_us", "<u4"), ("loss", "<u4"), ("burst", "<u4"), ("jitter_us", "<u4"),
     ("reorder", "<u4"), ("duplicate", "<u4"), ("begin", "<u2"), ("end", "<u2"), ("samples", "<u2"), ("draw", "<u2"),
     ("first_voice", "<u2"), ("payload_type", "u1"), ("event_type", "u1"), ("ticks", "u1"), ("speaker", "u1"),
     ("quarters", "u1"), ("suppressed", "u1"), ("scripted", "u1"), ("digits", "u1"), ("unused", "<u2")]
)  # fmt: skip

ROLE_DRAWS = 4  # SSRC, sequence number, timestamp, and what befalls the stream
DIGITS = 4  # keys that are pressed in a stream that has any


class Speaker(enum.IntEnum):
    """Whom a stream lets be heard; the numbers are those of mould.h."""

    CALLER = 0
    OTHER = 1
    RINGBACK = 2


@dataclass(frozen=True)
class Line:
    """One dialog of a call: its Call-ID, and the ends of its signalling and media, the caller's first."""

    call_id: str
    signalling: tuple[Address, Address]
    media: tuple[Address, Address]


@dataclass(frozen=True)
class Saying:
    """A SIP message with holes, of one of the call's lines."""

    text: str
    by_caller: bool
    when: Moment
    line: int = 0


@dataclass(frozen=True)
class Role:
    """A media stream of every call: begins `lag_us` after message `begin`, ends `tail_us` before message `end`.

    It speaks for so many `quarters` of the time between. `draw` is the first of ROLE_DRAWS draws.
    """

    leg: int
    begin: int
    end: int
    lag_us: int
    tail_us: int
    quarters: int
    samples: int
    payload_type: int
    speaker: Speaker
    suppressed: bool
    digits: bool
    impairment: Impairment
    draw: int

    @property
    def scripted(self) -> bool:
        """Tell whether packets follow a script and are not simply one after the other."""
        return self.digits or not self.impairment.perfect


@dataclass(frozen=True)
class Mould:
    """What all calls of a mould have in common: `lines`, and in order of time what is said in any of them."""

    holes: Holes
    lines: tuple[Line, ...]
    sayings: tuple[Saying, ...]
    roles: tuple[Role, ...]

    def stamp(self, key: int) -> Stamp:
        """Give what the holes of one call are filled with."""
        return Stamp(self.holes.fields, key)

    def call_ids(self, key: int) -> tuple[str, ...]:
        """Give the Call-ID of each line of one call."""
        stamp = self.stamp(key)
        return tuple(stamp.fill(line.call_id) for line in self.lines)

    def messages(self, key: int, start_us: int, span_us: int) -> tuple[Packet, ...]:
        """Write the SIP messages of one call."""
        stamp = self.stamp(key)
        call_ids = [stamp.fill(line.call_id) for line in self.lines]
        ends = [(line.signalling[0].endpoint(stamp), line.signalling[1].endpoint(stamp)) for line in self.lines]
        return tuple(
            Packet(
                Kind.SIP,
                *(ends[saying.line] if saying.by_caller else ends[saying.line][::-1]),
                saying.when.time(key, start_us, span_us),
                stamp.fill(saying.text).encode(),
                call_ids[saying.line],
            )
            for saying in self.sayings
        )

    def streams(self, key: int, start_us: int, span_us: int) -> tuple[Stream, ...]:
        """Plan the media streams of one call."""
        stamp = self.stamp(key)
        call_ids = [stamp.fill(line.call_id) for line in self.lines]
        ends = [[address.endpoint(stamp) for address in line.media] for line in self.lines]
        found = []
        for role in self.roles:
            line = self.sayings[role.begin].line
            from_us = self.sayings[role.begin].when.time(key, start_us, span_us) + role.lag_us
            until_us = self.sayings[role.end].when.time(key, start_us, span_us) - role.tail_us
            if until_us < from_us + role.samples * 125:
                continue
            count = (until_us - from_us) * role.quarters // 4 // (role.samples * 125)
            if count == 0:
                continue
            voice, position = _voice(role, key)
            chance = draw(key, role.draw + 3)
            found.append(
                Stream(
                    call_id=call_ids[line],
                    leg=role.leg,
                    src=ends[line][role.leg],
                    dst=ends[line][1 - role.leg],
                    start_us=from_us,
                    count=count,
                    samples=role.samples,
                    payload_type=role.payload_type,
                    ssrc=draw(key, role.draw) >> 32,
                    sequence=draw(key, role.draw + 1) >> 48,
                    timestamp=draw(key, role.draw + 2) >> 32,
                    voice=voice,
                    position=position,
                    chance=chance,
                    suppressed=role.suppressed,
                    digits=_digits(chance) if role.digits else "",
                    impairment=role.impairment,
                )
            )
        return tuple(found)

    def frames(self, bank: VoiceBank, client_id: int, *, clients: int = 1, framing: Framing = Framing.SF) -> Frames:
        """Give the mould as the C core wants it: frames of `framing`, from one of `clients` ids from `client_id` on."""
        maker = _FrameMaker(self, framing, client_id, clients)
        sayings = [
            (*maker.put_message(saying), saying.when.at_us, saying.when.share, saying.when.from_end, saying.line, 0)
            for saying in self.sayings
        ]
        roles = [
            (
                *maker.put_head(role), role.lag_us, role.tail_us, *role.impairment.record, role.begin, role.end,
                role.samples, role.draw, bank.first(role.payload_type, role.samples), role.payload_type, EVENT_TYPE,
                BY_TYPE[role.payload_type].ticks, role.speaker, role.quarters, role.suppressed, role.scripted,
                DIGITS if role.digits else 0, 0,
            )
            for role in self.roles
        ]  # fmt: skip
        lines = [maker.put_call_id(line) for line in self.lines]
        fields = [(f.low, f.count, f.step, f.draw, f.form, f.width, 0) for f in self.holes.fields]
        return Frames(
            bank.voices,
            VOICES,
            maker.time_at,
            octets=bytes(maker.octets),
            fields=_array(fields, FIELD),
            patches=_array(maker.patches, PATCH),
            sayings=_array(sayings, SAYING),
            roles=_array(roles, ROLE),
            lines=_array(lines, LINE),
            hep=framing is Framing.HEP,
        )


class _FrameMaker:
    """Lays the frames of a mould end to end, with the patches that fill them."""

    def __init__(self, mould: Mould, framing: Framing, client_id: int, clients: int) -> None:
        self.octets = bytearray()
        self.patches: list[Patch] = []
        self.time_at = 0
        self._mould = mould
        self._framing = framing
        self._client_id = client_id
        client = Field(Form.BINARY, 4, Draw.CLIENT, client_id, clients)
        self._client = [mould.holes.add(client)] if clients > 1 else []
        self._call_ids = [template(line.call_id, mould.holes.fields) for line in mould.lines]
        self._ends: dict[tuple[Kind, int, bool], list[Patch]] = {}

    def put_message(self, saying: Saying) -> tuple[int, int, int, int]:
        """Add the frame of a message; gives where its octets and patches are and how many."""
        payload, holes = template(saying.text, self._mould.holes.fields)
        return self._put(Kind.SIP, saying.line, saying.by_caller, None, payload, holes)

    def put_head(self, role: Role) -> tuple[int, int, int, int]:
        """Add the frame of a stream up to its audio, with the lengths that an octet for each sample would make."""
        head = bytes((0x80, role.payload_type)) + bytes(10)
        line = self._mould.sayings[role.begin].line
        placed = self._put(Kind.RTP, line, role.leg == 0, role.leg, head, [])
        frame = self.octets[placed[0] :]
        self._framing.sized(frame, placed[1] - len(head), len(head) + role.samples)
        self.octets[placed[0] :] = frame
        return placed

    def put_call_id(self, line: Line) -> tuple[int, int, int, int]:
        """Add a Call-ID alone."""
        octets, patches = template(line.call_id, self._mould.holes.fields)
        return self._add(octets, patches)

    def _put(
        self, kind: Kind, line: int, by_caller: bool, leg: int | None, payload: bytes, holes: list[Patch]
    ) -> tuple[int, int, int, int]:
        mould, fields = self._mould, self._mould.holes.fields
        call_id, call_id_holes = self._call_ids[line]
        pair = mould.lines[line].media if kind is Kind.RTP else mould.lines[line].signalling
        src, dst = pair if by_caller else pair[::-1]
        frame = self._framing.frame(
            Packet(kind, src.lowest(fields), dst.lowest(fields), 0, payload, call_id.decode(), leg, self._client_id)
        )
        self.time_at = frame.time_at
        patches = [
            *self._patches_of_ends(kind, line, by_caller, (src, dst), frame),
            *(Patch(frame.client_at, field) for field in self._client),
            *(Patch(frame.call_id_at + at, field) for at, field in call_id_holes),
            *(Patch(frame.payload_at + at, field) for at, field in holes),
        ]
        return self._add(frame.octets, patches)

    def _patches_of_ends(
        self, kind: Kind, line: int, by_caller: bool, ends: tuple[Address, Address], frame: Frame
    ) -> list[Patch]:
        key = (kind, line, by_caller)
        if key not in self._ends:
            src, dst = ends
            holes = self._mould.holes
            self._ends[key] = [*src.patches(holes, *frame.src_at), *dst.patches(holes, *frame.dst_at)]
        return self._ends[key]

    def _add(self, octets: bytes, patches: list[Patch]) -> tuple[int, int, int, int]:
        # Holes of one field stand together, so that the C core computes it once.
        patches.sort(key=lambda patch: patch.field)
        placed = (len(self.octets), len(octets), len(self.patches), len(patches))
        self.octets += octets
        self.patches += patches
        return placed


def _array(rows: Sequence[tuple[int, ...]], kind: np.dtype[np.void]) -> NDArray[np.uint8]:
    return np.array(rows, kind).view(np.uint8)


def _voice(role: Role, key: int) -> tuple[int, int]:
    """Give voice and place in its loop: both parties are at one place, half a loop apart, so that they take turns."""
    if role.speaker is Speaker.RINGBACK:
        return RINGBACK, 0
    coding = Coding.of(role.payload_type, role.samples)
    voice, position = draw_below(key, Draw.VOICE, VOICES), draw_below(key, Draw.PLACE, coding.loop)
    if role.speaker is Speaker.OTHER:
        voice = (voice + 1 + draw_below(key, Draw.OTHER, VOICES - 1)) % VOICES
        position = (position + coding.loop // 2) % coding.loop
    # A packet of frames begins with one.
    return voice, position - position % coding.samples if coding.samples else position


def _digits(chance: int) -> str:
    return "".join(EVENTS[(chance >> 4 * i & 15) % 12] for i in range(DIGITS))
