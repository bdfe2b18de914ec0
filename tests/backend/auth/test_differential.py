"""Our verifiers against Shopify's own package, over one corpus of good and bad requests.

Agreement is the rule. Each exception is listed here with both verdicts and its reason, and
the tests fail when a new one appears as well as when a listed one is gone (a release of the
package may fix it, and then its line should go).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import pytest
import time_machine
from shopify_app import ShopifyApp
from shopify_app.types import RequestInput

from backend.auth.app_proxy import verify_app_proxy
from backend.auth.session_token import verify_session_token
from backend.auth.webhook_hmac import verify_webhook
from tests.backend.auth import corpus
from tests.backend.auth.signing import API_KEY, NOW, PREVIOUS_SECRET, SECRET

SECRETS = (SECRET, PREVIOUS_SECRET)
SHOPIFYS = ShopifyApp(API_KEY, SECRET.decode(), PREVIOUS_SECRET.decode())
ALLOWED = frozenset({"a", "a1", "q"})  # the visitor's names that the proxied route knows

PASSED, REFUSED, CRASHED = "passed", "refused", "crashed"

Case = TypeVar("Case")


class Verdict(NamedTuple):
    outcome: str
    shop: str | None = None


class Divergence(NamedTuple):
    kind: str
    ours: str
    theirs: str


WEBHOOKS = {
    Divergence("empty body", REFUSED, PASSED): "its signature is one constant: a master key",
    Divergence("signature beyond ASCII", REFUSED, CRASHED): "compare_digest of texts wants ASCII",
    Divergence("invalid UTF-8", PASSED, CRASHED): "it takes the body as text only",
    Divergence("100,000 levels deep", PASSED, CRASHED): "it parses before it verifies",
    Divergence("5,000-digit integer", PASSED, CRASHED): "it parses before it verifies",
}

SESSION_TOKENS = {
    Divergence("without iss", REFUSED, PASSED): "it does not read iss",
    Divergence("without dest", REFUSED, PASSED): "it does not require a shop",
    Divergence("without sub", REFUSED, PASSED): "it does not require a user",
    Divergence("without exp", REFUSED, PASSED): "it checks the times that are there",
    Divergence("without nbf", REFUSED, PASSED): "it checks the times that are there",
    Divergence("without iat", REFUSED, PASSED): "it checks the times that are there",
    Divergence("without jti", REFUSED, PASSED): "it does not read jti",
    Divergence("without sid", REFUSED, PASSED): "it does not read sid",
    Divergence("buyer", REFUSED, PASSED): "it takes buyers for members of staff",
    Divergence("buyer without iss", REFUSED, PASSED): "it takes buyers for members of staff",
    Divergence("buyer without sub", REFUSED, PASSED): "it takes buyers for members of staff",
    Divergence("lives for ten minutes", REFUSED, PASSED): "it knows no longest lifetime",
    Divergence("iss of another shop", REFUSED, PASSED): "it does not read iss",
    Divergence("integer for iss", REFUSED, PASSED): "it does not read iss",
    Divergence("integer for dest", REFUSED, CRASHED): "it calls a method of text on it",
    Divergence("foreign host", REFUSED, PASSED): "it does not check that dest is a shop",
    Divergence("suffix domain", REFUSED, PASSED): "it does not check that dest is a shop",
    Divergence("userinfo", REFUSED, PASSED): "it does not check that dest is a shop",
    Divergence("newline behind the host", REFUSED, PASSED): "it does not check that dest is a shop",
    Divergence("upper-case host", REFUSED, PASSED): "a tenant has one spelling",
    Divergence("shop of one letter", REFUSED, PASSED): "ShopifyAPI wants two letters at least",
    Divergence("http", REFUSED, PASSED): "it does not look at the scheme",
    Divergence("time that is text", REFUSED, PASSED): "PyJWT converts it",
    Divergence("time with a fraction", REFUSED, PASSED): "Shopify sends whole seconds",
    Divergence("brings its own key", REFUSED, PASSED): "PyJWT ignores the header; we refuse it",
    Divergence("padded signature", REFUSED, PASSED): "PyJWT forgives it; RFC 7515 has no padding",
    Divergence("five kilobytes", REFUSED, PASSED): "we read four at most",
}
APP_HOME = SESSION_TOKENS | {
    Divergence("broken brackets", REFUSED, CRASHED): "it does not catch urlparse's ValueError",
}
ADMIN_EXTENSIONS = SESSION_TOKENS | {
    Divergence("broken brackets", REFUSED, PASSED): "it does not check that dest is a shop",
}

APP_PROXY = {
    Divergence("name that begins with another", PASSED, REFUSED): "it sorts names, not texts",
    Divergence("no shop", REFUSED, PASSED): "it does not require one",
    Divergence("no shop's domain", REFUSED, PASSED): "it does not look",
    Divergence("timestamp twice", REFUSED, PASSED): "it takes the first",
    Divergence("timestamp with a sign", REFUSED, PASSED): "int() forgives it",
    Divergence("timestamp with a space", REFUSED, PASSED): "int() forgives it",
    Divergence("timestamp with an underscore", REFUSED, PASSED): "int() forgives it",
    Divergence("timestamp in arabic digits", REFUSED, PASSED): "int() reads them",
    Divergence("customer twice", REFUSED, PASSED): "it takes the first",
    Divergence("customer who is no number", REFUSED, PASSED): "it does not look",
    Divergence("path prefix twice", REFUSED, PASSED): "it does not look",
    Divergence("path prefix that is no path", REFUSED, PASSED): "it does not look",
    Divergence("unknown name", REFUSED, PASSED): "the signed text has no separators (T-18)",
    Divergence("value with an equals sign", REFUSED, PASSED): "as above",
    Divergence("65 parameters", REFUSED, PASSED): "we read 64 at most",
    Divergence("invalid UTF-8", REFUSED, PASSED): "it replaces the bytes and signs what is left",
    Divergence("letter that is not escaped", REFUSED, PASSED): "a query is ASCII (RFC 3986 §3.4)",
    Divergence("signature beyond ASCII", REFUSED, CRASHED): "compare_digest of texts wants ASCII",
}


@pytest.fixture(autouse=True, scope="module")
def frozen_clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def test_webhook_verification_differs_from_shopifys_only_as_listed() -> None:
    found = divergences(corpus.webhooks(), our_verdict_on_webhook, their_verdict_on_webhook)
    assert found == WEBHOOKS.keys()


def test_session_tokens_differ_from_the_app_home_package_only_as_listed() -> None:
    found = divergences(corpus.session_tokens(), our_verdict_on_token, verdict_of_app_home)
    assert found == APP_HOME.keys()


def test_session_tokens_differ_from_admin_extensions_only_as_listed() -> None:
    found = divergences(corpus.session_tokens(), our_verdict_on_token, verdict_of_admin_extensions)
    assert found == ADMIN_EXTENSIONS.keys()


def test_app_proxy_verification_differs_from_shopifys_only_as_listed() -> None:
    found = divergences(corpus.proxied_queries(), our_verdict_on_query, their_verdict_on_query)
    assert found == APP_PROXY.keys()


def divergences(
    cases: Iterable[tuple[str, Case]],
    ours: Callable[[Case], Verdict],
    theirs: Callable[[Case], Verdict],
) -> set[Divergence]:
    """The kinds of request on which the two disagree, about the outcome or about the shop."""
    verdicts = [(kind, ours(case), verdict_or_crash(theirs, case)) for kind, case in cases]
    return {
        Divergence(kind, our.outcome, their.outcome)
        for kind, our, their in verdicts
        if our != their
    }


def verdict_or_crash(verify: Callable[[Case], Verdict], case: Case) -> Verdict:
    try:
        return verify(case)
    except Exception:
        return Verdict(CRASHED)


def our_verdict_on_webhook(webhook: corpus.Webhook) -> Verdict:
    return Verdict(PASSED if verify_webhook(*webhook, SECRETS) else REFUSED)


def their_verdict_on_webhook(webhook: corpus.Webhook) -> Verdict:
    body, signature = webhook
    headers = {"X-Shopify-Hmac-Sha256": signature.decode()}
    result = SHOPIFYS.verify_webhook_req(request(headers=headers, body=body.decode()))
    # Its shop is the unsigned header's, so there is nothing to compare.
    return Verdict(PASSED if result.ok else REFUSED)


def our_verdict_on_token(token: str) -> Verdict:
    session = verify_session_token(token, api_key=API_KEY, secrets=SECRETS)
    return Verdict(PASSED, session.shop) if session else Verdict(REFUSED)


def verdict_of_app_home(token: str) -> Verdict:
    headers = {"Authorization": f"Bearer {token}"}
    result = SHOPIFYS.verify_app_home_req(request(headers=headers), "/patch")
    return their_verdict(ok=result.ok, label=result.shop)


def verdict_of_admin_extensions(token: str) -> Verdict:
    headers = {"Authorization": f"Bearer {token}"}
    result = SHOPIFYS.verify_admin_ui_ext_req(request(headers=headers))
    return their_verdict(ok=result.ok, label=result.shop)


def our_verdict_on_query(raw_query: bytes) -> Verdict:
    proxied = verify_app_proxy(raw_query, SECRETS, now=NOW, allowed=ALLOWED)
    return Verdict(PASSED, proxied.shop) if proxied else Verdict(REFUSED)


def their_verdict_on_query(raw_query: bytes) -> Verdict:
    result = SHOPIFYS.verify_app_proxy_req(request(raw_query=raw_query.decode()))
    return their_verdict(ok=result.ok, label=result.shop)


def their_verdict(*, ok: bool, label: str | None) -> Verdict:
    """They name a shop by its label alone."""
    return Verdict(PASSED, f"{label}.myshopify.com") if ok else Verdict(REFUSED)


def request(
    *, headers: dict[str, str] | None = None, raw_query: str = "", body: str = ""
) -> RequestInput:
    url = f"https://app.example.com/proxy?{raw_query}"
    return {"method": "POST", "headers": headers or {}, "url": url, "body": body}
