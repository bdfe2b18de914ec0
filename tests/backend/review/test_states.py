"""Where a job is in the review, after what was done with it and by whom."""

import pytest

from backend.worker.backfills import correct_reviews
from tests.backend.publications.scenarios import publication_request, publishable_job
from tests.backend.review.cards import card_ids, dismissal, get_review, reviewable_job
from tests.running_app import RunningApp
from tests.scenarios import claimed_job, finished_job, refusal

UNKNOWN = "0" * 26


async def states_of(shared_app: RunningApp, shop: str, public_id: str) -> list[str]:
    """The lists that the job is in."""
    states = ("waiting", "dismissed", "published")
    return [each for each in states if public_id in await card_ids(shared_app, shop, state=each)]


async def publish(shared_app: RunningApp, shop: str) -> str:
    """A job that is being published; its ID."""
    product = shared_app.product(b"unread", shop=shop)
    job, digests = await publishable_job(shared_app, shop, product)
    await dismissal(shared_app, shop, job.public_id)
    answer = await shared_app.http.post(
        f"/v1/jobs/{job.public_id}/publication",
        json=publication_request(digests),
        headers=shared_app.bearer(shop),
    )
    assert answer.status_code == 202
    return job.public_id


async def set_publication(shared_app: RunningApp, public_id: str, status: str) -> None:
    """Move the job's publication as a process of any version does: by its status alone."""
    await shared_app.execute(
        "UPDATE publications SET status = :status WHERE job_id = :id", status=status, id=public_id
    )


async def test_a_dismissal_is_remembered_and_taken_back(shared_app: RunningApp, shop: str) -> None:
    job = await reviewable_job(shared_app, shop)
    first = await dismissal(shared_app, shop, job.public_id)
    assert first.status_code == 200
    assert set(first.json()) == {"public_id", "dismissed_at"}
    assert (await dismissal(shared_app, shop, job.public_id)).json() == first.json()
    assert await states_of(shared_app, shop, job.public_id) == ["dismissed"]
    [card] = (await get_review(shared_app, shop, state="dismissed")).json()["cards"]
    assert card["dismissed_at"] == first.json()["dismissed_at"]
    for _ in range(2):
        undone = await dismissal(shared_app, shop, job.public_id, "DELETE")
        assert (undone.status_code, undone.content) == (204, b"")
    assert await states_of(shared_app, shop, job.public_id) == ["waiting"]


async def test_publishing_takes_a_dismissal_back(shared_app: RunningApp, shop: str) -> None:
    public_id = await publish(shared_app, shop)
    assert await states_of(shared_app, shop, public_id) == ["published"]
    [card] = (await get_review(shared_app, shop, state="published")).json()["cards"]
    assert (card["publication"], card["dismissed_at"]) == ({"status": "PENDING"}, None)


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        (["PUBLISHING", "PUBLISHED"], "published"),
        (["PUBLISHING", "FAILED"], "waiting"),
        (["PUBLISHED", "RESTORING"], "published"),
        (["PUBLISHED", "RESTORING", "RESTORED"], "waiting"),
        (["FAILED", "RESTORING"], "published"),
    ],
)
async def test_the_review_follows_the_publication(
    shared_app: RunningApp, shop: str, statuses: list[str], state: str
) -> None:
    public_id = await publish(shared_app, shop)
    for status in statuses:
        await set_publication(shared_app, public_id, status)
    assert await states_of(shared_app, shop, public_id) == [state]
    [card] = (await get_review(shared_app, shop, state=state)).json()["cards"]
    assert card["publication"] == {"status": statuses[-1]}


async def test_a_failed_publication_leaves_a_dismissal(shared_app: RunningApp, shop: str) -> None:
    public_id = await publish(shared_app, shop)
    await set_publication(shared_app, public_id, "FAILED")
    await dismissal(shared_app, shop, public_id)
    await set_publication(shared_app, public_id, "FAILED")
    assert await states_of(shared_app, shop, public_id) == ["dismissed"]


async def test_a_job_published_before_the_upgrade_does_not_wait(
    shared_app: RunningApp, shop: str
) -> None:
    public_id = await publish(shared_app, shop)
    waiting, _ = await finished_job(shared_app, shop=shop)
    restored = await publish(shared_app, shop)
    await set_publication(shared_app, restored, "RESTORED")
    await shared_app.execute("UPDATE jobs SET review = 'WAITING' WHERE review = 'PUBLISHED'")
    assert await states_of(shared_app, shop, public_id) == []
    await correct_reviews(shared_app.database, step=1)
    assert await states_of(shared_app, shop, public_id) == ["published"]
    for other in (waiting.public_id, restored):
        assert await states_of(shared_app, shop, other) == ["waiting"]
    assert await correct_reviews(shared_app.database) == 0


async def test_a_job_that_an_older_worker_ends_waits(shared_app: RunningApp, shop: str) -> None:
    job = await claimed_job(shared_app, shop=shop)
    await shared_app.execute(
        "UPDATE jobs SET status = 'SUCCESS', finished_at = now() WHERE public_id = :id",
        id=job.ref.public_id,
    )
    assert await states_of(shared_app, shop, job.ref.public_id) == ["waiting"]


async def test_a_published_job_cannot_be_dismissed(shared_app: RunningApp, shop: str) -> None:
    public_id = await publish(shared_app, shop)
    answer = await dismissal(shared_app, shop, public_id)
    assert refusal(answer) == (409, "ALREADY_PUBLISHED")
    assert (await dismissal(shared_app, shop, public_id, "DELETE")).status_code == 204
    assert await states_of(shared_app, shop, public_id) == ["published"]


async def test_an_unfinished_job_cannot_be_dismissed(shared_app: RunningApp, shop: str) -> None:
    running = (await claimed_job(shared_app, shop=shop)).ref.public_id
    assert refusal(await dismissal(shared_app, shop, running)) == (409, "JOB_NOT_FINISHED")
    assert (await dismissal(shared_app, shop, running, "DELETE")).status_code == 204


async def test_a_missing_job_cannot_be_dismissed(shared_app: RunningApp, shop: str) -> None:
    theirs, _ = await finished_job(shared_app)
    for public_id in (UNKNOWN, "x", theirs.public_id):
        for method in ("POST", "DELETE"):
            answer = await dismissal(shared_app, shop, public_id, method)
            assert refusal(answer) == (404, "JOB_NOT_FOUND")
