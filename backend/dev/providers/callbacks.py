"""The callbacks: FASHN's without a signature, fal's signed by Ed25519, both repeated until 2xx."""

import asyncio
import base64
import hashlib
from typing import Any

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.dev.providers.fal_answers import webhook_body
from backend.dev.providers.fashn_answers import prediction_body
from backend.dev.providers.requests import AcceptedRequest, ProviderState

CALLBACK_TIMEOUT = 15.0  # seconds that fal waits for an answer
CALLBACKS_AT_ONCE = 20  # the client's time for each grows with the number of those under way


class ProviderCallbacks:
    """Sends the callbacks of one stand-in, and has the key that signs fal's."""

    def __init__(self, state: ProviderState, app: httpx.AsyncClient) -> None:
        self._state = state
        self._app = app
        self._key = Ed25519PrivateKey.generate()
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(CALLBACKS_AT_ONCE)

    def jwks(self) -> dict[str, Any]:
        """The document of fal's public keys (RFC 7517, RFC 8037)."""
        public = self._key.public_key().public_bytes_raw()
        x = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
        return {
            "keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "x": x}],
        }

    async def send(self, prediction: AcceptedRequest) -> None:
        """Tell the app that the request has ended, as its fault will have it."""
        fault = prediction.callback_fault
        if prediction.callback_url is None or (fault and fault.name == "callback_lost"):
            return
        if fault and fault.name == "callback_late":
            await asyncio.sleep(fault.seconds)
        await self._until_answered(prediction)
        if fault and fault.name == "callback_twice":
            await self._until_answered(prediction)

    def forge(self, prediction: AcceptedRequest) -> None:
        """Have somebody else claim, at once, that the request is done."""
        task = asyncio.create_task(self._forged(prediction))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """Forget the forged ones that are on their way."""
        for task in self._tasks:
            task.cancel()

    def signed_headers(
        self, prediction: AcceptedRequest, body: bytes, key: Ed25519PrivateKey | None = None
    ) -> dict[str, str]:
        """fal's headers for this body; with another `key`, they are forged."""
        timestamp = str(int(self._state.clock()))
        digest = hashlib.sha256(body).hexdigest()
        message = "\n".join((prediction.id, self._state.fal_user_id, timestamp, digest))
        return {
            "X-Fal-Webhook-Request-Id": prediction.id,
            "X-Fal-Webhook-User-Id": self._state.fal_user_id,
            "X-Fal-Webhook-Timestamp": timestamp,
            "X-Fal-Webhook-Signature": (key or self._key).sign(message.encode()).hex(),
        }

    async def _until_answered(self, prediction: AcceptedRequest) -> None:
        body = self._body(prediction)
        for delay in (0.0, *self._state.callback_delays):
            await asyncio.sleep(delay)
            headers = self.signed_headers(prediction, body) if prediction.api == "fal" else {}
            status = await self._post(prediction, body, headers)
            prediction.callback_statuses.append(status)
            if status is not None and 200 <= status < 300:
                return

    async def _forged(self, prediction: AcceptedRequest) -> None:
        if prediction.api == "fal":
            body = msgspec.json.encode(
                {"request_id": prediction.id, "status": "OK", "payload": {"images": []}}
            )
            headers = self.signed_headers(prediction, body, Ed25519PrivateKey.generate())
        else:
            url = "https://forged.example/output.png"
            body = msgspec.json.encode(
                {"id": prediction.id, "status": "completed", "output": [url], "error": None}
            )
            headers = {}
        await self._post(prediction, body, headers)

    def _body(self, prediction: AcceptedRequest) -> bytes:
        is_fal = prediction.api == "fal"
        return msgspec.json.encode(
            webhook_body(prediction) if is_fal else prediction_body(prediction)
        )

    async def _post(
        self, prediction: AcceptedRequest, body: bytes, headers: dict[str, str]
    ) -> int | None:
        assert prediction.callback_url is not None
        headers = {"Content-Type": "application/json", **headers}
        try:
            async with self._places:
                response = await self._app.post(
                    prediction.callback_url, content=body, headers=headers
                )
        except httpx.HTTPError:
            return None
        return response.status_code
