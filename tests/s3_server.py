"""A real S3 server for tests: versitygw over a directory, built by Go from github.com/versity/versitygw."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from sipflow.destination import Upload

ACCESS_KEY = "sipflow-test-key"
SECRET_KEY = "sipflow-test-secret-0123456789"
REGION = "us-east-1"
BUCKET = "archive"
START_SECONDS = 20


class S3Server(NamedTuple):
    """A running server: its URL, and the directory in which the buckets are directories."""

    url: str
    directory: Path

    def upload(self, **changed: object) -> Upload:
        """Give settings that lead here."""
        usual: dict[str, object] = {
            "vendor": "minio", "bucket": BUCKET, "region": REGION, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY,
            "endpoint": self.url, "root": "sipflow", "timeout_secs": 10, "connect_timeout_secs": 3,
        }  # fmt: skip
        return Upload("s3", **{**usual, **changed})  # type: ignore[arg-type]


def program() -> str:
    """Find the server, or skip aloud; in CI its absence fails."""
    found = shutil.which("versitygw") or shutil.which("versitygw", path=str(Path.home() / "go" / "bin"))
    if found is None:
        said = "no S3 server: go install github.com/versity/versitygw/cmd/versitygw@latest"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    return found


@contextmanager
def s3_server(directory: Path, *options: str) -> Iterator[S3Server]:
    """Run a server on a free port of loopback, with one bucket, and with further options of its program."""
    gateway = program()
    data = directory / "buckets"
    (data / BUCKET).mkdir(parents=True)
    (directory / "versions").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                gateway, "--access", ACCESS_KEY, "--secret", SECRET_KEY, "--region", REGION,
                "--port", f"127.0.0.1:{port}", *options, "posix", str(data),
            ],
            stdout=log, stderr=subprocess.STDOUT, env={"PATH": os.environ["PATH"], "HOME": str(directory)},
        )  # fmt: skip
    try:
        _await(port, server, directory / "log")
        yield S3Server(f"http://127.0.0.1:{port}", data)
    finally:
        server.terminate()
        server.wait(10)


def _await(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"the S3 server does not start: {log.read_text('utf-8', 'replace')[-2000:]}")
