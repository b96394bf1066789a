"""What two SIP messages say differently: blind to the order of headers, aware of parameters and of SDP."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

import msgspec

from sipflow.wire.description_difference import DescriptionFact, facts
from sipflow.wire.header import Header, Value, is_unordered, parameters_of, read_letter, split, values_of
from sipflow.wire.sdp import find_descriptions
from sipflow.wire.sip import parse_head

Kind = Literal["same", "changed", "added", "removed"]
# Two hostile messages could differ in thousands of places.
CHANGES_MAX: Final = 2000


class Change(msgspec.Struct, frozen=True):
    """What one thing is in either message; None where it is not there. `parts` are the parameters that differ."""

    section: Literal["start", "header", "sdp", "body"]
    name: str
    kind: Kind
    a: str | None
    b: str | None
    parts: tuple["Part", ...] = ()


class Part(msgspec.Struct, frozen=True):
    """One parameter that differs."""

    name: str
    kind: Kind
    a: str | None
    b: str | None


class Difference(msgspec.Struct, frozen=True):
    """All that two messages say, in the order of the first of them; `equal` when they say the same."""

    equal: bool
    changes: tuple[Change, ...]


def compare(a: bytes, b: bytes) -> Difference:
    """Compare two messages."""
    one, two = read_letter(a), read_letter(b)
    changes = [
        _plain("start", "start line", one.start, two.start),
        *_headers(one.headers, two.headers),
        *_bodies(a, b, one.body, two.body),
    ][:CHANGES_MAX]
    return Difference(all(change.kind == "same" for change in changes), tuple(changes))


def _plain(section: Literal["start", "body"], name: str, a: str | None, b: str | None) -> Change:
    return Change(section, name, _kind(a, b, a == b), a, b)


def _kind(a: object, b: object, same: bool) -> Kind:
    if a is None or b is None:
        return "added" if a is None else "removed"
    return "same" if same else "changed"


def _headers(a: Sequence[Header], b: Sequence[Header]) -> Iterator[Change]:
    ones, twos = _by_key(a), _by_key(b)
    for key in dict.fromkeys([*ones, *twos]):
        mine, its = ones.get(key, []), twos.get(key, [])
        name = (mine or its)[0][0]
        left, right = [value for _, value in mine], [value for _, value in its]
        if is_unordered(key):
            yield _set(name, left, right)
        else:
            for one, two in _paired(left, right):
                yield _value(name, one, two)


def _by_key(headers: Iterable[Header]) -> dict[str, list[tuple[str, Value]]]:
    found: dict[str, list[tuple[str, Value]]] = defaultdict(list)
    for header in headers:
        found[header.key] += [(header.name, value) for value in values_of(header)]
    return found


def _set(name: str, a: list[Value], b: list[Value]) -> Change:
    """Compare values whose order means nothing; the parts are those only one side has."""
    left, right = Counter(map(str, a)), Counter(map(str, b))
    parts = [Part(text, "removed", text, None) for text in left - right]
    parts += [Part(text, "added", None, text) for text in right - left]
    one = ", ".join(map(str, a)) if a else None
    two = ", ".join(map(str, b)) if b else None
    return Change("header", name, _kind(one, two, not parts), one, two, tuple(parts))


def _paired(a: list[Value], b: list[Value]) -> Iterator[tuple[Value | None, Value | None]]:
    """Pair values by position, from the end for what only grows at its beginning, as Via does on the way."""
    # RFC 3261, section 16.6: a proxy puts its Via and Record-Route on top; the lower ones are the same hop's.
    short = min(len(a), len(b))
    yield from ((value, None) for value in a[: len(a) - short])
    yield from ((None, value) for value in b[: len(b) - short])
    yield from zip(a[len(a) - short :], b[len(b) - short :], strict=True)


def _value(name: str, a: Value | None, b: Value | None) -> Change:
    one, two = (None if value is None else str(value) for value in (a, b))
    if a is None or b is None:
        return Change("header", name, _kind(one, two, same=False), one, two)
    mine, its = _flat(a), _flat(b)
    parts = tuple(_parts(mine, its))
    # Of what has one piece only, the whole says it already.
    shown = parts if len(mine) + len(its) > 2 else ()
    return Change("header", name, "changed" if parts else "same", one, two, shown)


def _flat(value: Value) -> dict[str, str]:
    """Write a value as named pieces, so that two are compared piece by piece: address, URI parameters, parameters."""
    display, angle, rest = value.text.partition("<")
    if not angle:
        return {"value": " ".join(value.text.split()), **value.parameters}
    uri, _, _ = rest.partition(">")
    base, *inner = split(uri, ";")
    pieces = {"display name": display.strip().strip('"'), "URI": base}
    pieces |= {f"URI {name}": text for name, text in parameters_of(inner).items()}
    return {**pieces, **value.parameters}


def _parts(a: dict[str, str], b: dict[str, str]) -> Iterator[Part]:
    for name in dict.fromkeys([*a, *b]):
        one, two = a.get(name), b.get(name)
        if one != two:
            yield Part(name, _kind(one, two, same=False), one, two)


def _bodies(a: bytes, b: bytes, one: str, two: str) -> Iterator[Change]:
    mine, its = _described(a), _described(b)
    if mine or its:
        yield from _facts(mine, its)
    elif one or two:
        yield _plain("body", "body", one or None, two or None)


def _described(payload: bytes) -> list[DescriptionFact]:
    head = parse_head(payload)
    found = find_descriptions(head.content_type, payload[head.body :])
    return facts(found[0]) if found else []


def _facts(a: list[DescriptionFact], b: list[DescriptionFact]) -> Iterator[Change]:
    ones, twos = ({fact.name: fact for fact in some} for some in (a, b))
    for name in dict.fromkeys([*ones, *twos]):
        one, two = ones.get(name), twos.get(name)
        same = one is not None and two is not None and one.value == two.value
        parts: tuple[Part, ...] = ()
        if one is not None and two is not None and not same:
            parts = tuple(_parts(one.parameters, two.parameters))
            same = bool(one.parameters and two.parameters) and not parts
        left, right = (None if fact is None else fact.value for fact in (one, two))
        yield Change("sdp", name, _kind(one, two, same), left, right, parts)
