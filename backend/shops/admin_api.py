"""The Shopify client: tokens and the Admin GraphQL API, over one pooled HTTP client.

A token is an argument of each call and never state, because several shops' work runs in one event
loop. The shop's domain is validated before any secret leaves the process.

Shopify reports errors in three places: the HTTP status, the response's `errors`, and a mutation's
`userErrors`. The first two are handled here, the last in `media_api`.
"""

import asyncio
import contextlib
import functools
import random
import time
from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from typing import Any
from weakref import WeakValueDictionary

import httpx
import msgspec
import structlog

from backend.auth.shop_domain import is_shop_domain
from backend.errors import (
    ConfigurationError,
    InvalidSessionToken,
    ShopifyBusy,
    ShopifyUnavailable,
    ShopInactive,
)
from backend.metrics import SHOPIFY_CALLS, count_call
from backend.settings import Settings
from backend.shops.collection_responses import CollectionAnswer, CollectionPage
from backend.shops.documents import (
    API_VERSION,
    CHANGED_PRODUCTS,
    COLLECTION_PRODUCTS,
    FURTHER_MEDIA,
    INSTALLATION,
    MEDIA_IMAGE,
    PRODUCT,
    operation_of,
)
from backend.shops.first_image import page_with_first_image
from backend.shops.response_status import (
    ACCESS_DENIED,
    INACTIVE_CODE,
    INACTIVE_STATUSES,
    THROTTLED_STATUSES,
    denies_access,
    is_busy,
    is_passing_error,
    refuses_token,
    retry_after,
    time_to_restore,
)
from backend.shops.shopify_responses import (
    FurtherMediaAnswer,
    Installation,
    InstallationAnswer,
    MediaAnswer,
    OfflineToken,
    Product,
    ProductAnswer,
    ProductMediaPage,
    ProductPage,
    ProductsAnswer,
    ShopMedia,
    cost_of,
    error_codes,
    json_object,
    readable,
)
from backend.shops.token_encryption import TokenKeys
from backend.ssrf_transport import PublicInternet, certificates
from backend.tracing import span

log = structlog.get_logger(__name__)

EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:id_token"
OFFLINE_TOKEN_TYPE = "urn:shopify:params:oauth:token-type:offline-access-token"
ADMIN_API_TIMEOUT = httpx.Timeout(10, connect=2)  # seconds
DEFAULT_WAIT = 1.0  # seconds, where Shopify does not say how long
MIN_WAIT = 0.1
MAX_THROTTLE_WAIT = 10.0  # seconds, of a worker's questions
MAX_TOKEN_CALLS = 4  # shops whose tokens a process fetches at once, each with a connection


class TokenRefused(Exception):
    """Shopify does not accept the token: the app was removed, or the token has expired."""


class ShopifyRefused(Exception):
    """Shopify refused the request permanently: a scope is missing, or the document is wrong.

    `answered` is the HTTP status if that was the refusal.
    """

    def __init__(
        self, message: str, codes: tuple[str, ...] = (), *, answered: int | None = None
    ) -> None:
        super().__init__(message)
        self.is_denied = ACCESS_DENIED in codes
        self.answered = answered


class AdminApi:
    """The app's client for Shopify. Raises `ShopifyUnavailable` when a retry can help.

    Beside the app's credentials it holds `token_keys`, which encrypt the tokens.
    """

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None) -> None:
        self.client_id = settings.shopify_api_key
        self.client_secrets = settings.shopify_secrets
        self.token_keys = TokenKeys(settings.token_keys)
        self.token_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.token_calls = asyncio.Semaphore(MAX_TOKEN_CALLS)
        self.other_versions: set[str] = set()
        self.transport = transport

    @functools.cached_property
    def http(self) -> httpx.AsyncClient:
        """For the Admin API. Made at its first use: httpx imports what it needs for it then."""
        return httpx.AsyncClient(
            verify=certificates(),
            transport=self.transport,
            timeout=ADMIN_API_TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            # Without it, the token endpoint refuses with a page for people.
            headers={"Accept": "application/json"},
        )

    @functools.cached_property
    def files(self) -> httpx.AsyncClient:
        """For the URLs in Shopify's responses: images and upload targets."""
        return httpx.AsyncClient(
            transport=self.transport or PublicInternet(),
            timeout=ADMIN_API_TIMEOUT,
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        for client in ("http", "files"):
            if client in vars(self):  # has been used
                await getattr(self, client).aclose()

    def token_lock(self, shop: str) -> asyncio.Lock:
        """The lock to hold while fetching the shop's tokens, within this process."""
        return self.token_locks.setdefault(shop, asyncio.Lock())

    async def exchange(self, shop: str, session_token: str) -> OfflineToken:
        """Exchange a session token for an offline token. Raises `InvalidSessionToken`."""
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
        """A new token pair for a refresh token. Raises `TokenRefused` if that is no longer valid.

        A token belongs to the client secret under which it was granted: while the app's secret is
        being rotated, the previous one is tried too before a token counts as refused.
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
        """The current product, or None if this shop has no such product."""
        answer = await self._read(shop, token, PRODUCT, id=gid)
        product = readable(answer, ProductAnswer).product
        return product and await self._with_first_image(shop, token, product)

    async def changed_products(
        self, shop: str, token: str, *, since: datetime, until: datetime, after: str | None
    ) -> ProductPage:
        """A page of the products changed in that time, the oldest change first."""
        query = f"updated_at:>='{since.isoformat()}' AND updated_at:<='{until.isoformat()}'"
        answer = await self._read(shop, token, CHANGED_PRODUCTS, query=query, after=after)
        page = readable(answer, ProductsAnswer).products
        nodes = [await self._with_first_image(shop, token, each) for each in page.nodes]
        return ProductPage(nodes=nodes, page_info=page.page_info)

    async def _with_first_image(self, shop: str, token: str, product: Product) -> Product:
        """The product with the page of its media that has its first image, if it has one."""

        async def read(after: str | None) -> ProductMediaPage | None:
            answer = await self._read(shop, token, FURTHER_MEDIA, id=product.gid, after=after)
            found = readable(answer, FurtherMediaAnswer).product
            return found.media if found else None

        media = await page_with_first_image(product.media, read)
        return msgspec.structs.replace(product, media=media)

    async def media_image(self, shop: str, token: str, gid: str) -> ShopMedia | None:
        """The image, ready or not; None if this shop has no image with that id."""
        answer = await self._read(shop, token, MEDIA_IMAGE, id=gid)
        media = readable(answer, MediaAnswer).node
        return media if media is not None and media.id is not None else None

    async def collection_page(
        self, shop: str, token: str, gid: str, *, first: int, after: str | None
    ) -> CollectionPage | None:
        """A page of a collection's products, in its order; None if there is no such collection."""
        answer = await self._read(
            shop, token, COLLECTION_PRODUCTS, id=gid, first=first, after=after
        )
        return readable(answer, CollectionAnswer).collection

    async def installation(self, shop: str, token: str) -> Installation:
        """The shop's id and granted scopes. Raises `TokenRefused` when the app was removed."""
        answer = await self.graphql(shop, token, INSTALLATION, {})
        found = readable(answer, InstallationAnswer)
        granted = found.current_app_installation.access_scopes
        return Installation(
            shop_gid=found.shop.id, scopes=",".join(scope.handle for scope in granted)
        )

    async def _read(self, shop: str, token: str, document: str, **variables: Any) -> Any:
        """`data` of a worker's query, which waits while Shopify throttles it."""
        return await self.graphql(shop, token, document, variables, max_wait=MAX_THROTTLE_WAIT)

    async def graphql(
        self,
        shop: str,
        token: str,
        document: str,
        variables: dict[str, Any],
        *,
        max_wait: float = 0.0,
    ) -> Any:
        """`data` of the response.

        A throttled request was not executed. It is repeated after the time that Shopify names, as
        long as the waits add up to less than `max_wait` seconds.
        """
        while True:
            try:
                with shopify_call(operation_of(document)):
                    return await self._graphql(shop, token, document, variables)
            except ShopifyBusy as error:
                wait = DEFAULT_WAIT if error.wait is None else max(error.wait, MIN_WAIT)
                max_wait -= wait
                if max_wait < 0:
                    raise
                await asyncio.sleep(wait * random.uniform(1.0, 1.1))  # noqa: S311

    async def _graphql(
        self, shop: str, token: str, document: str, variables: dict[str, Any]
    ) -> Any:
        """One request, without retries."""
        response = await self._post(
            shop,
            f"/admin/api/{API_VERSION}/graphql.json",
            {"query": document, "variables": variables},
            {"X-Shopify-Access-Token": token},
        )
        if refuses_token(response):
            raise TokenRefused(shop)
        if denies_access(response):
            raise ShopifyRefused(f"{shop}: {response.text[:200]}", (ACCESS_DENIED,))
        if response.status_code in INACTIVE_STATUSES:
            raise ShopInactive(f"{shop}: HTTP {response.status_code}")
        if response.status_code != HTTPStatus.OK:
            raise ShopifyRefused(
                f"{shop}: HTTP {response.status_code}", answered=response.status_code
            )
        self._check_version(response)
        answer = json_object(response)
        codes = error_codes(answer.get("errors"))
        if "THROTTLED" in codes:
            wait = time_to_restore(cost_of(answer))
            raise ShopifyBusy("Shopify is throttling requests.", wait=wait)
        if INACTIVE_CODE in codes:
            raise ShopInactive(f"{shop}: {codes}")
        if any(is_passing_error(code) for code in codes):
            raise ShopifyUnavailable(f"{shop}: {codes}")
        if codes:
            raise ShopifyRefused(f"{shop}: {codes}", tuple(codes))
        return answer.get("data")

    def _check_version(self, response: httpx.Response) -> None:
        """Log it once if Shopify used another API version because ours has expired."""
        version = response.headers.get("X-Shopify-API-Version", API_VERSION)
        if version != API_VERSION and version not in self.other_versions:
            self.other_versions.add(version)
            log.warning("shopify_api_version", asked=API_VERSION, answered=version[:20])

    async def _token(self, shop: str, secret: bytes, **grant: str) -> OfflineToken:
        """One call of the token endpoint."""
        with shopify_call("access_token"):
            return await self._granted(shop, secret, grant)

    async def _granted(self, shop: str, secret: bytes, grant: dict[str, str]) -> OfflineToken:
        """What the token endpoint answers, as a token or an error."""
        body = {"client_id": self.client_id, "client_secret": secret.decode(), **grant}
        response = await self._post(shop, "/admin/oauth/access_token", body, {})
        if response.status_code == HTTPStatus.OK:
            return readable(json_object(response), OfflineToken)
        if response.status_code in INACTIVE_STATUSES:
            raise ShopInactive(f"{shop}: HTTP {response.status_code}")
        try:
            error = json_object(response).get("error")
        except ShopifyUnavailable as unreadable:  # such as an HTML page with a 404
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
        """POST JSON to a shop. Raises `ShopifyUnavailable` for a response that means "not now"."""
        if not is_shop_domain(shop):
            raise ValueError(f"not a shop domain: {shop!r}")
        try:
            response = await self.http.post(f"https://{shop}{path}", json=body, headers=headers)
        except httpx.HTTPError as error:
            raise ShopifyUnavailable from error
        if is_busy(response):
            log.warning("shopify_busy", shop=shop, path=path, status=response.status_code)
            kind = ShopifyBusy if response.status_code in THROTTLED_STATUSES else ShopifyUnavailable
            raise kind(wait=retry_after(response))
        return response


@contextlib.contextmanager
def shopify_call(operation: str) -> Iterator[None]:
    """Count the block as a call to Shopify, and trace it."""
    with count_call(SHOPIFY_CALLS, operation), span(f"shopify {operation}", is_call=True):
        yield
