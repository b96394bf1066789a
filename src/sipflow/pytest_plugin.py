"""A pytest plugin: the fixture `sipflow_capture`, a capture of each test's own."""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sipflow.mirror import Capture


@pytest.fixture
def sipflow_capture() -> "Iterator[Capture]":
    """Record the packets of one test into a directory of its own, and answer questions about its calls."""
    # pytest loads every plugin there is: those who do not capture shall not wait for it.
    with import_module("sipflow.mirror").capture() as held:
        yield held
