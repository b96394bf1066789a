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
from sipflow.load.bank import LOOP, PCMA, RINGBACK, VOICES, VoiceBank
from sipflow.load.draw import Draw, draw, draw_below
from sipflow.load.hole import Holes, Patch, Stamp, template
from sipflow.load.moment import Moment
from sipflow.load.steps import EVENTS
from sipflow.load.stream import Manner, Stream
from sipflow.wire.datagram import encode_packet
from sipflow.wire.packet import Kind, Packet

FIELD = np.dtype(
    [("low", "<u8"), ("count", "<u4"), ("step", "<u4"), ("draw", "<u2"), ("form", "u1"), ("width", "u1"),
     ("unused", "<u4")]
)  # fmt: skip
PATCH = np.dtype([("at", "<u2"), ("field", "<u2")])
SAYING = np.dtype(
    [("octets_at", "<u4"), ("n", "<u4"), ("patches_at", "<u4"), ("patches_n", "<u4"), ("at_us", "<u4"),
     ("share", "<u2"), ("from_end", "<u2")]
)  # fmt: skip
ROLE = np.dtype(
    [("octets_at", "<u4"), ("n", "<u4"), ("patches_at", "<u4"), ("patches_n", "<u4"), ("lag_us", "<u4"),
     ("begin", "<u2"), ("end", "<u2"), ("samples", "<u2"), ("draw", "<u2"), ("first_voice", "<u2"),
     ("payload_type", "u1"), ("speaker", "u1"), ("quarters", "u1"), ("suppressed", "u1"), ("unused", "<u2")]
)  # fmt: skip

ROLE_DRAWS = 4  # SSRC, sequence number, timestamp, and what befalls the stream

_TIME_AT = {4: 17, 6: 41}  # octets of a frame before the capture time (docs/WIRE.md), by family
_SRC_AT = 5
_DST_AT = {4: 11, 6: 23}


class Speaker(enum.IntEnum):
    """Whom a stream lets be heard; the numbers are those of mould.h."""

    CALLER = 0
    OTHER = 1
    RINGBACK = 2


@dataclass(frozen=True)
class Saying:
    """A SIP message with holes."""

    text: str
    by_caller: bool
    when: Moment


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
    manner: Manner
    draw: int


@dataclass(frozen=True)
class Mould:
    """What all calls of a mould have in common; `signalling` and `media` are of the caller and of the exchange."""

    holes: Holes
    call_id: str
    signalling: tuple[Address, Address]
    media: tuple[Address, Address]
    sayings: tuple[Saying, ...]
    roles: tuple[Role, ...]

    def stamp(self, key: int) -> Stamp:
        """Give what the holes of one call are filled with."""
        return Stamp(self.holes.fields, key)

    def messages(self, key: int, start_us: int, span_us: int) -> tuple[Packet, ...]:
        """Write the SIP messages of one call."""
        stamp = self.stamp(key)
        call_id = stamp.fill(self.call_id)
        caller, exchange = (address.endpoint(stamp) for address in self.signalling)
        return tuple(
            Packet(
                Kind.SIP,
                *((caller, exchange) if saying.by_caller else (exchange, caller)),
                saying.when.time(key, start_us, span_us),
                stamp.fill(saying.text).encode(),
                call_id,
            )
            for saying in self.sayings
        )

    def streams(self, key: int, start_us: int, span_us: int) -> tuple[Stream, ...]:
        """Plan the media streams of one call."""
        stamp = self.stamp(key)
        call_id = stamp.fill(self.call_id)
        ends = [address.endpoint(stamp) for address in self.media]
        found = []
        for role in self.roles:
            from_us = self.sayings[role.begin].when.time(key, start_us, span_us) + role.lag_us
            until_us = self.sayings[role.end].when.time(key, start_us, span_us) - role.tail_us
            count = (until_us - from_us) * role.quarters // 4 // (role.samples * 125)
            if count <= 0:
                continue
            voice, position = _voice(role.speaker, key)
            chance = draw(key, role.draw + 3) >> 1
            found.append(
                Stream(
                    call_id=call_id,
                    leg=role.leg,
                    src=ends[role.leg],
                    dst=ends[1 - role.leg],
                    start_us=from_us,
                    count=count,
                    samples=role.samples,
                    payload_type=role.payload_type,
                    ssrc=draw(key, role.draw) >> 32,
                    sequence=draw(key, role.draw + 1) >> 48,
                    timestamp=draw(key, role.draw + 2) >> 32,
                    voice=voice,
                    position=position,
                    manner=role.manner,
                    chance=chance,
                    digits=_digits(chance) if role.manner is Manner.DIGITS else "",
                )
            )
        return tuple(found)

    def frames(self, bank: VoiceBank, client_id: int) -> Frames:
        """Give the mould as the C core wants it; streams that follow a script are not in it."""
        maker = _FrameMaker(self, client_id)
        sayings = [
            (*maker.put(saying.by_caller, saying.text), saying.when.at_us, saying.when.share, saying.when.from_end)
            for saying in self.sayings
        ]
        roles = [
            (
                *maker.put_head(role), role.lag_us, role.begin, role.end, role.samples, role.draw,
                (VOICES + 1) * (role.payload_type == PCMA), role.payload_type, role.speaker, role.quarters,
                role.manner is Manner.SUPPRESSED, 0,
            )
            for role in self.roles
            if not role.manner.scripted
        ]  # fmt: skip
        fields = [(f.low, f.count, f.step, f.draw, f.form, f.width, 0) for f in self.holes.fields]
        return Frames(
            bank.voices,
            VOICES,
            _TIME_AT[self.signalling[0].family],
            octets=bytes(maker.octets),
            fields=_array(fields, FIELD),
            patches=_array(maker.patches, PATCH),
            sayings=_array(sayings, SAYING),
            roles=_array(roles, ROLE),
        )


class _FrameMaker:
    """Lays the frames of a mould end to end, with the patches that fill them."""

    def __init__(self, mould: Mould, client_id: int) -> None:
        self.octets = bytearray()
        self.patches: list[Patch] = []
        self._mould = mould
        self._client_id = client_id
        self._call_id, self._call_id_holes = template(mould.call_id, mould.holes.fields)
        self._ends: dict[tuple[Kind, bool], list[Patch]] = {}

    def put(self, by_caller: bool, text: str) -> tuple[int, int, int, int]:
        """Add the frame of a message; gives where its octets and patches are and how many."""
        payload, holes = template(text, self._mould.holes.fields)
        return self._put(Kind.SIP, by_caller, None, payload, holes)

    def put_head(self, role: Role) -> tuple[int, int, int, int]:
        """Add the frame of a stream up to its audio."""
        head = bytes((0x80, role.payload_type)) + bytes(10)
        at = len(self.octets)
        placed = self._put(Kind.RTP, role.leg == 0, role.leg, head, [])
        length_at = at + placed[1] - len(head) - 4
        self.octets[length_at : length_at + 4] = (len(head) + role.samples).to_bytes(4)
        return placed

    def _put(
        self, kind: Kind, by_caller: bool, leg: int | None, payload: bytes, holes: list[Patch]
    ) -> tuple[int, int, int, int]:
        mould, fields = self._mould, self._mould.holes.fields
        pair = mould.media if kind is Kind.RTP else mould.signalling
        src, dst = pair if by_caller else pair[::-1]
        frame = encode_packet(
            Packet(
                kind, src.lowest(fields), dst.lowest(fields), 0, payload, self._call_id.decode(), leg, self._client_id
            )
        )
        payload_at = len(frame) - len(payload)
        call_id_at = payload_at - 4 - len(self._call_id)
        if (kind, by_caller) not in self._ends:
            self._ends[kind, by_caller] = [
                *src.patches(mould.holes, _SRC_AT),
                *dst.patches(mould.holes, _DST_AT[dst.family]),
            ]
        patches = [
            *self._ends[kind, by_caller],
            *(Patch(call_id_at + at, field) for at, field in self._call_id_holes),
            *(Patch(payload_at + at, field) for at, field in holes),
        ]
        # Holes of one field stand together, so that the C core computes it once.
        patches.sort(key=lambda patch: patch.field)
        placed = (len(self.octets), len(frame), len(self.patches), len(patches))
        self.octets += frame
        self.patches += patches
        return placed


def _array(rows: Sequence[tuple[int, ...]], kind: np.dtype[np.void]) -> NDArray[np.uint8]:
    return np.array(rows, kind).view(np.uint8)


def _voice(speaker: Speaker, key: int) -> tuple[int, int]:
    """Give voice and place in its loop: both parties are at one place, half a loop apart, so that they take turns."""
    if speaker is Speaker.RINGBACK:
        return RINGBACK, 0
    voice, position = draw_below(key, Draw.VOICE, VOICES), draw_below(key, Draw.PLACE, LOOP)
    if speaker is Speaker.OTHER:
        voice = (voice + 1 + draw_below(key, Draw.OTHER, VOICES - 1)) % VOICES
        position = (position + LOOP // 2) % LOOP
    return voice, position


def _digits(chance: int) -> str:
    return "".join(EVENTS[(chance >> 8 * i) % 12] for i in range(4))
