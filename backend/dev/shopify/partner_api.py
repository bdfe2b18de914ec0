"""The Partner API 2026-07 over HTTP: contracts of App Pricing, and the history of all shops.

`partner.graphql` is its schema. It refuses what shopify.dev says of `activeSubscription` and
`events`; the messages are this side's.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from graphql import (
    DocumentNode,
    GraphQLError,
    assert_scalar_type,
    build_schema,
    execute_sync,
    parse,
    validate,
)
from litestar import Request, Response, Router, post
from litestar.params import FromPath

from backend.dev.shopify.fault_injection import respond
from backend.dev.shopify.managed_pricing import HistoryEntry, ManagedContract, ManagedPlan
from backend.dev.shopify.refusals import error
from backend.dev.shopify.state import HttpResponse, Platform, ShopRecord
from backend.dev.shopify.views import View

PARTNER_HOST = "partners.shopify.com"
PARTNER_VERSION = "2026-07"
MOST_EVENTS = 250
LONGEST_RANGE = timedelta(days=365)
USUAL_RANGE = timedelta(days=30)
MAX_DOCUMENT_TOKENS = 1000

_SCHEMA = build_schema(Path(__file__).with_name("partner.graphql").read_text("utf-8"))
_UNAUTHORIZED = HttpResponse(401, {"errors": "Unauthorized"})
_NOT_FOUND = HttpResponse(404, {"errors": "Not Found"})
_THROTTLED = HttpResponse(
    429, {"errors": [{"message": "Too many requests", "extensions": {"code": "429"}}]}
)
_NO_QUERY = HttpResponse(400, {"errors": {"query": "Required parameter missing or invalid"}})


def _time(value: object) -> datetime:
    """Read a DateTime: ISO 8601 with a time zone."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as invalid:
        raise GraphQLError(f"DateTime cannot represent {value!r}") from invalid
    if moment.tzinfo is None:
        raise GraphQLError(f"DateTime cannot represent {value!r} without a time zone")
    return moment


assert_scalar_type(_SCHEMA.type_map["DateTime"]).coerce_input_value = _time


class _PartnerRequest(msgspec.Struct, frozen=True, kw_only=True):
    query: str
    variables: dict[str, object] | None = None


def partner_router(platform: Platform) -> Router:
    """The route of the API, which answers for its own host only."""

    @post("/{organization:str}/api/{version:str}/graphql.json", status_code=200)
    async def partner_graphql(
        request: Request[Any, Any, Any], organization: FromPath[str], version: FromPath[str]
    ) -> Response[Any]:
        body = await request.body()
        host = request.headers.get("host", "").partition(":")[0].lower()
        token = request.headers.get("x-shopify-access-token", "")

        def work() -> HttpResponse:
            if host != PARTNER_HOST or version != PARTNER_VERSION:
                return _NOT_FOUND
            account = platform.partner
            if not account.token or (organization, token) != (account.organization, account.token):
                return _UNAUTHORIZED
            if not account.bucket.take(1):
                return _THROTTLED
            return _answered(platform, body)

        return await respond(platform, "partner", work, request)

    return Router("/", route_handlers=[partner_graphql])


def _answered(platform: Platform, body: bytes) -> HttpResponse:
    try:
        asked = msgspec.json.decode(body, type=_PartnerRequest)
        document = _partner_document(asked.query)
    except msgspec.MsgspecError:
        return _NO_QUERY
    except GraphQLError as invalid:
        return HttpResponse(200, {"errors": [invalid.formatted]})
    for shop in platform.shops.values():
        shop.contracts.pass_time(platform.now())
    root: dict[str, Callable[..., object]] = {
        "activeSubscription": lambda _info, **which: _contract(platform, **which),
        "events": lambda _info, **which: _events(platform, **which),
    }
    result = execute_sync(_SCHEMA, document, root, variable_values=asked.variables or {})
    return HttpResponse(
        200, {part: value for part, value in result.formatted.items() if value is not None}
    )


@lru_cache(maxsize=32)
def _partner_document(text: str) -> DocumentNode:
    document = parse(text, max_lexical_tokens=MAX_DOCUMENT_TOKENS)
    for problem in validate(_SCHEMA, document):
        raise problem
    return document


# Contracts


def _contract(platform: Platform, appId: str, shopId: str) -> View | None:
    _check_app_id(platform, appId)
    if platform.app_kind == "custom":
        raise error("The app must be a public app", "ACCESS_DENIED")
    shop = _shop(platform, shopId)
    contract = shop.contracts.contract
    if contract is None or contract.is_frozen or not platform.has_app_pricing:
        return None
    return _contract_view(platform, shop, contract)


def _contract_view(platform: Platform, shop: ShopRecord, contract: ManagedContract) -> View:
    plan, pending = contract.plan, contract.pending
    cycle = None
    if contract.cycle_start is not None and contract.cycle_end is not None:
        cycle = {"startTime": _text(contract.cycle_start), "endTime": _text(contract.cycle_end)}
    return {
        "app": _app_view(platform),
        "shop": _shop_view(shop),
        "billingPeriod": plan.interval,
        "cancelAtEndOfCycle": contract.is_cancelled,
        "trialEndsAt": contract.trial_ends_at and _text(contract.trial_ends_at),
        "currentBillingCycle": cycle,
        "items": [_item(shop, plan)],
        "legacySubscriptionId": None,
        "pendingUpdate": pending
        and {"billingPeriod": pending.interval, "items": [_item(shop, pending)]},
    }


def _item(shop: ShopRecord, plan: ManagedPlan) -> View:
    price = {"__typename": "FlatRatePrice", "active": True, "amount": str(plan.price)}
    return {
        "handle": plan.handle,
        "description": plan.name,
        "price": {**price, "currency": shop.billing_currency},
    }


# History


def _events(platform: Platform, **asked: Any) -> View:
    which = asked.get("filter") or {}
    first = asked.get("first")
    if first is None and asked.get("last") is None:
        raise error("You must provide one of first or last", "BAD_REQUEST")
    if first is None or asked.get("before") is not None:
        raise error("Stand-in: pages forward are what it plays", "BAD_REQUEST")
    if not 0 < first <= MOST_EVENTS:
        raise error(f"`first` cannot be greater than {MOST_EVENTS}", "BAD_REQUEST")
    rows = sorted(_matching(platform, which), key=lambda entry: (entry.occurred_at, entry.number))
    if asked["orderBy"] == "OCCURRED_AT_DESC":
        rows.reverse()
    if asked.get("after") is not None:
        numbers = [str(entry.number) for entry in rows]
        if asked["after"] not in numbers:
            raise error("Invalid cursor", "BAD_REQUEST")
        rows = rows[numbers.index(asked["after"]) + 1 :]
    page = rows[:first]
    return {
        "edges": [
            {"cursor": str(entry.number), "node": _event_view(platform, entry)} for entry in page
        ],
        "pageInfo": {
            "hasNextPage": len(rows) > len(page),
            "hasPreviousPage": asked.get("after") is not None,
            "startCursor": str(page[0].number) if page else None,
            "endCursor": str(page[-1].number) if page else None,
        },
    }


def _matching(platform: Platform, which: dict[str, Any]) -> list[HistoryEntry]:
    if which.get("shopId") and not which.get("subjectId"):
        raise error("`shopId` requires `subjectId`", "BAD_REQUEST")
    if which.get("subjectId"):
        _check_app_id(platform, which["subjectId"])
    since, until = _range(platform, which)
    shops = list(platform.shops.values())
    if which.get("shopId"):
        shops = [_shop(platform, which["shopId"])]
        if shops[0].domain in platform.partner.hidden_shops:
            raise error("Shop not found", "NOT_FOUND")
    types = which.get("eventTypes")
    return [
        entry
        for shop in shops
        for entry in shop.contracts.history
        if since <= entry.occurred_at <= until and (not types or entry.event_type in types)
    ]


def _range(platform: Platform, which: dict[str, Any]) -> tuple[datetime, datetime]:
    since, until = which.get("occurredAtMin"), which.get("occurredAtMax")
    now = platform.now()
    if until is None:
        until = now if since is None else min(since + USUAL_RANGE, now)
    if since is None:
        since = until - USUAL_RANGE
    if until - since > LONGEST_RANGE:
        raise error("The range of dates cannot exceed 365 days", "BAD_REQUEST")
    return since, until


def _event_view(platform: Platform, entry: HistoryEntry) -> View:
    shop = next(each for each in platform.shops.values() if each.number == entry.shop_number)
    money = {"amount": str(entry.amount), "currencyCode": shop.billing_currency}
    legacy = entry.legacy_charge_id
    return {
        "__typename": entry.kind,
        "id": f"gid://shopify/{entry.kind}/{entry.number}",
        "eventType": entry.event_type,
        "occurredAt": _text(entry.occurred_at),
        "shop": _shop_view(shop),
        "subject": {"__typename": "AppReference", **_app_view(platform)},
        "chargeId": entry.charge_id,
        "metadata": legacy and {"legacyChargeId": legacy},
        "planHandle": entry.plan_handle,
        "amount": money,
        "grossAmount": money,
    }


# References


def _check_app_id(platform: Platform, gid: str) -> None:
    if gid != platform.partner.app_gid:
        raise error("App not found", "NOT_FOUND")


def _shop(platform: Platform, gid: str) -> ShopRecord:
    found = next((shop for shop in platform.shops.values() if shop.gid == gid), None)
    if found is None:
        raise error("Shop not found", "NOT_FOUND")
    return found


def _app_view(platform: Platform) -> View:
    return {"apiKey": platform.api_key, "id": platform.partner.app_gid, "name": "Atelier"}


def _shop_view(shop: ShopRecord) -> View:
    name = shop.domain.partition(".")[0]
    return {"id": shop.gid, "myshopifyDomain": f"https://{shop.domain}", "name": name}


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
