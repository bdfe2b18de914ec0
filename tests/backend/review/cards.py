"""What the tests of the review share: jobs to decide on, and how to ask for them."""

from typing import Any

import httpx

from backend.jobs.service import JobRef
from tests.backend.publications.scenarios import publishable_job
from tests.running_app import RunningApp


async def reviewable_job(shared_app: RunningApp, shop: str, **meta: Any) -> JobRef:
    """A successful job for a product, with two final images."""
    product = shared_app.product(b"unread", shop=shop)
    job, _ = await publishable_job(shared_app, shop, product, **meta)
    return job


async def get_review(
    shared_app: RunningApp, shop: str, tag: str | None = None, **query: Any
) -> httpx.Response:
    """A page of the review."""
    headers = shared_app.bearer(shop) | ({"If-None-Match": tag} if tag else {})
    return await shared_app.http.get("/v1/review", params=query, headers=headers)


async def card_ids(shared_app: RunningApp, shop: str, **query: Any) -> list[str]:
    """The IDs of the cards on a page."""
    answer = await get_review(shared_app, shop, **query)
    assert answer.status_code == 200, answer.text
    return [card["public_id"] for card in answer.json()["cards"]]


async def dismissal(
    shared_app: RunningApp, shop: str, public_id: str, method: str = "POST"
) -> httpx.Response:
    """Dismiss a job, or take that back."""
    path = f"/v1/jobs/{public_id}/dismissal"
    return await shared_app.http.request(method, path, headers=shared_app.bearer(shop))
