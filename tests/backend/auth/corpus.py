"""Valid and invalid requests of Shopify's three kinds, each with a name.

Every kind is drawn several times with random parts from a fixed seed. Which of them should
pass is not said here: the differential tests compare two verdicts on each.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

from tests.backend.auth.signing import (
    API_KEY,
    FOREIGN_SECRET,
    NOW,
    PREVIOUS_SECRET,
    claims,
    proxy_query,
    query,
    session_token,
    webhook_signature,
    without,
)

ROUNDS = 12

Webhook = tuple[bytes, bytes]  # body, signature
Pairs = list[tuple[str, str]]


def webhooks() -> Iterator[tuple[str, Webhook]]:
    rng = random.Random(1)
    for _ in range(ROUNDS):
        body = random_json(rng)
        signature = webhook_signature(body)
        yield "good", (body, signature)
        yield "previous secret", (body, webhook_signature(body, PREVIOUS_SECRET))
        yield "foreign secret", (body, webhook_signature(body, FOREIGN_SECRET))
        yield "empty secret", (body, webhook_signature(body, b""))
        yield "changed body", (body + b" ", signature)
        yield "no signature", (body, b"")
        yield "signature cut", (body, signature[: rng.randrange(44)])
        yield "signature with one letter changed", (body, with_a_letter_changed(signature, rng))
        yield "signature with a space before", (body, b" " + signature)
        yield "signature with a newline behind", (body, signature + b"\n")
        yield "signature twice", (body, signature + signature)
        yield "signature beyond ASCII", (body, "é".encode() * 22)
        for kind, awkward in awkward_bodies(rng).items():
            yield kind, (awkward, webhook_signature(awkward))


def awkward_bodies(rng: random.Random) -> dict[str, bytes]:
    return {
        "empty body": b"",
        "list": b"[" + random_json(rng) + b"]",
        "not JSON": b"id=%d" % rng.randrange(99),
        "byte order mark": b"\xef\xbb\xbf" + random_json(rng),
        "CRLF": b"{\r\n}\r\n",
        "NUL behind": random_json(rng) + b"\0",
        "duplicate keys": b'{"id":1,"id":2}',
        "lone surrogate": b'{"title":"\\ud800"}',
        "invalid UTF-8": b'{"title":"\xff"}',
        "100,000 levels deep": b"[" * 100_000,
        "5,000-digit integer": b'{"id":' + b"9" * 5000 + b"}",
    }


def session_tokens() -> Iterator[tuple[str, str]]:
    rng = random.Random(2)
    for _ in range(ROUNDS):
        shop = random_shop(rng)
        good = of_shop(shop, sub=str(rng.randrange(10**12)))
        yield "good", session_token(good)
        yield "previous secret", session_token(good, PREVIOUS_SECRET)
        yield "foreign secret", session_token(good, FOREIGN_SECRET)
        yield "empty secret", session_token(good, b"")
        yield "changed claims", with_claims_changed(session_token(good), good | {"sub": "1"})
        yield "padded signature", session_token(good) + "="
        yield "five kilobytes", session_token(good | {"x": "x" * 5000})
        for kind, text in malformed_tokens(session_token(good)).items():
            yield kind, text
        for kind, header in odd_headers().items():
            yield kind, session_token(good, header=header)
        for kind, changed in odd_claims(shop, good).items():
            yield kind, session_token(changed)


def malformed_tokens(token: str) -> dict[str, str]:
    return {
        "two parts": token.rpartition(".")[0],
        "no signature": token.rpartition(".")[0] + ".",
        "four parts": token + ".x",
        "newline behind": token + "\n",
        "space before": " " + token,
        "cut": token[:-1],
        "letter beyond ASCII": token + "é",
        "not a token": "shop",
    }


def odd_headers() -> dict[str, dict[str, Any]]:
    return {
        "no algorithm": {"typ": "JWT"},
        "algorithm none": {"alg": "none"},
        "algorithm HS512": {"alg": "HS512"},
        "algorithm RS256": {"alg": "RS256"},
        "unknown extension": {"alg": "HS256", "crit": ["x"], "x": 1},
        "detached payload": {"alg": "HS256", "crit": ["b64"], "b64": False},
        "brings its own key": {"alg": "HS256", "jku": "https://evil.com/keys.json"},
        "key id": {"alg": "HS256", "kid": "1"},
    }


def odd_claims(shop: str, good: dict[str, Any]) -> dict[str, dict[str, Any] | bytes]:
    buyer = good | {"iss": f"https://{shop}/checkouts", "sub": "gid://shopify/Customer/1"}
    return {
        **{f"without {name}": without(good, name) for name in good},
        "buyer": without(buyer, "sid"),
        "buyer without iss": without(buyer, "sid", "iss"),
        "buyer without sub": without(buyer, "sid", "sub"),
        "wrong audience": good | {"aud": "another-app"},
        "audience list": good | {"aud": [API_KEY]},
        "expired": good | {"exp": NOW - 11},
        "expired within the leeway": good | {"exp": NOW - 9},
        "not yet valid": good | {"nbf": NOW + 11},
        "not yet valid within the leeway": good | {"nbf": NOW + 9},
        "issued in the future": good | {"iat": NOW + 11},
        "lives for ten minutes": good | {"exp": NOW + 600},
        "time that is text": good | {"exp": str(NOW + 60)},
        "time with a fraction": good | {"exp": NOW + 60.5},
        "time that is no number": good | {"exp": "soon"},
        "iss of another shop": good | {"iss": f"https://x{shop}/admin"},
        "integer for iss": good | {"iss": 7},
        "integer for dest": good | {"dest": 7},
        "integer for sub": good | {"sub": 7},
        "foreign host": of_shop("evil.com"),
        "suffix domain": of_shop(f"{shop}.evil.com"),
        "userinfo": of_shop(f"{shop}@evil.com"),
        "newline behind the host": of_shop(f"{shop}\n"),
        "upper-case host": of_shop(shop.upper()),
        "shop of one letter": of_shop("s.myshopify.com"),
        "broken brackets": of_shop("[bad"),
        "http": good | {"dest": f"http://{shop}", "iss": f"http://{shop}/admin"},
        "claims that are no object": b"[]",
        "claims in invalid UTF-8": b'{"iss":"\xff"}',
    }


def of_shop(host: str, **changes: Any) -> dict[str, Any]:
    return claims(dest=f"https://{host}", iss=f"https://{host}/admin", **changes)


def with_claims_changed(token: str, changed: dict[str, Any]) -> str:
    header, _, signature = token.split(".")
    return ".".join([header, session_token(changed).split(".")[1], signature])


def proxied_queries() -> Iterator[tuple[str, bytes]]:
    rng = random.Random(3)
    for _ in range(ROUNDS):
        good = proxied(random_shop(rng))
        signed = proxy_query(good)
        yield "good", signed
        yield "previous secret", proxy_query(good, PREVIOUS_SECRET)
        yield "foreign secret", proxy_query(good, FOREIGN_SECRET)
        yield "empty secret", proxy_query(good, b"")
        yield "not signed", query(good)
        yield "signature twice", signed + b"&signature=" + signed[-64:]
        yield "signature in upper case", signed[:-64] + signed[-64:].upper()
        yield "signature cut", signed[: -rng.randrange(1, 64)]
        yield "signature beyond ASCII", signed[:-64] + b"%C3%A9" * 64
        yield "changed after signing", respelled(signed, "atelier", "other")
        yield "invalid UTF-8", respelled(proxy_query([*good, ("q", "\ufffd")]), "%EF%BF%BD", "%FF")
        yield (
            "letter that is not escaped",
            respelled(proxy_query([*good, ("q", "é")]), "%C3%A9", "é"),
        )
        for kind, pairs in odd_parameters(good, rng).items():
            yield kind, proxy_query(pairs)


def odd_parameters(good: Pairs, rng: random.Random) -> dict[str, Pairs]:
    def replaced(**changes: str) -> Pairs:
        return list((dict(good) | changes).items())

    def lacking(name: str) -> Pairs:
        return list(without(dict(good), name).items())

    text = "".join(rng.choices("ab &+%,;é川\u0301\U0001f455", k=9))
    return {
        "customer logged in": replaced(logged_in_customer_id=str(rng.randrange(1, 10**12))),
        "no customer parameter": lacking("logged_in_customer_id"),
        "visitor's text": [*good, ("q", text)],
        "visitor's text twice": [*good, ("q", text), ("q", "x")],
        "visitor's blank": [*good, ("a", "")],
        "in another order": rng.sample(good, len(good)),
        "name that begins with another": [*good, ("a", "1"), ("a1", "2")],
        "unknown name": [*good, ("page", "1")],
        "value with an equals sign": [*good, ("q", "a=b")],
        "65 parameters": [*good, *[("q", "x")] * 60],
        "no shop": lacking("shop"),
        "shop twice": [*good, ("shop", "other.myshopify.com")],
        "no shop's domain": replaced(shop="evil.com"),
        "customer twice": [*good, ("logged_in_customer_id", "7")],
        "customer who is no number": replaced(logged_in_customer_id="x"),
        "path prefix twice": [*good, ("path_prefix", "/apps/x")],
        "path prefix that is no path": replaced(path_prefix="<x>"),
        "no timestamp": lacking("timestamp"),
        "timestamp twice": [*good, ("timestamp", str(NOW))],
        **{
            f"timestamp {kind}": replaced(timestamp=timestamp)
            for kind, timestamp in odd_timestamps().items()
        },
    }


def odd_timestamps() -> dict[str, str]:
    return {
        "90 s old": str(NOW - 90),
        "91 s old": str(NOW - 91),
        "90 s ahead": str(NOW + 90),
        "91 s ahead": str(NOW + 91),
        "blank": "",
        "with a fraction": f"{NOW}.0",
        "that is no number": "NaN",
        "without end": "Infinity",
        "of 5,000 digits": "9" * 5000,
        "with a sign": f"+{NOW}",
        "with a space": f" {NOW}",
        "with an underscore": f"{NOW:_}",
        "in arabic digits": str(NOW).translate({ord(str(n)): 0x0660 + n for n in range(10)}),
    }


def proxied(shop: str) -> Pairs:
    return [
        ("shop", shop),
        ("logged_in_customer_id", ""),
        ("path_prefix", "/apps/atelier"),
        ("timestamp", str(NOW)),
    ]


def respelled(raw_query: bytes, old: str, new: str) -> bytes:
    """The query after signing, with a part of it written in another way."""
    assert old.encode() in raw_query
    return raw_query.replace(old.encode(), new.encode())


def random_shop(rng: random.Random) -> str:
    label = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=rng.randrange(2, 30)))
    return f"{label}.myshopify.com"


def random_json(rng: random.Random) -> bytes:
    product = {"id": rng.randrange(2**63), "title": "".join(rng.choices('aé川 "\\\n', k=20))}
    ascii_only, indent = rng.choice([True, False]), rng.choice([None, 0, 3])
    return json.dumps(product, ensure_ascii=ascii_only, indent=indent).encode()


def with_a_letter_changed(signature: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(43)
    letter = b"A" if signature[at : at + 1] != b"A" else b"B"
    return signature[:at] + letter + signature[at + 1 :]
