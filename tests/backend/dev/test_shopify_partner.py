"""The stand-in's Partner API and pricing page: what they refuse, and what becomes of a contract."""

from decimal import Decimal
from typing import Any

import httpx
import pytest

from backend.dev.shopify import StandInShopify
from backend.dev.shopify.managed_pricing import ManagedPlan
from backend.dev.transport import NO_TLS

SHOP = "partner-shop.myshopify.com"
TOKEN = "partner-token"
CONTRACT = """
query Contract($app: ID!, $shop: ID!) {
  activeSubscription(appId: $app, shopId: $shop) {
    cancelAtEndOfCycle trialEndsAt currentBillingCycle { endTime } items { handle }
    pendingUpdate { items { handle } }
  }
}
"""
HISTORY = """
query History($filter: EventFilterInput, $first: Int, $after: String) {
  events(first: $first, after: $after, filter: $filter, orderBy: OCCURRED_AT_ASC) {
    edges { node { eventType ... on Charge { chargeId planHandle } } }
    pageInfo { hasNextPage endCursor }
  }
}
"""


@pytest.fixture
async def partner_shopify():
    """A stand-in whose app is on App Pricing, with one shop."""
    async with StandInShopify(api_key="key", secret="secret") as shopify:
        platform = shopify.platform
        platform.has_app_pricing, platform.partner.token = True, TOKEN
        platform.partner.plans = [
            ManagedPlan(handle="small", name="Small", price=Decimal(9), trial_days=7),
            ManagedPlan(handle="large", name="Large", price=Decimal(29)),
        ]
        shopify.create_shop(SHOP)
        yield shopify


async def asked(
    shopify: StandInShopify,
    document: str,
    *,
    token: str = TOKEN,
    path: str = "/1000001/api/2026-07/graphql.json",
    **variables: Any,
) -> httpx.Response:
    """The answer to a document."""
    async with httpx.AsyncClient(verify=NO_TLS) as client:
        return await client.post(
            shopify.origin + path,
            json={"query": document, "variables": variables},
            headers={"Host": "partners.shopify.com", "X-Shopify-Access-Token": token},
        )


async def contract(shopify: StandInShopify) -> dict[str, Any] | None:
    """The shop's contract."""
    partner = shopify.platform.partner
    partner.bucket.give_back(partner.bucket.maximum)
    answer = await asked(
        shopify, CONTRACT, app=partner.app_gid, shop=shopify.platform.shops[SHOP].gid
    )
    found: dict[str, Any] | None = answer.json()["data"]["activeSubscription"]
    return found


async def test_another_token_organization_or_version_is_refused(partner_shopify) -> None:
    for change, status in (
        ({"token": "x"}, 401),
        ({"path": "/1/api/2026-07/graphql.json"}, 401),
        ({"path": "/1000001/api/2026-04/graphql.json"}, 404),
    ):
        assert (await asked(partner_shopify, HISTORY, first=1, **change)).status_code == status


async def test_more_than_four_requests_a_second_are_throttled(partner_shopify) -> None:
    partner_shopify.platform.clock = lambda: 1_800_000_000.0
    partner_shopify.platform.partner.bucket.empty()
    partner_shopify.platform.partner.bucket.give_back(4)
    statuses = [(await asked(partner_shopify, HISTORY, first=1)).status_code for _ in range(5)]
    assert statuses == [200] * 4 + [429]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"first": 251}, "cannot be greater than 250"),
        ({}, "must provide one of first or last"),
        ({"first": 1, "filter": {"shopId": "gid://shopify/Shop/1"}}, "requires `subjectId`"),
        ({"first": 1, "filter": {"subjectId": "gid://shopify/App/1"}}, "App not found"),
        (
            {
                "first": 1,
                "filter": {
                    "occurredAtMin": "2025-01-01T00:00:00Z",
                    "occurredAtMax": "2026-06-01T00:00:00Z",
                },
            },
            "cannot exceed 365 days",
        ),
    ],
)
async def test_a_question_for_too_much_is_refused(partner_shopify, variables, said) -> None:
    answer = await asked(partner_shopify, HISTORY, **variables)
    assert said in answer.json()["errors"][0]["message"]


async def test_a_field_that_does_not_exist_is_refused(partner_shopify) -> None:
    answer = await asked(partner_shopify, "{ events(first: 1) { nodes { id } } }")
    assert "Cannot query field 'nodes'" in answer.json()["errors"][0]["message"]


async def test_a_contract_from_trial_to_its_end(partner_shopify) -> None:
    assert await contract(partner_shopify) is None
    partner_shopify.choose_plan(SHOP, "small")
    found = await contract(partner_shopify)
    assert found is not None
    assert found["currentBillingCycle"] is None
    assert found["trialEndsAt"] is not None
    partner_shopify.contract_ages(SHOP, 8)
    partner_shopify.choose_plan(SHOP, "large")
    partner_shopify.choose_plan(SHOP, "small")
    found = await contract(partner_shopify)
    assert found is not None
    assert [item["handle"] for item in found["items"]] == ["large"]
    assert found["pendingUpdate"] == {"items": [{"handle": "small"}]}
    partner_shopify.contract_ages(SHOP, 31)
    partner_shopify.cancel_plan(SHOP)
    found = await contract(partner_shopify)
    assert found is not None
    assert [item["handle"] for item in found["items"]] == ["small"]
    assert found["cancelAtEndOfCycle"] is True
    partner_shopify.contract_ages(SHOP, 31)
    assert await contract(partner_shopify) is None


async def test_the_history_comes_in_pages(partner_shopify) -> None:
    partner_shopify.choose_plan(SHOP, "large")
    partner_shopify.refund_plan(SHOP)
    seen, after = [], None
    for _ in range(3):
        answer = await asked(partner_shopify, HISTORY, first=1, after=after)
        page = answer.json()["data"]["events"]
        seen += [edge["node"]["eventType"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
    assert seen == ["SUBSCRIPTION_CREATED", "CHARGE_RECURRING", "EARNING_REFUND"]
    assert page["pageInfo"]["hasNextPage"] is False


async def test_the_pricing_page_sells_changes_and_cancels(partner_shopify) -> None:
    page = f"{partner_shopify.origin}/store/partner-shop/charges/atelier/pricing_plans"
    async with httpx.AsyncClient(verify=NO_TLS) as browser:
        assert "Cancel plan" not in (await browser.get(page)).text
        back = await browser.post(page, data={"plan": ""})
        assert back.headers["Location"] == "/store/partner-shop/apps/atelier/plan"
        assert await contract(partner_shopify) is None
        back = await browser.post(page, data={"plan": "large"})
        assert back.headers["Location"].endswith("/plan?plan_handle=large")
        await browser.post(page, data={"cancel": "yes"})
        found = await contract(partner_shopify)
        assert found is not None
        assert found["cancelAtEndOfCycle"] is True
        assert (await browser.get(page.replace("/atelier/", "/other/"))).status_code == 404
