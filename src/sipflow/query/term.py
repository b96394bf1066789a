"""One condition of a search: a field of a call, a pattern, and whether it must fit or must not."""

from typing import Final, Literal, TypeAlias

import msgspec

Field: TypeAlias = Literal["any", "user", "from", "to", "ua", "ip", "method", "callid", "status", "text"]
FIELDS: Final[tuple[Field, ...]] = ("any", "user", "from", "to", "ua", "ip", "method", "callid", "status", "text")


class Term(msgspec.Struct, frozen=True):
    """A condition, checked already; `negated` lists the calls that it does not fit.

    `any` and `ua` are contained in a user or the user agent, whatever the case; `user`, `from`, `to`, `callid` are the
    whole of it; in all of these * stands for anything. With an @ the parties are compared by address instead of user.
    `ip` is a network that the first request came from or went to; `status` is a code, a class or a state; `text` is
    contained in some message, whatever the case.
    """

    field: Field
    pattern: str
    negated: bool = False
