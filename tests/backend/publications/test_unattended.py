"""What is published without anybody looking at it first, and what is not."""

from typing import Any

import pytest

from backend.dev.shopify import Product
from backend.jobs.service import JobRef
from backend.publications.unattended import publish_unattended
from tests.backend.publications.studio import events, finished, look, looks, work
from tests.doors import refusal
from tests.world import World

WISH = {"position": 1, "alt": "Tee"}


async def ended(house: World, shop: str, product: Product, **meta: Any) -> tuple[JobRef, list[str]]:
    """A job that has just succeeded, of a rule that publishes; and its pictures' digests."""
    ref, digests = await finished(house, shop, product, **meta)
    async with house.database.transaction() as connection:
        await publish_unattended(connection, ref, product.gid, WISH)
    return ref, digests


async def test_the_first_picture_goes_up_with_the_alt_and_the_place_that_were_asked_for(
    house: World, shop: str, product: Product
) -> None:
    ref, digests = await ended(house, shop, product, verdict="pass")
    waiting = await look(house, shop, ref)
    assert waiting["status"] == "PENDING"
    assert [each["sha256"] for each in waiting["artifacts"]] == digests[:1]
    await work(house, ref)
    made = await look(house, shop, ref)
    assert made["status"] == "PUBLISHED"
    assert looks(house, product)[0] == (made["artifacts"][0]["media_id"], "Tee")


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
async def test_what_nobody_vouches_for_waits_for_the_merchant(
    house: World, shop: str, product: Product, meta: dict[str, Any]
) -> None:
    before = looks(house, product)
    ref, _ = await ended(house, shop, product, **meta)
    assert (await events(house, ref))[-1][1:] == ("publish", "NEEDS_REVIEW")
    answer = await house.http.get(
        f"/v1/jobs/{ref.public_id}/publication", headers=house.bearer(shop)
    )
    assert refusal(answer) == (404, "PUBLICATION_NOT_FOUND")
    assert looks(house, product) == before
