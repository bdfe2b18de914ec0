"""Crashes at any step and lost responses never publish anything twice."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from backend.dev.shopify import ProductRecord
from backend.dev.shopify.state import Call
from backend.jobs.service import JobRef
from backend.leased_task import Done
from backend.publications.execution import run_publication
from backend.queue import PUBLISH, UNPUBLISH
from backend.shops import media_api
from tests.backend.publications.crash_points import Crash, count_steps, crash_at, do_nothing
from tests.backend.publications.scenarios import (
    Looks,
    first_publication,
    gallery_of,
    get_publication,
    our_media,
    product_with_two_images,
    publication_statuses,
    publishable_job,
    request_publication,
    run_publication_to_end,
    variant_media,
    withdraw_after_edits,
    withdraw_publication,
)
from tests.running_app import RunningApp

pytestmark = pytest.mark.slow

PUBLISHING = {
    "transaction",
    "stagedUploadsCreate",
    "fileCreate",
    "fileUpdate",
    "productReorderMedia",
}
UNPUBLISHING = {
    "transaction",
    "fileDelete",
    "fileUpdate",
    "productReorderMedia",
    "productVariantDetachMedia",
    "productVariantAppendMedia",
}


async def assert_published(
    shared_app: RunningApp, shop: str, ref: JobRef, product: ProductRecord
) -> None:
    """Each picture is there once, in its place, and the timeline tells it once."""
    made = await get_publication(shared_app, shop, ref)
    assert made["status"] == "PUBLISHED", made
    first, second = (each["media_id"] for each in made["artifacts"])
    old = [(media.gid, media.alt) for media in product.media]
    assert gallery_of(shared_app, product) == [(first, "x"), *old, (second, None)]
    assert sorted(our_media(shared_app, ref, shop)) == sorted([first, second])
    assert await publication_statuses(shared_app, ref) == ["PENDING", "PUBLISHING", "PUBLISHED"]


async def assert_restored(
    shared_app: RunningApp,
    shop: str,
    ref: JobRef,
    product: ProductRecord,
    before: Looks,
    shown: list[str | None],
) -> None:
    """Nothing of ours is left, and all else is as it was."""
    assert (await get_publication(shared_app, shop, ref))["status"] == "RESTORED"
    assert (gallery_of(shared_app, product), variant_media(shared_app, product)) == (before, shown)
    assert our_media(shared_app, ref, shop) == []
    assert (await publication_statuses(shared_app, ref))[-2:] == ["RESTORING", "RESTORED"]


async def steps_of(shared_app: RunningApp, ref: JobRef, task: str = PUBLISH) -> list[str]:
    """The steps it takes, from where it is, when nothing happens."""
    async with count_steps(shared_app, do_nothing) as (publication_context, steps):
        assert await run_publication(first_publication(ref), publication_context, task) == Done()
    return steps.names


async def crash_at_step(
    shared_app: RunningApp, ref: JobRef, step: int, task: str = PUBLISH
) -> None:
    """Run it until the process dies at that step."""
    async with count_steps(shared_app, crash_at(step)) as (publication_context, _):
        with pytest.raises(Crash):
            await run_publication(first_publication(ref), publication_context, task)


async def at_each(steps: range, case: Callable[[int], Awaitable[None]]) -> None:
    """Try the case with each of the steps, some at a time."""
    few = asyncio.Semaphore(4)

    async def tried(step: int) -> None:
        async with few:
            await case(step)

    await asyncio.gather(*(tried(step) for step in steps))


async def test_a_crash_at_any_step_publishes_each_image_once(
    shared_app: RunningApp, shop: str
) -> None:
    product = product_with_two_images(shared_app, shop)
    ref = await request_publication(shared_app, shop, product)
    steps = await steps_of(shared_app, ref)
    await assert_published(shared_app, shop, ref, product)

    async def case(step: int) -> None:
        product = product_with_two_images(shared_app, shop)
        ref = await request_publication(shared_app, shop, product)
        await crash_at_step(shared_app, ref, step)
        await run_publication_to_end(shared_app, ref)
        await assert_published(shared_app, shop, ref, product)

    assert set(steps) == PUBLISHING, "a step is not tried, or is new: let `Steps` know of it"
    await at_each(range(1, len(steps) + 1), case)


async def test_repeated_crashes_publish_each_image_once(shared_app: RunningApp, shop: str) -> None:
    product = product_with_two_images(shared_app, shop)
    ref = await request_publication(shared_app, shop, product)
    for step in (3, 3, 3, 4, 4, 2, 3, 3):
        await crash_at_step(shared_app, ref, step)
    await run_publication_to_end(shared_app, ref)
    await assert_published(shared_app, shop, ref, product)


async def test_a_crash_at_any_step_of_a_withdrawal_restores_everything(
    shared_app: RunningApp, shop: str
) -> None:
    product = product_with_two_images(shared_app, shop)
    steps = await steps_of(
        shared_app, await withdraw_after_edits(shared_app, shop, product), UNPUBLISH
    )

    async def case(step: int) -> None:
        product = product_with_two_images(shared_app, shop)
        before, shown = gallery_of(shared_app, product), variant_media(shared_app, product)
        ref = await withdraw_after_edits(shared_app, shop, product)
        await crash_at_step(shared_app, ref, step, UNPUBLISH)
        await run_publication_to_end(shared_app, ref)
        await assert_restored(shared_app, shop, ref, product, before, shown)

    assert set(steps) == UNPUBLISHING, "a step is not tried, or is new: let `Steps` know of it"
    await at_each(range(1, len(steps) + 1), case)


async def test_a_withdrawal_at_any_step_of_publishing_restores_everything(
    shared_app: RunningApp, shop: str
) -> None:
    product = product_with_two_images(shared_app, shop)
    steps = await steps_of(shared_app, await request_publication(shared_app, shop, product))

    async def case(step: int) -> None:
        product = product_with_two_images(shared_app, shop)
        before, shown = gallery_of(shared_app, product), variant_media(shared_app, product)
        ref = await request_publication(shared_app, shop, product)
        answers = []

        async def change_of_mind(now: int) -> None:
            if now == step:
                answers.append((await withdraw_publication(shared_app, shop, ref)).status_code)

        async with count_steps(shared_app, change_of_mind) as (publication_context, steps):
            assert await run_publication(first_publication(ref), publication_context) == Done()
        assert answers == [202]
        assert steps.count - step <= 2, "what was under way, and what puts that right"
        await run_publication_to_end(shared_app, ref)
        await assert_restored(shared_app, shop, ref, product, before, shown)

    await at_each(range(1, len(steps), 2), case)


async def test_a_withdrawal_by_another_worker_during_a_call_restores_everything(
    shared_app: RunningApp, shop: str
) -> None:
    product = product_with_two_images(shared_app, shop)
    steps = await steps_of(shared_app, await request_publication(shared_app, shop, product))

    async def case(step: int) -> None:
        product = product_with_two_images(shared_app, shop)
        before, shown = gallery_of(shared_app, product), variant_media(shared_app, product)
        ref = await request_publication(shared_app, shop, product)

        async def another(now: int) -> None:
            if now == step:
                await withdraw_publication(shared_app, shop, ref)
                await run_publication_to_end(shared_app, ref)

        async with count_steps(shared_app, another) as (publication_context, _):
            await run_publication(first_publication(ref), publication_context)
        await run_publication_to_end(shared_app, ref)
        await assert_restored(shared_app, shop, ref, product, before, shown)

    await at_each(range(2, len(steps), 2), case)


LOST: list[tuple[Call, str | None]] = [
    ("graphql", "product"),
    ("graphql", "stagedUploadsCreate"),
    ("upload", None),
    ("graphql", "fileCreate"),
    ("graphql", "node"),
    ("graphql", "fileUpdate"),
    ("graphql", "productReorderMedia"),
    ("graphql", "job"),
]


@pytest.mark.parametrize(("call", "field"), LOST, ids=str)
async def test_a_lost_response_does_not_publish_twice(
    shared_app: RunningApp, shop: str, call: Call, field: str | None
) -> None:
    product = product_with_two_images(shared_app, shop)
    ref = await request_publication(shared_app, shop, product)
    shared_app.shopify.lose_next_answer(call, field=field)
    shared_app.shopify.cut_next_answer(call, field=field)
    assert len(await run_publication_to_end(shared_app, ref)) >= 1, "it was lost"
    shared_app.shopify.platform.faults[call].clear()  # what the second try had no need to ask
    await assert_published(shared_app, shop, ref, product)


TAKING_BACK = (
    "fileDelete",
    "product",
    "productReorderMedia",
    "job",
    "fileUpdate",
    "productVariantDetachMedia",
    "productVariantAppendMedia",
)


@pytest.mark.parametrize("field", TAKING_BACK)
async def test_a_lost_response_during_a_withdrawal_does_no_harm(
    shared_app: RunningApp, shop: str, field: str
) -> None:
    product = product_with_two_images(shared_app, shop)
    before, shown = gallery_of(shared_app, product), variant_media(shared_app, product)
    ref = await withdraw_after_edits(shared_app, shop, product)
    shared_app.shopify.lose_next_answer("graphql", 2, field=field)
    await run_publication_to_end(shared_app, ref)
    shared_app.shopify.platform.faults["graphql"].clear()
    await assert_restored(shared_app, shop, ref, product, before, shown)


async def test_a_file_missing_from_the_search_is_not_uploaded_twice(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = product_with_two_images(shared_app, shop)
    ref = await request_publication(shared_app, shop, product)
    shared_app.shopify.lose_next_answer("graphql", field="fileCreate")
    hidden = [True] * 5
    real: Any = media_api.find_file

    async def behind(*arguments: Any) -> Any:
        return None if hidden and hidden.pop() else await real(*arguments)

    monkeypatch.setattr(media_api, "find_file", behind)
    assert len(await run_publication_to_end(shared_app, ref)) == 2, (
        "the lost answer, and a name that is taken"
    )
    assert hidden == []
    await assert_published(shared_app, shop, ref, product)


async def test_a_withdrawal_finds_an_unconfirmed_file_by_its_name(
    shared_app: RunningApp, shop: str
) -> None:
    product = product_with_two_images(shared_app, shop)
    before, shown = gallery_of(shared_app, product), variant_media(shared_app, product)
    ref = await request_publication(shared_app, shop, product)
    shared_app.shopify.cut_next_answer("graphql", field="fileCreate")
    await run_publication(first_publication(ref), shared_app.worker_context.publication_context)
    assert len(our_media(shared_app, ref, shop)) == 1
    await withdraw_publication(shared_app, shop, ref)
    await run_publication_to_end(shared_app, ref)
    await assert_restored(shared_app, shop, ref, product, before, shown)


async def test_the_snapshot_is_taken_once_and_before_any_change(
    shared_app: RunningApp, shop: str
) -> None:
    product = product_with_two_images(shared_app, shop)
    before, shown = gallery_of(shared_app, product), variant_media(shared_app, product)
    ref = await request_publication(shared_app, shop, product)
    await crash_at_step(shared_app, ref, 3)  # after the snapshot, and before any file is there
    assert our_media(shared_app, ref, shop) == []
    last = gallery_of(shared_app, product)[-1][0]
    shared_app.shopify.set_alt(product, last, "Since")
    shared_app.shopify.move_image(product, last, 0)
    await run_publication_to_end(shared_app, ref)
    await withdraw_publication(shared_app, shop, ref)
    await run_publication_to_end(shared_app, ref)
    await assert_restored(shared_app, shop, ref, product, before, shown)


async def test_a_withdrawal_does_not_wait_for_a_postponed_publication(
    shared_app: RunningApp, shop: str
) -> None:
    product = product_with_two_images(shared_app, shop)
    before, shown = gallery_of(shared_app, product), variant_media(shared_app, product)
    ref = await request_publication(shared_app, shop, product)
    shared_app.shopify.fail_next("graphql", 503, field="fileUpdate")
    await shared_app.drain()
    await put_off_further(shared_app, ref)
    await withdraw_publication(shared_app, shop, ref)
    await shared_app.drain()
    assert (await get_publication(shared_app, shop, ref))["status"] == "RESTORED"
    await shared_app.execute("DELETE FROM queue.pgqueuer")
    await assert_restored(shared_app, shop, ref, product, before, shown)


async def put_off_further(shared_app: RunningApp, ref: JobRef) -> None:
    """Have the publication, which has been put off, wait for an hour."""
    moved = (
        "UPDATE queue.pgqueuer SET execute_after = now() + interval '1 hour' "
        "WHERE status = 'queued' AND attempts > 0 AND dedupe_key = :key RETURNING 1"
    )
    key = f"publish:{ref.shop_id}:{ref.public_id}:1"
    async with shared_app.owner.transaction() as connection:
        assert (await connection.execute(text(moved), {"key": key})).all()


async def test_two_concurrent_workers_publish_each_image_once(
    shared_app: RunningApp, shop: str
) -> None:
    product = product_with_two_images(shared_app, shop)
    digests = (await publishable_job(shared_app, shop, product))[1]
    assert len(digests) == 2
    ref = await request_publication(shared_app, shop, product)
    again = 0

    async def another(now: int) -> None:
        nonlocal again
        if now == 9 and not again:
            again = 1
            await run_publication_to_end(shared_app, ref)

    async with count_steps(shared_app, another) as (publication_context, _):
        await run_publication(first_publication(ref), publication_context)
    await run_publication_to_end(shared_app, ref)
    await assert_published(shared_app, shop, ref, product)
