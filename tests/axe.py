"""axe-core on a page: what it finds against WCAG 2.2 AA."""

from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Page

_SOURCE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page: Page) -> list[str]:
    """Name each violation with the elements it is about; empty when there is none."""
    # Evaluated, not added as a script: the page's policy lets no script in but its own.
    page.evaluate(_SOURCE)
    found = page.evaluate("rules => axe.run(document, {runOnly: rules}).then(result => result.violations)", _RULES)
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]} {node.get('failureSummary', '')[:200]}"
        for one in found
        for node in one["nodes"]
    ]
