"""Where the bucket stands for each vendor, and what a request of it looks like."""

import pytest
from obstore.store import AzureStore, GCSStore, S3Store

from sipflow.archive.objects import Objects, _store_of
from sipflow.destination import Upload
from sipflow.errors import ArchiveDenied


@pytest.mark.parametrize(
    ("upload", "endpoint", "virtual"),
    [
        (Upload("s3", "aws", "b", "eu-west-1"), None, True),
        (Upload("s3", "aws", "b", "eu-west-1", endpoint="https://s3.eu-west-1.amazonaws.com"),
         "https://b.s3.eu-west-1.amazonaws.com", True),
        (Upload("s3", "aws", "b", "eu-west-1", endpoint="https://b.s3.eu-west-1.amazonaws.com"),
         "https://b.s3.eu-west-1.amazonaws.com", True),
        (Upload("s3", "aws", "b", endpoint="http://127.0.0.1:9000"), "http://127.0.0.1:9000", False),
        (Upload("s3", "minio", "b", endpoint="http://minio:9000"), "http://minio:9000", False),
        (Upload("s3", "minio", "b", endpoint="http://minio:9000", addressing="virtual"), "http://b.minio:9000", True),
        (Upload("s3", "aliyun", "b", endpoint="https://oss-cn-hangzhou.aliyuncs.com"),
         "https://b.oss-cn-hangzhou.aliyuncs.com", True),
        (Upload("s3", "tencent", "b-1", endpoint="https://cos.ap-guangzhou.myqcloud.com"),
         "https://b-1.cos.ap-guangzhou.myqcloud.com", True),
        (Upload("s3", "digitalocean", "b", endpoint="https://fra1.digitaloceanspaces.com"),
         "https://b.fra1.digitaloceanspaces.com", True),
        (Upload("s3", "digitalocean", "b", endpoint="https://fra1.digitaloceanspaces.com", addressing="path"),
         "https://fra1.digitaloceanspaces.com", False),
    ],
)  # fmt: skip
def test_the_bucket_stands_where_the_vendor_wants_it(upload: Upload, endpoint: str | None, virtual: bool) -> None:
    store = _store_of(upload)
    assert isinstance(store, S3Store)
    config = {str(key).removeprefix("aws_"): value for key, value in store.config.items()}
    assert config.get("endpoint") == endpoint
    assert str(config["virtual_hosted_style_request"]).lower() == str(virtual).lower()


def test_google_and_azure_are_stores_of_their_own() -> None:
    assert isinstance(_store_of(Upload("s3", "azure", "c", access_key="account", secret_key="a2V5")), AzureStore)
    key = '{"type":"service_account","private_key":"hunter2","private_key_id":"k","client_email":"e","gcs_base_url":""}'
    try:
        store = _store_of(Upload("s3", "gcp", "b", secret_key=key))
    except Exception:  # noqa: BLE001 - the key is none; what matters is what is said of it
        with pytest.raises(ArchiveDenied) as raised:
            Objects.open(Upload("s3", "gcp", "b", secret_key=key))
        assert "hunter2" not in str(raised.value)
    else:
        assert isinstance(store, GCSStore)
