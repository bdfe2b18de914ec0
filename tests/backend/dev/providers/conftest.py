"""One stand-in provider for all the tests of it, emptied before each."""

import base64
import hashlib
import io
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from PIL import Image

from backend.dev.providers import FAL_KEY, FASHN_KEY, AcceptedRequest, StandInProvider
from tests.wait import wait_until

APP_URL = "https://app.example/callbacks/some/token"
GARMENT_URL = "https://bucket.example/garment.jpg"
PERSON_URL = "https://bucket.example/person.jpg"
TRY_ON = {"model_image": PERSON_URL, "garment_image": GARMENT_URL}


def jpeg(colour: str = "navy") -> bytes:
    """A square on white."""
    picture = Image.new("RGB", (300, 300), "white")
    picture.paste(colour, (80, 80, 220, 220))
    out = io.BytesIO()
    picture.save(out, "JPEG")
    return out.getvalue()


@dataclass
class Surroundings:
    """What the stand-in sees of the network: images by URL, and the app that it calls back."""

    internet: dict[str, httpx.Response] = field(default_factory=dict)
    received: list[httpx.Request] = field(default_factory=list)
    statuses: deque[int] = field(default_factory=deque)
    now: float = 1_800_000_000.0

    def fetch(self, request: httpx.Request) -> httpx.Response:
        if str(request.url) not in self.internet:
            raise httpx.ConnectError("nobody there", request=request)
        return self.internet[str(request.url)]

    def receive(self, request: httpx.Request) -> httpx.Response:
        self.received.append(request)
        return httpx.Response(self.statuses.popleft() if self.statuses else 200)


@dataclass
class Account:
    """A client of the stand-in, with the keys of both providers."""

    http: httpx.AsyncClient
    provider: StandInProvider
    fashn: dict[str, str] = field(default_factory=lambda: {"Authorization": f"Bearer {FASHN_KEY}"})
    fal: dict[str, str] = field(default_factory=lambda: {"Authorization": f"Key {FAL_KEY}"})

    async def run(self, model: str = "tryon-v1.6", **inputs: Any) -> httpx.Response:
        """Submit to FASHN, with a callback."""
        return await self.http.post(
            "/v1/run",
            params={"webhook_url": APP_URL},
            json={"model_name": model, "inputs": inputs or TRY_ON},
            headers=self.fashn,
        )

    async def submit(self, app: str = "fal-ai/fashn/tryon/v1.6", **inputs: Any) -> httpx.Response:
        """Submit to fal, with a callback."""
        return await self.http.post(
            f"/{app}", params={"fal_webhook": APP_URL}, json=inputs or TRY_ON, headers=self.fal
        )

    async def status(self, prediction_id: str) -> httpx.Response:
        return await self.http.get(f"/v1/status/{prediction_id}", headers=self.fashn)

    async def get(self, url: str) -> httpx.Response:
        return await self.http.get(url, headers=self.fal)

    async def ended(self) -> AcceptedRequest:
        """The only prediction, when it has ended."""
        (prediction,) = self.provider.predictions
        await wait_until(lambda: prediction.has_ended)
        return prediction

    async def is_signed(self, request: httpx.Request) -> bool:
        """Whether fal has signed it: four lines, by the key of the JWKS document."""
        headers = request.headers
        lines = [
            headers[f"X-Fal-Webhook-{name}"] for name in ("Request-Id", "User-Id", "Timestamp")
        ]
        message = "\n".join([*lines, hashlib.sha256(request.read()).hexdigest()]).encode()
        (key,) = (await self.get("/.well-known/jwks.json")).json()["keys"]
        public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "=="))
        try:
            public.verify(bytes.fromhex(request.headers["X-Fal-Webhook-Signature"]), message)
        except InvalidSignature:
            return False
        return True


@pytest.fixture(scope="session")
def surroundings():
    return Surroundings()


@pytest.fixture(scope="session")
async def only_provider(surroundings):
    async with StandInProvider(
        app_transport=httpx.MockTransport(surroundings.receive),
        source_transport=httpx.MockTransport(surroundings.fetch),
        clock=lambda: surroundings.now,
        seconds=0.0,
    ) as provider:
        yield provider


@pytest.fixture
def around(surroundings):
    """The network, with two photos in it."""
    surroundings.received.clear()
    surroundings.statuses.clear()
    image = {"Content-Type": "image/jpeg"}
    surroundings.internet = {
        GARMENT_URL: httpx.Response(200, content=jpeg(), headers=image),
        PERSON_URL: httpx.Response(200, content=jpeg("tan"), headers=image),
    }
    return surroundings


@pytest.fixture
async def provider(only_provider, around):
    await only_provider.forget()
    state = only_provider.state
    state.fashn_credits, state.fal_is_locked, state.fal_lists_unfinished = 1000.0, False, False
    state.fashn_runs_per_minute = 50
    state.callback_delays = (0.0, 0.0)
    only_provider.release()
    return only_provider


@pytest.fixture
async def account(provider):
    async with httpx.AsyncClient(base_url=provider.origin, timeout=20) as http:
        yield Account(http, provider)
