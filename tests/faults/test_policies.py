"""The reference deployment's bucket policies, before a server that enforces them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from botocore.exceptions import ClientError

from backend.dev.s3 import EmbeddedS3
from backend.renderers.base import Renderer
from backend.settings import Settings
from backend.storage.objects import ObjectStore
from tests.backend.uploads.multipart_forms import upload_picture
from tests.commands import run_reconcile
from tests.flows.processes import environment, running_worker_process, wait_for_end
from tests.running_app import open_running_app

POLICIES = Path(__file__).parents[2] / "deploy" / "s3"
BUCKET = "atelier-example"  # as the policies call it
ROLES = ("web", "worker")


class GuardedS3(EmbeddedS3):
    """SeaweedFS with an identity for each role, which may do what the role's policy says."""

    def _identities(self) -> Path:
        path = super()._identities()
        known = json.loads(path.read_text())
        known["policies"] = [
            {"name": role, "content": (POLICIES / f"{role}.json").read_text()} for role in ROLES
        ]
        known["identities"] += [
            {
                "name": role,
                "credentials": [{"accessKey": role, "secretKey": f"secret of {role}"}],
                "actions": [],
                "policyNames": [role],
            }
            for role in ROLES
        ]
        path.write_text(json.dumps(known))
        return path


@pytest.fixture(scope="module")
def s3() -> Iterator[EmbeddedS3]:
    server = GuardedS3().start()
    try:
        server.create_bucket(BUCKET)
        yield server
    finally:
        server.stop()


def become(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3 find the role's credentials."""
    for name, value in credentials(role).items():
        monkeypatch.setenv(name, value)


def credentials(role: str) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": role, "AWS_SECRET_ACCESS_KEY": f"secret of {role}"}


@pytest.fixture
def policy_settings(
    settings: Settings, s3: EmbeddedS3, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Settings of this server; this process is the web process."""
    become("web", monkeypatch)
    return msgspec.structs.replace(settings, s3_endpoint_url=s3.endpoint_url, s3_bucket=BUCKET)


async def test_each_role_can_do_its_work_and_its_urls_download(
    policy_settings: Settings, renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_running_app(policy_settings, renderer) as running_app,
        httpx.AsyncClient() as http,
    ):
        await running_app.install()
        upload_key = await upload_picture(running_app)
        asked = await running_app.http.post(
            "/v1/catalog-image", json={"upload_key": upload_key}, headers=running_app.bearer()
        )
        assert asked.status_code == 202, asked.text
        async with running_worker_process(running_app, tmp_path / "log", **credentials("worker")):
            detail: Any = await wait_for_end(running_app, asked.json()["job_id"])
        assert detail["status"] == "SUCCESS", (tmp_path / "log").read_text()
        for artifact in detail["result"]:
            assert (await http.get(artifact["image_url"])).status_code == 200
        for name, value in {**environment(policy_settings), **credentials("worker")}.items():
            monkeypatch.setenv(name, value)
        await running_app.execute(
            "UPDATE shops SET status = 'uninstalled'"
        )  # nobody to ask Shopify for
        assert (await run_reconcile())[0] == 0


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("web", {"get artifacts", "get uploads", "put uploads", "delete uploads"}),
        (
            "worker",
            {"get artifacts", "get uploads", "put artifacts", "delete artifacts", "delete uploads"}
            | {"list", "look at the bucket"},
        ),
    ],
)
def test_each_role_can_do_nothing_else(
    policy_settings: Settings,
    s3: EmbeddedS3,
    monkeypatch: pytest.MonkeyPatch,
    role: str,
    allowed: set[str],
) -> None:
    for prefix in ("artifacts", "uploads", "elsewhere"):
        s3.client().put_object(Bucket=BUCKET, Key=f"{prefix}/x", Body=b"x")
    become(role, monkeypatch)
    client: Any = ObjectStore(policy_settings).client

    def delete(prefix: str) -> None:
        doomed = {"Objects": [{"Key": f"{prefix}/x"}]}
        if errors := client.delete_objects(Bucket=BUCKET, Delete=doomed).get("Errors"):
            raise ClientError({"Error": errors[0]}, "DeleteObjects")

    deeds: dict[str, Callable[[], Any]] = {
        "list": lambda: client.list_objects_v2(Bucket=BUCKET, Prefix="artifacts/"),
        "look at the bucket": lambda: client.head_bucket(Bucket=BUCKET),
        "delete the bucket": lambda: client.delete_bucket(Bucket=BUCKET),
        "read the policy": lambda: client.get_bucket_policy(Bucket=BUCKET),
        "publish": lambda: client.put_object_acl(
            Bucket=BUCKET, Key="artifacts/x", ACL="public-read"
        ),
    }
    for prefix in ("artifacts", "uploads", "elsewhere"):
        at = {"Bucket": BUCKET, "Key": f"{prefix}/x"}
        deeds[f"get {prefix}"] = lambda at=at: client.get_object(**at)  # type: ignore[misc]
        deeds[f"put {prefix}"] = lambda at=at: client.put_object(**at, Body=b"x")  # type: ignore[misc]
        deeds[f"delete {prefix}"] = lambda prefix=prefix: delete(prefix)  # type: ignore[misc]
    assert {what for what, deed in deeds.items() if succeeds(deed)} == allowed


def succeeds(deed: Callable[[], Any]) -> bool:
    try:
        deed()
    except ClientError as error:
        return error.response["Error"]["Code"] not in {"AccessDenied", "403"}
    return True


def test_the_bucket_accepts_its_lifecycle_and_refuses_plain_http(s3: EmbeddedS3) -> None:
    client = s3.client()
    client.create_bucket(Bucket="other-bucket")
    rules = json.loads((POLICIES / "lifecycle.json").read_text())
    client.put_bucket_lifecycle_configuration(Bucket="other-bucket", LifecycleConfiguration=rules)
    kept = client.get_bucket_lifecycle_configuration(Bucket="other-bucket")["Rules"]
    assert {rule["ID"] for rule in kept} == {rule["ID"] for rule in rules["Rules"]}
    policy = (POLICIES / "bucket.json").read_text().replace(BUCKET, "other-bucket")
    client.put_bucket_policy(Bucket="other-bucket", Policy=policy)
    with pytest.raises(ClientError, match="Access Denied"):
        client.list_objects_v2(Bucket="other-bucket")
