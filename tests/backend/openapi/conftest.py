"""One running app for all tests of the document, and the responses it documents."""

from collections.abc import AsyncIterator

import pytest

from backend.dev.services import LocalServices
from backend.renderers.base import Renderer
from tests.backend.openapi.conformance import Document
from tests.backend.openapi.one_job import Answers as OneJob
from tests.backend.openapi.one_job import of_one_job
from tests.backend.openapi.sample_requests import Answers, request_every_response
from tests.running_app import RunningApp
from tests.scenarios import open_shared_app


@pytest.fixture(scope="package")
async def shared_app(
    services: LocalServices, template: str, renderer: Renderer
) -> AsyncIterator[RunningApp]:
    """A running app with one installed shop."""
    async for running_app in open_shared_app(services, template, renderer):
        yield running_app


@pytest.fixture(scope="package")
async def document(shared_app: RunningApp) -> Document:
    """The document, as anybody gets it."""
    answer = await shared_app.http.get("/schema/openapi.json")
    assert answer.status_code == 200
    found: Document = answer.json()
    return found


@pytest.fixture(scope="package")
async def one_job(shared_app: RunningApp) -> OneJob:
    """What is answered about one job, before there are jobs that no worker could do."""
    return await of_one_job(shared_app)


@pytest.fixture(scope="package")
async def found(shared_app: RunningApp, document: Document, one_job: OneJob) -> Answers:
    """A real answer for each that the document promises."""
    return await request_every_response(shared_app, document)
