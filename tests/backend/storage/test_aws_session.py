"""boto3's session as we make it: its client for S3, and credentials from other services of AWS."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import boto3
import pytest
from botocore.loaders import create_loader

from backend.errors import ConfigurationError
from backend.storage.aws_session import SERVICES, aws_session, s3_client, service_descriptions

ROLE = "arn:aws:iam::123456789012:role/atelier-web"
ASSUMED = """
<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <Credentials>
      <AccessKeyId>ASIAEXAMPLE</AccessKeyId>
      <SecretAccessKey>secret</SecretAccessKey>
      <SessionToken>session</SessionToken>
      <Expiration>2099-01-01T00:00:00Z</Expiration>
    </Credentials>
    <AssumedRoleUser>
      <AssumedRoleId>AROAEXAMPLE:atelier</AssumedRoleId>
      <Arn>arn:aws:sts::123456789012:assumed-role/atelier-web/atelier</Arn>
    </AssumedRoleUser>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>
"""


class Sts(BaseHTTPRequestHandler):
    """Gives the role's credentials for the right token, and refuses anything else."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        is_right = (
            asked.get("Action") == "AssumeRoleWithWebIdentity"
            and asked.get("RoleArn") == ROLE
            and asked.get("WebIdentityToken") == "a token"
        )
        answer = ASSUMED.encode() if is_right else b""
        self.send_response(200 if is_right else 403)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def sts() -> Iterator[str]:
    """Its address."""
    with HTTPServer(("127.0.0.1", 0), Sts) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of no account."""
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
    ours, theirs = service_descriptions.__wrapped__(), create_loader()  # clients change them
    for name in ("endpoints", "partitions", "sdk-default-configuration", "_retry"):
        assert ours.load_data(name) == theirs.load_data(name)
    for kind in ("service-2", "endpoint-rule-set-1", "paginators-1", "waiters-2"):
        assert ours.load_service_model("s3", kind) == theirs.load_service_model("s3", kind)


def test_a_session_reads_the_environment_of_its_own_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aws_session()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    found = aws_session().get_credentials()
    assert found is not None and found.access_key == "another"


def test_a_pod_has_the_credentials_of_its_role(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("a token")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    with sts() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        credentials = aws_session().get_credentials()
        assert credentials is not None
        frozen = credentials.get_frozen_credentials()
    assert (frozen.access_key, frozen.token) == ("ASIAEXAMPLE", "session")


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_its_description(service: str) -> None:
    client = aws_session()._session.create_client(service)
    assert client.meta.service_model.service_name == service


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("AWS_PROFILE", "nobody", r"profile \(nobody\) could not be found"),
        ("AWS_DEFAULT_REGION", "no region", "'no region' doesn't match"),
        ("AWS_DEFAULT_REGION", "us-east-1", "Invalid endpoint: http://a b"),
    ],
)
def test_a_wrong_set_up_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=rf"{problem}.*\. Check AWS_\* and S3_ENDPOINT"):
        s3_client(endpoint_url="http://a b")
