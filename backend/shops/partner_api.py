"""The Partner API: which plan of App Pricing a shop has, and what became of charges.

One token is for all shops. Shopify answers four requests a second, so those of all processes take
turns in Postgres.
"""

import asyncio
import random
import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import httpx
import msgspec
from sqlalchemy import func, update

from backend.db import Database
from backend.errors import ConfigurationError, ShopifyBusy, ShopifyUnavailable
from backend.settings import Settings
from backend.shops import partner_documents
from backend.shops.admin_api import (
    DEFAULT_WAIT,
    MIN_WAIT,
    AdminApi,
    ShopifyRefused,
    shopify_call,
)
from backend.shops.documents import operation_of
from backend.shops.models import PartnerState
from backend.shops.partner_responses import Contract, ContractAnswer, EventsAnswer, PartnerEvent
from backend.shops.response_status import THROTTLED_STATUSES, is_busy, is_passing_error, retry_after
from backend.shops.shopify_responses import error_codes, json_object, readable

PARTNER_API_VERSION = "2026-07"
PARTNER_ORIGIN = "https://partners.shopify.com"
TURN = timedelta(milliseconds=260)  # between two requests: four a second, and a little room
MERCHANT_WAIT = 2.0  # seconds, of a merchant's request
WORKER_WAIT = 30.0
HISTORY = timedelta(days=364)  # Shopify answers at most 365 days at once
EVENTS_PAGE = 250
APP_ID = re.compile(r"(?:gid://shopify/App/)?([0-9]{1,19})")


class ContractState(msgspec.Struct, frozen=True, kw_only=True):
    """What Shopify says of a shop's plan; `contract` is None without one."""

    contract: Contract | None
    is_frozen: bool


class PartnerApi:
    """The client. Raises `ShopifyUnavailable` when a retry can help, else `ShopifyRefused`."""

    def __init__(self, settings: Settings, http: httpx.AsyncClient) -> None:
        """`http` stays the caller's to close. Raises `ConfigurationError`."""
        app = APP_ID.fullmatch(settings.partner_app_id)
        if app is None:
            raise ConfigurationError("PARTNER_APP_ID must be a number, or gid://shopify/App/ID.")
        if re.fullmatch("[0-9]+", settings.partner_organization_id) is None:
            raise ConfigurationError("PARTNER_ORGANIZATION_ID must be a number.")
        self.app_gid = f"gid://shopify/App/{app[1]}"
        self.url = (
            f"{PARTNER_ORIGIN}/{settings.partner_organization_id}/api/{PARTNER_API_VERSION}"
            "/graphql.json"
        )
        self.token = settings.partner_api_token
        self.http = http

    def __repr__(self) -> str:
        """Without the token: what is printed ends up in logs."""
        return f"PartnerApi({self.app_gid!r})"

    async def contract(
        self, database: Database, shop_gid: str, *, max_wait: float
    ) -> ContractState:
        """The shop's plan now."""
        now = datetime.now(UTC)
        variables = {"app": self.app_gid, "shop": shop_gid}
        variables |= {"since": iso(now - HISTORY), "until": iso(now)}
        data = await self.graphql(
            database, partner_documents.CONTRACT, variables, max_wait=max_wait
        )
        answer = readable(data, ContractAnswer)
        contract = answer.active_subscription
        if contract is not None and contract.shop.id != shop_gid:
            raise ShopifyRefused(f"asked for {shop_gid}, answered for {contract.shop.id}")
        last = answer.events.edges[0].node.event_type if answer.events.edges else None
        return ContractState(contract=contract, is_frozen=last == "SUBSCRIPTION_FROZEN")

    async def events(
        self,
        database: Database,
        types: tuple[str, ...],
        *,
        since: datetime,
        shop_gid: str | None = None,
    ) -> list[PartnerEvent]:
        """The app's events of these types since then, the oldest first; of one shop or of all."""
        found: list[PartnerEvent] = []
        after = None
        which: dict[str, Any] = {"subjectId": self.app_gid, "eventTypes": types}
        which |= {"occurredAtMin": iso(since), "occurredAtMax": iso(datetime.now(UTC))}
        which |= {"shopId": shop_gid} if shop_gid else {}
        while True:
            variables = {"filter": which, "first": EVENTS_PAGE, "after": after}
            data = await self.graphql(
                database, partner_documents.HISTORY_PAGE, variables, max_wait=WORKER_WAIT
            )
            page = readable(data, EventsAnswer).events
            found += [edge.node for edge in page.edges]
            if not page.page_info.has_next_page or page.page_info.end_cursor == after:
                return found
            after = page.page_info.end_cursor

    async def graphql(
        self, database: Database, document: str, variables: dict[str, Any], *, max_wait: float
    ) -> Any:
        """`data` of the response, after this request's turn has come.

        Repeated while Shopify throttles it, as long as all waits are under `max_wait` seconds.
        """
        while True:
            turn = await reserve_call(database, max_wait)
            max_wait -= turn
            await asyncio.sleep(turn)
            try:
                with shopify_call(operation_of(document)):
                    return await self.post(document, variables)
            except ShopifyBusy as error:
                wait = DEFAULT_WAIT if error.wait is None else max(error.wait, MIN_WAIT)
                max_wait -= wait
                if max_wait < 0:
                    raise
                await asyncio.sleep(wait * random.uniform(1.0, 1.1))  # noqa: S311

    async def post(self, document: str, variables: dict[str, Any]) -> Any:
        """One request, without retries."""
        try:
            response = await self.http.post(
                self.url,
                json={"query": document, "variables": variables},
                headers={"X-Shopify-Access-Token": self.token},
            )
        except httpx.HTTPError as error:
            raise ShopifyUnavailable from error
        if is_busy(response):
            kind = ShopifyBusy if response.status_code in THROTTLED_STATUSES else ShopifyUnavailable
            raise kind(wait=retry_after(response))
        if response.status_code != HTTPStatus.OK:
            raise ShopifyRefused(
                f"Partner API: HTTP {response.status_code}", answered=response.status_code
            )
        answer = json_object(response)
        codes = error_codes(answer.get("errors"))
        if any(is_throttled(code) for code in codes):
            raise ShopifyBusy("The Partner API is throttling requests.")
        if any(is_passing_error(code) for code in codes):
            raise ShopifyUnavailable(f"Partner API: {codes}")
        if codes:
            raise ShopifyRefused(f"Partner API: {codes}", tuple(codes))
        return answer.get("data")


def partner_api(settings: Settings, admin: AdminApi) -> PartnerApi | None:
    """The client if its settings are there. Raises `ConfigurationError` if some are missing."""
    names = ("partner_organization_id", "partner_app_id", "partner_api_token")
    missing = [name.upper() for name in names if not getattr(settings, name)]
    if len(missing) == len(names):
        return None
    if missing:
        raise ConfigurationError(f"The Partner API needs {', '.join(missing)} too.")
    return PartnerApi(settings, admin.http)


async def reserve_call(database: Database, max_wait: float) -> float:
    """Reserve the next free time for a request; the seconds until then.

    Raises `ShopifyBusy`, and reserves nothing, if that is more than `max_wait` seconds away.
    """
    now = func.clock_timestamp()
    mine = func.greatest(PartnerState.next_call_at, now)
    longest = func.make_interval(0, 0, 0, 0, 0, 0, max_wait)
    reserved = (
        update(PartnerState)
        .where(PartnerState.next_call_at <= now + longest)
        .values(next_call_at=mine + TURN)
        .returning(func.extract("epoch", PartnerState.next_call_at - TURN - now))
    )
    async with database.transaction() as connection:
        seconds = await connection.scalar(reserved)
    if seconds is None:
        raise ShopifyBusy("Too many requests wait for the Partner API.")
    return max(float(seconds), 0.0)


def is_throttled(code: str) -> bool:
    """Whether a GraphQL error says that there were too many requests."""
    return code in {"THROTTLED", "429"} or "too many requests" in code.lower()


def iso(moment: datetime) -> str:
    """A time as GraphQL takes it."""
    return moment.astimezone(UTC).isoformat()
