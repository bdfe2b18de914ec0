"""The gallery of finished images."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from backend.gallery.render_queries import RENDER_PAGE, RENDER_PAGE_OF_CATEGORY
from backend.workflows import WORKFLOWS
from tests.running_app import SHOP, RunningApp
from tests.scenarios import claimed_job, finished_job, refusal, waiting_job

TOP = {"category": "top", "product_id": "gid://shopify/Product/1"}


async def ask(shared_app: RunningApp, shop: str, path: str = "") -> httpx.Response:
    """A request to the gallery, by default for its list."""
    return await shared_app.http.get(f"/v1/renders{path}", headers=shared_app.bearer(shop))


async def listed(shared_app: RunningApp, shop: str, query: str = "") -> list[str]:
    """The IDs of the jobs on a page."""
    answer = await ask(shared_app, shop, query)
    assert answer.status_code == 200, answer.text
    return [render["public_id"] for render in answer.json()["renders"]]


async def render(
    shared_app: RunningApp,
    shop: str,
    job_type: str = "CATALOG_IMAGE",
    request: dict[str, Any] | None = None,
) -> str:
    """A successful job of that type; its ID."""
    ref, _ = await finished_job(shared_app, shop=shop, request=request)
    await shared_app.execute(
        "UPDATE jobs SET job_type = :t WHERE public_id = :id", t=job_type, id=ref.public_id
    )
    await asyncio.sleep(0.002)  # ids begin with the millisecond
    return ref.public_id


async def test_a_render_has_its_images_and_how_they_were_made(
    shared_app: RunningApp, shop: str
) -> None:
    public_id = await render(shared_app, shop, "PRODUCT_TO_MODEL_DIRECT", TOP)
    meta = {"generative": True, "provider": "fashn", "model": "m", "seed": 7}
    await shared_app.execute(
        "UPDATE artifacts SET meta = meta || CAST(:m AS jsonb) "
        "WHERE job_id = :id AND role = 'final'",
        m=json.dumps({**meta, "digital_source_type": "x"}),
        id=public_id,
    )
    await shared_app.execute(
        "UPDATE artifacts SET kind = 'thumbnail' WHERE job_id = :id AND role = 'intermediate'",
        id=public_id,
    )
    await shared_app.execute(
        "UPDATE jobs SET asked_by = CAST(:a AS jsonb), rerun_of = :r WHERE public_id = :id",
        a=json.dumps({"kind": "staff", "user_id": "7"}),
        r="0" * 26,
        id=public_id,
    )
    answer = await ask(shared_app, shop)
    body = answer.json()
    assert (body["limit"], body["offset"], body["count"]) == (24, 0, 1)
    [found] = body["renders"]
    assert found["workflow"] == "product-to-model-direct"
    assert (found["origin"], found["category"]) == ("compose", "top")
    assert len(found["finals"]) == 2
    for image in (*found["finals"], found["thumbnail"]):
        assert (await shared_app.http.get(image["image_url"])).status_code == 200
    assert found["provenance"] == {
        **meta,
        "digital_source_type": "x",
        "rerun_of": "0" * 26,
        "asked_by": {"kind": "staff", "user_id": "7"},
    }
    assert (await ask(shared_app, shop, f"/{public_id}")).json() == found
    assert (await ask(shared_app, shop)).content == answer.content, "the same URLs in a window"


async def test_only_successful_jobs_of_the_shops_own_are_shown(
    shared_app: RunningApp, shop: str
) -> None:
    waiting = await waiting_job(shared_app, shop=shop)
    running = (await claimed_job(shared_app, shop=shop)).ref
    visitors, _ = await finished_job(shared_app, shop=shop, customer_id="7")
    own = await render(shared_app, shop)
    assert await listed(shared_app, shop) == [own]
    foreign = await render(shared_app, SHOP)
    hidden = [waiting.public_id, running.public_id, visitors.public_id, foreign]
    answers = [await ask(shared_app, shop, f"/{each}") for each in (*hidden, "0" * 26, "malformed")]
    assert {refusal(answer) for answer in answers} == {(404, "RESOURCE_NOT_FOUND")}
    assert len({answer.json()["error"]["message"] for answer in answers}) == 1
    assert len({answer.headers["content-length"] for answer in answers}) == 1


async def test_the_filters_narrow_the_list(shared_app: RunningApp, shop: str) -> None:
    catalog = await render(shared_app, shop)
    top = await render(shared_app, shop, "PRODUCT_TO_MODEL_DIRECT", TOP)
    dress = await render(shared_app, shop, "PRODUCT_TO_MODEL_DIRECT", {**TOP, "category": "dress"})
    swap = await render(shared_app, shop, "BACKGROUND_SWAP_WITH_SPEC")
    for query, wanted in (
        ("", [swap, dress, top, catalog]),
        ("?origin=compose", [dress, top]),
        ("?origin=edit", [swap]),
        ("?workflow=catalog-image", [catalog]),
        ("?category=top", [top]),
        ("?category=top&origin=edit", []),
        ("?workflow=catalog-image&origin=compose", []),
        ("?offset=1&limit=2", [dress, top]),
        ("?origin=compose&offset=1", [top]),
    ):
        assert await listed(shared_app, shop, query) == wanted, query


async def test_pages_cover_every_render_once_while_jobs_finish(
    shared_app: RunningApp, shop: str
) -> None:
    types = list(WORKFLOWS)[:2]
    made = [await render(shared_app, shop, types[number % 2]) for number in range(5)]
    seen: list[str] = []
    answer = await ask(shared_app, shop, "?limit=2")
    while True:
        seen += [each["public_id"] for each in answer.json()["renders"]]
        if "link" not in answer.headers:
            break
        await render(shared_app, shop)
        path, _, relation = answer.headers["link"].partition("; ")
        assert relation == 'rel="next"'
        answer = await shared_app.http.get(path.strip("<>"), headers=shared_app.bearer(shop))
    assert seen == made[::-1]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("origin=storefront", "origin"),
        ("workflow=CATALOG_IMAGE", "workflow"),
        ("category=Top", "category"),
        ("offset=10001", "offset"),
        ("cursor=x", "cursor"),
        (f"cursor={'0' * 26}&offset=1", "offset"),
        ("status=SUCCESS", "status"),
    ],
)
async def test_an_invalid_query_parameter_is_reported_by_name(
    shared_app: RunningApp, shop: str, query: str, named: str
) -> None:
    answer = await ask(shared_app, shop, f"?{query}")
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert [item["loc"] for item in answer.json()["detail"]] == [["query", named]]


async def test_a_shop_without_the_app_gets_401(shared_app: RunningApp) -> None:
    nobody = "nobody-looks.myshopify.com"
    shared_app.shopify.create_shop(nobody)
    for path in ("", f"/{'0' * 26}"):
        assert refusal(await ask(shared_app, nobody, path)) == (401, "SHOP_NOT_INSTALLED")


@pytest.mark.parametrize("query", [RENDER_PAGE, RENDER_PAGE_OF_CATEGORY])
async def test_a_page_is_read_from_its_index(shared_app: RunningApp, shop: str, query: Any) -> None:
    await render(shared_app, shop)
    arguments = query.arguments(
        {
            "shop_domain": shop,
            "job_types": [workflow.job_type for workflow in WORKFLOWS.values()],
            "before": "Z" * 26,
            "category": "top",
            "limit": 25,
            "offset": 0,
        }
    )

    async def explain(connection: Any) -> str:
        async with connection.transaction():
            await connection.execute("SET LOCAL enable_seqscan = off")
            await connection.execute("SET LOCAL enable_bitmapscan = off")
            rows = await connection.fetch(f"EXPLAIN {query.sql}", *arguments)
        return "\n".join(row[0] for row in rows)

    plan = await shared_app.database.run(explain)
    assert "ix_jobs_gallery" in plan
    assert query.sql.count("set_config") == 2, "the shop is entered once, not for each workflow"
