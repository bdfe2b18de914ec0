"""The images that a request names: fetched from their URLs, or read from data URIs."""

import base64
import binascii
import hashlib
import re

import httpx

from backend.dev.providers.models import images_in
from backend.dev.providers.requests import AcceptedRequest, ModelError, ProviderState
from backend.dev.shopify.image_header import content_type as sniffed_type

FETCH_TIMEOUT = 10.0  # seconds
MAX_IMAGE_BYTES = 25_000_000

_DATA_URI = re.compile(r"data:(image/[a-z]+);base64,(.*)", re.DOTALL)
_KEPT = "data:sha256,"


class InputRefused(Exception):
    """An image that the provider cannot use."""

    def __init__(self, error: ModelError) -> None:
        super().__init__(error.message)
        self.error = error


def kept_aside(state: ProviderState, inputs: dict[str, object]) -> dict[str, object]:
    """The inputs with each data URI replaced by its digest: thousands of requests share a photo."""
    return {name: _kept(state, value) for name, value in inputs.items()}


def as_sent(state: ProviderState, inputs: dict[str, object]) -> dict[str, object]:
    """The inputs as they came in."""
    return {name: _restored(state, value) for name, value in inputs.items()}


async def load_images(
    state: ProviderState, prediction: AcceptedRequest, internet: httpx.AsyncClient
) -> dict[str, list[bytes]]:
    """Every image of the request, by its input's name. Raises `InputRefused`."""
    loaded = {}
    for name, urls in images_in(prediction.inputs).items():
        loaded[name] = [await _image(state, name, url, internet) for url in urls]
    return loaded


async def _image(state: ProviderState, name: str, url: str, internet: httpx.AsyncClient) -> bytes:
    if url.startswith(_KEPT):
        return _decoded(name, state.images[url.removeprefix(_KEPT)].decode("latin-1"))
    if not url.startswith(("http://", "https://")):
        raise _refused(name, "neither a URL nor a data URI of an image")
    try:
        response = await internet.get(url)
    except httpx.HTTPError as error:
        raise _refused(name, f"the URL cannot be fetched ({type(error).__name__})") from error
    if response.status_code != 200:
        raise _refused(name, f"the URL answers {response.status_code}")
    if not response.headers.get("Content-Type", "").startswith("image/"):
        raise _refused(name, "the URL's Content-Type is not an image's")
    return _checked_image(name, response.content)


def _decoded(name: str, uri: str) -> bytes:
    match = _DATA_URI.fullmatch(uri)
    if match is None:
        raise _refused(name, "the data URI must begin with data:image/<format>;base64,")
    try:
        content = base64.b64decode(match[2], validate=True)
    except binascii.Error as error:
        raise _refused(name, "the data URI is not base64") from error
    return _checked_image(name, content)


def _checked_image(name: str, content: bytes) -> bytes:
    if len(content) > MAX_IMAGE_BYTES:
        raise _refused(name, "the image is too large")
    if sniffed_type(content) not in {"image/jpeg", "image/png", "image/webp"}:
        raise _refused(name, "the content is no JPEG, PNG or WebP")
    return content


def _refused(name: str, why: str) -> InputRefused:
    message = f"Failed to load {name}: {why}."
    return InputRefused(
        ModelError("ImageLoadError", "file_download_error", message, loc=("body", name))
    )


def _kept(state: ProviderState, value: object) -> object:
    if isinstance(value, list):
        return [_kept(state, each) for each in value]
    if not isinstance(value, str) or not value.startswith("data:"):
        return value
    content = value.encode("latin-1", errors="replace")
    digest = hashlib.sha256(content).hexdigest()
    state.images[digest] = content
    return _KEPT + digest


def _restored(state: ProviderState, value: object) -> object:
    if isinstance(value, list):
        return [_restored(state, each) for each in value]
    if not isinstance(value, str) or not value.startswith(_KEPT):
        return value
    return state.images[value.removeprefix(_KEPT)].decode("latin-1")
