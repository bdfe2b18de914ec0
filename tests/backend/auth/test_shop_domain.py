"""Shop domains are matched exactly; lookalikes are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.auth.shop_domain import is_shop_domain, normalized_shop_domain

SHOPS = [
    "north-wind.myshopify.com",
    "s.myshopify.com",
    "0.myshopify.com",
    "my--shop-.myshopify.com",
    f"{'a' * 63}.myshopify.com",
]

NOT_SHOPS = {
    "empty": "",
    "no label": ".myshopify.com",
    "bare suffix": "myshopify.com",
    "leading hyphen": "-shop.myshopify.com",
    "underscore": "my_shop.myshopify.com",
    "two labels": "a.b.myshopify.com",
    "trailing newline": "shop.myshopify.com\n",
    "newline inside": "ab\n.myshopify.com",
    "second line is a shop": "evil.com\nshop.myshopify.com",
    "leading space": " shop.myshopify.com",
    "NUL": "shop\0.myshopify.com",
    "trailing dot": "shop.myshopify.com.",
    "suffix domain": "shop.myshopify.com.evil.com",
    "prefix domain": "evil.com/shop.myshopify.com",
    "glued suffix": "shopmyshopify.com",
    "any character for the dot": "shop.myshopifyXcom",
    "userinfo": "shop.myshopify.com@evil.com",
    "shop as host behind userinfo": "evil@shop.myshopify.com",
    "port": "shop.myshopify.com:443",
    "scheme": "https://shop.myshopify.com",
    "path": "shop.myshopify.com/admin",
    "query": "shop.myshopify.com?",
    "fragment": "evil#.myshopify.com",
    "percent": "evil%2e.myshopify.com",
    "cyrillic letter": "sh\u043ep.myshopify.com",
    "full-width letter": "\uff53hop.myshopify.com",
    "full-width dot": "shop\uff0emyshopify.com",
    "arabic digit": "shop\u0661.myshopify.com",
    "lone surrogate": "shop\ud800.myshopify.com",
    "64 characters": f"{'a' * 64}.myshopify.com",
    "300 characters": f"{'a' * 300}.myshopify.com",
    "bytes": b"shop.myshopify.com",
    "int": 7,
    "None": None,
    "list": ["shop.myshopify.com"],
}


@pytest.mark.parametrize("domain", SHOPS)
def test_a_shop_domain_is_recognised(domain: str) -> None:
    assert is_shop_domain(domain)
    assert normalized_shop_domain(domain) == domain


@pytest.mark.parametrize("value", NOT_SHOPS.values(), ids=NOT_SHOPS.keys())
def test_anything_else_is_not_a_shop_domain(value: object) -> None:
    assert not is_shop_domain(value)
    if isinstance(value, str):
        assert normalized_shop_domain(value) is None


def test_an_upper_case_domain_is_normalised() -> None:
    assert not is_shop_domain("North-Wind.MyShopify.com")
    assert normalized_shop_domain("North-Wind.MyShopify.com") == "north-wind.myshopify.com"


def test_a_lookalike_domain_is_refused() -> None:
    kelvin = "\u212a"
    assert f"{kelvin}.myshopify.com".lower() == "k.myshopify.com"
    assert normalized_shop_domain(f"{kelvin}.myshopify.com") is None


@given(st.text())
def test_random_text_is_normalised_without_exceptions(text: str) -> None:
    domain = normalized_shop_domain(text)
    assert domain is None or normalized_shop_domain(domain) == domain
    assert not is_shop_domain(f"{text}.evil.com")
