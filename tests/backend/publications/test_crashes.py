"""Killed anywhere, and with any answer lost: taken up again, nothing is ever done twice."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from backend.dev.shopify import Product
from backend.dev.shopify.state import Call
from backend.jobs.service import JobRef
from backend.publications.ledger import PublicationRef
from backend.publications.running import run_publication
from backend.queue import PUBLISH, UNPUBLISH
from backend.shops import media_api
from tests.backend.publications.crashing import Crash, dies_at, nothing, stepped
from tests.backend.publications.studio import (
    Looks,
    finished,
    links,
    look,
    looks,
    ours,
    png,
    post,
    statuses,
    undo,
    wanted,
    work,
)
from tests.world import World


def first_of(ref: JobRef) -> PublicationRef:
    """The job's first publication."""
    return PublicationRef(shop_id=ref.shop_id, job_id=ref.public_id, round=1)


def new_product(house: World, shop: str) -> Product:
    """Two pictures, each shown by a variant."""
    product = house.shopify.create_product(
        shop, "Tee", png("first"), "image/png", variants=("S", "M")
    )
    house.shopify.add_image(product, png("second"), "image/png", alt="From behind")
    current = house.shopify.current(product)
    for variant, media in zip(current.variants, current.media, strict=True):
        house.shopify.show_at_variant(product, variant.gid, media.gid)
    return house.shopify.current(product)


async def asked_for(house: World, shop: str, product: Product) -> JobRef:
    """A publication of two pictures, one of them in the first place."""
    ref, digests = await finished(house, shop, product)
    answer = await post(house, shop, ref, wanted(digests, position=[1, None], alt=["x", None]))
    assert answer.status_code == 202
    return ref


async def is_published(house: World, shop: str, ref: JobRef, product: Product) -> None:
    """Each picture is there once, in its place, and the timeline tells it once."""
    made = await look(house, shop, ref)
    assert made["status"] == "PUBLISHED", made
    first, second = (each["media_id"] for each in made["artifacts"])
    old = [(media.gid, media.alt) for media in product.media]
    assert looks(house, product) == [(first, "x"), *old, (second, None)]
    assert sorted(ours(house, ref, shop)) == sorted([first, second])
    assert await statuses(house, ref) == ["PENDING", "PUBLISHING", "PUBLISHED"]


async def is_as_it_was(
    house: World, shop: str, ref: JobRef, product: Product, before: Looks, shown: list[str | None]
) -> None:
    """Nothing of ours is left, and all else is as it was."""
    assert (await look(house, shop, ref))["status"] == "RESTORED"
    assert (looks(house, product), links(house, product)) == (before, shown)
    assert ours(house, ref, shop) == []
    assert (await statuses(house, ref))[-2:] == ["RESTORING", "RESTORED"]


async def steps_of(house: World, ref: JobRef, errand: str = PUBLISH) -> int:
    """How many steps it takes, from where it is, when nothing happens."""
    async with stepped(house, nothing) as (press, steps):
        assert await run_publication(first_of(ref), press, errand) is None
    return steps.count


async def killed(house: World, ref: JobRef, step: int, errand: str = PUBLISH) -> None:
    """Run it until the process dies at that step."""
    async with stepped(house, dies_at(step)) as (press, _):
        with pytest.raises(Crash):
            await run_publication(first_of(ref), press, errand)


async def at_each(steps: range, case: Callable[[int], Awaitable[None]]) -> None:
    """Try the case with each of the steps, some at a time."""
    few = asyncio.Semaphore(4)

    async def tried(step: int) -> None:
        async with few:
            await case(step)

    await asyncio.gather(*(tried(step) for step in steps))


async def test_killed_at_any_step_it_publishes_each_picture_once(house: World, shop: str) -> None:
    product = new_product(house, shop)
    ref = await asked_for(house, shop, product)
    steps = await steps_of(house, ref)
    await is_published(house, shop, ref, product)

    async def case(step: int) -> None:
        product = new_product(house, shop)
        ref = await asked_for(house, shop, product)
        await killed(house, ref, step)
        await work(house, ref)
        await is_published(house, shop, ref, product)

    assert steps == 20
    await at_each(range(1, steps + 1), case)


async def test_killed_again_and_again_it_publishes_each_picture_once(
    house: World, shop: str
) -> None:
    product = new_product(house, shop)
    ref = await asked_for(house, shop, product)
    for step in (3, 3, 3, 4, 4, 2, 3, 3):
        await killed(house, ref, step)
    await work(house, ref)
    await is_published(house, shop, ref, product)


async def test_killed_at_any_step_it_takes_everything_back(house: World, shop: str) -> None:
    product = new_product(house, shop)
    steps = await steps_of(house, await meddled_with(house, shop, product), UNPUBLISH)

    async def case(step: int) -> None:
        product = new_product(house, shop)
        before, shown = looks(house, product), links(house, product)
        ref = await meddled_with(house, shop, product)
        await killed(house, ref, step, UNPUBLISH)
        await work(house, ref)
        await is_as_it_was(house, shop, ref, product, before, shown)

    assert steps == 10
    await at_each(range(1, steps + 1), case)


async def meddled_with(house: World, shop: str, product: Product) -> JobRef:
    """A publication that is being taken back, after the merchant has changed all there is."""
    ref = await asked_for(house, shop, product)
    await work(house, ref)
    current = house.shopify.current(product)
    house.shopify.move_image(product, current.media[2].gid, 0)
    house.shopify.set_alt(product, current.media[1].gid, "New")
    for variant, media in zip(current.variants, current.media, strict=False):
        house.shopify.show_at_variant(product, variant.gid, media.gid)  # ours, and another old one
    assert (await undo(house, shop, ref)).status_code == 202
    return ref


async def test_taken_back_at_any_step_of_publishing_it_stops_and_undoes(
    house: World, shop: str
) -> None:
    product = new_product(house, shop)
    steps = await steps_of(house, await asked_for(house, shop, product))

    async def case(step: int) -> None:
        product = new_product(house, shop)
        before, shown = looks(house, product), links(house, product)
        ref = await asked_for(house, shop, product)
        answers = []

        async def change_of_mind(now: int) -> None:
            if now == step:
                answers.append((await undo(house, shop, ref)).status_code)

        async with stepped(house, change_of_mind) as (press, steps):
            assert await run_publication(first_of(ref), press) is None
        assert answers == [202]
        assert steps.count - step <= 2, "what was under way, and what puts that right"
        await work(house, ref)
        await is_as_it_was(house, shop, ref, product, before, shown)

    await at_each(range(1, steps, 2), case)


async def test_taken_back_by_another_worker_while_one_is_in_the_middle_of_a_call(
    house: World, shop: str
) -> None:
    product = new_product(house, shop)
    steps = await steps_of(house, await asked_for(house, shop, product))

    async def case(step: int) -> None:
        product = new_product(house, shop)
        before, shown = looks(house, product), links(house, product)
        ref = await asked_for(house, shop, product)

        async def another(now: int) -> None:
            if now == step:
                await undo(house, shop, ref)
                await work(house, ref)

        async with stepped(house, another) as (press, _):
            await run_publication(first_of(ref), press)
        await work(house, ref)
        await is_as_it_was(house, shop, ref, product, before, shown)

    await at_each(range(2, steps, 2), case)


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
async def test_an_answer_that_was_lost_is_not_a_reason_to_do_it_twice(
    house: World, shop: str, call: Call, field: str | None
) -> None:
    product = new_product(house, shop)
    ref = await asked_for(house, shop, product)
    house.shopify.lose_next_answer(call, field=field)
    house.shopify.cut_next_answer(call, field=field)
    assert len(await work(house, ref)) >= 1, "it was lost"
    house.shopify.platform.faults[call].clear()  # what the second try had no need to ask
    await is_published(house, shop, ref, product)


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
async def test_an_answer_that_was_lost_while_taking_back_does_no_harm(
    house: World, shop: str, field: str
) -> None:
    product = new_product(house, shop)
    before, shown = looks(house, product), links(house, product)
    ref = await meddled_with(house, shop, product)
    house.shopify.lose_next_answer("graphql", 2, field=field)
    await work(house, ref)
    house.shopify.platform.faults["graphql"].clear()
    await is_as_it_was(house, shop, ref, product, before, shown)


async def test_a_file_that_the_search_does_not_show_yet_is_not_made_twice(
    house: World, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = new_product(house, shop)
    ref = await asked_for(house, shop, product)
    house.shopify.lose_next_answer("graphql", field="fileCreate")
    hidden = [True] * 5
    real: Any = media_api.find_file

    async def behind(*arguments: Any) -> Any:
        return None if hidden and hidden.pop() else await real(*arguments)

    monkeypatch.setattr(media_api, "find_file", behind)
    assert len(await work(house, ref)) == 2, "the lost answer, and a name that is taken"
    assert hidden == []
    await is_published(house, shop, ref, product)


async def test_a_taking_back_whose_file_was_never_heard_of_finds_it_by_its_name(
    house: World, shop: str
) -> None:
    product = new_product(house, shop)
    before, shown = looks(house, product), links(house, product)
    ref = await asked_for(house, shop, product)
    house.shopify.cut_next_answer("graphql", field="fileCreate")
    await run_publication(first_of(ref), house.workshop.press)
    assert len(ours(house, ref, shop)) == 1
    await undo(house, shop, ref)
    await work(house, ref)
    await is_as_it_was(house, shop, ref, product, before, shown)


async def test_the_snapshot_is_what_was_before_and_is_taken_once(house: World, shop: str) -> None:
    product = new_product(house, shop)
    before, shown = looks(house, product), links(house, product)
    ref = await asked_for(house, shop, product)
    await killed(house, ref, 3)  # after the snapshot, and before any file is there
    assert ours(house, ref, shop) == []
    last = looks(house, product)[-1][0]
    house.shopify.set_alt(product, last, "Since")
    house.shopify.move_image(product, last, 0)
    await work(house, ref)
    await undo(house, shop, ref)
    await work(house, ref)
    await is_as_it_was(house, shop, ref, product, before, shown)


async def test_taking_back_does_not_wait_for_a_publishing_that_waits(
    house: World, shop: str
) -> None:
    product = new_product(house, shop)
    before, shown = looks(house, product), links(house, product)
    ref = await asked_for(house, shop, product)
    house.shopify.fail_next("graphql", 503, field="fileUpdate")
    publishing = asyncio.create_task(house.drain())
    await put_off_in_queue(house, ref)
    await undo(house, shop, ref)
    await house.execute(
        "UPDATE queue.pgqueuer SET execute_after = now() + interval '1 hour' "
        "WHERE entrypoint = 'publish'"
    )
    async with asyncio.timeout(20):
        while (await look(house, shop, ref))["status"] != "RESTORED":
            await asyncio.sleep(0.05)
    await house.execute("DELETE FROM queue.pgqueuer")
    await publishing
    await is_as_it_was(house, shop, ref, product, before, shown)


async def put_off_in_queue(house: World, ref: JobRef) -> None:
    """Wait until the publication has been put off."""
    put_off = (
        "SELECT 1 FROM queue.pgqueuer WHERE status = 'queued' AND attempts > 0 "
        "AND dedupe_key LIKE :key"
    )
    async with asyncio.timeout(20):
        while not await house.rows(put_off, key=f"publish:%:{ref.public_id}:1"):
            await asyncio.sleep(0.02)


async def test_two_workers_at_once_publish_each_picture_once(house: World, shop: str) -> None:
    product = new_product(house, shop)
    digests = (await finished(house, shop, product))[1]
    assert len(digests) == 2
    ref = await asked_for(house, shop, product)
    again = 0

    async def another(now: int) -> None:
        nonlocal again
        if now == 9 and not again:
            again = 1
            await work(house, ref)

    async with stepped(house, another) as (press, _):
        await run_publication(first_of(ref), press)
    await work(house, ref)
    await is_published(house, shop, ref, product)
