"""Signatures against vectors published by Shopify or taken from its Ruby gem."""

import base64
import hashlib
import hmac
import json

import jwt
import pytest

from backend.dev import signing

SHOP = "a-shop.myshopify.com"


def test_a_session_token_is_a_valid_jwt_with_shopifys_claims():
    secret = "a secret as long as PyJWT likes it"
    token = signing.session_token(SHOP, api_key="key", secret=secret, user_id="7", now=1_000)
    claims = jwt.decode(
        token, secret, algorithms=["HS256"], audience="key", options={"verify_exp": False}
    )
    assert claims["iss"] == f"https://{SHOP}/admin"
    assert claims["dest"] == f"https://{SHOP}"
    assert claims["sub"] == "7"
    assert (claims["iat"], claims["nbf"], claims["exp"]) == (1_000, 1_000, 1_060)
    assert claims["jti"] and claims["sid"]


def test_an_override_replaces_a_claim_and_none_removes_it():
    token = signing.session_token(SHOP, api_key="key", secret="hush", aud="other", jti=None)
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert claims["aud"] == "other"
    assert "jti" not in claims


def test_a_webhook_signature_is_the_base64_hmac_of_the_bytes():
    body = b'{"id": 1, "title": "caf\xc3\xa9"}'
    expected = base64.b64encode(hmac.digest(b"hush", body, hashlib.sha256)).decode()
    assert signing.webhook_signature(body, "hush") == expected


REVIEWS = {
    "extra": ["1", "2"],
    "shop": "shop-name.myshopify.com",
    "path_prefix": "/apps/awesome_reviews",
    "timestamp": "1317327555",
}
OF_THE_GEM = {
    "shop": "some-random-store.myshopify.com",
    "path_prefix": "/apps/my-app",
    "timestamp": "1466106083",
}


@pytest.mark.parametrize(
    ("params", "secret", "signature"),
    [
        (
            {**REVIEWS, "logged_in_customer_id": "1"},
            "hush",
            "4c68c8624d737112c91818c11017d24d334b524cb5c2b8ba08daa056f7395ddb",
        ),
        (
            {**REVIEWS, "logged_in_customer_id": ""},
            "hush",
            "e072b6d7e6622d85912a5214b860d3100dc1e73d9bc29f43796ac8c9ff8093cb",
        ),
        (REVIEWS, "hush", "a9718877bea71c2484f91608a7eaea1532bdf71f5c56825065fa4ccabe549ef3"),
        (
            OF_THE_GEM,
            "secret",
            "f5cd7233558b1c50102a6f33c0b63ad1e1072a2fc126cb58d4500f75223cefcd",
        ),
        (
            {
                **OF_THE_GEM,
                "foo": "bar",
                "baz[1]": "",
                "baz[2]": "b",
                "baz[c[0]]": "whatup",
                "baz[c[1]]": "notmuch",
            },
            "secret",
            "bbf3aa60e098f08919a2ea4c64a388414f164e6a117a63b03479ac7aa9464b4f",
        ),
        (
            {
                "q": "cafe\u0301 川",
                "logged_in_customer_id": "",
                "path_prefix": "/apps/px",
                "shop": "s.myshopify.com",
                "timestamp": "1700000000",
            },
            "hush",
            "e16e856b37cda2fc27e05a7b7b051b5856ef8b74b72d559d9653e938453c426f",
        ),
        (
            {
                "x": "a&b=c",
                "y": "1+1",
                "z": "a b",
                "shop": "s.myshopify.com",
                "timestamp": "1700000000",
            },
            "hush",
            "695113c4cec39f4c9b9000774fe2c53147bd329b0d687243c277faf0b64ea00b",
        ),
    ],
)
def test_an_app_proxy_query_has_the_documented_signature(params, secret, signature):
    assert signing.app_proxy_query(params, secret).endswith(f"&signature={signature}")


def test_an_app_proxy_query_sorts_the_joined_strings():
    params = {"a": "1", "a1": "2", "shop": "s.myshopify.com", "timestamp": "1"}
    query = signing.app_proxy_query(params, "hush")
    assert "&signature=6c59a2e4" in query and query.endswith("d00df52")


def test_an_app_proxy_query_repeats_a_repeated_parameter():
    assert signing.app_proxy_query({"extra": ["1", "2"]}, "hush").startswith("extra=1&extra=2&")
