"""A session token proves one member of staff in one shop's admin, for about a minute."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from backend.auth.session_token import SessionToken, verify_session_token
from tests.backend.auth.signing import (
    API_KEY,
    FOREIGN_SECRET,
    NOW,
    PREVIOUS_SECRET,
    SECRET,
    SHOP,
    claims,
    session_token,
    without,
)

GOOD = session_token(claims())
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")


@pytest.fixture(autouse=True, scope="module")
def frozen_clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def verify(token: str, *secrets: bytes) -> SessionToken | None:
    return verify_session_token(
        token, api_key=API_KEY, secrets=secrets or (SECRET, PREVIOUS_SECRET)
    )


def test_a_valid_token_names_the_shop_and_the_staff_member() -> None:
    assert verify(GOOD) == SessionToken(
        shop=SHOP,
        user_id="94732817",
        session_id="aaea182f2732d44c23057c0fea584021a4485b2bd25d3eb7fd349313ad24c685",
        token_id="f8912129-1af6-4cad-9ca3-76b0f7621087",
        expires_at=datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=60),
    )


def test_extra_claims_and_headers_are_ignored() -> None:
    header = {"alg": "HS256", "typ": "JWT", "kid": "2026-11"}
    assert verify(session_token(claims(sig="9f", locale={"x": [1]}), header=header))


class TestSecrets:
    def test_the_previous_secret_is_accepted(self) -> None:
        assert verify(session_token(claims(), PREVIOUS_SECRET))

    def test_a_dropped_previous_secret_is_refused(self) -> None:
        assert verify(session_token(claims(), PREVIOUS_SECRET), SECRET) is None

    def test_a_foreign_secret_is_refused(self) -> None:
        assert verify(session_token(claims(), FOREIGN_SECRET)) is None

    def test_an_empty_secret_is_never_accepted(self) -> None:
        token = session_token(claims(), b"")
        assert verify(token, b"") is None
        assert verify(token, SECRET, b"") is None
        assert verify(GOOD, b"", SECRET)

    def test_no_token_is_accepted_without_secrets(self) -> None:
        token = session_token(claims(), b"")
        assert verify_session_token(token, api_key=API_KEY, secrets=[]) is None

    @pytest.mark.parametrize("aud", ["", [], [""], None])
    def test_no_token_is_accepted_with_an_empty_api_key(self, aud: Any) -> None:
        token = session_token(claims(aud=aud))
        assert verify_session_token(token, api_key="", secrets=[SECRET]) is None


class TestTimes:
    """Ten seconds of leeway, as in all of Shopify's own libraries."""

    @pytest.mark.parametrize("changes", [{"exp": NOW - 9}, {"nbf": NOW + 9}, {"iat": NOW + 9}])
    def test_nine_seconds_of_clock_skew_are_accepted(self, changes: dict[str, int]) -> None:
        assert verify(session_token(claims(**changes)))

    @pytest.mark.parametrize("changes", [{"exp": NOW - 11}, {"nbf": NOW + 11}, {"iat": NOW + 11}])
    def test_eleven_seconds_of_clock_skew_are_refused(self, changes: dict[str, int]) -> None:
        assert verify(session_token(claims(**changes))) is None

    def test_a_token_expires_as_the_clock_moves_on(self) -> None:
        with time_machine.travel(NOW + 69, tick=False):
            assert verify(GOOD)
        with time_machine.travel(NOW + 71, tick=False):
            assert verify(GOOD) is None

    def test_a_token_may_live_for_at_most_two_minutes(self) -> None:
        assert verify(session_token(claims(exp=NOW + 120)))
        assert verify(session_token(claims(exp=NOW + 121))) is None
        assert verify(session_token(claims(exp=NOW + 600))) is None

    @pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
    @pytest.mark.parametrize(
        "value",
        [str(NOW), NOW + 0.5, float(NOW), True, [NOW], {}, float("nan"), float("inf"), 10**3000],
        ids=lambda value: repr(value)[:12],
    )
    def test_times_must_be_integer_seconds(self, name: str, value: Any) -> None:
        assert verify(session_token(claims(**{name: value}))) is None


@pytest.mark.parametrize("name", claims())
def test_every_claim_is_required(name: str) -> None:
    assert verify(session_token(without(claims(), name))) is None


@pytest.mark.parametrize("name", claims())
@pytest.mark.parametrize(
    "value", [None, "", 7.5, [], ["x"], {"a": 1}, False, "\ud800", "\0", "1\n"], ids=repr
)
def test_claims_of_another_type_are_refused(name: str, value: Any) -> None:
    assert verify(session_token(claims(**{name: value}))) is None


REFUSED_CLAIMS: dict[str, dict[str, Any]] = {
    "another app's audience": {"aud": "another-app"},
    "audience list": {"aud": [API_KEY]},
    "audience in another case": {"aud": API_KEY.upper()},
    "audience with more behind it": {"aud": f"{API_KEY} "},
    "buyer at the checkout": {
        "iss": f"https://{SHOP}/checkouts",
        "sub": "gid://shopify/Customer/1",
    },
    "buyer whose iss is the admin's": {"sub": "gid://shopify/Customer/1"},
    "staff id that is a gid": {"sub": "gid://shopify/User/1"},
    "staff id in full-width digits": {"sub": "\uff11\uff12"},
    "staff id that is negative": {"sub": "-1"},
    "staff id of 21 digits": {"sub": "1" * 21},
    "checkout path, numeric sub": {"iss": f"https://{SHOP}/checkouts"},
    "iss without a path": {"iss": f"https://{SHOP}"},
    "iss with a slash behind it": {"iss": f"https://{SHOP}/admin/"},
    "iss with a query": {"iss": f"https://{SHOP}/admin?x"},
    "iss in another case": {"iss": f"https://{SHOP}/Admin"},
    "iss of another shop": {"iss": "https://other-shop.myshopify.com/admin"},
    "dest of another shop": {"dest": "https://other-shop.myshopify.com"},
    "dest with a slash behind it": {"dest": f"https://{SHOP}/"},
    "session id with a space": {"sid": "a b"},
    "token id of 256 characters": {"jti": "j" * 256},
}


@pytest.mark.parametrize("changes", REFUSED_CLAIMS.values(), ids=REFUSED_CLAIMS.keys())
def test_a_token_that_is_not_a_merchants_is_refused(changes: dict[str, Any]) -> None:
    assert verify(session_token(claims(**changes))) is None


def test_a_buyers_token_without_iss_sub_and_sid_is_refused() -> None:
    assert verify(session_token(without(claims(), "iss", "sub", "sid"))) is None


HOSTS_THAT_ARE_NO_SHOPS = {
    "http": f"http://{SHOP}",
    "upper-case scheme": f"HTTPS://{SHOP}",
    "no scheme": SHOP,
    "two schemes": f"https://https://{SHOP}",
    "upper-case host": f"https://{SHOP.upper()}",
    "userinfo": f"https://{SHOP}@evil.com",
    "userinfo before the shop": f"https://evil@{SHOP}",
    "port": f"https://{SHOP}:443",
    "suffix domain": f"https://{SHOP}.evil.com",
    "foreign host": "https://evil.com",
    "trailing dot": f"https://{SHOP}.",
    "trailing newline": f"https://{SHOP}\n",
    "newline inside": "https://ab\n.myshopify.com",
    "IDN": "https://n\u043erth-wind.myshopify.com",
    "broken brackets": "https://[bad",
    "lone surrogate": "https://\ud800.myshopify.com",
    "empty host": "https://",
    "300 characters": f"https://{'a' * 300}.myshopify.com",
}


@pytest.mark.parametrize("origin", HOSTS_THAT_ARE_NO_SHOPS.values(), ids=HOSTS_THAT_ARE_NO_SHOPS)
def test_the_shop_must_be_an_exact_domain(origin: str) -> None:
    both = {"dest": origin, "iss": f"{origin}/admin"}
    assert verify(session_token(claims(**both))) is None
    assert verify(session_token(claims(dest=origin))) is None
    assert verify(session_token(claims(iss=f"{origin}/admin"))) is None


class TestHeader:
    @pytest.mark.parametrize("alg", ["none", "None", "NONE", "", "hs256", "RS256", "ES256", "HS1"])
    def test_another_algorithm_is_refused(self, alg: str) -> None:
        assert verify(session_token(claims(), header={"alg": alg, "typ": "JWT"})) is None

    def test_a_token_without_algorithm_or_signature_is_refused(self) -> None:
        unsigned = session_token(claims(), header={"alg": "none"}).rpartition(".")[0]
        assert verify(f"{unsigned}.") is None
        assert verify(unsigned) is None
        assert verify(session_token(claims(), header={"typ": "JWT"})) is None

    @pytest.mark.parametrize("bits", ["384", "512"])
    def test_a_longer_hmac_is_refused(self, bits: str) -> None:
        header = {"alg": f"HS{bits}", "typ": "JWT"}
        assert verify(session_token(claims(), header=header, digest=f"sha{bits}")) is None

    @pytest.mark.parametrize("alg", [None, 7, [], ["HS256"], {"HS256": 1}], ids=repr)
    def test_an_algorithm_that_is_not_text_is_refused(self, alg: Any) -> None:
        assert verify(session_token(claims(), header={"alg": alg})) is None

    @pytest.mark.parametrize("name", ["jku", "jwk", "x5u", "x5c"])
    @pytest.mark.parametrize("secret", [SECRET, FOREIGN_SECRET], ids=["our key", "their key"])
    def test_a_token_that_brings_its_own_key_is_refused(self, name: str, secret: bytes) -> None:
        header = {"alg": "HS256", name: "https://evil.com/keys.json"}
        assert verify(session_token(claims(), secret, header)) is None

    @pytest.mark.parametrize("crit", [["exp"], ["b64"], [], "exp", None, [7]], ids=repr)
    def test_an_unknown_critical_extension_is_refused(self, crit: Any) -> None:
        assert verify(session_token(claims(), header={"alg": "HS256", "crit": crit})) is None

    def test_a_detached_payload_is_refused(self) -> None:
        header = {"alg": "HS256", "b64": False, "crit": ["b64"]}
        assert verify(session_token(claims(), header=header)) is None


NOT_JSON_OBJECTS = {
    "empty": b"",
    "not JSON": b"shop",
    "list": b"[]",
    "text": b'"claims"',
    "number": b"7",
    "null": b"null",
    "invalid UTF-8": b'{"iss":"\xff"}',
    "UTF-16": "{}".encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "2,500 levels deep": b"[" * 2500,
    "integer of 2,500 digits": b"9" * 2500,
}


@pytest.mark.parametrize("part", NOT_JSON_OBJECTS.values(), ids=NOT_JSON_OBJECTS.keys())
def test_a_part_that_is_not_a_json_object_is_refused(part: bytes) -> None:
    assert verify(session_token(part)) is None
    assert verify(session_token(claims(), header=part)) is None


def test_deep_json_and_huge_integers_are_refused() -> None:
    good = json.dumps(claims()).encode()
    assert verify(session_token(good[:-1] + b',"x":' + b"[" * 1000 + b"]" * 1000 + b"}")) is None
    assert verify(session_token(good[:-1] + b',"exp":' + b"9" * 2000 + b"}")) is None
    assert verify(session_token(b"[" * 100_000)) is None
    assert verify(session_token(b'{"exp":' + b"9" * 100_000 + b"}")) is None


def test_a_token_longer_than_four_kilobytes_is_not_parsed() -> None:
    def of_size(size: int) -> str:
        return session_token(claims(x="x" * size))

    small = max((t for t in map(of_size, range(2400, 2700)) if len(t) <= 4096), key=len)
    large = min((t for t in map(of_size, range(2400, 2700)) if len(t) > 4096), key=len)
    assert verify(small)
    assert verify(large) is None


MALFORMED = {
    "empty": "",
    "two dots": "..",
    "one part": HEADER,
    "two parts": f"{HEADER}.{PAYLOAD}",
    "four parts": f"{GOOD}.x",
    "five parts, as an encrypted token": f"{GOOD}.x.y",
    "empty header": f".{PAYLOAD}.{SIGNATURE}",
    "empty payload": f"{HEADER}..{SIGNATURE}",
    "empty signature": f"{HEADER}.{PAYLOAD}.",
    "signature cut": GOOD[:-1],
    "signature padded": f"{GOOD}=",
    "header padded": f"{HEADER}=.{PAYLOAD}.{SIGNATURE}",
    "leading space": f" {GOOD}",
    "trailing space": f"{GOOD} ",
    "trailing newline": f"{GOOD}\n",
    "newline inside": GOOD.replace(".", "\n.", 1),
    "space inside": f"{HEADER}. {PAYLOAD}.{SIGNATURE}",
    "NUL behind": f"{GOOD}\0",
    "with its scheme": f"Bearer {GOOD}",
    "two tokens": f"{GOOD},{GOOD}",
    "standard base64": f"{HEADER}.{PAYLOAD}.{'+/' * 21}A",
    "letter beyond ASCII": f"{HEADER}.{PAYLOAD}\u00e9.{SIGNATURE}",
    "full-width letter": GOOD.replace("e", "\uff45", 1),
    "lone surrogate": f"{GOOD[:-1]}\ud800",
    "payload of another token": f"{HEADER}.{PAYLOAD[:-2]}AA.{SIGNATURE}",
    "a megabyte": "a" * 2**20,
}


@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_token_is_refused_without_an_exception(token: str) -> None:
    assert verify(token) is None


def test_a_respelled_signature_is_refused() -> None:
    """The last character of a signature has two spare bits; a respelling is not the token."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    respelled = SIGNATURE[:-1] + alphabet[alphabet.index(SIGNATURE[-1]) + 1]
    assert base64.urlsafe_b64decode(respelled + "=") == base64.urlsafe_b64decode(SIGNATURE + "=")
    assert verify(f"{HEADER}.{PAYLOAD}.{respelled}") is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=5,
)


@given(st.text() | st.from_regex(r"[\w-]{1,40}\.[\w-]{1,40}\.[A-Za-z0-9_-]{43}", fullmatch=True))
def test_random_text_is_refused_without_exceptions(token: str) -> None:
    assert verify(token) is None


@given(st.binary(), st.binary())
def test_random_signed_bytes_are_refused_without_exceptions(header: bytes, payload: bytes) -> None:
    assert verify(session_token(payload)) is None
    assert verify(session_token(claims(), header=header)) is None


@given(name=st.sampled_from(["iss", "dest", "aud", "sub", "exp", "nbf"]), value=json_values)
def test_random_claim_values_are_refused_without_exceptions(name: str, value: Any) -> None:
    token = session_token(claims(**{name: value}))
    session = verify(token)
    if session is not None:
        assert name in {"sub", "exp", "nbf"} and session.shop == SHOP


@given(header=st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "typ"]), json_values))
def test_only_the_right_algorithm_is_accepted(header: dict[str, Any]) -> None:
    if header.get("alg") != "HS256":
        assert verify(session_token(claims(), header=header)) is None
