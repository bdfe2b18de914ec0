"""The one door to Shopify: tokens and the Admin GraphQL API, over one pooled client.

A token is an argument of each call and never state: two shops' work runs side by side in one
event loop. The shop's domain is checked before any secret leaves the process.
"""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import httpx
import msgspec
import structlog

from backend.auth.shop_domain import is_shop_domain
from backend.errors import ConfigurationError, InvalidSessionToken, ShopifyUnavailable
from backend.settings import Settings
from backend.shops.documents import API_VERSION, INSTALLATION, PRODUCT

log = structlog.get_logger(__name__)

EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:id_token"
OFFLINE_TOKEN_TYPE = "urn:shopify:params:oauth:token-type:offline-access-token"
TIMEOUT = httpx.Timeout(10, connect=2)  # seconds
SLOW_DOWN = {429, 430}
UNREADABLE = "Shopify's answer could not be read."


class TokenRefused(Exception):
    """Shopify does not know this token: the app was removed, or the token has died."""


class ShopifyRefused(Exception):
    """Shopify answers, and says no for good: a scope is missing, the document is wrong."""


class OfflineToken(msgspec.Struct, frozen=True, kw_only=True):
    """An expiring offline token pair; without `expires_in` it is one of the old, lasting kind."""

    access_token: str
    scope: str = ""
    expires_in: int | None = None
    refresh_token: str | None = None

    @property
    def expires_at(self) -> datetime | None:
        """When the access token dies, by our clock."""
        if self.expires_in is None:
            return None
        return datetime.now(UTC) + timedelta(seconds=self.expires_in)


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """What a shop says of itself: its global id and the scopes it has granted."""

    shop_gid: str
    scopes: str


class ProductImage(msgspec.Struct, frozen=True, kw_only=True):
    """A product's featured picture: its media id and its address on Shopify's CDN."""

    media_gid: str
    url: str


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """A product as it is now; `image` is None when its featured media is not a ready picture."""

    gid: str
    title: str
    image: ProductImage | None


class AdminApi:
    """Shopify as our app sees it. Raises `ShopifyUnavailable` when trying later can help."""

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None) -> None:
        self.client_id = settings.shopify_api_key
        self.client_secret = settings.shopify_api_secret
        self.http = httpx.AsyncClient(
            transport=transport, timeout=TIMEOUT, follow_redirects=False, trust_env=False
        )

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    async def exchange(self, shop: str, session_token: str) -> OfflineToken:
        """A merchant's session token for an offline token. Raises `InvalidSessionToken`."""
        try:
            return await self._token(
                shop,
                grant_type=EXCHANGE_GRANT,
                subject_token=session_token,
                subject_token_type=ID_TOKEN_TYPE,
                requested_token_type=OFFLINE_TOKEN_TYPE,
                expiring="1",
            )
        except TokenRefused as error:
            raise InvalidSessionToken from error

    async def refresh(self, shop: str, refresh_token: str) -> OfflineToken:
        """A new pair for an old refresh token. Raises `TokenRefused` when that has died."""
        return await self._token(shop, grant_type="refresh_token", refresh_token=refresh_token)

    async def product(self, shop: str, token: str, gid: str) -> Product | None:
        """The product as it is now, or None if this shop has no such product."""
        found = (await self.graphql(shop, token, PRODUCT, {"id": gid})).get("product")
        if found is None:
            return None
        media = found.get("featuredMedia") or {}
        image = media.get("image")
        return Product(
            gid=found["id"],
            title=found["title"],
            image=image and ProductImage(media_gid=media["id"], url=image["url"]),
        )

    async def installation(self, shop: str, token: str) -> Installation:
        """The shop's id and granted scopes. Raises `TokenRefused` when the app was removed."""
        data = await self.graphql(shop, token, INSTALLATION, {})
        granted = data["currentAppInstallation"]["accessScopes"]
        return Installation(
            shop_gid=data["shop"]["id"], scopes=",".join(scope["handle"] for scope in granted)
        )

    async def graphql(
        self, shop: str, token: str, document: str, variables: dict[str, Any]
    ) -> dict[str, Any]:
        """`data` of the answer. Tells apart the places where Shopify puts its errors."""
        response = await self._post(
            shop,
            f"/admin/api/{API_VERSION}/graphql.json",
            {"query": document, "variables": variables},
            {"X-Shopify-Access-Token": token},
        )
        if response.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise TokenRefused(f"{shop}: {response.status_code}")
        if response.status_code != HTTPStatus.OK:
            raise ShopifyRefused(f"{shop}: HTTP {response.status_code}")
        answer = json_object(response)
        codes = error_codes(answer.get("errors"))
        if "THROTTLED" in codes:
            raise ShopifyUnavailable("Shopify asks us to slow down.")
        if codes:
            raise ShopifyRefused(f"{shop}: {codes}")
        if not isinstance(answer.get("data"), dict):
            raise ShopifyUnavailable(UNREADABLE)
        return dict(answer["data"])

    async def _token(self, shop: str, **grant: str) -> OfflineToken:
        """One call of the token endpoint."""
        secrets = {"client_id": self.client_id, "client_secret": self.client_secret}
        response = await self._post(shop, "/admin/oauth/access_token", {**secrets, **grant}, {})
        if response.status_code == HTTPStatus.OK:
            return msgspec.convert(json_object(response), OfflineToken)
        error = json_object(response).get("error")
        if error == "invalid_client":
            raise ConfigurationError(
                "Shopify refuses SHOPIFY_API_KEY and SHOPIFY_API_SECRET; compare them with the "
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
            raise ShopifyUnavailable
        return response


def json_object(response: httpx.Response) -> dict[str, Any]:
    """The body as a JSON object; anything else is an outage on the way, not an answer."""
    try:
        return msgspec.json.decode(response.content, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ShopifyUnavailable(UNREADABLE) from error


def error_codes(errors: object) -> list[str]:
    """The codes of the top-level GraphQL errors, or what can be said instead of one."""
    found = errors if isinstance(errors, list) else [errors] if errors else []
    return [
        str(error.get("extensions", {}).get("code") or error.get("message"))
        if isinstance(error, dict)
        else str(error)
        for error in found
    ]
