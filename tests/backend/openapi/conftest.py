"""One world for all that reads the document, and the answers that it promises."""

from collections.abc import AsyncIterator

import pytest

from backend.dev.services import LocalServices
from backend.renderers.base import Renderer
from tests.backend.openapi.conformance import Document
from tests.backend.openapi.one_job import Answers as OneJob
from tests.backend.openapi.one_job import of_one_job
from tests.backend.openapi.witnesses import Answers, witnesses
from tests.doors import shared_world
from tests.world import World


@pytest.fixture(scope="package")
async def house(services: LocalServices, template: str, renderer: Renderer) -> AsyncIterator[World]:
    """A world with the usual shop in it."""
    async for world in shared_world(services, template, renderer):
        yield world


@pytest.fixture(scope="package")
async def document(house: World) -> Document:
    """The document, as anybody gets it."""
    answer = await house.http.get("/schema/openapi.json")
    assert answer.status_code == 200
    found: Document = answer.json()
    return found


@pytest.fixture(scope="package")
async def one_job(house: World) -> OneJob:
    """What is answered about one job, before there are jobs that no worker could do."""
    return await of_one_job(house)


@pytest.fixture(scope="package")
async def found(house: World, document: Document, one_job: OneJob) -> Answers:
    """A real answer for each that the document promises."""
    return await witnesses(house, document)
