"""Deliveries: signed, tried again by the rules of their answers, logged and sent again."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from backend.webhook_endpoints.schedule import MOST_ATTEMPTS, pause_after_failure
from backend.webhook_endpoints.schemas import KEPT_ATTEMPTS
from backend.webhook_endpoints.secrets import new_secret
from tests.backend.webhook_endpoints.receiver import (
    Receiver,
    add,
    answer,
    deliveries,
    make_due,
    one,
    open_receiver,
    send_test,
)
from tests.running_app import SHOP, RunningApp


async def test_a_delivery_verifies_with_the_endpoints_secret_and_no_other(
    shop_app: RunningApp, receiver: Receiver
) -> None:
    endpoint = await add(shop_app, receiver.url)
    event_id = await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    [request] = receiver.requests
    event = request.verified(str(endpoint["secret"]))
    assert event["type"] == "endpoint.test"
    assert event["data"] == {
        "shop": SHOP,
        "endpoint_id": endpoint["id"],
        "path": f"/v1/webhook-endpoints/{endpoint['id']}",
    }
    age = datetime.now(UTC) - datetime.fromisoformat(str(event["timestamp"]))
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert request.headers["webhook-id"] == event_id
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("Atelier-Webhooks/")
    with pytest.raises(WebhookVerificationError):
        request.verified(new_secret())
    request.body = request.body.replace(b"endpoint.test", b"endpoint.rest")
    with pytest.raises(WebhookVerificationError):
        request.verified(str(endpoint["secret"]))


async def test_while_a_secret_is_rotated_both_verify(
    shop_app: RunningApp, receiver: Receiver
) -> None:
    endpoint = await add(shop_app, receiver.url)
    path = f"/v1/webhook-endpoints/{endpoint['id']}/secret"
    rotated = await shop_app.http.post(f"{path}/rotate", headers=shop_app.bearer())
    secret = rotated.json()["secret"]
    ends_in = datetime.fromisoformat(rotated.json()["previous_valid_until"]) - datetime.now(UTC)
    assert timedelta(hours=23) < ends_in <= timedelta(hours=24)
    assert (await shop_app.http.get(path, headers=shop_app.bearer())).json()["secret"] == secret
    assert secret != endpoint["secret"]
    await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    for valid in (secret, str(endpoint["secret"])):
        assert receiver.requests[0].verified(valid)
    await shop_app.execute("UPDATE webhook_endpoints SET previous_secret_until = now()")
    await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    assert receiver.requests[1].verified(secret)
    with pytest.raises(WebhookVerificationError):
        receiver.requests[1].verified(str(endpoint["secret"]))


async def test_secrets_are_stored_encrypted(shop_app: RunningApp, receiver: Receiver) -> None:
    endpoint = await add(shop_app, receiver.url)
    [stored] = await shop_app.rows("SELECT secret FROM webhook_endpoints")
    assert stored["secret"].startswith("v1.")
    assert str(endpoint["secret"])[6:] not in stored["secret"]
    shown = json.dumps([await one(shop_app, endpoint["id"])])
    assert "whsec_" not in shown


@pytest.mark.parametrize("status", [302, 307, 404, 429, 500])
async def test_anything_but_success_is_tried_again_with_the_same_id(
    shop_app: RunningApp, receiver: Receiver, status: int
) -> None:
    receiver.answers = [
        answer(status, f"Location: {receiver.url}/moved", body=b"sorry"),
        answer(204),
    ]
    endpoint = await add(shop_app, receiver.url)
    event_id = await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    [logged] = await deliveries(shop_app, endpoint["id"])
    assert (logged["status"], logged["attempts"], logged["error"]) == ("pending", 1, "STATUS")
    assert (logged["response_status"], logged["response_body"]) == (status, "sorry")
    due = datetime.fromisoformat(str(logged["next_attempt_at"])) - datetime.now(UTC)
    assert timedelta(seconds=1) < due < timedelta(seconds=7)
    assert (await one(shop_app, endpoint["id"]))["failing_since"]
    await make_due(shop_app)
    assert [each.path for each in receiver.requests] == ["/hooks"] * 2, "no redirect is followed"
    assert receiver.ids() == [event_id] * 2
    [logged] = await deliveries(shop_app, endpoint["id"])
    assert (logged["status"], logged["attempts"], logged["error"]) == ("succeeded", 2, None)
    assert logged["next_attempt_at"] is None
    assert (await one(shop_app, endpoint["id"]))["failing_since"] is None


async def test_a_410_switches_the_endpoint_off(shop_app: RunningApp, receiver: Receiver) -> None:
    receiver.answers = [answer(410)]
    endpoint = await add(shop_app, receiver.url)
    await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    found = await one(shop_app, endpoint["id"])
    assert (found["enabled"], found["disabled_reason"]) == (False, "GONE")
    [logged] = await deliveries(shop_app, endpoint["id"])
    assert (logged["status"], logged["response_status"]) == ("canceled", 410)
    refused = await shop_app.http.post(
        f"/v1/webhook-endpoints/{endpoint['id']}/test", headers=shop_app.bearer()
    )
    assert refused.json()["error"]["code"] == "WEBHOOK_ENDPOINT_DISABLED"
    receiver.answers = [answer(200)]
    await change(shop_app, endpoint["id"], enabled=True)
    await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    assert len(receiver.requests) == 2
    assert (await one(shop_app, endpoint["id"]))["disabled_reason"] is None


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [("120", 120, 121), ("999999999", 86_390, 86_401), ("-5", 1, 7), ("soon", 1, 7)],
)
async def test_retry_after_is_honoured_within_a_day(
    shop_app: RunningApp, receiver: Receiver, told: str, least: int, most: int
) -> None:
    receiver.answers = [answer(503, f"Retry-After: {told}")]
    endpoint = await add(shop_app, receiver.url)
    await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    [due] = await shop_app.rows(
        "SELECT extract(epoch FROM next_attempt_at - last_attempt_at)::float AS seconds "
        "FROM endpoint_deliveries"
    )
    assert least - 1 <= due["seconds"] <= most


def test_ten_attempts_are_made_over_about_three_days() -> None:
    pauses = [pause_after_failure(number, None) for number in range(1, MOST_ATTEMPTS + 1)]
    assert MOST_ATTEMPTS == 10
    assert pauses[-1] is None
    known = [pause for pause in pauses if pause is not None]
    assert timedelta(days=2) < sum(known, timedelta(0)) < timedelta(days=4)
    assert len({pause_after_failure(2, None) for _ in range(9)}) > 1, "with jitter"


async def test_after_the_last_attempt_a_delivery_has_failed(
    shop_app: RunningApp, receiver: Receiver
) -> None:
    receiver.answers = [answer(500)]
    endpoint = await add(shop_app, receiver.url)
    await send_test(shop_app, endpoint["id"])
    await shop_app.execute("UPDATE endpoint_deliveries SET attempts = :n", n=MOST_ATTEMPTS - 1)
    await shop_app.drain()
    [logged] = await deliveries(shop_app, endpoint["id"])
    assert (logged["status"], logged["attempts"]) == ("failed", MOST_ATTEMPTS)
    assert (await one(shop_app, endpoint["id"]))["enabled"]


@pytest.mark.parametrize(
    ("last_failed", "enabled"), [("1 hour", False), ("40 hours", True)], ids=["one", "two outages"]
)
async def test_five_days_of_failures_switch_the_endpoint_off(
    shop_app: RunningApp, receiver: Receiver, last_failed: str, enabled: bool
) -> None:
    receiver.answers = [answer(500)]
    endpoint = await add(shop_app, receiver.url)
    await shop_app.execute(
        "UPDATE webhook_endpoints SET failures = 9, failing_since = now() - interval '5 days', "
        "last_failed_at = now() - cast(cast(:ago AS text) AS interval)",
        ago=last_failed,
    )
    await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    found = await one(shop_app, endpoint["id"])
    assert (found["enabled"], found["disabled_reason"]) == (enabled, None if enabled else "FAILING")


async def test_only_the_beginning_of_an_answer_is_read_and_kept(
    shop_app: RunningApp, receiver: Receiver
) -> None:
    receiver.answers = [answer(200, body=b"\0a\xff" + b"b" * 10_000_000)]
    endpoint = await add(shop_app, receiver.url)
    await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    [logged] = await deliveries(shop_app, endpoint["id"])
    assert logged["status"] == "succeeded"
    assert str(logged["response_body"]) == "a\N{REPLACEMENT CHARACTER}" + "b" * 498


async def test_the_log_keeps_what_came_of_the_latest_attempts(
    shop_app: RunningApp, receiver: Receiver
) -> None:
    receiver.answers = [answer(500), answer(404), answer(204), *[answer(503)] * KEPT_ATTEMPTS]
    endpoint = await add(shop_app, receiver.url)
    await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    await make_due(shop_app)
    await make_due(shop_app)
    [logged] = await deliveries(shop_app, endpoint["id"])
    assert [told(each) for each in attempts_of(logged)] == [
        *[(204, None), (404, "STATUS"), (500, "STATUS")],
    ]
    times = [datetime.fromisoformat(each["attempted_at"]) for each in attempts_of(logged)]
    assert times == sorted(times, reverse=True)
    assert times[0] == datetime.fromisoformat(str(logged["last_attempt_at"]))
    assert attempts_of(logged)[0]["response_ms"] == logged["response_ms"]
    again = f"/v1/webhook-endpoints/{endpoint['id']}/deliveries/{logged['id']}/redeliver"
    resent = await shop_app.http.post(again, headers=shop_app.bearer())
    assert len(resent.json()["latest_attempts"]) == 3
    await shop_app.drain()
    for _ in range(KEPT_ATTEMPTS - 2):
        await make_due(shop_app)
    [logged] = await deliveries(shop_app, endpoint["id"])
    assert (logged["attempts"], len(attempts_of(logged))) == (KEPT_ATTEMPTS - 1, KEPT_ATTEMPTS)
    newest, oldest = attempts_of(logged)[0], attempts_of(logged)[-1]
    assert (told(newest), told(oldest)) == ((503, "STATUS"), (204, None))


async def test_an_attempt_without_an_answer_is_kept_too(shop_app: RunningApp) -> None:
    async with open_receiver() as closed:
        url = closed.url
    endpoint = await add(shop_app, url)
    await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    [logged] = await deliveries(shop_app, endpoint["id"])
    assert [told(each) for each in attempts_of(logged)] == [(None, "CONNECTION_FAILED")]


async def test_a_delivery_can_be_sent_again(shop_app: RunningApp, receiver: Receiver) -> None:
    endpoint = await add(shop_app, receiver.url)
    event_id = await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    [logged] = await deliveries(shop_app, endpoint["id"])
    again = await shop_app.http.post(
        f"/v1/webhook-endpoints/{endpoint['id']}/deliveries/{logged['id']}/redeliver",
        headers=shop_app.bearer(),
    )
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    await shop_app.drain()
    assert receiver.ids() == [event_id] * 2
    [logged] = await deliveries(shop_app, endpoint["id"])
    assert (logged["status"], logged["attempts"]) == ("succeeded", 1)


async def change(running_app: RunningApp, endpoint_id: object, **what: object) -> None:
    """PATCH the endpoint."""
    response = await running_app.http.patch(
        f"/v1/webhook-endpoints/{endpoint_id}", json=what, headers=running_app.bearer()
    )
    assert response.status_code == 200, response.text


def attempts_of(delivery: dict[str, Any]) -> list[dict[str, Any]]:
    """Its newest attempts."""
    found: list[dict[str, Any]] = delivery["latest_attempts"]
    return found


def told(attempt: dict[str, Any]) -> tuple[int | None, str | None]:
    """What came of an attempt."""
    return attempt["response_status"], attempt["error"]
