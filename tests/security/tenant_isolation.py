"""How each route keeps two shops apart: the checks, and who may call which route."""

import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar

from backend.app import create_app
from backend.auth.signed_request import signed_request
from backend.credits.grants import grant_credits
from backend.dev import signing
from backend.dev.transport import NO_TLS, LoopbackShopify
from backend.errors import InvalidRequest
from backend.jobs.service import JobRef, request_job
from backend.page.routes import PAGE_PATHS
from backend.settings import UNLIMITED
from backend.shops.service import installed_id
from backend.uploads.service import use_uploads
from backend.workflows import BY_NAME, WORKFLOWS
from backend.workflows.catalog_image import CATALOG_IMAGE
from backend.workflows.garments import CATEGORIES
from tests.backend.uploads.multipart_forms import picture
from tests.catalog_entries import generated_entry
from tests.conftest import SECRET
from tests.hosted_engines import WITH_ENGINES, app_with
from tests.minimal_requests import MINIMAL_PARAMETERS, UNKNOWN_ENTRY, UNKNOWN_UPLOAD
from tests.prepaid_apps import SELLING
from tests.running_app import OTHER_SHOP, SHOP, RunningApp, serve_app
from tests.scenarios import (
    deliver,
    fingerprint,
    finished_job,
    privacy_request,
    refusal,
    waiting_job,
)

Route = tuple[str, str]
RouteCase = Callable[..., Awaitable[httpx.Response]]
Check = Callable[[RunningApp, list[JobRef], RouteCase], Awaitable[None]]

NAMES_OF_THE_OTHER = {"Host": OTHER_SHOP, "X-Shopify-Shop-Domain": OTHER_SHOP}
NOT_FOUND = (404, "JOB_NOT_FOUND")
OF_AN_ENDPOINT = (
    *(("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test")),
    *(("GET", "/secret"), ("POST", "/secret/rotate"), ("GET", "/deliveries")),
    ("POST", "/deliveries/{delivery_id}/redeliver"),
)
OF_A_BATCH = (("GET", ""), ("GET", "/items"), ("POST", "/retry"), ("POST", "/cancel"))
OF_AN_ENTRY: tuple[tuple[str, str, Any], ...] = (
    ("GET", "", None),
    ("PATCH", "", {"name": "Ada"}),
    ("POST", "/archive", None),
    ("POST", "/restore", None),
)
PRODUCT = {"product_id": "gid://shopify/Product/1"}


# Callers: requests of SHOP that claim to be the other shop wherever they can


async def by_token(
    shared_app: RunningApp, method: str, path: str, body: Any = None
) -> httpx.Response:
    """Request as the embedded page, with a session token."""
    joint = "&" if "?" in path else "?"
    headers = {**shared_app.bearer(SHOP), **NAMES_OF_THE_OTHER}
    url = f"{path}{joint}shop={OTHER_SHOP}"
    return await shared_app.http.request(method, url, json=body, headers=headers)


async def by_signature(
    shared_app: RunningApp, method: str, path: str, body: Any = None
) -> httpx.Response:
    """Request as our own server, with a signature."""
    content = b"" if body is None else json.dumps(body).encode()
    url, signature = signed_request(
        SECRET.encode(), method=method, url=path, shop=SHOP, body=content, now=int(time.time())
    )
    headers = {
        "X-Shopify-Hmac-Sha256": signature,
        "Content-Type": "application/json",
        **NAMES_OF_THE_OTHER,
    }
    return await shared_app.http.request(method, url, content=content, headers=headers)


async def by_app_proxy(
    shared_app: RunningApp, method: str, path: str, body: Any = None, *, shop: str = SHOP
) -> httpx.Response:
    """Request as a storefront visitor, through the app proxy."""
    query = signing.app_proxy_query(
        {"shop": shop, "timestamp": str(int(time.time())), "logged_in_customer_id": ""}, SECRET
    )
    url = f"{path}?{query}"
    return await shared_app.http.request(method, url, json=body, headers=NAMES_OF_THE_OTHER)


async def by_anybody(shared_app: RunningApp, method: str, path: str) -> httpx.Response:
    """Request without credentials."""
    return await shared_app.http.request(method, path, headers=NAMES_OF_THE_OTHER)


MERCHANT = (by_token, by_signature)
VISITOR = (by_app_proxy,)
ANYBODY = (by_anybody,)


# The checks


async def a_job_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """Whatever state it is in, and whatever the request calls itself."""
    for ref in others:
        answer = await ask(shared_app, "GET", f"/v1/jobs/{ref.public_id}")
        assert refusal(answer) == NOT_FOUND
        assert (await shared_app.detail(ref.public_id, shop=OTHER_SHOP)).status_code == 200


async def a_timeline_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """To read and to wait for."""
    for ref in others:
        for query in ("", "?wait=20&since=1"):
            answer = await ask(shared_app, "GET", f"/v1/jobs/{ref.public_id}/events{query}")
            assert refusal(answer) == NOT_FOUND


async def a_lineage_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """Also as an ancestor of one of its own jobs."""
    for ref in others:
        answer = await ask(shared_app, "GET", f"/v1/jobs/{ref.public_id}/lineage")
        assert refusal(answer) == NOT_FOUND
    own = await waiting_job(shared_app)
    await shared_app.execute(
        "UPDATE jobs SET rerun_of = :r WHERE public_id = :id",
        r=others[0].public_id,
        id=own.public_id,
    )
    found = (await ask(shared_app, "GET", f"/v1/jobs/{own.public_id}/lineage")).json()
    assert (found["rerun_of"], found["ancestors"]) == (others[0].public_id, [])


async def a_rerun_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """Of the other's jobs none is repeated, and whose the new job becomes."""
    for ref in others:
        answer = await ask(shared_app, "POST", f"/v1/jobs/{ref.public_id}/rerun", {})
        assert refusal(answer) == NOT_FOUND
    own = await waiting_job(shared_app, request=PRODUCT)
    answer = await ask(shared_app, "POST", f"/v1/jobs/{own.public_id}/rerun", {})
    made = answer.json()["job_id"]
    assert (await shared_app.detail(made)).status_code == 200
    assert refusal(await shared_app.detail(made, shop=OTHER_SHOP)) == NOT_FOUND


async def a_cancel_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """The other's jobs go on."""
    for ref in others:
        answer = await ask(shared_app, "POST", f"/v1/jobs/{ref.public_id}/cancel")
        assert refusal(answer) == NOT_FOUND


async def a_publication_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """To make, to see and to take back, whether there is one or not."""
    body = {"artifacts": [{"sha256": "0" * 64}], **PRODUCT}
    for ref in others:
        path = f"/v1/jobs/{ref.public_id}/publication"
        for method, each in (("POST", body), ("GET", None), ("DELETE", None)):
            assert refusal(await ask(shared_app, method, path, each)) == NOT_FOUND
    theirs = f"/v1/jobs/{others[0].public_id}/publication"
    answer = await shared_app.http.get(theirs, headers=shared_app.bearer(OTHER_SHOP))
    assert answer.json()["status"] == "PENDING"


async def a_dismissal_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """To make and to take back, whatever state the job is in."""
    for ref in others:
        for method in ("POST", "DELETE"):
            answer = await ask(shared_app, method, f"/v1/jobs/{ref.public_id}/dismissal")
            assert refusal(answer) == NOT_FOUND


async def a_product_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """Shopify is not asked for what another shop's job is about."""
    for ref in others:
        answer = await ask(shared_app, "GET", f"/v1/jobs/{ref.public_id}/product")
        assert refusal(answer) == NOT_FOUND


async def a_review_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """Each of its lists, from its own start and from a cursor that is the other's."""
    own, _ = await finished_job(shared_app)
    foreign = {ref.public_id for ref in others}
    for query in ("", "&state=published", "&state=dismissed", f"&cursor={max(foreign)}"):
        answer = await ask(shared_app, "GET", f"/v1/review?limit=100{query}")
        found = {card["public_id"] for card in answer.json()["cards"]}
        assert foreign.isdisjoint(found)
        assert query or own.public_id in found


async def a_render_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """To list, also from a cursor that is the other's, and to read, whatever state it is in."""
    own, _ = await finished_job(shared_app)
    foreign = {ref.public_id for ref in others}
    for query in ("", "&workflow=catalog-image", f"&cursor={max(foreign)}"):
        answer = await ask(shared_app, "GET", f"/v1/renders?limit=100{query}")
        found = {render["public_id"] for render in answer.json()["renders"]}
        assert foreign.isdisjoint(found)
        assert query or own.public_id in found
    for public_id in foreign:
        answer = await ask(shared_app, "GET", f"/v1/renders/{public_id}")
        assert refusal(answer) == (404, "RESOURCE_NOT_FOUND")


async def a_catalog_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """To list, to read and to change."""
    [theirs] = await entries_of(shared_app, OTHER_SHOP)
    own, _ = await generated_entry(shared_app)
    for query in ("", f"&cursor={max(theirs, own.public_id)}", "&archived=true"):
        answer = await ask(shared_app, "GET", f"/v1/catalog/models?limit=100{query}")
        found = {entry["public_id"] for entry in answer.json()["entries"]}
        assert theirs not in found
        assert query or own.public_id in found
    path = f"/v1/catalog/models/{theirs}"
    for method, end, body in OF_AN_ENTRY:
        answer = await ask(shared_app, method, f"{path}{end}", body)
        assert refusal(answer) == (404, "RESOURCE_NOT_FOUND")


async def entries_of(shared_app: RunningApp, shop: str) -> list[str]:
    """The ids of the shop's catalog entries."""
    rows = await shared_app.rows(
        "SELECT c.id FROM catalog_entries c JOIN shops s ON s.id = c.shop_id WHERE s.domain = :d",
        d=shop,
    )
    return [row["id"] for row in rows]


async def an_overview_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """Its numbers are those of its own jobs, and so is its setup guide."""
    theirs = await shared_app.http.get("/v1/overview", headers=shared_app.bearer(OTHER_SHOP))
    for method, dismissed in (("DELETE", False), ("POST", True)):
        await ask(shared_app, method, "/v1/overview/setup-dismissal")
        found = (await ask(shared_app, "GET", "/v1/overview")).json()
        assert found["setup"]["dismissed"] is dismissed
    [counted] = await shared_app.rows(
        "SELECT count(*) FILTER (WHERE status = 'FAILURE') AS failed, "
        "count(*) FILTER (WHERE status IN ('NOT_STARTED', 'IN_PROGRESS')) AS running, "
        "count(*) FILTER (WHERE review = 'WAITING' AND status = 'SUCCESS' "
        "AND origin <> 'storefront') AS waiting "
        "FROM jobs WHERE shop_id = (SELECT id FROM shops WHERE domain = :d)",
        d=SHOP,
    )
    assert {name: found[name] for name in counted} == counted
    after = await shared_app.http.get("/v1/overview", headers=shared_app.bearer(OTHER_SHOP))
    assert after.json() == theirs.json()


async def usage_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """It counts the shop's own jobs."""
    await finished_job(shared_app)
    [own] = await shared_app.rows(
        "SELECT count(*) AS jobs FROM jobs WHERE status = 'SUCCESS' "
        "AND shop_id = (SELECT id FROM shops WHERE domain = :d)",
        d=SHOP,
    )
    found = (await ask(shared_app, "GET", "/v1/usage")).json()["days"]
    assert sum(each["jobs"] for each in found) == own["jobs"]


async def credits_are_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """Its balance, its lots and its transactions, also from a cursor that is the other's."""
    own = await prepaid_job(shared_app, SHOP, 30)
    found = (await ask(shared_app, "GET", "/v1/credits")).json()
    assert found["available"] + found["held"] == 30
    theirs = await shared_app.rows(
        "SELECT job_id FROM credit_entries e JOIN shops s ON s.id = e.shop_id "
        "WHERE s.domain = :d AND kind = 'hold'",
        d=OTHER_SHOP,
    )
    foreign = {row["job_id"] for row in theirs}
    for query in ("", f"&cursor={max(foreign)}"):
        answer = await ask(shared_app, "GET", f"/v1/transactions?kind=spend&limit=200{query}")
        ids = {item["id"] for item in answer.json()["items"]}
        assert foreign and foreign.isdisjoint(ids)
        assert query or own.public_id in ids
    answer = await ask(shared_app, "GET", "/v1/transactions?kind=purchases&limit=200")
    assert sum(item["credits_delta"] for item in answer.json()["items"]) == 30


async def prepaid_job(shared_app: RunningApp, shop: str, amount: int) -> JobRef:
    """A job that holds its price from a grant of that many credits, which the shop gets once."""
    async with shared_app.database.transaction(shop) as connection:
        shop_id = await installed_id(connection, shop)
        await grant_credits(
            connection, shop_id, source="manual", ref="once", amount=amount, expires_at=None
        )
        ref = await request_job(
            connection,
            CATALOG_IMAGE,
            shop_id=shop_id,
            request=PRODUCT,
            origin="api",
            quotas=msgspec.structs.replace(UNLIMITED, prepaid=True),
        )
    assert ref is not None
    return ref


async def a_list_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """From its own start, and from a cursor that is the other's."""
    foreign = {ref.public_id for ref in others}
    for query in ("?limit=200", f"?limit=200&cursor={max(foreign)}"):
        jobs = (await ask(shared_app, "GET", f"/v1/jobs{query}")).json()["jobs"]
        assert foreign.isdisjoint(job["public_id"] for job in jobs)


async def a_batch_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """To see, with its items, to retry and to cancel: it goes on."""
    newest = max(await batches_of(shared_app, OTHER_SHOP))  # the earlier ones are other tests'
    path = f"/v1/batches/{newest}"
    for method, end in OF_A_BATCH:
        answer = await ask(shared_app, method, f"{path}{end}")
        assert refusal(answer) == (404, "BATCH_NOT_FOUND")
    own = await shared_app.http.get(f"{path}/items", headers=shared_app.bearer(OTHER_SHOP))
    assert own.json()["count"] == 1


async def a_list_of_batches_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """From its own start, and from a cursor that is the other's."""
    foreign = set(await batches_of(shared_app, OTHER_SHOP))
    for query in ("?limit=50", f"?limit=50&cursor={max(foreign)}"):
        batches = (await ask(shared_app, "GET", f"/v1/batches{query}")).json()["batches"]
        assert foreign.isdisjoint(batch["public_id"] for batch in batches)


async def a_new_batch_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """Whose it becomes, and whose uploads it may use."""
    body: dict[str, Any] = {"workflow": "catalog-image", "product_ids": [PRODUCT["product_id"]]}
    path = f"/v1/batches/{(await ask(shared_app, 'POST', '/v1/batches', body)).json()['public_id']}"
    assert (await shared_app.http.get(path, headers=shared_app.bearer(SHOP))).status_code == 200
    theirs = await shared_app.http.get(path, headers=shared_app.bearer(OTHER_SHOP))
    assert refusal(theirs) == (404, "BATCH_NOT_FOUND")
    details = []
    for key in (await foreign_upload(shared_app), UNKNOWN_UPLOAD):
        parameters = {"background_upload_key": key}
        stolen = {**body, "workflow": "background-swap-with-image", "parameters": parameters}
        answer = await ask(shared_app, "POST", "/v1/batches", stolen)
        assert refusal(answer) == (422, "INVALID_REQUEST")
        details.append(answer.json()["detail"])
    assert details[0] == details[1]


async def batches_of(shared_app: RunningApp, shop: str) -> list[str]:
    """The ids of the shop's batches."""
    rows = await shared_app.rows(
        "SELECT public_id FROM batches b JOIN shops s ON s.id = b.shop_id WHERE s.domain = :d",
        d=shop,
    )
    return [row["public_id"] for row in rows]


async def foreign_batch(shared_app: RunningApp) -> None:
    """A batch of the other shop's, not yet expanded."""
    body = {"workflow": "catalog-image", "product_ids": [PRODUCT["product_id"]]}
    answer = await shared_app.http.post(
        "/v1/batches", json=body, headers=shared_app.bearer(OTHER_SHOP)
    )
    assert answer.status_code == 202


def a_new_job_is_its_shops_alone(name: str) -> Check:
    """For a workflow: whose job it becomes, and whose uploads it may use."""

    async def check(shared_app: RunningApp, others: list[JobRef], ask: RouteCase) -> None:
        async with app_with(shared_app, **WITH_ENGINES) as engines:
            await checked(engines, others, ask)

    async def checked(shared_app: RunningApp, _others: list[JobRef], ask: RouteCase) -> None:
        has_photo, least = BY_NAME[name].has_photo, MINIMAL_PARAMETERS[name]
        if not {*map(str, least.values())} & {UNKNOWN_UPLOAD, UNKNOWN_ENTRY}:
            body = {**PRODUCT, **least} if has_photo else least
            made = (await ask(shared_app, "POST", f"/v1/{name}", body)).json()
            assert (await shared_app.detail(made["job_id"])).status_code == 200
            assert refusal(await shared_app.detail(made["job_id"], shop=OTHER_SHOP)) == NOT_FOUND
        if not has_photo:
            return
        unknown = {**least, "upload_key": UNKNOWN_UPLOAD}
        theirs = {
            UNKNOWN_UPLOAD: await foreign_upload(shared_app),
            UNKNOWN_ENTRY: await foreign_entry(shared_app),
        }
        stolen = {field: theirs.get(value, value) for field, value in unknown.items()}
        answers = [await ask(shared_app, "POST", f"/v1/{name}", each) for each in (stolen, unknown)]
        assert {refusal(answer) for answer in answers} == {(422, "INVALID_REQUEST")}
        assert answers[0].json()["detail"] == answers[1].json()["detail"]
        assert len(await shared_app.rows("SELECT 1 FROM jobs WHERE request ? 'upload_key'")) == 0

    return check


async def foreign_upload(shared_app: RunningApp) -> str:
    """A good upload of the other shop's."""
    key = "upl_" + "f" * 32
    await shared_app.execute(
        "INSERT INTO uploads (shop_id, upload_key, key, stored_at) SELECT id, :k, "
        "'uploads/f.jpg', now() FROM shops WHERE domain = :d ON CONFLICT DO NOTHING",
        k=key,
        d=OTHER_SHOP,
    )
    return key


async def foreign_entry(shared_app: RunningApp) -> str:
    """An entry of the other shop's catalog."""
    found = await shared_app.rows(
        "SELECT c.id FROM catalog_entries c JOIN shops s ON s.id = c.shop_id WHERE s.domain = :d",
        d=OTHER_SHOP,
    )
    if found:
        return str(found[0]["id"])
    ref, _ = await generated_entry(shared_app, shop=OTHER_SHOP)
    return ref.public_id


async def foreign_publication(shared_app: RunningApp, ref: JobRef) -> None:
    """A publication of the other shop's job, not yet worked on."""
    await shared_app.execute(
        "INSERT INTO publications (shop_id, job_id, round, product_id) VALUES (:s, :j, 1, :p)",
        s=ref.shop_id,
        j=ref.public_id,
        p=PRODUCT["product_id"],
    )


async def a_webhook_endpoint_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """To see, to change, to remove, to test, with its secret and its deliveries."""
    [theirs] = await shared_app.rows("SELECT endpoint_id, id FROM endpoint_deliveries")
    for method, end in OF_AN_ENDPOINT:
        rest = end.format(delivery_id=theirs["id"])
        body = {"enabled": False} if method == "PATCH" else None
        for endpoint_id in (theirs["endpoint_id"], "0" * 26):
            path = f"/v1/webhook-endpoints/{endpoint_id}{rest}"
            answer = await ask(shared_app, method, path, body)
            assert refusal(answer) == (404, "WEBHOOK_ENDPOINT_NOT_FOUND")


async def a_list_of_webhook_endpoints_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """And a delivery of the other's is none of an own endpoint's."""
    [theirs] = await shared_app.rows("SELECT endpoint_id, id FROM endpoint_deliveries")
    found = (await ask(shared_app, "GET", "/v1/webhook-endpoints")).json()["endpoints"]
    assert theirs["endpoint_id"] not in {endpoint["id"] for endpoint in found}
    body = {"url": "https://hooks.example.com/own"}
    own = (await ask(shared_app, "POST", "/v1/webhook-endpoints", body)).json()
    path = f"/v1/webhook-endpoints/{own['id']}"
    answer = await ask(shared_app, "POST", f"{path}/deliveries/{theirs['id']}/redeliver")
    assert refusal(answer) == (404, "ENDPOINT_DELIVERY_NOT_FOUND")
    assert (await ask(shared_app, "GET", f"{path}/deliveries")).json()["count"] == 0
    other = await shared_app.http.get(path, headers=shared_app.bearer(OTHER_SHOP))
    assert refusal(other) == (404, "WEBHOOK_ENDPOINT_NOT_FOUND")


async def foreign_endpoint(shared_app: RunningApp) -> None:
    """The only endpoint that there is: the other shop's, with one delivery, for tomorrow."""
    await shared_app.execute("DELETE FROM webhook_endpoints")
    headers = shared_app.bearer(OTHER_SHOP)
    body = {"url": "https://hooks.example.com/other"}
    made = await shared_app.http.post("/v1/webhook-endpoints", json=body, headers=headers)
    path = f"/v1/webhook-endpoints/{made.json()['id']}/test"
    assert (await shared_app.http.post(path, headers=headers)).status_code == 202
    await shared_app.execute("UPDATE endpoint_deliveries SET next_attempt_at = now() + '1 day'")
    await shared_app.execute("DELETE FROM queue.pgqueuer WHERE entrypoint = 'deliver_events'")


async def an_upload_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], _ask: RouteCase
) -> None:
    """The other shop cannot name it in a job of its own."""
    headers = {**shared_app.bearer(SHOP), **NAMES_OF_THE_OTHER}
    answer = await shared_app.http.post(
        f"/v1/uploads?shop={OTHER_SHOP}", files={"file": picture()}, headers=headers
    )
    wanted = {"upload_key": answer.json()["upload_key"]}
    async with shared_app.database.transaction() as connection:
        with pytest.raises(InvalidRequest):
            await use_uploads(connection, shop_id=others[0].shop_id, wanted=wanted)


async def settings_are_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """To read and to change."""
    wanted = {"rules": [{"workflow": "catalog-image"}], "daily_credit_cap": 7}
    theirs = await shared_app.http.get("/v1/settings", headers=shared_app.bearer(OTHER_SHOP))
    assert (await ask(shared_app, "PUT", "/v1/settings", wanted)).status_code == 200
    assert (await ask(shared_app, "GET", "/v1/settings")).json()["daily_credit_cap"] == 7
    after = await shared_app.http.get("/v1/settings", headers=shared_app.bearer(OTHER_SHOP))
    assert after.json() == theirs.json()
    assert after.json()["daily_credit_cap"] != 7


async def a_customers_request_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """To list, also from a cursor that is the other's, and to read; of the same customer, too."""
    [theirs] = await requests_of(shared_app, OTHER_SHOP)
    own = await privacy_request(shared_app)
    await finished_job(shared_app, customer_id=CUSTOMER)
    for query in ("", f"?cursor={max(theirs, own)}"):
        found = (await ask(shared_app, "GET", f"/v1/privacy/requests{query}")).json()["requests"]
        assert theirs not in {each["public_id"] for each in found}
    answer = await ask(shared_app, "GET", f"/v1/privacy/requests/{theirs}")
    assert refusal(answer) == (404, "PRIVACY_REQUEST_NOT_FOUND")
    document = (await ask(shared_app, "GET", f"/v1/privacy/requests/{own}")).json()
    mine = await shared_app.rows(
        "SELECT public_id FROM jobs j JOIN shops s ON s.id = j.shop_id "
        "WHERE s.domain = :d AND customer_id = :c",
        d=SHOP,
        c=CUSTOMER,
    )
    held = {job["public_id"] for job in document["jobs"]}
    assert held and held <= {row["public_id"] for row in mine}


async def requests_of(shared_app: RunningApp, shop: str) -> list[str]:
    """The ids of what the shop's customers have asked."""
    rows = await shared_app.rows(
        "SELECT p.public_id FROM privacy_requests p JOIN shops s ON s.id = p.shop_id "
        "WHERE s.domain = :d",
        d=shop,
    )
    return [row["public_id"] for row in rows]


async def foreign_request(shared_app: RunningApp) -> None:
    """A request of a customer of the other shop's, who has a job there."""
    if not await requests_of(shared_app, OTHER_SHOP):
        await privacy_request(shared_app, shop=OTHER_SHOP)
        await waiting_job(shared_app, shop=OTHER_SHOP, customer_id=CUSTOMER)


async def a_purchase_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """Whose plan is shown, and whose account an order is for."""
    settings = msgspec.structs.replace(shared_app.settings, **SELLING)
    asked = {"/v1/subscription": {"plan": "studio"}, "/v1/purchases": {"pack": "pack-100"}}
    async with (
        serve_app(settings, LoopbackShopify(shared_app.shopify.origin)) as url,
        httpx.AsyncClient(base_url=url, verify=NO_TLS) as http,
    ):
        selling = replace(shared_app, http=http)
        listed = (await ask(selling, "GET", "/v1/plans")).json()["plans"]
        assert [plan["current"] for plan in listed] == [False] * 3
        theirs = await http.get("/v1/plans", headers=shared_app.bearer(OTHER_SHOP))
        assert [plan["current"] for plan in theirs.json()["plans"]] == [False, True, False]
        for path, body in asked.items():
            charges = len(shared_app.shopify.platform.shops[SHOP].charges.charges)
            assert (await ask(selling, "POST", path, body)).status_code == 201
            assert len(shared_app.shopify.platform.shops[SHOP].charges.charges) == charges + 1
    assert shared_app.shopify.platform.shops[OTHER_SHOP].charges.charges == []


async def foreign_subscription(shared_app: RunningApp) -> None:
    """A plan of the other shop's."""
    await shared_app.execute(
        "INSERT INTO subscriptions (shop_id, handle, name, status) SELECT id, 'studio', 'Studio', "
        "'ACTIVE' FROM shops WHERE domain = :d ON CONFLICT DO NOTHING",
        d=OTHER_SHOP,
    )


async def operations_are_everybodys(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """The registry, and nothing of any shop."""
    names = {
        each["name"]
        for each in (await ask(shared_app, "GET", "/v1/operations")).json()["operations"]
    }
    assert names == {workflow.name for workflow in WORKFLOWS.values()}


async def garments_are_everybodys(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """The rules, and nothing of any shop."""
    listed = (await ask(shared_app, "GET", "/v1/garment-categories")).json()["categories"]
    assert [each["name"] for each in listed] == [*CATEGORIES]
    asked = {"garments": ["dress", "top"], "workflow": "look"}
    answer = (await ask(shared_app, "POST", "/v1/compatibility/check", asked)).json()
    assert [reason["code"] for reason in answer["reasons"]] == ["SAME_PLACE"]


async def an_installation_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """The token's shop is the one that is installed."""
    assert (await ask(shared_app, "POST", "/v1/installation")).json()["shop"] == SHOP


async def a_storefront_job_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """Those that the other's visitors started, and the merchants' own of both."""
    theirs = await visitors_job(shared_app, FOR_VISITORS[0], shop=OTHER_SHOP)
    own, _ = await finished_job(shared_app)
    for public_id in (theirs, own.public_id, *(ref.public_id for ref in others)):
        for path in (f"/proxy/v1/jobs/{public_id}", f"/proxy/v1/jobs/{public_id}/events"):
            assert refusal(await ask(shared_app, "GET", path)) == NOT_FOUND


def a_visitors_job_is_its_shops_alone(name: str) -> Check:
    """The same question in two shops makes two jobs."""

    async def check(shared_app: RunningApp, _others: list[JobRef], ask: RouteCase) -> None:
        body = {**PRODUCT, **MINIMAL_PARAMETERS[name]}
        ours = (await ask(shared_app, "POST", f"/proxy/v1/{name}", body)).json()["job_id"]
        assert ours != await visitors_job(shared_app, name, shop=OTHER_SHOP)
        assert (await shared_app.detail(ours)).status_code == 200
        assert refusal(await shared_app.detail(ours, shop=OTHER_SHOP)) == NOT_FOUND

    return check


async def visitors_job(shared_app: RunningApp, name: str, *, shop: str) -> str:
    """The job that a visitor of that shop started, today, whoever asks first."""
    body = {**PRODUCT, **MINIMAL_PARAMETERS[name]}
    answer = await by_app_proxy(shared_app, "POST", f"/proxy/v1/{name}", body, shop=shop)
    return str(answer.json()["job_id"])


async def a_delivery_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], _ask: RouteCase
) -> None:
    """Also when its body is about the other shop's product."""
    own = await fingerprint(shared_app, SHOP)
    product = shared_app.product(b"unread", shop=OTHER_SHOP)
    body = json.dumps({"id": product.id, "shop_domain": OTHER_SHOP}).encode()
    assert (await deliver(shared_app, body, shop=SHOP)).status_code == 200
    await shared_app.drain(only_webhooks=True)
    assert await fingerprint(shared_app, SHOP) == own


async def a_callback_is_its_submissions_alone(
    shared_app: RunningApp, others: list[JobRef], _ask: RouteCase
) -> None:
    """Without a token of ours there is no such address; `test_callbacks` has the right ones."""
    for token in (others[0].public_id, OTHER_SHOP):
        answer = await shared_app.http.post(f"/callbacks/fashn/{token}", content=b"{}")
        assert refusal(answer) == (404, "NOT_FOUND")


async def the_document_knows_no_shops(
    shared_app: RunningApp, others: list[JobRef], _ask: RouteCase
) -> None:
    """The same bytes for everybody, and nothing of a job that there is."""
    for path in ("/schema", "/schema/openapi.json"):
        keys: list[dict[str, str]] = [{}, shared_app.bearer(SHOP), shared_app.bearer(OTHER_SHOP)]
        answers = [await shared_app.http.get(path, headers=key) for key in keys]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert not any(ref.public_id in answers[0].text for ref in others)
    unknown = await shared_app.http.get(
        f"/schema/{others[0].public_id}", headers=shared_app.bearer(SHOP)
    )
    assert refusal(unknown) == (404, "NOT_FOUND")


async def health_knows_no_shops(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """The same few bytes for everybody."""
    for path in ("/health/live", "/health/ready"):
        assert (await ask(shared_app, "GET", path)).content == b'{"status":"ok"}'
        for key in (shared_app.bearer(SHOP), shared_app.bearer(OTHER_SHOP)):
            answer = await shared_app.http.get(path, headers=key)
            assert answer.content == b'{"status":"ok"}'


async def the_page_knows_no_shops(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """The same document for everybody, and nothing of a job that there is; so are its files."""
    for template in PAGE_TEMPLATES:
        path = template.format(_job_id=others[0].public_id, _batch_id=others[0].public_id)
        document = await ask(shared_app, "GET", path)
        assert document.status_code == 200
        assert others[0].public_id not in document.text
        for key in (shared_app.bearer(SHOP), shared_app.bearer(OTHER_SHOP)):
            answer = await shared_app.http.get(path, headers=key)
            assert (answer.content, answer.headers["content-security-policy"]) == (
                document.content,
                document.headers["content-security-policy"],
            )
    script = re.search(r'src="(/page/[^"]+)"', document.text)
    assert script is not None
    assert (await ask(shared_app, "GET", script[1])).status_code == 200
    assert refusal(await ask(shared_app, "GET", f"{script[1]}.map")) == (404, "NOT_FOUND")


PAGE_TEMPLATES = [path.replace(":str", "") for path in PAGE_PATHS]
CUSTOMER = "191167"
FOR_VISITORS = [each.name for each in WORKFLOWS.values() if each.for_visitors]

CHECKS: dict[Route, tuple[Check, tuple[RouteCase, ...]]] = {
    ("GET", "/v1/jobs/{public_id}"): (a_job_is_its_shops_alone, MERCHANT),
    ("GET", "/v1/jobs/{public_id}/events"): (a_timeline_is_its_shops_alone, MERCHANT),
    ("GET", "/v1/jobs/{public_id}/lineage"): (a_lineage_is_its_shops_alone, MERCHANT),
    ("POST", "/v1/jobs/{public_id}/rerun"): (a_rerun_is_its_shops_alone, MERCHANT),
    ("POST", "/v1/jobs/{public_id}/cancel"): (a_cancel_is_its_shops_alone, MERCHANT),
    **{
        (method, "/v1/jobs/{public_id}/publication"): (a_publication_is_its_shops_alone, MERCHANT)
        for method in ("POST", "GET", "DELETE")
    },
    **{
        (method, "/v1/jobs/{public_id}/dismissal"): (a_dismissal_is_its_shops_alone, MERCHANT)
        for method in ("POST", "DELETE")
    },
    ("GET", "/v1/jobs/{public_id}/product"): (a_product_is_its_shops_alone, MERCHANT),
    ("GET", "/v1/review"): (a_review_is_its_shops_alone, MERCHANT),
    ("GET", "/v1/renders"): (a_render_is_its_shops_alone, MERCHANT),
    ("GET", "/v1/renders/{public_id}"): (a_render_is_its_shops_alone, MERCHANT),
    ("GET", "/v1/catalog/{kind}"): (a_catalog_is_its_shops_alone, MERCHANT),
    **{
        (method, f"/v1/catalog/{{kind}}/{{public_id}}{end}"): (
            a_catalog_is_its_shops_alone,
            MERCHANT,
        )
        for method, end, _ in OF_AN_ENTRY
    },
    ("GET", "/v1/overview"): (an_overview_is_its_shops_alone, MERCHANT),
    **{
        (method, "/v1/overview/setup-dismissal"): (an_overview_is_its_shops_alone, MERCHANT)
        for method in ("POST", "DELETE")
    },
    ("GET", "/v1/credits"): (credits_are_its_shops_alone, MERCHANT),
    ("GET", "/v1/transactions"): (credits_are_its_shops_alone, MERCHANT),
    ("GET", "/v1/usage"): (usage_is_its_shops_alone, MERCHANT),
    ("GET", "/v1/jobs"): (a_list_is_its_shops_alone, MERCHANT),
    **{
        (method, f"/v1/batches/{{public_id}}{end}"): (a_batch_is_its_shops_alone, MERCHANT)
        for method, end in OF_A_BATCH
    },
    ("GET", "/v1/batches"): (a_list_of_batches_is_its_shops_alone, MERCHANT),
    ("POST", "/v1/batches"): (a_new_batch_is_its_shops_alone, MERCHANT),
    **{
        ("GET", f"/v1/privacy/requests{end}"): (a_customers_request_is_its_shops_alone, MERCHANT)
        for end in ("", "/{public_id}")
    },
    **{
        (method, f"/v1/webhook-endpoints/{{public_id}}{end}"): (
            a_webhook_endpoint_is_its_shops_alone,
            MERCHANT,
        )
        for method, end in OF_AN_ENDPOINT
    },
    **{
        (method, "/v1/webhook-endpoints"): (
            a_list_of_webhook_endpoints_is_its_shops_alone,
            MERCHANT,
        )
        for method in ("GET", "POST")
    },
    ("GET", "/v1/operations"): (operations_are_everybodys, MERCHANT),
    ("GET", "/v1/garment-categories"): (garments_are_everybodys, MERCHANT),
    ("POST", "/v1/compatibility/check"): (garments_are_everybodys, MERCHANT),
    **{
        (method, "/v1/settings"): (settings_are_its_shops_alone, MERCHANT)
        for method in ("GET", "PUT")
    },
    ("GET", "/v1/plans"): (a_purchase_is_its_shops_alone, MERCHANT),
    ("POST", "/v1/subscription"): (a_purchase_is_its_shops_alone, MERCHANT),
    ("POST", "/v1/purchases"): (a_purchase_is_its_shops_alone, MERCHANT),
    ("POST", "/v1/uploads"): (an_upload_is_its_shops_alone, (by_token,)),
    ("POST", "/v1/installation"): (an_installation_is_its_shops_alone, (by_token,)),
    **{
        ("POST", f"/v1/{name}"): (a_new_job_is_its_shops_alone(name), MERCHANT)
        for name in MINIMAL_PARAMETERS
    },
    ("GET", "/proxy/v1/jobs/{public_id}"): (a_storefront_job_is_its_shops_alone, VISITOR),
    ("GET", "/proxy/v1/jobs/{public_id}/events"): (a_storefront_job_is_its_shops_alone, VISITOR),
    **{
        ("POST", f"/proxy/v1/{name}"): (a_visitors_job_is_its_shops_alone(name), VISITOR)
        for name in FOR_VISITORS
    },
    ("POST", "/webhooks"): (a_delivery_is_its_shops_alone, ANYBODY),
    ("POST", "/callbacks/{provider}/{token}"): (a_callback_is_its_submissions_alone, ANYBODY),
    ("GET", "/health/live"): (health_knows_no_shops, ANYBODY),
    ("GET", "/health/ready"): (health_knows_no_shops, ANYBODY),
    ("GET", "/schema"): (the_document_knows_no_shops, ANYBODY),
    ("GET", "/schema/openapi.json"): (the_document_knows_no_shops, ANYBODY),
    ("GET", "/schema/{path}"): (the_document_knows_no_shops, ANYBODY),
    **{("GET", path): (the_page_knows_no_shops, ANYBODY) for path in PAGE_TEMPLATES},
    ("GET", "/page/{digest}/{name}"): (the_page_knows_no_shops, ANYBODY),
}


def routes_of(running_app: RunningApp) -> set[Route]:
    """Every route of the app, but for the OPTIONS that Litestar adds to each."""
    app = create_app(running_app.settings).app.app.app.app  # type: ignore[attr-defined]
    assert isinstance(app, Litestar)
    return {
        (str(method), route.path_format)
        for route in app.routes
        for method in getattr(route, "methods", {"MOUNTED"})
        if method != "OPTIONS"
    }


# By the app's database: the other shop's jobs, and the fingerprint of all its data.
made_once: dict[str, tuple[list[JobRef], dict[str, str]]] = {}


async def assert_isolated(shared_app: RunningApp, check: Check, case: RouteCase) -> None:
    """The check passes and leaves the other shop's data, which are of every kind, unchanged."""
    others, before = await data_of_the_other(shared_app)
    await check(shared_app, others, case)
    assert await fingerprint(shared_app, OTHER_SHOP) == before


async def data_of_the_other(shared_app: RunningApp) -> tuple[list[JobRef], dict[str, str]]:
    """Two of its jobs, and the fingerprint; made anew only if a check has changed something."""
    others, known = made_once.get(shared_app.settings.database_url, ([], {}))
    before = await fingerprint(shared_app, OTHER_SHOP)
    if before != known:
        others = await make_data_of_the_other(shared_app)
        before = await fingerprint(shared_app, OTHER_SHOP)
        made_once[shared_app.settings.database_url] = others, before
    return others, before


async def make_data_of_the_other(shared_app: RunningApp) -> list[JobRef]:
    """Give the other shop data of every kind."""
    await shared_app.install(OTHER_SHOP)
    finished, _ = await finished_job(shared_app, shop=OTHER_SHOP)
    others = [finished, await waiting_job(shared_app, shop=OTHER_SHOP)]
    for name in FOR_VISITORS:
        await visitors_job(shared_app, name, shop=OTHER_SHOP)
    await foreign_upload(shared_app)
    await foreign_subscription(shared_app)
    await foreign_publication(shared_app, finished)
    await foreign_batch(shared_app)
    await foreign_request(shared_app)
    await foreign_entry(shared_app)
    await prepaid_job(shared_app, OTHER_SHOP, 1000)
    await foreign_endpoint(shared_app)
    return others
