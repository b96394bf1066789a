"""Objects of a real S3 server and of a directory: put, read, listed, deleted; errors in our words, without secrets."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from s3_server import SECRET_KEY, S3Server
from sipflow.archive.objects import Objects
from sipflow.archive.place import PIECE, Stored
from sipflow.destination import Upload
from sipflow.errors import ArchiveDenied, ArchiveError, ObjectMissing


@pytest.fixture(params=["s3", "local"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "local":
        return Objects.local(tmp_path / "archive")
    server: S3Server = request.getfixturevalue("s3")
    return Objects.open(server.upload(root=f"sipflow/{tmp_path.name}"))


def test_small_objects(objects: Objects) -> None:
    objects.put("a/b/one", b"0123456789")
    objects.put("a/c/two", b"x")
    objects.put("ab/three", b"")
    assert objects.get("a/b/one") == b"0123456789"
    assert objects.head("a/b/one")[:2] == ("a/b/one", 10)
    assert objects.get_range("a/b/one", 2, 3) == b"234"
    assert objects.get_ranges("a/b/one", [0, 8], [1, 2]) == [b"0", b"89"]
    assert objects.get_ranges("a/b/one", [], []) == []
    assert sorted(one[:2] for one in objects.walk("a")) == [("a/b/one", 10), ("a/c/two", 1)]
    assert objects.below("a") == ["a/b", "a/c"]
    objects.delete("a/b/one", "a/b/one", "never")
    assert [one.key for one in objects.walk("a")] == ["a/c/two"]
    with pytest.raises(ObjectMissing, match="a/b/one: there is no such object"):
        objects.get("a/b/one")
    with pytest.raises(ObjectMissing):
        objects.head("a/b/one")


def test_large_objects_travel_in_pieces_and_whole_or_not_at_all(objects: Objects) -> None:
    octets = bytes(range(256)) * (PIECE * 3 // 256) + b"the end"
    pieces = [octets[at : at + PIECE] for at in range(0, len(octets), PIECE)]
    stored = objects.put_pieces("large", pieces, len(octets))
    assert stored == Stored("large", len(octets), stored.etag)
    assert objects.head("large").octets == len(octets)
    assert b"".join(objects.stream("large", 1 << 20)) == octets

    def broken() -> Iterator[bytes]:
        yield pieces[0]
        yield pieces[1]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        objects.put_pieces("half", broken(), len(octets))
    with pytest.raises(ObjectMissing):
        objects.head("half")


def test_a_store_that_nobody_answers_for_is_told_in_a_sentence() -> None:
    # `s` is in every word of the library: it may not make its debug output look like a part of the sentence.
    for secret in (SECRET_KEY, "s"):
        upload = Upload("s3", "minio", "b", "us-east-1", "key", secret, "http://127.0.0.1:9", connect_timeout_secs=1)
        with pytest.raises(ArchiveError) as raised:
            Objects.open(upload).put("k", b"x")
        told = str(raised.value).replace("***", "s")
        assert told.endswith("Connection refused")
        assert "http://127.0.0.1:9/b/k" in told
        assert not any(word in told for word in ("retries", "Debug", "{", "\n"))


def test_what_a_store_refuses_is_said_without_secrets(s3: S3Server) -> None:
    wrong = [
        (s3.upload(secret_key="wrong-secret-value"), ArchiveDenied, "SignatureDoesNotMatch"),
        (s3.upload(access_key="wrong-key-name"), ArchiveDenied, "No user exists"),
        (s3.upload(bucket="nobody"), ArchiveDenied, "NoSuchBucket"),
        (s3.upload(endpoint="http://127.0.0.1:9", connect_timeout_secs=1), ArchiveError, "127.0.0.1:9"),
    ]
    for upload, kind, words in wrong:
        objects = Objects.open(upload)
        for ask in (lambda: objects.put("k", b"x"), lambda: objects.get("k"), lambda: next(objects.walk())):  # noqa: B023
            with pytest.raises(ArchiveError) as raised:
                ask()
            assert isinstance(raised.value, kind)
            text = str(raised.value) + repr(raised.value)
            assert words in text
            assert not any(secret in text for secret in (SECRET_KEY, "wrong-secret-value", "wrong-key-name"))
