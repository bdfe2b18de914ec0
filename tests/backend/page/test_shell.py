"""The shell: the same document for everybody, framed only by the shop that the launch proves."""

import re

import httpx
import pytest
import time_machine

from backend.page.routes import PAGE_PATHS
from backend.page.shell import ShopifyOrigins, shell_headers
from backend.storage.presign import Presigner
from tests.backend.auth.signing import FOREIGN_SECRET, NOW, PREVIOUS_SECRET, SHOP
from tests.backend.page.launches import id_token, launch, page_settings

ADMIN = "https://admin.shopify.com"
PATHS = [re.sub(r"\{.*?\}", "01J8Z3M7W0000000000000000A", path) for path in PAGE_PATHS]


def directives(response: httpx.Response) -> dict[str, str]:
    """The content security policy, by directive."""
    policy = response.headers["content-security-policy"]
    parts = [each.partition(" ") for each in policy.split("; ")]
    return {name: value for name, _, value in parts}


async def framers(page: httpx.AsyncClient, *tokens: str) -> list[str]:
    """Who may frame the page that this launch opens."""
    response = await page.get(launch(*tokens))
    assert response.status_code == 200
    return directives(response)["frame-ancestors"].split()


async def test_the_launching_shop_and_the_admin_may_frame_the_page(page: httpx.AsyncClient) -> None:
    assert await framers(page, id_token()) == [f"https://{SHOP}", ADMIN]


async def test_a_token_of_the_previous_secret_counts_until_its_end(
    page: httpx.AsyncClient,
) -> None:
    token = id_token(PREVIOUS_SECRET)
    assert await framers(page, token) == [f"https://{SHOP}", ADMIN]
    with time_machine.travel(NOW + 31, tick=False):
        assert await framers(page, token) == [ADMIN]


@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param([], id="none"),
        pytest.param([""], id="empty"),
        pytest.param([id_token(exp=NOW - 11, nbf=NOW - 71, iat=NOW - 71)], id="stale"),
        pytest.param([id_token(FOREIGN_SECRET)], id="forged"),
        pytest.param([id_token(aud="another-app")], id="of another app"),
        pytest.param([id_token(), id_token()], id="two"),
        pytest.param([id_token(), "x"], id="one and another"),
        pytest.param([id_token(sid=None)], id="of a buyer"),
        pytest.param(["x" * 5000], id="long"),
    ],
)
async def test_any_other_launch_may_be_framed_by_the_admin_alone(
    page: httpx.AsyncClient, tokens: list[str]
) -> None:
    assert await framers(page, *tokens) == [ADMIN]


@pytest.mark.parametrize("shop", ["evil.example", "north.myshopify.com *", "x;script-src *"])
@pytest.mark.parametrize("tokens", [[], [id_token(FOREIGN_SECRET)]], ids=["no token", "forged"])
async def test_the_unverified_shop_of_the_address_is_ignored(
    page: httpx.AsyncClient, shop: str, tokens: list[str]
) -> None:
    launched = {"shop": shop, "host": shop, "hmac": "0" * 64, "id_token": tokens}
    response = await page.get("/", params=launched)
    assert directives(response)["frame-ancestors"] == ADMIN


@pytest.mark.parametrize("path", PATHS)
async def test_each_address_has_the_same_document_for_everybody(
    page: httpx.AsyncClient, path: str
) -> None:
    plain = await page.get(path)
    launched = await page.get(launch(id_token(), path=path))
    assert launched.content == plain.content
    assert launched.headers["content-type"] == "text/html; charset=utf-8"
    assert SHOP not in launched.text and "eyJ" not in launched.text


async def test_the_headers_of_the_shell(page: httpx.AsyncClient) -> None:
    response = await page.get(launch(id_token()))
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert not {"set-cookie", "x-frame-options", "location"} & response.headers.keys()
    policy = directives(response)
    assert policy["default-src"] == policy["base-uri"] == policy["object-src"] == "'none'"
    assert policy["script-src"] == "'self' https://cdn.shopify.com"
    assert policy["connect-src"] == "'self' https://cdn.shopify.com"
    assert policy["img-src"].split()[-1] == "https://files.example.net:9000"
    assert "*" not in response.headers["content-security-policy"]
    assert "unsafe-eval" not in response.headers["content-security-policy"]


async def test_shopifys_scripts_come_first_and_are_preloaded(page: httpx.AsyncClient) -> None:
    response = await page.get("/")
    scripts = re.findall(r"<script[^>]*>", response.text)
    assert scripts[:2] == [
        '<script src="https://cdn.shopify.com/shopifycloud/app-bridge.js">',
        '<script src="https://cdn.shopify.com/shopifycloud/polaris-1.js">',
    ]
    assert all('type="module"' in script for script in scripts[2:])
    for script in scripts[:2]:
        url = script.split('"')[1]
        assert f"<{url}>; rel=preload; as=script" in response.headers["link"]


async def test_every_file_that_the_shell_names_is_there(page: httpx.AsyncClient) -> None:
    response = await page.get("/")
    named = re.findall(r'(?:href|src)="(/page/[^"]+)"', response.text)
    assert len(named) > 5
    for path in named:
        assert (await page.get(path)).status_code == 200, path


@pytest.mark.parametrize("path", PATHS)
async def test_head_answers_like_get_without_a_body(page: httpx.AsyncClient, path: str) -> None:
    got, head = await page.get(path), await page.head(path)
    assert head.status_code == 200 and head.content == b""
    unequal = {"x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in unequal} == {
        k: v for k, v in got.headers.items() if k not in unequal
    }


async def test_the_shell_takes_no_other_method(page: httpx.AsyncClient) -> None:
    assert (await page.post("/", content=b"x")).status_code == 405
    assert (await page.get("/jobs/a/b")).status_code == 404


def test_a_stand_in_replaces_both_origins_and_nothing_else() -> None:
    stand_in = ShopifyOrigins(cdn="http://127.0.0.1:9", admin="http://127.0.0.1:9")
    headers = shell_headers(stand_in, pictures="http://127.0.0.1:8", shop=None)
    assert "shopify.com" not in "".join(headers.values())
    assert headers["Content-Security-Policy"].endswith("frame-ancestors http://127.0.0.1:9")


def test_the_pictures_origin_is_that_of_presigned_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unused")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unused")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    presigner = Presigner(page_settings(s3_public_endpoint_url=None))
    assert presigner.origin == "https://pictures.s3.eu-central-1.amazonaws.com"
    assert presigner.sign("artifacts/x", "image/png").url.startswith(presigner.origin + "/")
