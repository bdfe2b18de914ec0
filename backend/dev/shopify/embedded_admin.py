"""Shopify's admin and its script CDN for a real browser: the app runs in an iframe, as in a shop.

The scripts are in `page/`. They are the stand-in's own, and stricter than Shopify's: see
`page/README.md`. Only a browser on this machine is answered.
"""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from litestar import Request, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from backend.dev import signing
from backend.dev.shopify.fault_injection import respond
from backend.dev.shopify.products import Collection, ProductRecord
from backend.dev.shopify.state import HttpResponse, Platform, ShopRecord
from backend.dev.transport import LOOPBACK_HOSTS

APP_HANDLE = "atelier"
EXPIRED_SECONDS = 3600  # how long ago a stale session token was issued

_FILES = Path(__file__).parent / "page"
_SCRIPT = "text/javascript; charset=utf-8"
_STYLE = "text/css; charset=utf-8"
_SHOP_SUFFIX = ".myshopify.com"


def admin_path(shop: str, path: str = "/") -> str:
    """The path in the admin at which the app opens with its page `path`."""
    return f"/store/{shop.removesuffix(_SHOP_SUFFIX)}/apps/{APP_HANDLE}{path.rstrip('/')}"


def embedded_admin(platform: Platform, app_url: Callable[[], str]) -> Router:
    """The routes of the script CDN and of the admin. `app_url` gives the app's base URL."""

    @get("/shopifycloud/{name:str}", sync_to_thread=False)
    def cdn_script(name: FromPath[str]) -> Response[bytes]:
        if name not in CDN_SCRIPTS:
            raise NotFoundException
        return _uncached(CDN_SCRIPTS[name](), _SCRIPT)

    @get("/admin-assets/{name:str}", sync_to_thread=False)
    def admin_asset(name: FromPath[str]) -> Response[bytes]:
        if name not in ADMIN_ASSETS:
            raise NotFoundException
        return _uncached((_FILES / name).read_bytes(), ADMIN_ASSETS[name])

    @get(
        [
            "/store/{store:str}/apps/{handle:str}",
            "/store/{store:str}/apps/{handle:str}/{path:path}",
        ],
        sync_to_thread=False,
    )
    def app_in_admin(
        request: Request[Any, Any, Any],
        store: FromPath[str],
        handle: FromPath[str],
        path: FromPath[str] = "/",
    ) -> Response[bytes]:
        shop = opened_shop(platform, request, store)
        if handle not in {APP_HANDLE, platform.api_key}:
            raise NotFoundException
        query = request.query_params.dict()  # of `ids[]` an admin link has several
        locale = query.pop("locale", ["en"])[-1]
        host = f"{request.url.netloc}/store/{store}"
        boot = {
            "shop": shop.domain,
            "base": f"/store/{store}/apps/{handle}",
            "locale": locale,
            "launch": app_url() + path + "?" + launch_query(platform, shop, host, locale, query),
        }
        return _uncached(_admin_document(boot), "text/html; charset=utf-8")

    @get("/store/{store:str}/id_token")
    async def id_token(request: Request[Any, Any, Any], store: FromPath[str]) -> Response[Any]:
        shop = opened_shop(platform, request, store)
        return await respond(platform, "id_token", lambda: _id_token(platform, shop), request)

    @get("/store/{store:str}/resources/{kind:str}", sync_to_thread=False)
    def resources(
        request: Request[Any, Any, Any],
        store: FromPath[str],
        kind: FromPath[str],
    ) -> list[dict[str, object]]:
        shop = opened_shop(platform, request, store)
        listed = {"product": _products, "collection": _collections}
        if kind not in listed:
            raise NotFoundException
        return listed[kind](platform, shop)

    return Router("/", route_handlers=[cdn_script, admin_asset, app_in_admin, id_token, resources])


def polaris() -> bytes:
    """The script of all elements, made of its parts: they share one scope."""
    folder = _FILES / "polaris"
    tables = [
        f"const {name.upper()} = {(folder / f'{name}.json').read_text()};"
        for name in ("elements", "icons")
    ]
    parts = [(folder / f"{name}.js").read_text() for name in POLARIS_PARTS]
    return "\n".join(["(() => {", *tables, *parts, "})();"]).encode()


POLARIS_PARTS = (
    *("checks", "element"),  # first: the others build on them
    *("layout", "text", "actions", "fields", "tables", "overlays"),
)
CDN_SCRIPTS: dict[str, Callable[[], bytes]] = {
    "app-bridge.js": (_FILES / "app-bridge.js").read_bytes,
    "polaris-1.js": polaris,
}
ADMIN_ASSETS = {"admin.js": _SCRIPT, "admin.css": _STYLE}


def launch_query(
    platform: Platform, shop: ShopRecord, host: str, locale: str, extra: dict[str, list[str]]
) -> str:
    """The signed query with which the admin opens the app. `host` is the admin's, with its path."""
    parameters = {
        "embedded": "1",
        "host": base64.b64encode(host.encode()).decode().rstrip("="),
        "id_token": _session_token(platform, shop),
        "locale": locale,
        "session": signing.webhook_signature(shop.domain.encode(), platform.secret).strip("="),
        "shop": shop.domain,
        "timestamp": str(int(platform.clock())),
    }
    signature = signing.launch_signature(parameters | signed_values(extra), platform.secret)
    return urlencode({**extra, **parameters, "hmac": signature}, doseq=True)


def signed_values(extra: dict[str, list[str]]) -> dict[str, str]:
    """As they are signed: `ids[]=1&ids[]=2` as `ids=["1", "2"]`."""
    return {
        name.removesuffix("[]"): json.dumps(values) if name.endswith("[]") else values[-1]
        for name, values in extra.items()
    }


def _admin_document(boot: dict[str, str]) -> bytes:
    # In a script element only `</` and `<!--` end or change what the browser reads.
    text = json.dumps(boot).replace("<", "\\u003c")
    return (_FILES / "admin.html").read_bytes().replace(b"__BOOT__", text.encode())


def _uncached(content: bytes, content_type: str) -> Response[bytes]:
    return Response(content, media_type=content_type, headers={"Cache-Control": "no-store"})


def opened_shop(platform: Platform, request: Request[Any, Any, Any], store: str) -> ShopRecord:
    """The shop of that store, for a browser on this machine. Raises NotFoundException."""
    # Another name for this machine (DNS rebinding) must not let a web page read a session token.
    host = request.headers.get("host", "").rpartition(":")[0].strip("[]")
    shop = platform.shops.get(store.removesuffix(_SHOP_SUFFIX) + _SHOP_SUFFIX)
    if shop is None or host not in LOOPBACK_HOSTS:
        raise NotFoundException
    return shop


def _id_token(platform: Platform, shop: ShopRecord) -> HttpResponse:
    issued_at = platform.clock()
    if platform.stale_id_tokens:
        platform.stale_id_tokens -= 1
        issued_at -= EXPIRED_SECONDS
    return HttpResponse(
        200,
        _session_token(platform, shop, issued_at).encode(),
        {"Cache-Control": "no-store"},
        "text/plain",
    )


def _session_token(platform: Platform, shop: ShopRecord, now: float | None = None) -> str:
    return signing.session_token(
        shop.domain,
        api_key=platform.api_key,
        secret=platform.secret,
        now=platform.clock() if now is None else now,
    )


# What the resource picker offers


def _products(platform: Platform, shop: ShopRecord) -> list[dict[str, object]]:
    found = platform.catalogue.products(shop.number)
    return [_picked_product(platform.catalogue.fresh(product)) for product in found]


def _picked_product(product: ProductRecord) -> dict[str, object]:
    images = [
        {"id": media.gid, "altText": media.alt, "originalSrc": media.url}
        for media in product.media
        if media.status == "READY"
    ]
    return {
        "id": product.gid,
        "title": product.title,
        "handle": product.handle,
        "status": product.status,
        "vendor": product.vendor,
        "productType": product.product_type,
        "tags": list(product.tags),
        "images": images,
    }


def _collections(platform: Platform, shop: ShopRecord) -> list[dict[str, object]]:
    return [_picked_collection(each) for each in platform.catalogue.collections(shop.number)]


def _picked_collection(collection: Collection) -> dict[str, object]:
    return {
        "id": collection.gid,
        "title": collection.title,
        "handle": collection.handle,
        "productsCount": len(collection.product_ids),
    }
