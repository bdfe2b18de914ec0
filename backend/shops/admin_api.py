"""The one door to Shopify: tokens and the Admin GraphQL API, over one pooled client.

A token is an argument of each call and never state: two shops' work runs side by side in one
event loop. The shop's domain is checked before any secret leaves the process.
"""

from http import HTTPStatus
from typing import Any

import httpx
import structlog

from backend.auth.shop_domain import is_shop_domain
from backend.errors import ConfigurationError, InvalidSessionToken, ShopifyUnavailable
from backend.settings import Settings
from backend.shops.answers import (
    Installation,
    InstallationAnswer,
    OfflineToken,
    Product,
    ProductAnswer,
    error_codes,
    json_object,
    readable,
)
from backend.shops.documents import API_VERSION, INSTALLATION, PRODUCT

log = structlog.get_logger(__name__)

EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:id_token"
OFFLINE_TOKEN_TYPE = "urn:shopify:params:oauth:token-type:offline-access-token"
TIMEOUT = httpx.Timeout(10, connect=2)  # seconds
SLOW_DOWN = {429, 430}
FROZEN = {402, 403, 423}  # the shop is locked out for now: says nothing about its tokens


class TokenRefused(Exception):
    """Shopify does not know this token: the app was removed, or the token has died."""


class ShopifyRefused(Exception):
    """Shopify answers, and says no for good: a scope is missing, the document is wrong."""


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
        answer = await self.graphql(shop, token, PRODUCT, {"id": gid})
        return readable(answer, ProductAnswer).product

    async def installation(self, shop: str, token: str) -> Installation:
        """The shop's id and granted scopes. Raises `TokenRefused` when the app was removed."""
        answer = await self.graphql(shop, token, INSTALLATION, {})
        found = readable(answer, InstallationAnswer)
        granted = found.current_app_installation.access_scopes
        return Installation(
            shop_gid=found.shop.id, scopes=",".join(scope.handle for scope in granted)
        )

    async def graphql(self, shop: str, token: str, document: str, variables: dict[str, Any]) -> Any:
        """`data` of the answer. Tells apart the places where Shopify puts its errors."""
        response = await self._post(
            shop,
            f"/admin/api/{API_VERSION}/graphql.json",
            {"query": document, "variables": variables},
            {"X-Shopify-Access-Token": token},
        )
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise TokenRefused(shop)
        if response.status_code != HTTPStatus.OK:
            raise ShopifyRefused(f"{shop}: HTTP {response.status_code}")
        answer = json_object(response)
        codes = error_codes(answer.get("errors"))
        if "THROTTLED" in codes:
            raise ShopifyUnavailable("Shopify asks us to slow down.")
        if codes:
            raise ShopifyRefused(f"{shop}: {codes}")
        return answer.get("data")

    async def _token(self, shop: str, **grant: str) -> OfflineToken:
        """One call of the token endpoint."""
        secrets = {"client_id": self.client_id, "client_secret": self.client_secret}
        response = await self._post(shop, "/admin/oauth/access_token", {**secrets, **grant}, {})
        if response.status_code == HTTPStatus.OK:
            return readable(json_object(response), OfflineToken)
        if response.status_code in FROZEN:
            raise ShopifyUnavailable
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
