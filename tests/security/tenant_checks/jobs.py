"""Jobs: to make, to see, to list, to repeat and to cancel."""

from backend.jobs.service import JobRef
from backend.workflows import BY_NAME
from tests.minimal_requests import MINIMAL_PARAMETERS, UNKNOWN_ENTRY, UNKNOWN_UPLOAD
from tests.running_app import OTHER_SHOP, RunningApp
from tests.scenarios import (
    refusal,
    waiting_job,
)
from tests.security.tenant_checks.callers import NOT_FOUND, PRODUCT, Check, RouteCase
from tests.security.tenant_checks.images import foreign_entry, foreign_upload


async def a_job_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """Whatever state it is in, and whatever the request calls itself."""
    for ref in others:
        answer = await ask(shared_app, "GET", f"/v1/jobs/{ref.public_id}")
        assert refusal(answer) == NOT_FOUND
        assert (await shared_app.detail(ref.public_id, shop=OTHER_SHOP)).status_code == 200


async def a_timeline_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """To read and to wait for."""
    for ref in others:
        for query in ("", "?wait=20&since=1"):
            answer = await ask(shared_app, "GET", f"/v1/jobs/{ref.public_id}/events{query}")
            assert refusal(answer) == NOT_FOUND


async def a_lineage_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """Also as an ancestor of one of its own jobs."""
    for ref in others:
        answer = await ask(shared_app, "GET", f"/v1/jobs/{ref.public_id}/lineage")
        assert refusal(answer) == NOT_FOUND
    own = await waiting_job(shared_app)
    await shared_app.execute(
        "UPDATE jobs SET rerun_of = :r WHERE public_id = :id",
        r=others[0].public_id,
        id=own.public_id,
    )
    found = (await ask(shared_app, "GET", f"/v1/jobs/{own.public_id}/lineage")).json()
    assert (found["rerun_of"], found["ancestors"]) == (others[0].public_id, [])


async def a_rerun_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """Of the other's jobs none is repeated, and whose the new job becomes."""
    for ref in others:
        answer = await ask(shared_app, "POST", f"/v1/jobs/{ref.public_id}/rerun", {})
        assert refusal(answer) == NOT_FOUND
    own = await waiting_job(shared_app, request=PRODUCT)
    answer = await ask(shared_app, "POST", f"/v1/jobs/{own.public_id}/rerun", {})
    made = answer.json()["job_id"]
    assert (await shared_app.detail(made)).status_code == 200
    assert refusal(await shared_app.detail(made, shop=OTHER_SHOP)) == NOT_FOUND


async def a_cancel_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """The other's jobs go on."""
    for ref in others:
        answer = await ask(shared_app, "POST", f"/v1/jobs/{ref.public_id}/cancel")
        assert refusal(answer) == NOT_FOUND


async def a_list_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """From its own start, and from a cursor that is the other's."""
    foreign = {ref.public_id for ref in others}
    for query in ("?limit=200", f"?limit=200&cursor={max(foreign)}"):
        jobs = (await ask(shared_app, "GET", f"/v1/jobs{query}")).json()["jobs"]
        assert foreign.isdisjoint(job["public_id"] for job in jobs)


def a_new_job_is_its_shops_alone(name: str) -> Check:
    """For a workflow: whose job it becomes, and whose uploads it may use."""

    async def check(shared_app: RunningApp, _others: list[JobRef], ask: RouteCase) -> None:
        has_photo, least = BY_NAME[name].has_photo, MINIMAL_PARAMETERS[name]
        if not {*map(str, least.values())} & {UNKNOWN_UPLOAD, UNKNOWN_ENTRY}:
            body = {**PRODUCT, **least} if has_photo else least
            made = (await ask(shared_app, "POST", f"/v1/{name}", body)).json()
            assert (await shared_app.detail(made["job_id"])).status_code == 200
            assert refusal(await shared_app.detail(made["job_id"], shop=OTHER_SHOP)) == NOT_FOUND
        if not has_photo:
            return
        unknown = {**least, "upload_key": UNKNOWN_UPLOAD}
        theirs = {
            UNKNOWN_UPLOAD: await foreign_upload(shared_app),
            UNKNOWN_ENTRY: await foreign_entry(shared_app),
        }
        stolen = {field: theirs.get(value, value) for field, value in unknown.items()}
        answers = [await ask(shared_app, "POST", f"/v1/{name}", each) for each in (stolen, unknown)]
        assert {refusal(answer) for answer in answers} == {(422, "INVALID_REQUEST")}
        assert answers[0].json()["detail"] == answers[1].json()["detail"]
        assert len(await shared_app.rows("SELECT 1 FROM jobs WHERE request ? 'upload_key'")) == 0

    return check
