"""One S3 server for all tests of a run, a root of its own in it for each, and a data root with sealed hours."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from buckets import T0_US, call, hours, record
from s3_server import S3Server, s3_server
from sipflow.archive.place import PIECE
from sipflow.destination import Upload
from sipflow.storage.layout import DATA


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def upload(s3: S3Server, tmp_path: Path) -> Upload:
    return s3.upload(root=f"sipflow/{tmp_path.name}", pack_wait=0)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recorded") / "root"
    record(root, hours(2))
    return root


@pytest.fixture
def root(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "root"))


@pytest.fixture(scope="session")
def recorded_hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recorded") / "hour"
    record(root, hours(1))
    return root


@pytest.fixture
def hour(recorded_hour: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded_hour, tmp_path / "hour"))


@pytest.fixture(scope="session")
def recorded_large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record a part whose data travels in two pieces."""
    root = tmp_path_factory.mktemp("recorded") / "large"
    record(root, call("long@h", T0_US, packets=PIECE * 5 // 4 // 1200, octets=1200))
    (data,) = root.rglob(DATA)
    assert PIECE < data.stat().st_size < 2 * PIECE
    return root


@pytest.fixture
def large(recorded_large: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded_large, tmp_path / "large"))
