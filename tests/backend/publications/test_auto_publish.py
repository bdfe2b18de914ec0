"""Which results are published automatically."""

from typing import Any

import pytest

from backend.dev.shopify import ProductRecord
from backend.jobs.service import JobRef
from backend.publications.auto_publish import auto_publish
from tests.backend.publications.scenarios import (
    gallery_of,
    get_publication,
    publication_events,
    publishable_job,
    run_publication_to_end,
)
from tests.running_app import RunningApp
from tests.scenarios import refusal

WISH = {"position": 1, "alt": "Tee"}


async def finish_rule_job(
    shared_app: RunningApp, shop: str, product: ProductRecord, **meta: Any
) -> tuple[JobRef, list[str]]:
    """A job that has just succeeded, of a rule that publishes; and its pictures' digests."""
    ref, digests = await publishable_job(shared_app, shop, product, **meta)
    async with shared_app.database.transaction() as connection:
        await auto_publish(connection, ref, product.gid, WISH)
    return ref, digests


async def test_auto_publish_uses_the_requested_alt_text_and_position(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    ref, digests = await finish_rule_job(shared_app, shop, product, verdict="pass")
    waiting = await get_publication(shared_app, shop, ref)
    assert waiting["status"] == "PENDING"
    assert [each["sha256"] for each in waiting["artifacts"]] == digests[:1]
    await run_publication_to_end(shared_app, ref)
    made = await get_publication(shared_app, shop, ref)
    assert made["status"] == "PUBLISHED"
    assert gallery_of(shared_app, product)[0] == (made["artifacts"][0]["media_id"], "Tee")


@pytest.mark.parametrize(
    "meta",
    [
        {"verdict": "needs_review"},
        {"verdict": "pass", "is_preview": True},
        {},
        {"verdict": "pass", "role": "intermediate"},
    ],
    ids=["a person should look", "only a preview", "no verdict", "no final picture"],
)
async def test_results_that_need_review_are_not_published_automatically(
    shared_app: RunningApp, shop: str, product: ProductRecord, meta: dict[str, Any]
) -> None:
    before = gallery_of(shared_app, product)
    ref, _ = await finish_rule_job(shared_app, shop, product, **meta)
    assert (await publication_events(shared_app, ref))[-1][1:] == ("publish", "NEEDS_REVIEW")
    answer = await shared_app.http.get(
        f"/v1/jobs/{ref.public_id}/publication", headers=shared_app.bearer(shop)
    )
    assert refusal(answer) == (404, "PUBLICATION_NOT_FOUND")
    assert gallery_of(shared_app, product) == before
