"""Signed requests over HTTP."""

import shlex
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from backend.auth.signed_request import signed_request
from backend.cli import main
from tests.conftest import PREVIOUS_SECRET, SECRET
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import finished_job, open_shared_app, refusal, waiting_job

shared_app = pytest.fixture(open_shared_app, scope="module")


async def ask(
    shared_app: RunningApp,
    path: str,
    *,
    method: str = "GET",
    shop: str = SHOP,
    secret: str = SECRET,
    age: int = 0,
    **sent: Any,
) -> httpx.Response:
    """A request as a server of ours signs it."""
    url, signature = signed_request(
        secret.encode(),
        method=method,
        url=f"{str(shared_app.http.base_url).rstrip('/')}{path}",
        shop=shop,
        body=b"",
        now=int(time.time()) - age,
    )
    headers = {"X-Shopify-Hmac-Sha256": signature, **sent.pop("headers", {})}
    return await shared_app.http.request(method, url, headers=headers, **sent)


@pytest.mark.parametrize("secret", [SECRET, PREVIOUS_SECRET])
async def test_a_signed_request_reads_and_acts_for_its_shop(
    shared_app: RunningApp, secret: str
) -> None:
    finished, _ = await finished_job(shared_app)
    waiting = await waiting_job(shared_app)
    detail = await ask(shared_app, f"/v1/jobs/{finished.public_id}", secret=secret)
    assert detail.json()["status"] == "SUCCESS"
    events = await ask(shared_app, f"/v1/jobs/{finished.public_id}/events?since=2", secret=secret)
    assert [event["seq"] for event in events.json()["events"]] == [3, 4]
    assert (await ask(shared_app, "/v1/jobs?limit=1", secret=secret)).json()["count"] == 1
    cancelled = await ask(
        shared_app, f"/v1/jobs/{waiting.public_id}/cancel", method="POST", secret=secret
    )
    assert cancelled.status_code == 202


async def test_a_wrong_stale_or_foreign_signature_is_refused(
    shared_app: RunningApp,
) -> None:
    ref, _ = await finished_job(shared_app)
    path = f"/v1/jobs/{ref.public_id}"
    for answer in (
        await ask(shared_app, path, secret="somebody-elses-secret"),
        await ask(shared_app, path, age=100),
        await ask(shared_app, path, age=-100),
        await ask(shared_app, path, content=b"{}"),
    ):
        assert refusal(answer) == (401, "UNAUTHENTICATED")
        assert "x-shopify-retry-invalid-session-request" not in answer.headers


async def test_a_signed_request_cannot_reach_another_or_unknown_shop(
    shared_app: RunningApp,
) -> None:
    await shared_app.install(OTHER_SHOP)
    ref, _ = await finished_job(shared_app, shop=OTHER_SHOP)
    assert refusal(await ask(shared_app, f"/v1/jobs/{ref.public_id}")) == (404, "JOB_NOT_FOUND")
    stranger = await ask(shared_app, "/v1/jobs", shop="nobody-knows.myshopify.com")
    assert refusal(stranger) == (401, "SHOP_NOT_INSTALLED")


async def test_two_credentials_are_refused_and_a_signature_cannot_install(
    shared_app: RunningApp,
) -> None:
    both = await ask(shared_app, "/v1/jobs", headers=shared_app.bearer())
    assert refusal(both) == (400, "AMBIGUOUS_CREDENTIALS")
    install = await ask(shared_app, "/v1/installation", method="POST")
    assert refusal(install) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("is_piped", [False, True])
async def test_the_command_printed_by_sign_creates_a_job(
    shared_app: RunningApp, tmp_path: Path, is_piped: bool
) -> None:
    body = b'{"product_id": "gid://shopify/Product/1"}'
    file = tmp_path / "body.json"
    file.write_bytes(body)
    url = f"{str(shared_app.http.base_url).rstrip('/')}/v1/catalog-image"
    source = "-" if is_piped else str(file)
    printed = CliRunner(env={"SHOPIFY_API_SECRET": SECRET}).invoke(
        main, ["sign", "POST", url, "--shop", SHOP, "--body", source], input=body
    )
    words = shlex.split(printed.output)
    assert words[-2:] == ["--data-binary", f"@{source}"]
    lines = [words[at + 1].partition(": ") for at, word in enumerate(words) if word == "-H"]
    address = next(word for word in words if word.startswith("http"))
    answer = await shared_app.http.post(
        address, content=body, headers={name: value for name, _, value in lines}
    )
    assert answer.status_code == 202, answer.text
