"""Customers' data requests are stored for the merchant until they are erased."""

from typing import Any

import msgspec
import pytest

from tests.running_app import RunningApp
from tests.scenarios import (
    finished_job,
    privacy_request,
    process_webhook,
    refusal,
    send_webhook,
    waiting_job,
)

CUSTOMER = "191167"  # as in the stand-in's samples
PATH = "/v1/privacy/requests"


async def get_privacy(
    shared_app: RunningApp, shop: str, path: str = "", **query: str
) -> dict[str, Any]:
    """What the merchant is answered."""
    answer = await shared_app.http.get(
        f"{PATH}{path}", params=query, headers=shared_app.bearer(shop)
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_data_request_document_contains_all_that_is_held(
    shared_app: RunningApp, shop: str
) -> None:
    request = {"product_id": "gid://shopify/Product/1", "upload_key": "uploads/secret.jpg"}
    job, keys = await finished_job(shared_app, shop=shop, customer_id=CUSTOMER, request=request)
    await finished_job(shared_app, shop=shop, customer_id="2")
    assert await process_webhook(shared_app, "customers/data_request", shop=shop) == (
        "processed",
        "HELD 1 jobs",
    )
    [summary] = (await get_privacy(shared_app, shop))["requests"]
    document = await get_privacy(shared_app, shop, f"/{summary['public_id']}")
    assert {name: document[name] for name in summary} == summary
    [held] = document["jobs"]
    assert (held["public_id"], held["status"]) == (job.public_id, "SUCCESS")
    assert held["request"] == {"product_id": "gid://shopify/Product/1"}
    assert [each["role"] for each in held["pictures"]] == ["intermediate", "final", "final"]
    text = msgspec.json.encode(document).decode()
    assert not [key for key in [*keys, "secret.jpg", "http"] if key in text]


async def test_a_data_request_shows_its_deadline(shared_app: RunningApp, shop: str) -> None:
    await process_webhook(shared_app, "customers/data_request", shop=shop)
    rows = await shared_app.rows(
        "SELECT to_char(received_at + interval '30 days', 'YYYY-MM-DD') AS day "
        "FROM webhook_deliveries WHERE shop_domain = :d",
        d=shop,
    )
    [summary] = (await get_privacy(shared_app, shop))["requests"]
    assert summary["hand_over_by"].startswith(rows[0]["day"])


@pytest.mark.parametrize("number", [2**63, 10**30, 0, -(10**30)])
async def test_a_data_request_with_an_impossible_number_is_refused_once_and_for_all(
    shared_app: RunningApp, shop: str, number: int
) -> None:
    sample = shared_app.shopify.payload(shop, "customers/data_request")
    payload = {**sample, "data_request": {"id": number}}
    ended = await process_webhook(shared_app, "customers/data_request", payload, shop=shop)
    assert ended == ("ignored", "BODY_MISMATCH")


async def test_the_largest_number_of_a_data_request_is_stored(
    shared_app: RunningApp, shop: str
) -> None:
    sample = shared_app.shopify.payload(shop, "customers/data_request")
    payload = {**sample, "data_request": {"id": 2**63 - 1}}
    ended = await process_webhook(shared_app, "customers/data_request", payload, shop=shop)
    assert ended == ("processed", "HELD 0 jobs")


async def test_a_repeated_data_request_is_stored_once(shared_app: RunningApp, shop: str) -> None:
    for _ in range(2):
        await process_webhook(shared_app, "customers/data_request", shop=shop)
    assert (await get_privacy(shared_app, shop))["count"] == 1


async def test_requests_and_documents_are_paginated(shared_app: RunningApp, shop: str) -> None:
    requests = [await privacy_request(shared_app, shop=shop) for _ in range(3)]
    jobs = [await waiting_job(shared_app, shop=shop, customer_id=CUSTOMER) for _ in range(3)]
    for path, name, wanted in (
        (PATH, "requests", requests),
        (f"{PATH}/{requests[0]}", "jobs", [job.public_id for job in jobs]),
    ):
        found, url = [], f"{path}?limit=2"
        while url:
            answer = await shared_app.http.get(url, headers=shared_app.bearer(shop))
            found += [each["public_id"] for each in answer.json()[name]]
            url = answer.links.get("next", {}).get("url", "")
        assert found == sorted(wanted, reverse=True)


async def test_a_redaction_erases_only_that_customers_requests(
    shared_app: RunningApp, shop: str
) -> None:
    gone = await privacy_request(shared_app, shop=shop)
    kept = await privacy_request(shared_app, shop=shop, customer_id="2")
    await process_webhook(shared_app, "customers/redact", shop=shop)
    for public_id, code in ((gone, "PRIVACY_REQUEST_NOT_FOUND"), ("0" * 26, None), (kept, "")):
        answer = await shared_app.http.get(f"{PATH}/{public_id}", headers=shared_app.bearer(shop))
        if code == "":
            assert answer.status_code == 200
        else:
            assert refusal(answer) == (404, "PRIVACY_REQUEST_NOT_FOUND")


async def test_a_data_request_without_its_id_is_ignored(shared_app: RunningApp, shop: str) -> None:
    payload = shared_app.shopify.payload(shop, "customers/redact")
    ended = await process_webhook(shared_app, "customers/data_request", payload, shop=shop)
    assert ended == ("ignored", "BODY_MISMATCH")
    await send_webhook(shared_app, "customers/data_request", shop=shop)
    assert (await get_privacy(shared_app, shop))["count"] == 0
