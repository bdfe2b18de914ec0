"""Bulk operations of the stand-in, over HTTP."""

import json
from typing import Any

import pytest

from backend.dev.shopify import StandInShopify
from tests.backend.dev.calls import OTHER_SHOP, SHOP, App, png

pytestmark = pytest.mark.slow

RUN = """
mutation Run($query: String!, $group: Boolean! = false) {
  bulkOperationRunQuery(query: $query, groupObjects: $group) {
    bulkOperation { id status url } userErrors { code field message }
  }
}
"""
CANCEL = """
mutation Cancel($id: ID!) {
  bulkOperationCancel(id: $id) { bulkOperation { id status } userErrors { field message } }
}
"""
POLL = """
query Poll($id: ID!) {
  bulkOperation(id: $id) {
    id status type query errorCode createdAt completedAt url partialDataUrl fileSize
    objectCount rootObjectCount
  }
}
"""
GALLERIES = """
{
  products(query: "status:active") {
    edges { node { id title media { edges { node { id ... on MediaImage { image { url } } } } } } }
  }
}
"""


@pytest.fixture
def products(shopify):
    products = [shopify.create_product(SHOP, f"Product {n}", png(1, 1)) for n in range(3)]
    shopify.create_product(OTHER_SHOP, "Theirs", png(1, 1))
    return products


async def start_operation(app: App, query: str = GALLERIES, **variables: Any) -> str:
    payload = await app.data(RUN, query=query, **variables)
    assert payload["userErrors"] == []
    return str(payload["bulkOperation"]["id"])


async def lines(
    shopify: StandInShopify, app: App, query: str = GALLERIES, **variables: Any
) -> list[dict[str, Any]]:
    gid = await start_operation(app, query, **variables)
    shopify.step_jobs(2)
    operation = await app.data(POLL, id=gid)
    answer = await app.client.get(operation["url"])
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_an_operation_is_created_runs_and_completes_with_a_file(app, products):
    gid = await start_operation(app)
    assert (await app.data(POLL, id=gid))["status"] == "RUNNING"
    operation = await app.data(POLL, id=gid)
    assert (operation["status"], operation["type"]) == ("COMPLETED", "QUERY")
    assert (operation["objectCount"], operation["rootObjectCount"]) == ("6", "3")
    assert operation["url"].startswith("https://cdn.shopify.com/bulk/")
    answer = await app.client.get(operation["url"])
    assert len(answer.content) == int(operation["fileSize"])


async def test_every_node_is_a_line_and_a_child_names_its_parent(shopify, app, products):
    rows = await lines(shopify, app)
    assert rows[:3] == [{"id": each.gid, "title": each.title} for each in products]
    assert rows[3:] == [
        {"id": each.media_gid, "image": {"url": each.image_url}, "__parentId": each.gid}
        for each in products
    ]


async def test_children_follow_their_parent_only_where_that_is_asked_for(shopify, app, products):
    rows = await lines(shopify, app, group=True)
    assert ["__parentId" in row for row in rows] == [False, True] * 3


async def test_more_products_than_a_page_are_given_whole(shopify, app):
    for number in range(300):
        shopify.create_product(SHOP, f"Product {number}", None)
    rows = await lines(shopify, app, "{ products { nodes { id } } }")
    assert len({row["id"] for row in rows}) == 300


async def test_the_file_tells_the_products_as_they_are_when_it_is_made(shopify, app, products):
    gid = await start_operation(app)
    shopify.delete_product(products[0])
    shopify.step_jobs(2)
    assert (await app.data(POLL, id=gid))["rootObjectCount"] == "2"


async def test_an_operation_without_results_has_no_file(shopify, app):
    gid = await start_operation(app)
    shopify.step_jobs(2)
    operation = await app.data(POLL, id=gid)
    assert (operation["status"], operation["url"], operation["objectCount"]) == (
        "COMPLETED",
        None,
        "0",
    )


async def test_the_file_is_there_for_seven_days(shopify, app, client, clock, products):
    gid = await start_operation(app)
    shopify.step_jobs(2)
    url = (await app.data(POLL, id=gid))["url"]
    clock.now += 7 * 24 * 3600 - 1
    assert (await client.get(url)).status_code == 200
    clock.now += 1
    assert (await client.get(url)).status_code == 404
    assert (await client.get(url.replace("cdn.shopify.com", SHOP))).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "{",
        "",
        "{ shop { id } }",
        "{ products { nodes { nope } } }",
        "{ products { nodes { id } } shop { id } }",
        "mutation { fileDelete(fileIds: []) { deletedFileIds } }",
        "query ($q: String!) { products(query: $q) { nodes { id } } }",
        '{ products(query: "colour:red") { nodes { id } } }',
        "{ products { nodes { media { nodes { id } } "
        "variants { nodes { media { nodes { id } } } } } } }",
        "{ products { nodes { id " + "a: media { nodes { id } } " * 5 + "} } }",
    ],
)
async def test_a_query_that_cannot_run_in_bulk_is_refused(app, query):
    payload = await app.data(RUN, query=query)
    assert payload["bulkOperation"] is None
    assert payload["userErrors"][0]["code"] == "INVALID"


async def test_five_operations_run_at_once(shopify, app, monkeypatch):
    monkeypatch.setattr(shopify.platform, "is_held", True)
    for _ in range(5):
        await start_operation(app)
    assert await app.refusal(RUN, query=GALLERIES) == "LIMIT_REACHED"
    shopify.step_jobs(2)
    await start_operation(app)


async def test_an_operation_can_be_canceled_until_it_is_done(shopify, app, products):
    gid = await start_operation(app)
    payload = await app.data(CANCEL, id=gid)
    assert payload["bulkOperation"]["status"] == "CANCELING"
    operation = await app.data(POLL, id=gid)
    assert (operation["status"], operation["url"]) == ("CANCELED", None)
    assert (await app.data(CANCEL, id=gid))["userErrors"]


async def test_an_operation_fails_as_it_is_told_or_when_its_scope_is_taken(shopify, app, products):
    shopify.fail_next_bulk("TIMEOUT")
    gid = await start_operation(app)
    shopify.step_jobs(2)
    operation = await app.data(POLL, id=gid)
    assert (operation["status"], operation["errorCode"], operation["url"]) == (
        "FAILED",
        "TIMEOUT",
        None,
    )
    gid = await start_operation(app)
    shopify.set_scopes(SHOP, ["write_files"])
    shopify.step_jobs(2)
    assert (await app.data(POLL, id=gid))["errorCode"] == "ACCESS_DENIED"
    assert await app.refusal(RUN, query=GALLERIES) == "INVALID"


async def test_the_finish_is_told_without_a_url(shopify, app, products, deliveries, monkeypatch):
    monkeypatch.setattr(shopify, "auto_webhooks", True)
    gid = await start_operation(app)
    shopify.step_jobs(2)
    await shopify.settled()
    (request,) = deliveries
    body = json.loads(request.content)
    assert request.headers["X-Shopify-Topic"] == "bulk_operations/finish"
    assert (body["admin_graphql_api_id"], body["status"]) == (gid, "completed")
    assert "url" not in body


async def test_the_download_can_fail_at_the_edge(shopify, app, client, products):
    gid = await start_operation(app)
    shopify.step_jobs(2)
    url = (await app.data(POLL, id=gid))["url"]
    shopify.fail_next("bulk_result", 503)
    assert [(await client.get(url)).status_code for _ in range(2)] == [503, 200]
