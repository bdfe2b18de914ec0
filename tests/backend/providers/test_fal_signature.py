"""A callback counts only if fal has signed it, lately and for this request."""

import base64
import hashlib

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.providers.account import ProviderAccount
from backend.providers.fal import FalProvider
from backend.providers.provider import CallbackRefused, ProviderLimits, ProviderUnavailable
from tests.backend.providers.provider_server import Answer, recorded

NOW = 1_796_000_000
SHAPES = recorded("fal")
ID = SHAPES["callback"]["request_id"]
BODY = msgspec.json.encode(SHAPES["callback"])
FALS, FORGERS = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def jwks(*keys: Ed25519PrivateKey) -> Answer:
    """As fal publishes them, with a key of another kind among them."""
    written = [
        base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode()
        for key in keys
    ]
    other = {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}
    return Answer({"keys": [other, *({"kty": "OKP", "crv": "Ed25519", "x": x} for x in written)]})


def signed(
    body: bytes = BODY,
    *,
    key: Ed25519PrivateKey = FALS,
    at: int = NOW,
    request_id: str = ID,
) -> dict[str, str]:
    digest = hashlib.sha256(body).hexdigest()
    message = "\n".join((request_id, "user-1", str(at), digest)).encode()
    return {
        "X-Fal-Webhook-Request-Id": request_id,
        "X-Fal-Webhook-User-Id": "user-1",
        "X-Fal-Webhook-Timestamp": str(at),
        "X-Fal-Webhook-Signature": key.sign(message).hex(),
    }


class SetClock:
    """The time that a test says it is."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def fal(server, clock):
    account = ProviderAccount(
        key="k", base_url=server.origin, models={}, limits=ProviderLimits(concurrent=1)
    )
    provider = FalProvider(
        account, platform_url=server.origin, jwks_url=f"{server.origin}/.well-known/jwks.json"
    )
    provider.signatures.clock = clock
    yield provider
    await provider.close()


async def test_a_signed_callback_names_its_request(server, fal) -> None:
    server.answers.append(jwks(FORGERS, FALS))
    lower = {name.lower(): value for name, value in signed().items()}
    assert await fal.callback(signed(), BODY) == ID
    assert await fal.callback(lower, BODY) == ID
    assert [each.target for each in server.asked] == ["/.well-known/jwks.json"]
    assert "authorization" not in server.asked[0].headers


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (signed(key=FORGERS), BODY),
        (signed(), BODY + b" "),
        (signed(at=NOW - 301), BODY),
        (signed(at=NOW + 301), BODY),
        (signed() | {"X-Fal-Webhook-Timestamp": str(NOW + 1)}, BODY),
        (signed() | {"X-Fal-Webhook-Timestamp": "now"}, BODY),
        (signed() | {"X-Fal-Webhook-Request-Id": "another"}, BODY),
        (signed() | {"X-Fal-Webhook-User-Id": ""}, BODY),
        (signed() | {"X-Fal-Webhook-Signature": "00"}, BODY),
        (signed() | {"X-Fal-Webhook-Signature": "zz"}, BODY),
        (signed(request_id="another"), BODY),
        (signed(b"[]"), b"[]"),
        ({}, BODY),
    ],
    ids=[
        *("forged", "changed", "stale", "from the future", "other time", "no time"),
        *("other request", "no user", "short", "no hex", "body of another", "no result", "bare"),
    ],
)
async def test_any_other_callback_is_refused(server, fal, headers, body) -> None:
    server.answers.append(jwks(FALS))
    with pytest.raises(CallbackRefused):
        await fal.callback(headers, body)


async def test_the_keys_are_kept_for_a_day(server, fal, clock) -> None:
    server.answers.append(jwks(FALS))
    await fal.callback(signed(), BODY)
    clock.now += 24 * 3600
    await fal.callback(signed(at=int(clock.now)), BODY)
    assert len(server.asked) == 1
    clock.now += 1
    await fal.callback(signed(at=int(clock.now)), BODY)
    assert len(server.asked) == 2


async def test_a_new_key_is_looked_for_but_not_for_each_forged_callback(server, fal, clock) -> None:
    server.answers += [jwks(FORGERS), jwks(FALS)]
    for _ in range(3):
        with pytest.raises(CallbackRefused):
            await fal.callback(signed(), BODY)
    assert len(server.asked) == 1
    clock.now += 301
    assert await fal.callback(signed(at=int(clock.now)), BODY) == ID
    assert len(server.asked) == 2


@pytest.mark.parametrize("answer", [Answer(b"no", 500), Answer({"keys": []}), Answer(b"<html>")])
async def test_without_keys_nothing_is_decided(server, fal, answer) -> None:
    server.answers.append(answer)
    with pytest.raises(ProviderUnavailable):
        await fal.callback(signed(), BODY)
