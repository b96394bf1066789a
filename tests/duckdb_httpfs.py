"""A DuckDB that reads S3, in a process of its own: its httpfs is downloaded from DuckDB's site, or comes with a wheel.

Not every network reaches extensions.duckdb.org. The wheels on PyPI follow the releases of DuckDB with a delay, so the
DuckDB beside them may be an earlier one than the package asks for; the questions of the page run in both.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

RELEASE = "1.5.5"
_PROGRAM = """
import json, sys
import duckdb
orders = json.load(sys.stdin)
database = duckdb.connect(":memory:")
for statement in orders["statements"]:
    database.execute(statement)
found = [[[str(cell) for cell in row] for row in database.execute(query).fetchall()] for query in orders["queries"]]
json.dump(found, sys.stdout)
"""


def can_install() -> bool:
    """Tell whether INSTALL httpfs works here."""
    try:
        with duckdb.connect(":memory:") as database:
            database.execute("INSTALL httpfs")
    except (duckdb.IOException, duckdb.HTTPException):
        return False
    return True


def wheels(directory: Path) -> Path:
    """Put DuckDB and its httpfs of one release into a directory; gives the extension. Skips, but never in CI."""
    wanted = [f"duckdb=={RELEASE}", f"duckdb-extension-httpfs=={RELEASE}", "pytz"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(directory), *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        why = f"neither INSTALL httpfs nor pip install {' '.join(wanted)} works here: {done.stderr.strip()[-200:]}"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    (extension,) = directory.rglob("httpfs.duckdb_extension")
    return extension


def ask(directory: Path, setup: str, statements: list[str], queries: list[str]) -> list[list[list[str]]]:
    """Run the setup of the page and what follows it; gives the rows of each query, every cell as text."""
    environment = dict(os.environ)
    if not can_install():
        extension = wheels(directory)
        environment["PYTHONPATH"] = str(directory)
        assert setup.startswith("INSTALL httpfs;\nLOAD httpfs;\n")
        setup = setup.replace("INSTALL httpfs;\nLOAD httpfs;\n", f"LOAD '{extension}';\n")
    orders = json.dumps({"statements": [setup, *statements], "queries": queries})
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], input=orders, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    found: Any = json.loads(done.stdout)
    return list(found)
