"""Polling is cheap: a version that the caller has is not sent again, and says when to come back."""

import pytest

from backend.jobs.versions import Version, matches
from tests.doors import begun_job, finished_job, make_stage, refusal, shared_world, waiting_job
from tests.world import OTHER_SHOP, World

house = pytest.fixture(shared_world, scope="module")
READS = ["/v1/jobs/{}", "/v1/jobs/{}/events"]


@pytest.mark.parametrize("path", READS)
async def test_a_known_version_is_answered_without_a_body(house: World, path: str) -> None:
    ref, _ = await finished_job(house)
    url = path.format(ref.public_id)
    first = await house.http.get(url, headers=house.bearer())
    tag = first.headers["etag"]
    again = await house.http.get(url, headers={**house.bearer(), "If-None-Match": tag})
    if again.status_code == 200:  # a signing window has just turned
        tag = again.headers["etag"]
        again = await house.http.get(url, headers={**house.bearer(), "If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert again.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("path", READS)
async def test_every_change_of_a_job_is_a_new_version(house: World, path: str) -> None:
    tags = []

    async def look(public_id: str) -> None:
        url = path.format(public_id)
        tags.append((await house.http.get(url, headers=house.bearer())).headers["etag"])

    waiting = await waiting_job(house)
    await look(waiting.public_id)
    begun = await begun_job(house)
    await look(begun.ref.public_id)
    await make_stage(house, begun, "segment")
    await look(begun.ref.public_id)
    finished, _ = await finished_job(house)
    await look(finished.public_id)
    versions = [tag.rpartition(".")[0] for tag in tags]
    assert len(set(versions)) == 4


async def test_another_shops_version_is_the_same_404_and_has_no_tag(house: World) -> None:
    await house.install(OTHER_SHOP)
    ref, _ = await finished_job(house, shop=OTHER_SHOP)
    tag = (await house.detail(ref.public_id, shop=OTHER_SHOP)).headers["etag"]
    for path in READS:
        answer = await house.http.get(
            path.format(ref.public_id), headers={**house.bearer(), "If-None-Match": tag}
        )
        assert refusal(answer) == (404, "JOB_NOT_FOUND")
        assert "etag" not in answer.headers
        assert answer.headers["cache-control"] == "private, no-store"


async def test_a_running_job_says_when_to_ask_again_and_a_finished_one_does_not(
    house: World,
) -> None:
    begun = await begun_job(house)
    url = f"/v1/jobs/{begun.ref.public_id}"
    assert (await house.http.get(url, headers=house.bearer())).headers["retry-after"] == "1"
    await make_stage(house, begun, "segment")
    await house.execute(
        "UPDATE jobs SET started_at = now() - interval '4 seconds' WHERE public_id = :id",
        id=begun.ref.public_id,
    )
    answer = await house.http.get(url, headers=house.bearer())
    hint = int(answer.headers["retry-after"])
    assert 3 <= hint <= 5, "one stage took four seconds; a quarter more or less"
    ref, _ = await finished_job(house)
    assert "retry-after" not in (await house.detail(ref.public_id)).headers


@pytest.mark.parametrize(
    ("pace", "hints"),
    [(None, {1}), (0.2, {1}), (2.0, {2}), (4.0, {3, 4, 5}), (600.0, {8, 9, 10, 11, 12})],
)
def test_pages_that_asked_at_once_are_told_to_come_back_apart(
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
def test_if_none_match_is_read_as_http_has_it(header: str, expected: bool) -> None:
    assert matches(header, '"a"') is expected
