"""The catalog's API: list, read, rename, archive and restore."""

import asyncio
from typing import Any

import httpx
import pytest

from backend.catalog.models import CatalogKind
from backend.worker.expiry import retract
from backend.worker.retention import EXPIRED_JOBS
from tests.catalog_entries import (
    ATTRIBUTES,
    archive_row,
    claimed_generator_job,
    end_generator_job,
    generated_entry,
)
from tests.running_app import SHOP, RunningApp
from tests.scenarios import make_stage, refusal

NOT_FOUND = (404, "RESOURCE_NOT_FOUND")
CHANGES = [("POST", "/archive", None), ("POST", "/restore", None), ("PATCH", "", {"name": "Ada"})]


async def ask(
    shared_app: RunningApp, shop: str, path: str = "", method: str = "GET", body: Any = None
) -> httpx.Response:
    """A request to the catalog of models, by default for its list."""
    return await shared_app.http.request(
        method, f"/v1/catalog/models{path}", json=body, headers=shared_app.bearer(shop)
    )


async def listed(shared_app: RunningApp, shop: str, query: str = "") -> list[str]:
    """The IDs on a page of models."""
    answer = await ask(shared_app, shop, query)
    assert answer.status_code == 200, answer.text
    return [entry["public_id"] for entry in answer.json()["entries"]]


async def test_an_entry_has_its_image_and_what_was_asked_for(
    shared_app: RunningApp, shop: str
) -> None:
    claimed, _ = await claimed_generator_job(shared_app, shop=shop)
    [small] = await make_stage(shared_app, claimed, "thumbnails")
    await shared_app.execute("UPDATE artifacts SET kind = 'thumbnail' WHERE key = :k", k=small)
    await end_generator_job(shared_app, claimed)
    answer = await ask(shared_app, shop)
    body = answer.json()
    assert (body["limit"], body["count"]) == (24, 1)
    [entry] = body["entries"]
    assert entry["public_id"] == claimed.ref.public_id
    assert (entry["kind"], entry["name"]) == ("models", "Adult, female")
    assert entry["attributes"] == ATTRIBUTES
    assert (entry["width"], entry["height"], entry["archived_at"]) == (1, 1, None)
    for image, content in (("image", b"encode_generated"), ("thumbnail", b"thumbnails")):
        shown = await shared_app.http.get(entry[image]["image_url"])
        assert content in shown.content
    one = await ask(shared_app, shop, f"/{entry['public_id']}")
    assert one.json() == entry
    assert (await ask(shared_app, shop)).content == answer.content, "the same URLs in a window"


async def test_each_kind_has_its_own_list(shared_app: RunningApp, shop: str) -> None:
    ids = {kind: (await generated_entry(shared_app, kind, shop=shop))[0] for kind in CatalogKind}
    for kind, ref in ids.items():
        answer = await shared_app.http.get(f"/v1/catalog/{kind}", headers=shared_app.bearer(shop))
        assert [entry["public_id"] for entry in answer.json()["entries"]] == [ref.public_id]
    background = ids[CatalogKind.BACKGROUNDS].public_id
    assert refusal(await ask(shared_app, shop, f"/{background}")) == NOT_FOUND


async def test_an_unknown_kind_is_an_unknown_path(shared_app: RunningApp, shop: str) -> None:
    headers = shared_app.bearer(shop)
    for path in ("/v1/catalog/shoes", f"/v1/catalog/shoes/{'0' * 26}"):
        assert refusal(await shared_app.http.get(path, headers=headers)) == (404, "NOT_FOUND")


async def test_archiving_and_restoring_can_be_repeated(shared_app: RunningApp, shop: str) -> None:
    ref, _ = await generated_entry(shared_app, shop=shop)
    path = f"/{ref.public_id}"
    first = await ask(shared_app, shop, f"{path}/archive", "POST")
    assert first.status_code == 200
    assert first.json()["archived_at"] is not None
    assert (await ask(shared_app, shop, f"{path}/archive", "POST")).json() == first.json()
    assert await listed(shared_app, shop) == []
    assert await listed(shared_app, shop, "?archived=true") == [ref.public_id]
    assert (await ask(shared_app, shop, path)).json() == first.json()
    for _ in range(2):
        restored = await ask(shared_app, shop, f"{path}/restore", "POST")
        assert (restored.status_code, restored.json()["archived_at"]) == (200, None)
    assert await listed(shared_app, shop) == [ref.public_id]
    assert await listed(shared_app, shop, "?archived=true") == []


async def test_an_entry_whose_image_is_being_deleted_cannot_be_restored(
    shared_app: RunningApp, shop: str
) -> None:
    ref, _ = await generated_entry(shared_app, shop=shop)
    await archive_row(shared_app, ref.public_id)
    await shared_app.execute(
        "UPDATE jobs SET files = 'EXPIRED' WHERE public_id = :id", id=ref.public_id
    )
    async with shared_app.worker_context.database.transaction() as connection:
        assert await retract(connection, [ref], EXPIRED_JOBS) == [ref]
    assert refusal(await ask(shared_app, shop, f"/{ref.public_id}/restore", "POST")) == NOT_FOUND
    entry = (await ask(shared_app, shop, f"/{ref.public_id}")).json()
    assert (entry["image"], entry["archived_at"] is None) == (None, False)


async def test_an_entry_can_be_renamed(shared_app: RunningApp, shop: str) -> None:
    ref, _ = await generated_entry(shared_app, shop=shop)
    renamed = await ask(shared_app, shop, f"/{ref.public_id}", "PATCH", {"name": "  Ada "})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Ada")
    assert (await ask(shared_app, shop, f"/{ref.public_id}")).json()["name"] == "Ada"


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\nb", "a\u202eb", None])
async def test_a_name_must_be_readable(shared_app: RunningApp, shop: str, name: Any) -> None:
    ref, _ = await generated_entry(shared_app, shop=shop)
    answer = await ask(shared_app, shop, f"/{ref.public_id}", "PATCH", {"name": name})
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert answer.json()["detail"][0]["loc"] == ["body", "name"]


async def test_pages_cover_every_entry_once_while_entries_are_added(
    shared_app: RunningApp, shop: str
) -> None:
    made = []
    for _ in range(5):
        made.append((await generated_entry(shared_app, shop=shop))[0].public_id)
        await asyncio.sleep(0.002)  # ids begin with the millisecond
    seen: list[str] = []
    answer = await ask(shared_app, shop, "?limit=2&archived=false")
    while True:
        seen += [entry["public_id"] for entry in answer.json()["entries"]]
        if "link" not in answer.headers:
            break
        await generated_entry(shared_app, shop=shop)
        path, _, relation = answer.headers["link"].partition("; ")
        assert relation == 'rel="next"'
        answer = await shared_app.http.get(path.strip("<>"), headers=shared_app.bearer(shop))
    assert seen == made[::-1]


async def test_missing_and_foreign_entries_answer_with_the_same_404(
    shared_app: RunningApp, shop: str
) -> None:
    foreign = (await generated_entry(shared_app, shop=SHOP))[0].public_id
    for method, end, body in (("GET", "", None), *CHANGES):
        answers = [
            await ask(shared_app, shop, f"/{entry_id}{end}", method, body)
            for entry_id in (foreign, "0" * 26, "malformed")
        ]
        assert {refusal(answer) for answer in answers} == {NOT_FOUND}
        assert len({answer.json()["error"]["message"] for answer in answers}) == 1
        assert len({answer.headers["content-length"] for answer in answers}) == 1
    assert (await ask(shared_app, SHOP, f"/{foreign}")).json()["archived_at"] is None


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "archived=1", "cursor=x", "cursor=null"])
async def test_an_invalid_query_parameter_is_reported_by_name(
    shared_app: RunningApp, shop: str, query: str
) -> None:
    answer = await ask(shared_app, shop, f"?{query}")
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert [item["loc"] for item in answer.json()["detail"]] == [["query", query.split("=")[0]]]


async def test_a_shop_without_the_app_gets_401(shared_app: RunningApp) -> None:
    shared_app.shopify.create_shop("nobody-collects.myshopify.com")
    answer = await ask(shared_app, "nobody-collects.myshopify.com")
    assert refusal(answer) == (401, "SHOP_NOT_INSTALLED")
    ref, _ = await generated_entry(shared_app)
    for method, end, body in CHANGES:
        answer = await ask(
            shared_app, "nobody-collects.myshopify.com", f"/{ref.public_id}{end}", method, body
        )
        assert refusal(answer) == (401, "SHOP_NOT_INSTALLED")
