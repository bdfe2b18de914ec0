"""The stand-in admin over HTTP; `tests/page` opens it in a browser."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from backend.dev.shopify import StandInShopify
from tests.backend.dev.calls import SHOP

LAUNCH = {"embedded", "hmac", "host", "id_token", "locale", "session", "shop", "timestamp"}


@pytest.fixture
async def browser(shopify: StandInShopify):
    async with httpx.AsyncClient(base_url=shopify.origin) as client:
        yield client


async def test_the_admin_opens_the_app_with_a_signed_launch(
    shopify: StandInShopify, browser: httpx.AsyncClient
) -> None:
    url = shopify.admin_url(SHOP, "/jobs")
    page = await browser.get(f"{url}?locale=de&id=gid://shopify/Product/1")
    boot = json.loads(re.findall(r'id="boot">(.*?)</script>', page.text)[0])
    launch = urlsplit(boot["launch"])
    query = {name: values[0] for name, values in parse_qs(launch.query).items()}
    assert (launch.netloc, launch.path) == ("app.example", "/jobs")
    assert set(query) == LAUNCH | {"id"}
    assert (query["shop"], query["locale"]) == (SHOP, "de")
    assert query["id"] == "gid://shopify/Product/1"
    assert query["id_token"].count(".") == 2


async def test_a_query_cannot_end_the_admins_script(
    shopify: StandInShopify, browser: httpx.AsyncClient
) -> None:
    page = await browser.get(shopify.admin_url(SHOP), params={"id": "</script><script>alert(1)"})
    assert "<script>alert" not in page.text


@pytest.mark.parametrize(
    "path",
    [
        "/store/nobody/apps/atelier",
        "/store/{shop}/apps/another",
        "/store/{shop}/resources/variant",
        "/store/nobody/id_token",
        "/shopifycloud/polaris-2.js",
        "/shopifycloud/..%2Fadmin.html",
        "/admin-assets/admin.html",
    ],
)
async def test_what_is_not_there_is_a_404(path: str, browser: httpx.AsyncClient) -> None:
    shop = SHOP.removesuffix(".myshopify.com")
    assert (await browser.get(path.format(shop=shop))).status_code == 404


async def test_only_this_machine_gets_a_session_token(browser: httpx.AsyncClient) -> None:
    """A web page could give its own name this machine's address (DNS rebinding)."""
    path = f"/store/{SHOP}/id_token"
    assert (await browser.get(path)).status_code == 200
    refused = await browser.get(path, headers={"Host": "rebinding.example:8000"})
    assert refused.status_code == 404
    assert "Access-Control-Allow-Origin" not in refused.headers
