"""A category that nobody named is the one that the product's type tells."""

from typing import Any

import msgspec
import pytest

from backend.jobs.service import JobRef
from backend.leased_task import Done
from backend.renderers.base import Rendered, RenderRequest
from backend.worker.backfills import copy_categories
from backend.worker.execute import run_job
from tests.hosted_engines import app_with
from tests.running_app import RunningApp
from tests.scenarios import NoRenderer, new_shop, open_shared_app, refusal

shared_app = pytest.fixture(open_shared_app, scope="module")
shop = pytest.fixture(new_shop)


class Recording(NoRenderer):
    """Notes the parameters of each stage."""

    def __init__(self) -> None:
        self.params: dict[str, dict[str, Any]] = {}

    async def render(self, request: RenderRequest) -> Rendered:
        """Note them."""
        self.params[request.stage] = request.params
        return await super().render(request)


async def params_of(shared_app: RunningApp, shop: str, public_id: str) -> dict[str, Any]:
    """Run the job; the parameters with which its garment was put on the mannequin."""
    return (await run(shared_app, shop, public_id))["dress"]


async def run(shared_app: RunningApp, shop: str, public_id: str) -> dict[str, dict[str, Any]]:
    """Run the job; the parameters of each stage."""
    shops = await shared_app.rows("SELECT id FROM shops WHERE domain = :d", d=shop)
    renderer = Recording()
    context = msgspec.structs.replace(shared_app.worker_context, renderer=renderer)
    ref = JobRef(shop_id=shops[0]["id"], public_id=public_id)
    assert await run_job(ref, context) == Done()
    return renderer.params


async def test_the_product_tells_the_category_and_a_rerun_keeps_it(
    shared_app: RunningApp, shop: str
) -> None:
    product = shared_app.shopify.create_product(shop, "Flora", b"x", product_type="Summer dresses")
    made = await post(shared_app, shop, "/v1/product-to-model-direct", product_id=product.gid)
    assert (await params_of(shared_app, shop, made))["category"] == "dress"
    again = await post(shared_app, shop, f"/v1/jobs/{made}/rerun")
    assert (await params_of(shared_app, shop, again))["category"] == "dress"
    named = {"parameters": {"category": "top"}}
    other = await post(shared_app, shop, f"/v1/jobs/{made}/rerun", **named)
    assert (await params_of(shared_app, shop, other))["category"] == "top"


async def test_the_gallery_shows_the_category_that_the_product_told_and_filters_by_it(
    shared_app: RunningApp, shop: str
) -> None:
    product = shared_app.shopify.create_product(shop, "Flora", b"x", product_type="Summer dresses")
    told = await post(shared_app, shop, "/v1/product-to-model-direct", product_id=product.gid)
    named = await post(
        shared_app, shop, "/v1/product-to-model-direct", product_id=product.gid, category="top"
    )
    again = await post(shared_app, shop, f"/v1/jobs/{told}/rerun")
    for job in (told, named, again):
        await params_of(shared_app, shop, job)
    assert await categories(shared_app, shop, "") == {told: "dress", named: "top", again: "dress"}
    for name, expected in (("dress", {told, again}), ("top", {named})):
        assert set(await categories(shared_app, shop, f"?category={name}")) == expected


async def test_the_categories_of_earlier_jobs_are_copied(shared_app: RunningApp, shop: str) -> None:
    product = shared_app.shopify.create_product(shop, "Flora", b"x", product_type="Summer dresses")
    path = "/v1/product-to-model-direct"
    told = await post(shared_app, shop, path, product_id=product.gid)
    named = await post(shared_app, shop, path, product_id=product.gid, category="top")
    for job in (told, named):
        await params_of(shared_app, shop, job)
    await shared_app.execute("UPDATE jobs SET category = NULL")
    assert await categories(shared_app, shop, "?category=top") == {}
    assert await copy_categories(shared_app.database, step=1) >= 2
    assert await categories(shared_app, shop, "") == {told: "dress", named: "top"}
    assert await copy_categories(shared_app.database) == 0


async def test_a_workflow_without_garments_of_its_own_stores_the_guess(
    shared_app: RunningApp, shop: str
) -> None:
    product = shared_app.shopify.create_product(shop, "Flora", b"x", product_type="Summer dresses")
    made = await post(shared_app, shop, "/v1/catalog-image", product_id=product.gid)
    await run(shared_app, shop, made)
    assert await categories(shared_app, shop, "?category=dress") == {made: "dress"}


@pytest.mark.parametrize("product_type", ["Candles", "Sneakers"])
async def test_what_the_workflow_does_not_take_is_no_guess(
    shared_app: RunningApp, shop: str, product_type: str
) -> None:
    product = shared_app.shopify.create_product(shop, "Pair", b"x", product_type=product_type)
    made = await post(shared_app, shop, "/v1/product-to-model-direct", product_id=product.gid)
    assert "category" not in await params_of(shared_app, shop, made)


async def test_a_photo_without_a_product_needs_a_category(
    shared_app: RunningApp, shop: str
) -> None:
    answer = await shared_app.http.post(
        "/v1/product-to-model-direct",
        json={"media_id": "gid://shopify/MediaImage/1"},
        headers=shared_app.bearer(shop),
    )
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert answer.json()["detail"][0]["loc"] == ["body", "category"]


async def test_a_hosted_engine_needs_no_category(shared_app: RunningApp, shop: str) -> None:
    image = {"media_id": "gid://shopify/MediaImage/1"}
    async with app_with(shared_app, engines="dress=fashn", fashn_api_key="none") as hosted:
        made = await post(hosted, shop, "/v1/product-to-model-direct", **image)
        await post(hosted, shop, f"/v1/jobs/{made}/rerun")
    answer = await shared_app.http.post(
        f"/v1/jobs/{made}/rerun", json={}, headers=shared_app.bearer(shop)
    )
    assert refusal(answer) == (422, "INVALID_REQUEST"), "the mannequin needs one"


async def post(shared_app: RunningApp, shop: str, path: str, **body: Any) -> str:
    """The id of the job that this makes."""
    answer = await shared_app.http.post(path, json=body, headers=shared_app.bearer(shop))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


async def categories(shared_app: RunningApp, shop: str, query: str) -> dict[str, str | None]:
    """The category of each job in the gallery."""
    answer = await shared_app.http.get(f"/v1/renders{query}", headers=shared_app.bearer(shop))
    assert answer.status_code == 200, answer.text
    return {render["public_id"]: render["category"] for render in answer.json()["renders"]}
