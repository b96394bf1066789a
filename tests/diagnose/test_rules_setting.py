"""The setting `rules`: which values it takes, and that it reaches the process that answers."""

from pathlib import Path

import pytest

from sipflow.config import settings_from
from sipflow.effective import written
from sipflow.errors import ConfigError
from sipflow.given import Given


def test_a_file_reaches_the_reader() -> None:
    settings = settings_from(
        {"rules": Given("/etc/sipflow/house.py", "rules"), "hide_digits": Given(True, "hide_digits")}
    )
    assert settings.rules == Path("/etc/sipflow/house.py")
    assert written(settings)["rules"] == "/etc/sipflow/house.py"
    assert written(settings)["hide_digits"] is True


@pytest.mark.parametrize("value", ["house.txt", 7, "", "a\0.py"])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"allowed: a Python file"):
        settings_from({"rules": Given(value, "rules")})
