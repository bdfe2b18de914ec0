"""Conditional requests: a known version gets 304, and unfinished jobs say when to ask again."""

import pytest

from backend.jobs.etags import Version, matches
from tests.running_app import OTHER_SHOP, RunningApp
from tests.scenarios import (
    claimed_job,
    finished_job,
    make_stage,
    open_shared_app,
    refusal,
    waiting_job,
)

shared_app = pytest.fixture(open_shared_app, scope="module")
READS = ["/v1/jobs/{}", "/v1/jobs/{}/events"]


@pytest.mark.parametrize("path", READS)
async def test_a_matching_etag_gets_304_without_a_body(shared_app: RunningApp, path: str) -> None:
    ref, _ = await finished_job(shared_app)
    url = path.format(ref.public_id)
    first = await shared_app.http.get(url, headers=shared_app.bearer())
    tag = first.headers["etag"]
    again = await shared_app.http.get(url, headers={**shared_app.bearer(), "If-None-Match": tag})
    if again.status_code == 200:  # a signing window has just turned
        tag = again.headers["etag"]
        again = await shared_app.http.get(
            url, headers={**shared_app.bearer(), "If-None-Match": tag}
        )
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert again.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("path", READS)
async def test_every_change_of_a_job_changes_its_etag(shared_app: RunningApp, path: str) -> None:
    tags = []

    async def look(public_id: str) -> None:
        url = path.format(public_id)
        tags.append((await shared_app.http.get(url, headers=shared_app.bearer())).headers["etag"])

    waiting = await waiting_job(shared_app)
    await look(waiting.public_id)
    begun = await claimed_job(shared_app)
    await look(begun.ref.public_id)
    await make_stage(shared_app, begun, "segment")
    await look(begun.ref.public_id)
    finished, _ = await finished_job(shared_app)
    await look(finished.public_id)
    versions = [tag.rpartition(".")[0] for tag in tags]
    assert len(set(versions)) == 4


async def test_another_shops_etag_gets_404(shared_app: RunningApp) -> None:
    await shared_app.install(OTHER_SHOP)
    ref, _ = await finished_job(shared_app, shop=OTHER_SHOP)
    tag = (await shared_app.detail(ref.public_id, shop=OTHER_SHOP)).headers["etag"]
    for path in READS:
        answer = await shared_app.http.get(
            path.format(ref.public_id), headers={**shared_app.bearer(), "If-None-Match": tag}
        )
        assert refusal(answer) == (404, "JOB_NOT_FOUND")
        assert "etag" not in answer.headers
        assert answer.headers["cache-control"] == "private, no-store"


async def test_only_an_unfinished_job_has_retry_after(
    shared_app: RunningApp,
) -> None:
    begun = await claimed_job(shared_app)
    url = f"/v1/jobs/{begun.ref.public_id}"
    assert (await shared_app.http.get(url, headers=shared_app.bearer())).headers[
        "retry-after"
    ] == "1"
    await make_stage(shared_app, begun, "segment")
    await shared_app.execute(
        "UPDATE jobs SET started_at = now() - interval '4 seconds' WHERE public_id = :id",
        id=begun.ref.public_id,
    )
    answer = await shared_app.http.get(url, headers=shared_app.bearer())
    hint = int(answer.headers["retry-after"])
    assert 3 <= hint <= 5, "one stage took four seconds; a quarter more or less"
    ref, _ = await finished_job(shared_app)
    assert "retry-after" not in (await shared_app.detail(ref.public_id)).headers


@pytest.mark.parametrize(
    ("pace", "hints"),
    [(None, {1}), (0.2, {1}), (2.0, {2}), (4.0, {3, 4, 5}), (600.0, {8, 9, 10, 11, 12})],
)
def test_simultaneous_pollers_get_spread_retry_after_hints(
    pace: float | None, hints: set[int]
) -> None:
    version = Version(attempt=1, last_seq=1, status="IN_PROGRESS", seconds_a_stage=pace)
    answers = [version.headers(window=7) for _ in range(500)]
    assert {int(answer["Retry-After"]) for answer in answers} == hints
    assert {answer["ETag"] for answer in answers} == {'"1.1.7"'}, "it is no part of the version"


@pytest.mark.parametrize(
    ("header", "expected"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("a", False)],
)
def test_if_none_match_follows_the_http_rules(header: str, expected: bool) -> None:
    assert matches(header, '"a"') is expected
