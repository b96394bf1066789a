"""docs/DESIGN.md lists every source file once, and no file that is not there."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "sipflow"
PAGE = (ROOT / "docs" / "DESIGN.md").read_text("utf-8")
SUFFIXES = {".py", ".pyi", ".pyx", ".pxd", ".c", ".h", ".sql", ".html", ".css", ".js", ".typed"}
# Written by the build: Cython's C, which is never part of the repository.
GENERATED = {"_fast/_core.c"}


def source_files() -> set[str]:
    """Name the source files, relative to the package; py.typed is a name without more."""
    found = (path for path in SOURCE.rglob("*") if path.suffix in SUFFIXES and "__pycache__" not in path.parts)
    return {path.relative_to(SOURCE).as_posix() for path in found} - GENERATED


def listed_files() -> list[str]:
    part = PAGE.split("## The files, in reading order\n", 1)[1]
    entries = re.findall(r"^\* ((?:`[^`]+`(?:, )?)+): \S", part, re.MULTILINE)
    assert len(entries) == len(re.findall(r"^\* ", part, re.MULTILINE)), "an entry has another form"
    return [name for entry in entries for name in re.findall(r"`([^`]+)`", entry)]


def test_every_source_file_is_listed_and_every_listed_file_exists() -> None:
    assert set(listed_files()) == source_files()


def test_no_file_is_listed_twice() -> None:
    assert [name for name, times in Counter(listed_files()).items() if times > 1] == []


def test_files_named_in_the_text_exist() -> None:
    text = PAGE.split("## The files, in reading order\n", 1)[0]
    known = {Path(name).name for name in source_files()}
    named = set(re.findall(r"`(\w+\.(?:py|c|h))`", text))
    assert len(named) > 10
    assert named - known == set()


PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_files_that_pages_name_by_their_path_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"`((?:src|tests|bench|ci|docs)/[\w./]+\.\w+)`", page.read_text("utf-8")):
            assert (ROOT / name).exists(), f"{page.name}: {name}"
