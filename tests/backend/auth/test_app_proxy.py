"""A storefront request is Shopify's when its whole query is signed, fresh and unambiguous."""

from collections.abc import Iterable
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.auth.app_proxy import (
    ProxyRequest,
    decoded_query,
    proxy_signature,
    unknown_parameters,
    verify_app_proxy,
)
from tests.backend.auth import signing
from tests.backend.auth.signing import FOREIGN_SECRET, NOW, PREVIOUS_SECRET, SECRET, SHOP

PATH_PREFIX = "/apps/atelier"


def shopify_parameters(**changes: str) -> dict[str, str]:
    """The parameters that Shopify adds for an anonymous visitor."""
    return {
        "shop": SHOP,
        "logged_in_customer_id": "",
        "path_prefix": PATH_PREFIX,
        "timestamp": str(NOW),
    } | changes


def verify(
    pairs: dict[str, str] | Iterable[tuple[str, str]],
    secret: bytes = SECRET,
    allowed: Iterable[str] = ("job", "a", "b", "a1"),
) -> ProxyRequest | None:
    """What becomes of `pairs` once Shopify has signed them."""
    pairs = pairs.items() if isinstance(pairs, dict) else pairs
    return verify_query(signing.proxy_query(pairs, secret), allowed)


def verify_query(
    raw_query: bytes, allowed: Iterable[str] = ("job", "a", "b", "a1")
) -> ProxyRequest | None:
    secrets = (SECRET, PREVIOUS_SECRET)
    return verify_app_proxy(raw_query, secrets, now=NOW, allowed=frozenset(allowed))


class TestTheSignature:
    """Vectors of shopify.dev and of the gem shopify_app; their timestamps are long past."""

    REVIEWS = (
        b"extra=1&extra=2&shop=shop-name.myshopify.com"
        b"&path_prefix=%2Fapps%2Fawesome_reviews&timestamp=1317327555"
    )
    MY_APP = b"shop=some-random-store.myshopify.com&path_prefix=/apps/my-app&timestamp=1466106083"
    CAFE = (
        b"q=" + quote_from_bytes("cafe\u0301 川".encode()).encode() + b"&logged_in_customer_id="
        b"&path_prefix=%2Fapps%2Fpx&shop=s.myshopify.com&timestamp=1700000000"
    )

    @pytest.mark.parametrize(
        ("raw_query", "secret", "signature"),
        [
            pytest.param(
                REVIEWS + b"&logged_in_customer_id=1",
                b"hush",
                b"4c68c8624d737112c91818c11017d24d334b524cb5c2b8ba08daa056f7395ddb",
                id="a customer is logged in",
            ),
            pytest.param(
                REVIEWS + b"&logged_in_customer_id=",
                b"hush",
                b"e072b6d7e6622d85912a5214b860d3100dc1e73d9bc29f43796ac8c9ff8093cb",
                id="nobody is logged in",
            ),
            pytest.param(
                REVIEWS,
                b"hush",
                b"a9718877bea71c2484f91608a7eaea1532bdf71f5c56825065fa4ccabe549ef3",
                id="no customer parameter",
            ),
            pytest.param(
                MY_APP,
                b"secret",
                b"f5cd7233558b1c50102a6f33c0b63ad1e1072a2fc126cb58d4500f75223cefcd",
                id="the gem's plain query",
            ),
            pytest.param(
                MY_APP + b"&foo=bar&baz[1]&baz[2]=b&baz[c[0]]=whatup&baz[c[1]]=notmuch",
                b"secret",
                b"bbf3aa60e098f08919a2ea4c64a388414f164e6a117a63b03479ac7aa9464b4f",
                id="the gem's query with a blank value",
            ),
            pytest.param(
                CAFE,
                b"hush",
                b"e16e856b37cda2fc27e05a7b7b051b5856ef8b74b72d559d9653e938453c426f",
                id="letters beyond ASCII, not normalised",
            ),
            pytest.param(
                b"x=a%26b%3Dc&y=1%2B1&z=a+b&shop=s.myshopify.com&timestamp=1700000000",
                b"hush",
                b"695113c4cec39f4c9b9000774fe2c53147bd329b0d687243c277faf0b64ea00b",
                id="escaped separators and plus signs",
            ),
        ],
    )
    def test_the_signature_matches_the_documented_vectors(
        self, raw_query: bytes, secret: bytes, signature: bytes
    ) -> None:
        query = decoded_query(raw_query + b"&signature=0123")
        assert query is not None
        assert proxy_signature(query, secret) == signature

    def test_parameters_are_sorted_after_joining_name_and_value(self) -> None:
        query = decoded_query(b"a=1&a1=2&shop=s.myshopify.com&timestamp=1")
        assert query is not None
        by_text = b"6c59a2e46d79c3951a42dd6f739b375908536e67c37896f490d024498d00df52"
        assert proxy_signature(query, b"hush") == by_text

    def test_parameters_are_sorted_by_bytes(self) -> None:
        one, other = ({"é": ["1"], "z": ["2"], "Z": ["3"]}, {"Z": ["3"], "z": ["2"], "é": ["1"]})
        assert proxy_signature(one, SECRET) == proxy_signature(other, SECRET)
        assert proxy_signature(one, SECRET) == proxy_signature({"Z": ["3z=2é=1"]}, SECRET)


def test_a_visitors_request_is_verified() -> None:
    assert verify(shopify_parameters(job="01J")) == ProxyRequest(
        shop=SHOP, logged_in_customer_id=None, path_prefix=PATH_PREFIX, params={"job": ["01J"]}
    )


def test_a_customers_request_names_the_customer() -> None:
    request = verify(shopify_parameters(logged_in_customer_id="115310627314723954"))
    assert request is not None
    assert request.logged_in_customer_id == "115310627314723954"
    assert request.params == {}


def test_optional_parameters_of_older_requests_may_be_absent() -> None:
    assert verify({"shop": SHOP, "timestamp": str(NOW)}) == ProxyRequest(
        shop=SHOP, logged_in_customer_id=None, path_prefix="", params={}
    )


def test_repeated_blank_and_encoded_values_are_decoded() -> None:
    request = verify(
        [*shopify_parameters().items(), ("a", "1"), ("a", ""), ("b", "caf\u00e9 & 川"), ("a1", "")]
    )
    assert request is not None
    assert request.params == {"a": ["1", ""], "b": ["caf\u00e9 & 川"], "a1": [""]}


def test_the_previous_secret_is_accepted() -> None:
    assert verify(shopify_parameters(), PREVIOUS_SECRET)


def test_a_foreign_secret_is_refused() -> None:
    assert verify(shopify_parameters(), FOREIGN_SECRET) is None


def test_an_empty_secret_is_never_accepted() -> None:
    raw_query = signing.proxy_query(shopify_parameters().items(), b"")
    assert verify_app_proxy(raw_query, [b""], now=NOW) is None
    assert verify_app_proxy(raw_query, [SECRET, b""], now=NOW) is None
    assert verify_app_proxy(raw_query, [], now=NOW) is None
    assert verify_app_proxy(
        signing.proxy_query(shopify_parameters().items()), [b"", SECRET], now=NOW
    )


@pytest.mark.parametrize("name", ["shop", "path_prefix", "timestamp", "job"])
def test_a_value_changed_after_signing_is_refused(name: str) -> None:
    changed = {"shop": "other.myshopify.com", "timestamp": str(NOW + 1), "path_prefix": "/apps/x"}
    pairs = dict(decoded_pairs(signing.proxy_query(shopify_parameters(job="1").items())))
    assert verify_query(signing.query(pairs.items()))
    assert verify_query(signing.query((pairs | {name: changed.get(name, "2")}).items())) is None


@pytest.mark.parametrize("seconds", [-90, 0, 90])
def test_a_timestamp_within_ninety_seconds_is_accepted(seconds: int) -> None:
    assert verify(shopify_parameters(timestamp=str(NOW + seconds)))


@pytest.mark.parametrize("seconds", [-91, 91, -(10**6), 10**9])
def test_a_timestamp_older_or_newer_than_that_is_refused(seconds: int) -> None:
    assert verify(shopify_parameters(timestamp=str(NOW + seconds))) is None


@pytest.mark.parametrize(
    "timestamp",
    [
        "",
        f"{NOW}.0",
        f"{NOW}.5",
        "NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "1e9",
        f"+{NOW}",
        f"-{NOW}",
        f" {NOW}",
        f"{NOW}\n",
        f"{NOW:_}",
        f"{NOW:x}",
        str(NOW).translate({ord("0") + digit: 0x0660 + digit for digit in range(10)}),
        "9" * 5000,
        f"{NOW},{NOW}",
        f"[{NOW}]",
    ],
    ids=lambda timestamp: ascii(timestamp)[:20],
)
def test_a_timestamp_that_is_not_an_integer_is_refused(timestamp: str) -> None:
    assert verify(shopify_parameters(timestamp=timestamp)) is None


@pytest.mark.parametrize("name", ["shop", "timestamp"])
def test_required_parameters_must_be_present(name: str) -> None:
    assert verify(signing.without(shopify_parameters(), name)) is None


def test_an_unsigned_query_is_refused() -> None:
    assert verify_query(signing.query(shopify_parameters().items())) is None
    assert verify_query(b"") is None


@pytest.mark.parametrize("name", [*shopify_parameters(), "hmac"])
def test_shopifys_own_parameters_may_appear_only_once(name: str) -> None:
    value = shopify_parameters(hmac="0" * 64)[name]
    pairs = shopify_parameters(**{name: value})
    assert verify(pairs)
    assert verify([*pairs.items(), (name, value)]) is None
    assert verify([*pairs.items(), (name, "")]) is None


def test_a_second_signature_is_refused_in_either_order() -> None:
    raw_query = signing.proxy_query(shopify_parameters().items())
    signature = raw_query.rpartition(b"signature=")[2]
    assert verify_query(raw_query + b"&signature=" + signature) is None
    assert verify_query(raw_query + b"&signature=") is None
    assert verify_query(b"signature=" + b"0" * 64 + b"&" + raw_query) is None


@pytest.mark.parametrize(
    "shop",
    ["", "evil.com", f"{SHOP}.evil.com", f"{SHOP}\n", f"https://{SHOP}", SHOP.upper(), f"{SHOP}/"],
)
def test_an_invalid_shop_domain_is_refused(shop: str) -> None:
    assert verify(shopify_parameters(shop=shop)) is None


@pytest.mark.parametrize("customer", ["gid://shopify/Customer/1", "1,2", "-1", "\u0661", "1\n"])
def test_a_customer_id_that_is_not_a_number_is_refused(customer: str) -> None:
    assert verify(shopify_parameters(logged_in_customer_id=customer)) is None


@pytest.mark.parametrize("prefix", ["", "apps/atelier", "/", "/apps/<script>", "/apps/x\n"])
def test_an_invalid_path_prefix_is_refused(prefix: str) -> None:
    assert verify(shopify_parameters(path_prefix=prefix)) is None


def test_a_parameter_unknown_to_the_route_is_refused() -> None:
    pairs = shopify_parameters(job="1")
    assert verify(pairs, allowed=["job"])
    assert verify(pairs, allowed=["Job", "jobs"]) is None
    assert verify(pairs, allowed=[]) is None
    assert verify(shopify_parameters(**{"": "1"})) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("pb", "0"), ("preview_theme_id", "133598314681"), ("_fd", "0"), ("key", "")],
)
def test_the_parameters_of_a_theme_preview_are_known_and_dropped(name: str, value: str) -> None:
    found = verify([*shopify_parameters(job="1").items(), (name, value), (name, value)])
    assert found is not None
    assert found.params == {"job": ["1"]}
    assert not unknown_to_route(shopify_parameters(**{name: value}))


@pytest.mark.parametrize("value", ["0;", "a b", "a=b", "\u0661", "x" * 201, "0\n"])
def test_a_preview_parameter_with_another_value_is_refused(value: str) -> None:
    assert verify(shopify_parameters(pb=value)) is None


def unknown_to_route(pairs: dict[str, str], secret: bytes = SECRET, now: int = NOW) -> list[str]:
    """The parameters that are named to the sender of `pairs`."""
    raw_query = signing.proxy_query(pairs.items(), secret)
    return unknown_parameters(raw_query, [SECRET], now=now, allowed=frozenset({"job"}))


def test_unknown_parameters_are_named_only_to_whom_shopify_signed_for() -> None:
    pairs = shopify_parameters(job="1", utm_source="x", pb="?")
    assert sorted(unknown_to_route(pairs)) == ["pb", "utm_source"]
    assert unknown_to_route(pairs, secret=FOREIGN_SECRET) == []
    assert unknown_to_route(pairs, now=NOW + 91) == []
    assert unknown_to_route(shopify_parameters(shop="evil.com", utm_source="x")) == []
    assert unknown_to_route(shopify_parameters(job="1")) == []


def test_a_route_allows_no_parameters_by_default() -> None:
    raw_query = signing.proxy_query(shopify_parameters(job="1").items())
    assert verify_app_proxy(raw_query, [SECRET], now=NOW) is None


class TestTheSignedTextHasNoSeparators:
    """One signed text can be cut into parameters in several ways (T-18)."""

    @staticmethod
    def recut(visitors: dict[str, str], into: dict[str, str]) -> bytes:
        """Shopify signs the `visitors` request; an attacker sends it on, cut `into` another."""
        signed = signing.proxy_query(shopify_parameters(**visitors).items())
        signature = dict(decoded_pairs(signed))["signature"]
        query = decoded_query(signing.query(into.items()))
        assert query is not None
        assert proxy_signature(query, SECRET).decode() == signature, "the cut must verify"
        return signing.query([*into.items(), ("signature", signature)])

    def test_a_value_cannot_become_an_unknown_parameter(self) -> None:
        raw_query = self.recut({"a": "1b=2"}, into=shopify_parameters(a="1", b="2"))
        assert verify_query(raw_query, allowed=["a"]) is None

    def test_a_parameter_cannot_be_hidden_in_a_value(self) -> None:
        raw_query = self.recut({"a": "1", "b": "2"}, into=shopify_parameters(a="1b=2"))
        assert verify_query(raw_query, allowed=["a", "b"]) is None
        assert verify([*shopify_parameters().items(), ("a", "1"), ("a", "1b=2")]) is None

    def test_a_name_cannot_contain_the_separator(self) -> None:
        raw_query = self.recut({"a": "1=2"}, into=shopify_parameters(**{"a=1": "2"}))
        assert verify_query(raw_query, allowed=["a"]) is None

    def test_the_customer_id_cannot_be_hidden_behind_a_forged_one(self) -> None:
        raw_query = self.recut(
            {"a": "1logged_in_customer_id=7m=x"},
            into=shopify_parameters(a="1", logged_in_customer_id="7", m="xlogged_in_customer_id="),
        )
        assert verify_query(raw_query, allowed=["a", "m"]) is None

    def test_a_forged_customer_id_cannot_absorb_the_real_one(self) -> None:
        raw_query = self.recut(
            {"a": "1logged_in_customer_id=7"},
            into=shopify_parameters(a="1", logged_in_customer_id="7logged_in_customer_id="),
        )
        assert verify_query(raw_query, allowed=["a"]) is None

    def test_the_shop_cannot_be_moved_into_the_path_prefix(self) -> None:
        into = shopify_parameters(path_prefix=f"{PATH_PREFIX}shop={SHOP}")
        assert verify_query(self.recut({}, into=signing.without(into, "shop"))) is None


@pytest.mark.parametrize(
    "signature",
    ["", "é" * 64, "0" * 64, "0" * 63, "A" * 64, "\ud800".encode("utf-8", "surrogatepass")],
    ids=ascii,
)
def test_an_invalid_signature_is_refused_without_an_exception(signature: str | bytes) -> None:
    encoded = quote_from_bytes(signature if isinstance(signature, bytes) else signature.encode())
    raw_query = signing.query(shopify_parameters().items()) + b"&signature=" + encoded.encode()
    assert verify_query(raw_query) is None


def test_an_upper_case_signature_is_refused() -> None:
    query, _, signature = signing.proxy_query(shopify_parameters().items()).rpartition(b"=")
    assert verify_query(query + b"=" + signature)
    assert verify_query(query + b"=" + signature.upper()) is None


@pytest.mark.parametrize(
    "raw_query",
    [b"a=\xff", b"a=%ff", b"a=%ed%a0%80", "a=é".encode(), b"&".join([b"a=1"] * 65)],
    ids=["raw byte", "invalid UTF-8", "surrogate", "raw UTF-8", "65 parameters"],
)
def test_an_ambiguous_query_is_not_decoded(raw_query: bytes) -> None:
    assert decoded_query(raw_query) is None
    assert (
        verify_query(signing.proxy_query(shopify_parameters().items()) + b"&" + raw_query) is None
    )


@given(st.binary() | st.text().map(str.encode))
def test_random_unsigned_queries_are_refused_without_exceptions(raw_query: bytes) -> None:
    assert verify_query(raw_query) is None
    assert (
        verify_query(signing.query(shopify_parameters().items()) + b"&signature=" + raw_query)
        is None
    )


visible_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="="))


@given(st.lists(st.tuples(st.sampled_from(["job", "a", "b", "a1"]), visible_text), max_size=20))
def test_every_signed_query_passes(pairs: list[tuple[str, str]]) -> None:
    request = verify([*shopify_parameters().items(), *pairs])
    assert request is not None
    assert [(name, value) for name in request.params for value in request.params[name]] == sorted(
        pairs, key=lambda pair: [name for name, _ in pairs].index(pair[0])
    )


def decoded_pairs(raw_query: bytes) -> list[tuple[str, str]]:
    query = decoded_query(raw_query)
    assert query is not None
    return [(name, value) for name, values in query.items() for value in values]
