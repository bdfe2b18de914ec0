"""Batches."""

from typing import Any

from backend.jobs.service import JobRef
from tests.minimal_requests import UNKNOWN_UPLOAD
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import (
    refusal,
)
from tests.security.tenant_checks.callers import PRODUCT, RouteCase
from tests.security.tenant_checks.images import foreign_upload

OF_A_BATCH = (("GET", ""), ("GET", "/items"), ("POST", "/retry"), ("POST", "/cancel"))


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
