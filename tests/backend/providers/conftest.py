"""A provider's server on loopback for each test, and what is asked of it."""

from collections.abc import Callable

import pytest

from backend.providers.provider import InputImage, SubmitRequest
from backend.workflows.stages import StageName
from tests.backend.providers.provider_server import served_provider

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"


@pytest.fixture
async def server():
    async with served_provider() as provider:
        yield provider


@pytest.fixture
def asked_for() -> Callable[..., SubmitRequest]:
    """A request for a stage, with the pictures that are named."""

    def make(stage: StageName, *names: str, **params) -> SubmitRequest:
        pictures = {
            name: InputImage(
                data=PNG, content_type="image/png", url=f"https://bucket.example/{name}.png?sig=s"
            )
            for name in names
        }
        return SubmitRequest(
            stage=stage, inputs=pictures, params=params, reference="ref-1", seed=2**32 + 7
        )

    return make
