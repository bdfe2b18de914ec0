"""Our way to boto3's client for S3 gives the client that boto3 gives."""

import boto3
import pytest
from botocore.loaders import create_loader

from backend.storage.aws_session import aws_session, s3_client, s3_descriptions

FILES = ("endpoints", "partitions", "sdk-default-configuration", "_retry")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


def test_the_client_has_what_boto3s_own_has() -> None:
    ours, theirs = s3_client(), boto3.Session().client("s3")
    assert dir(ours) == dir(theirs)
    assert ours.meta.endpoint_url == theirs.meta.endpoint_url
    assert ours.meta.region_name == theirs.meta.region_name == "eu-central-1"
    assert ours.meta.service_model.api_version == theirs.meta.service_model.api_version


def test_descriptions_are_those_of_botocores_loader() -> None:
    ours, theirs = s3_descriptions.__wrapped__(), create_loader()  # clients change what they read
    for name in FILES:
        assert ours.load_data(name) == theirs.load_data(name)
    for kind in ("service-2", "endpoint-rule-set-1", "paginators-1", "waiters-2"):
        assert ours.load_service_model("s3", kind) == theirs.load_service_model("s3", kind)


def test_a_session_reads_the_environment_of_its_own_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aws_session()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    credentials = aws_session().get_credentials()
    assert credentials is not None and credentials.access_key == "another"
