"""What the loopback transport lets through, and that it lets nothing else through."""

import httpx
import pytest

from backend.dev.shopify import StandInShopify
from backend.dev.transport import LoopbackEndpoints, LoopbackShopify
from backend.errors import ConfigurationError


@pytest.fixture(scope="module")
async def origin():
    async with StandInShopify(api_key="key", secret="hush") as shopify:
        shopify.create_shop("a-shop.myshopify.com")
        yield shopify.origin


@pytest.mark.parametrize(
    "origin",
    [
        "http://192.0.2.1:80",
        "http://0.0.0.0:80",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@example.com",
        "http://127.0.0.2:80",
        "https://127.0.0.1:80",
        "//127.0.0.1:80",
        "",
    ],
)
def test_an_origin_that_is_not_plain_http_on_loopback_is_refused(origin):
    with pytest.raises(ConfigurationError, match="loopback"):
        LoopbackShopify(origin)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_loopback_names_are_accepted(host):
    LoopbackShopify(f"http://{host}:8123")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "https://myshopify.com/",
        "https://a-shop.myshopify.com.example.com/",
        "https://evil.example/.myshopify.com",
        "https://a.b.myshopify.com/",
        "https://admin.shopify.com/",
        "https://cdn.shopify.com.example.com/",
        "https://storage.googleapis.com/",
        "https://another-bucket.storage.googleapis.com/",
        "https://shopify-staged-uploads.storage.googleapis.com.example.com/",
        "http://a-shop.myshopify.com/",
        "https://a-shop.myshopify.com:8443/",
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
    ],
)
async def test_every_url_but_shopifys_is_refused(origin, url):
    async with httpx.AsyncClient(transport=LoopbackShopify(origin)) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_the_stand_in_receives_the_requested_host(origin):
    accept = {"Accept": "application/json"}
    async with httpx.AsyncClient(transport=LoopbackShopify(origin), headers=accept) as client:
        known = await client.post("https://a-shop.myshopify.com/admin/oauth/access_token", json={})
        unknown = await client.post(
            "https://b-shop.myshopify.com/admin/oauth/access_token", json={}
        )
    assert known.json() == {"error": "invalid_client"}
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    "host", ["cdn.shopify.com", "shopify-staged-uploads.storage.googleapis.com"]
)
async def test_the_file_hosts_are_served_by_the_stand_in(origin, host):
    async with httpx.AsyncClient(transport=LoopbackShopify(origin)) as client:
        assert (await client.get(f"https://{host}/nothing")).status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "http://p8123.localhost/",
        "https://localhost/",
        "https://8123.localhost/",
        "https://p8123.localhost.example.com/",
        "https://p0.localhost/",
        "https://127.0.0.1/",
        "https://169.254.169.254/",
    ],
)
async def test_events_leave_for_no_host_but_loopback(url):
    async with httpx.AsyncClient(transport=LoopbackEndpoints()) as client:
        with pytest.raises(httpx.ConnectError, match="not on loopback"):
            await client.post(url)
