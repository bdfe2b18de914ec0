"""Job detail over HTTP: image URLs work, and other shops' jobs are not found."""

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from backend.jobs.detail import job_detail
from backend.jobs.ids import new_public_id
from backend.storage.presign import SIGNING_WINDOW, URL_LIFETIME, Presigner
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import fingerprint, finished_job, open_shared_app, refusal, waiting_job

shared_app = pytest.fixture(open_shared_app, scope="module")


async def final_url(running_app: RunningApp) -> str:
    """The presigned URL of a finished job's first picture."""
    ref, _ = await finished_job(running_app)
    url: str = (await running_app.detail(ref.public_id)).json()["result"][0]["image_url"]
    return url


async def download(url: str, method: str = "GET") -> httpx.Response:
    """What anybody gets who has the URL and nothing else."""
    async with httpx.AsyncClient() as anyone:
        return await anyone.request(method, url)


def comparable(response: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Status, bytes and headers, but for the request id and the date."""
    request_id = response.headers["x-request-id"]
    headers = httpx.Headers(response.headers)
    del headers["x-request-id"], headers["date"]
    content = response.content.replace(request_id.encode(), b"")
    return response.status_code, content, headers.multi_items()


# The pictures


async def test_every_image_downloads_unchanged_and_inline(
    shared_app: RunningApp,
) -> None:
    ref, keys = await finished_job(shared_app)
    body = (await shared_app.detail(ref.public_id)).json()
    for item, key in zip(body["result"], keys[1:], strict=True):
        picture = await download(item["image_url"])
        assert picture.status_code == 200
        assert picture.content == await shared_app.worker_context.store.get(key)
        assert picture.headers["content-type"] == "image/png"
        assert picture.headers["content-disposition"].startswith("inline")


def next_digit(url: str, *, after: str) -> str:
    """The URL with one hex digit changed."""
    start, _, rest = url.partition(after)
    return f"{start}{after}{(int(rest[0], 16) + 1) % 16:x}{rest[1:]}"


TAMPERINGS: dict[str, Callable[[str], str]] = {
    "the signature": lambda url: next_digit(url, after="Signature="),
    "the key": lambda url: next_digit(url, after="artifacts/"),
    "its life": lambda url: url.replace(f"Expires={URL_LIFETIME}", "Expires=86400"),
    "its date": lambda url: re.sub(r"(X-Amz-Date=\d{4})", r"\g<1>1", url, count=1),
    "its type": lambda url: url.replace("image%2Fpng", "text%2Fhtml"),
    "everything after the key": lambda url: url.partition("?")[0],
}


@pytest.mark.parametrize("what", TAMPERINGS)
async def test_a_modified_image_url_is_rejected(shared_app: RunningApp, what: str) -> None:
    url = await final_url(shared_app)
    changed = TAMPERINGS[what](url)
    assert changed != url
    assert (await download(changed)).status_code in {400, 403}
    assert (await download(url)).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_an_image_url_allows_only_reading(shared_app: RunningApp, method: str) -> None:
    url = await final_url(shared_app)
    assert (await download(url, method)).status_code == 403
    assert (await download(url)).status_code == 200


async def test_an_image_url_expires_at_its_stated_time(shared_app: RunningApp) -> None:
    _, keys = await finished_job(shared_app)

    def signed(age: float) -> str:
        then = Presigner(shared_app.settings, clock=lambda: time.time() - age)
        return then.sign(keys[-1], "image/png").url

    assert (await download(signed(0))).status_code == 200
    assert (await download(signed(3600))).status_code == 403


async def test_every_image_url_is_valid_for_ten_more_minutes(shared_app: RunningApp) -> None:
    ref, _ = await finished_job(shared_app)
    asked_at = time.time()
    detail = (await shared_app.detail(ref.public_id)).json()
    answered_at = time.time()  # a window may have turned in between
    for item in detail["result"]:
        expires_at = datetime.fromisoformat(item["meta"]["expires_at"]).timestamp()
        assert expires_at - asked_at >= URL_LIFETIME - SIGNING_WINDOW
        assert expires_at - answered_at <= URL_LIFETIME


async def test_two_polls_return_identical_bytes(shared_app: RunningApp) -> None:
    ref, _ = await finished_job(shared_app)

    async def poll() -> tuple[bytes, Any]:
        response = await shared_app.detail(ref.public_id)
        return response.content, response.json()["result"][0]["meta"]["expires_at"]

    first, second = await poll(), await poll()
    if first[1] != second[1]:  # a window has just turned, and will not again for minutes
        first = await poll()
    assert first == second


async def test_the_response_changes_only_with_the_signing_window(
    shared_app: RunningApp,
) -> None:
    ref, _ = await finished_job(shared_app)

    async def bytes_at(moment: float) -> bytes:
        signer = Presigner(shared_app.settings, clock=lambda: moment)
        _, detail = await job_detail(
            shared_app.database, signer, shop_domain=SHOP, public_id=ref.public_id
        )
        return msgspec.json.encode(detail)

    start = time.time() // SIGNING_WINDOW * SIGNING_WINDOW
    first, last, after = [
        await bytes_at(start + passed) for passed in (0, SIGNING_WINDOW - 1, SIGNING_WINDOW)
    ]
    assert first == last
    assert last != after


# Other people's jobs


def malformed_ids(own: str) -> dict[str, str]:
    """Paths that name no job, made from the id of one that exists."""
    return {
        "in lower case": own.lower(),
        "of 25 characters": own[:-1],
        "of 27 characters": own + "0",
        "beyond 128 bits": "8" + own[1:],
        "with a letter that ULIDs lack": own[:-1] + "U",
        "with a space around it": f"%20{own}",
        "with a NUL": own[:-1] + "%00",
        "with a line feed": own + "%0A",
        "in Arabic digits": quote("٠" * 26),
        "in full-width letters": quote("".join(chr(ord(char) + 0xFEE0) for char in own)),
        "of bytes that are no UTF-8": "%ff%fe",
        "that is a wildcard": "%25",
        "that is SQL": quote("' OR 1=1 --"),
        "that is two dots": "%2e%2e",
        "of three thousand characters": "A" * 3000,
    }


async def test_missing_foreign_and_malformed_ids_get_the_same_answer(
    shared_app: RunningApp,
) -> None:
    await shared_app.install(OTHER_SHOP)
    foreign = (await waiting_job(shared_app, shop=OTHER_SHOP)).public_id
    own = (await waiting_job(shared_app)).public_id
    ids = {"foreign": foreign, **malformed_ids(own)}
    answers = {name: await shared_app.detail(id_) for name, id_ in ids.items()}
    missing = await shared_app.detail(new_public_id())
    assert refusal(missing) == (404, "JOB_NOT_FOUND")
    different = {
        name: answer.text
        for name, answer in answers.items()
        if comparable(answer) != comparable(missing)
    }
    assert different == {}


@pytest.mark.parametrize("path", ["..%2fjobs%2f{}", "{}/x", "{}%2fx"])
async def test_a_path_beyond_an_id_does_not_reveal_whether_the_id_exists(
    shared_app: RunningApp, path: str
) -> None:
    own = (await waiting_job(shared_app)).public_id
    answers = [await shared_app.detail(path.format(id_)) for id_ in (own, new_public_id())]
    assert comparable(answers[0]) == comparable(answers[1])
    assert {answer.status_code for answer in answers} == {404}


async def test_a_missing_job_has_no_etag_and_is_never_304(shared_app: RunningApp) -> None:
    headers = {**shared_app.bearer(), "If-None-Match": "*"}
    response = await shared_app.http.get(f"/v1/jobs/{new_public_id()}", headers=headers)
    assert response.status_code == 404
    assert "etag" not in response.headers


# Shops that are not here


async def test_a_shop_that_never_installed_gets_401(shared_app: RunningApp) -> None:
    shared_app.shopify.create_shop("stranger.myshopify.com")
    ref = await waiting_job(shared_app)
    response = await shared_app.detail(ref.public_id, shop="stranger.myshopify.com")
    assert refusal(response) == (401, "SHOP_NOT_INSTALLED")
    assert "x-shopify-retry-invalid-session-request" not in response.headers


async def test_a_reinstalled_shop_sees_its_old_jobs_again(
    shared_app: RunningApp,
) -> None:
    shop = "leaving.myshopify.com"
    await shared_app.install(shop)
    ref, _ = await finished_job(shared_app, shop=shop)
    await shared_app.execute("UPDATE shops SET status = 'uninstalled' WHERE domain = :d", d=shop)
    assert refusal(await shared_app.detail(ref.public_id, shop=shop)) == (401, "SHOP_NOT_INSTALLED")
    await shared_app.install(shop)
    assert (await shared_app.detail(ref.public_id, shop=shop)).status_code == 200


async def test_reading_changes_nothing(shared_app: RunningApp) -> None:
    ref, _ = await finished_job(shared_app)
    before = await fingerprint(shared_app, SHOP)
    await shared_app.detail(ref.public_id)
    assert await fingerprint(shared_app, SHOP) == before
