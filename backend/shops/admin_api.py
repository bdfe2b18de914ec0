"""The one door to Shopify: tokens and the Admin GraphQL API, over one pooled client.

A token is an argument of each call and never state: two shops' work runs side by side in one
event loop. The shop's domain is checked before any secret leaves the process.

Shopify says no in three places: by HTTP status, in the answer's `errors`, and in a mutation's
`userErrors`. The first two are told apart here, the last in `media_api`.
"""

import asyncio
import math
import random
import time
from datetime import datetime
from http import HTTPStatus
from typing import Any
from weakref import WeakValueDictionary

import httpx
import structlog

from backend.auth.shop_domain import is_shop_domain
from backend.errors import (
    ConfigurationError,
    InvalidSessionToken,
    ShopifyBusy,
    ShopifyUnavailable,
)
from backend.settings import Settings
from backend.shops.collection_responses import CollectionAnswer, CollectionPage
from backend.shops.documents import (
    API_VERSION,
    CHANGED_PRODUCTS,
    COLLECTION_PRODUCTS,
    INSTALLATION,
    MEDIA_IMAGE,
    PRODUCT,
)
from backend.shops.shopify_responses import (
    Cost,
    Installation,
    InstallationAnswer,
    MediaAnswer,
    OfflineToken,
    Product,
    ProductAnswer,
    ProductImage,
    ProductPage,
    ProductsAnswer,
    cost_of,
    error_codes,
    json_object,
    readable,
)
from backend.shops.ssrf_transport import PublicInternet
from backend.shops.token_encryption import TokenKeys

log = structlog.get_logger(__name__)

EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:id_token"
OFFLINE_TOKEN_TYPE = "urn:shopify:params:oauth:token-type:offline-access-token"
TIMEOUT = httpx.Timeout(10, connect=2)  # seconds
SLOW_DOWN = {429, 430}
USUAL_WAIT = 1.0  # seconds, where Shopify does not say how long
SHORTEST_WAIT = 0.1
PASSING = frozenset({"INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE", "TIMEOUT"})
PATIENCE = 10.0  # seconds, of a worker's questions
FETCHES = 4  # shops whose tokens a process fetches at once: each holds a connection meanwhile
CLOSED = {402, 423}  # the shop has not paid, or is locked: it can open again
FROZEN = {*CLOSED, 403}  # the shop is locked out for now: says nothing about its tokens
# What a shop answers that has told us that it is leaving: nobody opens it for us any more.
LEFT = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, *FROZEN})


class TokenRefused(Exception):
    """Shopify does not know this token: the app was removed, or the token has died."""


class ShopifyRefused(Exception):
    """Shopify answers, and says no for good: a scope is missing, the document is wrong.

    `answered` is the HTTP status of the answer, where it was that which said no.
    """

    def __init__(
        self, message: str, codes: tuple[str, ...] = (), *, answered: int | None = None
    ) -> None:
        super().__init__(message)
        self.is_denied = "ACCESS_DENIED" in codes
        self.answered = answered


class AdminApi:
    """Shopify as our app sees it. Raises `ShopifyUnavailable` when trying later can help.

    Beside the app's credentials it holds `token_keys`, which seal what Shopify grants.
    """

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None) -> None:
        self.client_id = settings.shopify_api_key
        self.client_secrets = settings.shopify_secrets
        self.token_keys = TokenKeys(settings.token_keys)
        self.turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.fetching = asyncio.Semaphore(FETCHES)
        self.other_versions: set[str] = set()
        self.http = httpx.AsyncClient(
            transport=transport, timeout=TIMEOUT, follow_redirects=False, trust_env=False
        )
        # For the addresses that Shopify's answers name: pictures, and places to upload to.
        self.files = httpx.AsyncClient(
            transport=transport or PublicInternet(),
            timeout=TIMEOUT,
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()
        await self.files.aclose()

    def turn(self, shop: str) -> asyncio.Lock:
        """What to hold while fetching tokens for the shop; it knows of this process only."""
        return self.turns.setdefault(shop, asyncio.Lock())

    async def exchange(self, shop: str, session_token: str) -> OfflineToken:
        """A merchant's session token for an offline token. Raises `InvalidSessionToken`."""
        try:
            return await self._token(
                shop,
                self.client_secrets(time.time())[0],
                grant_type=EXCHANGE_GRANT,
                subject_token=session_token,
                subject_token_type=ID_TOKEN_TYPE,
                requested_token_type=OFFLINE_TOKEN_TYPE,
                expiring="1",
            )
        except TokenRefused as error:
            raise InvalidSessionToken from error

    async def refresh(self, shop: str, refresh_token: str) -> OfflineToken:
        """A new pair for an old refresh token. Raises `TokenRefused` when that has died.

        A token belongs to the client secret under which it was granted: while the app's secret is
        being rotated, the previous one is tried too before a token counts as dead.
        """
        refused: TokenRefused | ConfigurationError | None = None
        for secret in self.client_secrets(time.time()):
            try:
                return await self._token(
                    shop, secret, grant_type="refresh_token", refresh_token=refresh_token
                )
            except (TokenRefused, ConfigurationError) as error:
                refused = refused or error
        assert refused is not None, "there is always a current secret"
        raise refused

    async def product(self, shop: str, token: str, gid: str) -> Product | None:
        """The product as it is now, or None if this shop has no such product."""
        answer = await self.graphql(shop, token, PRODUCT, {"id": gid}, patience=PATIENCE)
        return readable(answer, ProductAnswer).product

    async def changed_products(
        self, shop: str, token: str, *, since: datetime, until: datetime, after: str | None
    ) -> ProductPage:
        """A page of the products that were changed in that time, the oldest change first."""
        query = f"updated_at:>='{since.isoformat()}' AND updated_at:<='{until.isoformat()}'"
        variables = {"query": query, "after": after}
        answer = await self.graphql(shop, token, CHANGED_PRODUCTS, variables, patience=PATIENCE)
        return readable(answer, ProductsAnswer).products

    async def media_image(self, shop: str, token: str, gid: str) -> ProductImage | None:
        """The picture, or None if this shop has none of that id, or not ready."""
        answer = await self.graphql(shop, token, MEDIA_IMAGE, {"id": gid}, patience=PATIENCE)
        media = readable(answer, MediaAnswer).node
        return media.ready if media else None

    async def collection_page(
        self, shop: str, token: str, gid: str, *, first: int, after: str | None
    ) -> CollectionPage | None:
        """Some products of a collection, in its order; None if this shop has none of that id."""
        variables = {"id": gid, "first": first, "after": after}
        answer = await self.graphql(shop, token, COLLECTION_PRODUCTS, variables, patience=PATIENCE)
        return readable(answer, CollectionAnswer).collection

    async def installation(self, shop: str, token: str) -> Installation:
        """The shop's id and granted scopes. Raises `TokenRefused` when the app was removed."""
        answer = await self.graphql(shop, token, INSTALLATION, {})
        found = readable(answer, InstallationAnswer)
        granted = found.current_app_installation.access_scopes
        return Installation(
            shop_gid=found.shop.id, scopes=",".join(scope.handle for scope in granted)
        )

    async def graphql(
        self,
        shop: str,
        token: str,
        document: str,
        variables: dict[str, Any],
        *,
        patience: float = 0.0,
    ) -> Any:
        """`data` of the answer.

        When Shopify asks us to slow down, it has done nothing yet: the question is asked again
        after the time that Shopify names, as long as all this takes less than `patience` seconds.
        """
        while True:
            try:
                return await self._graphql(shop, token, document, variables)
            except ShopifyBusy as error:
                wait = USUAL_WAIT if error.wait is None else max(error.wait, SHORTEST_WAIT)
                patience -= wait
                if patience < 0:
                    raise
                await asyncio.sleep(wait * random.uniform(1.0, 1.1))  # noqa: S311

    async def _graphql(
        self, shop: str, token: str, document: str, variables: dict[str, Any]
    ) -> Any:
        """One question, asked once."""
        response = await self._post(
            shop,
            f"/admin/api/{API_VERSION}/graphql.json",
            {"query": document, "variables": variables},
            {"X-Shopify-Access-Token": token},
        )
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise TokenRefused(shop)
        if response.status_code in CLOSED:
            raise ShopifyUnavailable(
                f"{shop}: HTTP {response.status_code}", answered=response.status_code
            )
        if response.status_code != HTTPStatus.OK:
            raise ShopifyRefused(
                f"{shop}: HTTP {response.status_code}", answered=response.status_code
            )
        self._look_at_version(response)
        answer = json_object(response)
        codes = error_codes(answer.get("errors"))
        if "THROTTLED" in codes:
            wait = time_to_restore(cost_of(answer))
            raise ShopifyBusy("Shopify is throttling requests.", wait=wait)
        if not PASSING.isdisjoint(codes):
            raise ShopifyUnavailable(f"{shop}: {codes}")
        if codes:
            raise ShopifyRefused(f"{shop}: {codes}", tuple(codes))
        return answer.get("data")

    def _look_at_version(self, response: httpx.Response) -> None:
        """Say it once when Shopify answers for another version: ours has expired."""
        version = response.headers.get("X-Shopify-API-Version", API_VERSION)
        if version != API_VERSION and version not in self.other_versions:
            self.other_versions.add(version)
            log.warning("shopify_api_version", asked=API_VERSION, answered=version[:20])

    async def _token(self, shop: str, secret: bytes, **grant: str) -> OfflineToken:
        """One call of the token endpoint."""
        body = {"client_id": self.client_id, "client_secret": secret.decode(), **grant}
        response = await self._post(shop, "/admin/oauth/access_token", body, {})
        if response.status_code == HTTPStatus.OK:
            return readable(json_object(response), OfflineToken)
        if response.status_code in FROZEN:
            raise ShopifyUnavailable(answered=response.status_code)
        try:
            error = json_object(response).get("error")
        except ShopifyUnavailable as unreadable:  # such as a page in HTML that says 404
            unreadable.answered = response.status_code
            raise
        if error == "invalid_client":
            raise ConfigurationError(
                "Shopify rejects SHOPIFY_API_KEY and SHOPIFY_API_SECRET. Compare them with the "
                "app's settings in the Dev Dashboard."
            )
        raise TokenRefused(f"{shop}: {error}")

    async def _post(
        self, shop: str, path: str, body: dict[str, Any], headers: dict[str, str]
    ) -> httpx.Response:
        """POST JSON to a shop; an answer that means "not now" becomes `ShopifyUnavailable`."""
        if not is_shop_domain(shop):
            raise ValueError(f"not a shop domain: {shop!r}")
        try:
            response = await self.http.post(f"https://{shop}{path}", json=body, headers=headers)
        except httpx.HTTPError as error:
            raise ShopifyUnavailable from error
        if response.status_code in SLOW_DOWN or response.is_server_error:
            log.warning("shopify_busy", shop=shop, path=path, status=response.status_code)
            kind = ShopifyBusy if response.status_code in SLOW_DOWN else ShopifyUnavailable
            raise kind(wait=retry_after(response))
        return response


def retry_after(response: httpx.Response) -> float | None:
    """The seconds that an answer asks us to wait, which Shopify writes with a fraction."""
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def time_to_restore(cost: Cost | None) -> float | None:
    """The seconds until the shop's bucket holds what the question costs."""
    if cost is None or cost.throttle_status.restore_rate <= 0:
        return None
    status = cost.throttle_status
    missing = cost.requested_query_cost - status.currently_available
    return max(missing / status.restore_rate, 0.0)
