"""docs/ARCHIVE.md names every setting of an upload with its default."""

import re
from dataclasses import fields
from pathlib import Path

from sipflow.amount import age_text
from sipflow.destination import Upload

PAGE = (Path(__file__).parents[2] / "docs" / "ARCHIVE.md").read_text("utf-8")


def test_every_setting_is_listed_in_order_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) ?\| \S", PAGE, re.MULTILINE))
    assert list(rows) == [field.name for field in fields(Upload)]
    usual = Upload("s3")
    for name, default in rows.items():
        value = getattr(usual, name)
        if name == "pack_wait":
            value = age_text(value)
        if value in (None, "", ()) or name == "type":
            assert "`" not in default, name
        else:
            assert default == f"`{str(value).lower() if isinstance(value, bool) else value}`", name
