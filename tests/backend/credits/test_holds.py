"""A job holds its price until it ends; without enough credits there is no job."""

import asyncio
from typing import Any

import httpx
import pytest

from backend.failures.images import IMAGE_CORRUPT
from backend.rules.apply import Applied
from tests.backend.credits.ledger import (
    COSTS_5,
    COSTS_10,
    TOO_FEW,
    balance,
    charged,
    end_job,
    entries,
    grant,
    id_of,
    made_job,
    post_job,
    visit,
)
from tests.backend.rules.settings_api import (
    CATALOG_RULE,
    delivery_outcome,
    get_settings,
    put_settings,
)
from tests.running_app import SHOP, RunningApp
from tests.scenarios import CREATE, NoRenderer, jobs_of, open_shared_app, refusal

pytestmark = pytest.mark.usefixtures("same_day")


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


@pytest.mark.slow
async def test_a_crowd_gets_as_many_jobs_as_there_are_credits(
    shared_app: RunningApp, shop: str
) -> None:
    await grant(shared_app, shop, 3)
    await grant(shared_app, shop, 2)
    answers: list[int] = []

    async def ask_until_answered() -> None:
        while (answer := await post_job(shared_app, shop)).status_code == 503:  # too many at once
            pass
        answers.append(answer.status_code)

    await asyncio.gather(*(ask_until_answered() for _ in range(200)))
    assert sorted(answers) == [202] * 5 + [402] * 195
    assert await balance(shared_app, shop) == (0, 5)
    assert len(await jobs_of(shared_app, shop)) == 5


async def test_the_researched_example_adds_up(shared_app: RunningApp, shop: str) -> None:
    await grant(shared_app, shop, 10)
    await grant(shared_app, shop, 5, source="pack")
    await end_job(shared_app, await made_job(shared_app, shop, COSTS_10))
    await end_job(shared_app, await made_job(shared_app, shop, COSTS_5), IMAGE_CORRUPT)
    await end_job(shared_app, await made_job(shared_app, shop, COSTS_5))
    assert await balance(shared_app, shop) == (0, 0)
    fourth = await post_job(shared_app, shop, COSTS_5)
    assert refusal_with_numbers(fourth) == (TOO_FEW, 5, 0)


async def test_a_visitor_is_refused_without_numbers(shared_app: RunningApp, shop: str) -> None:
    answer = await visit(shared_app, shop)
    assert refusal(answer) == TOO_FEW
    assert answer.json() == {"error": answer.json()["error"]}
    assert "not available" in answer.json()["error"]["message"]
    counted = "SELECT 1 FROM daily_counts WHERE shop_id = :s"
    assert await shared_app.rows(counted, s=await id_of(shared_app, shop)) == []
    await grant(shared_app, shop, 10)
    assert (await visit(shared_app, shop)).status_code == 202
    assert (await visit(shared_app, shop)).status_code == 202  # the same job
    assert await balance(shared_app, shop) == (0, 10)


async def test_a_rule_waits_like_at_a_daily_cap(shared_app: RunningApp, shop: str) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE)
    shared_app.product(b"x", shop=shop)
    poor = await delivery_outcome(shared_app, shop, CREATE)
    assert (poor, await jobs_of(shared_app, shop)) == (("ignored", "INSUFFICIENT_BALANCE"), [])
    assert Applied(note="INSUFFICIENT_BALANCE").is_capped
    await grant(shared_app, shop, 1)
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")
    assert (await get_settings(shared_app, shop))["credits_spent_today"] == 1
    assert await balance(shared_app, shop) == (0, 1)


async def test_without_billing_there_is_no_ledger(services, template) -> None:
    async for running_app in open_shared_app(services, template, NoRenderer()):
        ref = await made_job(running_app, SHOP, product=running_app.product().gid)
        await running_app.drain()
        (job,) = await jobs_of(running_app, SHOP)
        assert (job["status"], job["credits_cost"], job["credit_state"]) == ("SUCCESS", 1, "none")
        assert await charged(running_app, ref) is None
        for table in ("credit_accounts", "credit_entries", "credit_hold_lots"):
            assert await running_app.rows(f"SELECT 1 FROM {table}") == []


def refusal_with_numbers(answer: httpx.Response) -> tuple[Any, int, int]:
    """The refusal, and the credits that its body names."""
    body = answer.json()
    return refusal(answer), body["required"], body["available"]
