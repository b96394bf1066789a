"""A search as the page has it: the text of the box, what it means, and the same search with something changed."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from starlette.requests import Request

from sipflow.errors import BadQuery
from sipflow.query.answer import Criteria
from sipflow.query.question import parse_criteria
from sipflow.query.search import parse_search, words, write_search
from sipflow.query.term import Term
from sipflow.query.window import Window
from sipflow.web.asked import only

LAST: Final = ("15m", "1h", "6h", "24h", "7d", "30d")
PAGE_SIZES: Final = (50, 100, 200)
# The fields of the form, in its order; each a word of the language.
FORM: Final = ("from", "to", "user", "status", "method", "ua", "ip", "callid", "text")
_FIGURES: Final = ("mos", "loss")
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?\Z", re.ASCII)
BOX: Final = ("q", "limit", "after")
PARTS: Final = (*FORM, *_FIGURES, "last", "since", "until")


class Inquiry(NamedTuple):
    """What was asked: the text, what it means, and why it means nothing (then `criteria` asks for nothing)."""

    text: str
    criteria: Criteria
    wrong: str = ""

    @property
    def values(self) -> dict[str, str]:
        """Give what the fields of the form hold: the first word of each key, times as the picker writes them in UTC."""
        if self.wrong:
            return {}
        found: dict[str, str] = {}
        for word in words(self.text):
            if word.key and not word.negated:
                found.setdefault(word.key, word.value)
        if found.get("since") in LAST:
            found["last"] = found.pop("since")
        for name, time_us in (("since", self.criteria.window.start_us), ("until", self.criteria.window.end_us)):
            if name in found:
                found[f"{name}_us"] = str(time_us)
        return found

    @property
    def bare(self) -> str:
        """Give the word when there is nothing but one without a key: it may be a Call-ID."""
        terms = self.criteria.terms
        alone = len(terms) == 1 and terms[0].field == "any" and not terms[0].negated
        return terms[0].pattern if alone and self.criteria.window == Window() else ""

    def since(self, last: str) -> str:
        """Write the same search over the time that is just past."""
        kept = [] if self.wrong else [word.text for word in words(self.text) if word.key not in ("since", "until")]
        return " ".join([*kept, f"since:{last}"])

    def with_word(self, word: str) -> str:
        """Write the same search with one word more."""
        return f"{self.text} {word}".strip()


def read_inquiry(request: Request, patience_s: float | None) -> Inquiry:
    """Read what the box and the parameters beside it ask. Raises BadQuery for what no box can be wrong about."""
    only(request, BOX)
    asked = request.query_params
    text = asked.get("q", "").strip()
    plain = parse_criteria(window=Window(), limit=asked.get("limit"), after=asked.get("after"))
    try:
        criteria = parse_search(text, plain)
    except BadQuery as error:
        return Inquiry(text, plain, str(error))
    return Inquiry(text, _patient(criteria, patience_s))


def _patient(criteria: Criteria, patience_s: float | None) -> Criteria:
    return Criteria(
        window=criteria.window, call_id=criteria.call_id, limit=criteria.limit, after=criteria.after,
        mos_below=criteria.mos_below, loss_above=criteria.loss_above, terms=criteria.terms, patience_s=patience_s,
    )  # fmt: skip


def text_of_form(asked: Mapping[str, str]) -> str:
    """Write the search that a filled-in form means; what it says is checked when it is read."""
    terms = tuple(Term(name, asked[name].strip()) for name in FORM if asked.get(name, "").strip())
    found = [write_search(Criteria(terms=terms))]
    found += [f"mos<{asked['mos'].strip()}"] if asked.get("mos", "").strip() else []
    found += [f"loss>{asked['loss'].strip()}"] if asked.get("loss", "").strip() else []
    times = {name: asked.get(name, "").strip() for name in ("since", "until")}
    if asked.get("last", "").strip() and not times["since"]:
        times["since"] = asked["last"].strip()
    # The picker writes no zone where no script runs; the form says that it is UTC then.
    found += [f"{name}:{text}{'Z' if _LOCAL.match(text) else ''}" for name, text in times.items() if text]
    return " ".join(word for word in found if word)
