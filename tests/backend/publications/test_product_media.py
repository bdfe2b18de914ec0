"""A job's product with its media, read from Shopify."""

import httpx

from backend.dev.shopify import ProductRecord
from tests.backend.publications import scenarios
from tests.running_app import RunningApp
from tests.scenarios import finished_job, lock_out, refusal


async def get_product(shared_app: RunningApp, shop: str, public_id: str) -> httpx.Response:
    """The job's product."""
    return await shared_app.http.get(
        f"/v1/jobs/{public_id}/product", headers=shared_app.bearer(shop)
    )


async def test_the_media_are_those_that_shopify_shows_now(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    job, digests = await scenarios.publishable_job(shared_app, shop, product, pictures=1)
    wanted = scenarios.publication_request(digests, position=[1], alt=["Blue tee"])
    await scenarios.publish(shared_app, shop, job, wanted)
    answer = await get_product(shared_app, shop, job.public_id)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    current = shared_app.shopify.current(product)
    assert [found[name] for name in ("id", "title", "handle")] == [
        product.gid,
        product.title,
        product.handle,
    ]
    assert [media["id"] for media in found["media"]] == [media.gid for media in current.media]
    assert [media["ours"] for media in found["media"]] == [True, False, False, False]
    alts = [media.alt or "" for media in current.media]
    assert [media["alt"] for media in found["media"]] == alts
    assert alts[::2] == ["Blue tee", "From behind"]
    assert found["media"][0]["type"] == "IMAGE"
    assert found["media"][1]["image_url"] == current.media[1].url


async def test_more_media_than_a_page_are_all_read(shared_app: RunningApp, shop: str) -> None:
    product = shared_app.shopify.create_product(shop, "Tee", scenarios.png("0"), "image/png")
    for number in range(120):
        shared_app.shopify.add_image(product, scenarios.png(str(number)), "image/png")
    job, _ = await scenarios.publishable_job(shared_app, shop, product, pictures=1)
    assert len((await get_product(shared_app, shop, job.public_id)).json()["media"]) == 121


async def test_a_job_without_a_product_has_no_media(shared_app: RunningApp, shop: str) -> None:
    job, _ = await finished_job(shared_app, shop=shop)
    answer = await get_product(shared_app, shop, job.public_id)
    assert refusal(answer) == (409, "JOB_HAS_NO_PRODUCT")


async def test_a_deleted_product_is_not_found(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    job, _ = await scenarios.publishable_job(shared_app, shop, product)
    shared_app.shopify.delete_product(product)
    answer = await get_product(shared_app, shop, job.public_id)
    assert refusal(answer) == (404, "PRODUCT_NOT_FOUND")


async def test_a_missing_job_has_no_product(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    theirs, _ = await finished_job(shared_app)
    for public_id in ("0" * 26, "x", theirs.public_id):
        answer = await get_product(shared_app, shop, public_id)
        assert refusal(answer) == (404, "JOB_NOT_FOUND")


async def test_a_missing_scope_is_named(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    job, _ = await scenarios.publishable_job(shared_app, shop, product)
    await shared_app.execute("UPDATE shops SET scopes = '' WHERE domain = :d", d=shop)
    answer = await get_product(shared_app, shop, job.public_id)
    assert refusal(answer) == (403, "SCOPE_MISSING")
    assert "read_products" in answer.json()["error"]["message"]


async def test_a_shop_without_a_valid_token_is_told_to_install_again(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    job, _ = await scenarios.publishable_job(shared_app, shop, product)
    await lock_out(shared_app, shop)
    for _ in range(2):
        answer = await get_product(shared_app, shop, job.public_id)
        assert refusal(answer) == (401, "SHOP_NOT_INSTALLED")
    await shared_app.install(shop)
    assert (await get_product(shared_app, shop, job.public_id)).status_code == 200
