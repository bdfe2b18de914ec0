"""A job holds its price until it ends; without enough credits there is no job."""

from typing import Any

import httpx

from tests.backend.credits.ledger import (
    TOO_FEW,
    balance,
    entries,
    grant,
    post_job,
)
from tests.running_app import RunningApp
from tests.scenarios import jobs_of, refusal


async def test_a_job_holds_its_price(shared_app: RunningApp, shop: str) -> None:
    await grant(shared_app, shop, 3)
    answer = await post_job(shared_app, shop)
    assert answer.status_code == 202
    assert await balance(shared_app, shop) == (2, 1)
    assert await entries(shared_app, shop) == [("grant", 3, 0), ("hold", -1, 1)]


async def test_without_enough_credits_nothing_is_stored(shared_app: RunningApp, shop: str) -> None:
    answer = await post_job(shared_app, shop, key="once")
    assert refusal_with_numbers(answer) == (TOO_FEW, 1, 0)
    assert await jobs_of(shared_app, shop) == []
    await grant(shared_app, shop, 1)
    again = await post_job(shared_app, shop, key="once")  # not a replay of the refusal
    assert again.status_code == 202
    assert "Idempotency-Replayed" not in again.headers


async def test_a_replay_holds_nothing(shared_app: RunningApp, shop: str) -> None:
    await grant(shared_app, shop, 1)
    first, second = [await post_job(shared_app, shop, key="twice") for _ in range(2)]
    assert second.json()["job_id"] == first.json()["job_id"]
    assert await balance(shared_app, shop) == (0, 1)


async def test_a_cancelled_job_gives_its_price_back(shared_app: RunningApp, shop: str) -> None:
    await grant(shared_app, shop, 1)
    job = (await post_job(shared_app, shop)).json()["job_id"]
    headers = shared_app.bearer(shop)
    cancelled = await shared_app.http.post(f"/v1/jobs/{job}/cancel", headers=headers)
    assert cancelled.is_success
    assert await balance(shared_app, shop) == (1, 0)
    assert (await entries(shared_app, shop))[1:] == [("hold", -1, 1), ("release", 1, -1)]
    events = await shared_app.http.get(f"/v1/jobs/{job}/events", headers=headers)
    assert events.json()["events"][-1]["extra"]["charged"] == 0


def refusal_with_numbers(answer: httpx.Response) -> tuple[Any, int, int]:
    """The refusal, and the credits that its body names."""
    body = answer.json()
    return refusal(answer), body["required"], body["available"]
