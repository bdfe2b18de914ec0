"""Webhooks in both directions, and callbacks of providers."""

import json

from backend.jobs.service import JobRef
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import (
    deliver,
    fingerprint,
    refusal,
)
from tests.security.tenant_checks.callers import RouteCase

OF_AN_ENDPOINT = (
    *(("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test")),
    *(("GET", "/secret"), ("POST", "/secret/rotate"), ("GET", "/deliveries")),
    ("POST", "/deliveries/{delivery_id}/redeliver"),
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


async def a_delivery_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], _ask: RouteCase
) -> None:
    """Also when its body is about the other shop's product."""
    await shared_app.drain(only_webhooks=True)  # what earlier tests have left
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
