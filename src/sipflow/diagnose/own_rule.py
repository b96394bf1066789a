"""Rules of one's own: functions of a call that give findings, kept in a file or an installed package."""

import logging
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from itertools import islice
from pathlib import Path
from typing import Final

from sipflow.diagnose.call import Call
from sipflow.media.finding import Finding, Severity

LOG = logging.getLogger(__name__)

Rule = Callable[[Call], Iterable[Finding]]
GROUP: Final = "sipflow.rules"
# A rule that never stops giving findings must not fill the memory.
FOUND_MAX: Final = 100
_TEXT_MAX: Final = 200

_registered: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    """Register a rule, to be used as a decorator; one of the same module and name takes its place."""
    _registered[f"{function.__module__}.{function.__qualname__}"] = function
    return function


def registered() -> tuple[Rule, ...]:
    """List the rules that are registered in this process."""
    return tuple(_registered.values())


def load_rules(file: Path | None = None) -> None:
    """Import the rules of installed packages under the entry point group `sipflow.rules`, and those of a file.

    Never raises: what cannot be imported is named in the log, and in a finding of every diagnosis.
    """
    for point in entry_points(group=GROUP):
        _import(f"package rules {point.name}", point.load)
    if file is not None:
        _import(f"rules file {file.name}", lambda: _run(file))


def _import(name: str, work: Callable[[], object]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whatever other people's code raises
        why = f"{name} cannot be loaded ({_words(error)})"
        LOG.error("%s", why)
        _registered[name] = lambda _: [Finding("rule-failed", Severity.NOTE, f"The {why}.", name)]


def _run(file: Path) -> None:
    spec = spec_from_file_location("sipflow_rules", file)
    if spec is None or spec.loader is None:
        raise ImportError("allowed: a Python file, NAME.py")
    spec.loader.exec_module(module_from_spec(spec))


def apply(one: Rule, call: Call) -> Iterator[Finding]:
    """Ask a rule; whatever it raises, or gives that is no finding, becomes a finding."""
    name = getattr(one, "__name__", type(one).__name__)
    try:
        found = list(islice(one(call), FOUND_MAX))
    except Exception as error:  # noqa: BLE001 - a rule must not hide what the others find
        LOG.warning("rule %s failed: %s", name, _words(error))
        yield _failed(name, _words(error))
        return
    for finding in found:
        if isinstance(finding, Finding):
            yield finding
        else:
            yield _failed(name, f"it gave a {type(finding).__name__} instead of a Finding")


def _failed(name: str, why: str) -> Finding:
    return Finding("rule-failed", Severity.NOTE, f"The rule {name} failed: {why}.", f"the rule {name}")


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_TEXT_MAX]
