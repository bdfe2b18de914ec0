"""What is the same for everybody and tells nothing of any shop."""

import re

from backend.jobs.service import JobRef
from backend.page.routes import PAGE_PATHS
from backend.workflows import WORKFLOWS
from backend.workflows.garments import CATEGORIES
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import (
    refusal,
)
from tests.security.tenant_checks.callers import RouteCase

PAGE_TEMPLATES = [path.replace(":str", "") for path in PAGE_PATHS]


async def operations_are_everybodys(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """The registry, and nothing of any shop."""
    names = {
        each["name"]
        for each in (await ask(shared_app, "GET", "/v1/operations")).json()["operations"]
    }
    assert names == {workflow.name for workflow in WORKFLOWS.values()}


async def garments_are_everybodys(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """The rules, and nothing of any shop."""
    listed = (await ask(shared_app, "GET", "/v1/garment-categories")).json()["categories"]
    assert [each["name"] for each in listed] == [*CATEGORIES]
    asked = {"garments": ["dress", "top"], "workflow": "look"}
    answer = (await ask(shared_app, "POST", "/v1/compatibility/check", asked)).json()
    assert [reason["code"] for reason in answer["reasons"]] == ["SAME_PLACE"]


async def the_document_knows_no_shops(
    shared_app: RunningApp, others: list[JobRef], _ask: RouteCase
) -> None:
    """The same bytes for everybody, and nothing of a job that there is."""
    for path in ("/schema", "/schema/openapi.json"):
        keys: list[dict[str, str]] = [{}, shared_app.bearer(SHOP), shared_app.bearer(OTHER_SHOP)]
        answers = [await shared_app.http.get(path, headers=key) for key in keys]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert not any(ref.public_id in answers[0].text for ref in others)
    unknown = await shared_app.http.get(
        f"/schema/{others[0].public_id}", headers=shared_app.bearer(SHOP)
    )
    assert refusal(unknown) == (404, "NOT_FOUND")


async def health_knows_no_shops(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """The same few bytes for everybody."""
    for path in ("/health/live", "/health/ready"):
        assert (await ask(shared_app, "GET", path)).content == b'{"status":"ok"}'
        for key in (shared_app.bearer(SHOP), shared_app.bearer(OTHER_SHOP)):
            answer = await shared_app.http.get(path, headers=key)
            assert answer.content == b'{"status":"ok"}'


async def the_page_knows_no_shops(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """The same document for everybody, and nothing of a job that there is; so are its files."""
    for template in PAGE_TEMPLATES:
        path = template.format(_job_id=others[0].public_id, _batch_id=others[0].public_id)
        document = await ask(shared_app, "GET", path)
        assert document.status_code == 200
        assert others[0].public_id not in document.text
        for key in (shared_app.bearer(SHOP), shared_app.bearer(OTHER_SHOP)):
            answer = await shared_app.http.get(path, headers=key)
            assert (answer.content, answer.headers["content-security-policy"]) == (
                document.content,
                document.headers["content-security-policy"],
            )
    script = re.search(r'src="(/page/[^"]+)"', document.text)
    assert script is not None
    assert (await ask(shared_app, "GET", script[1])).status_code == 200
    assert refusal(await ask(shared_app, "GET", f"{script[1]}.map")) == (404, "NOT_FOUND")
