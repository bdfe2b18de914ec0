"""What the tests of publications share: jobs with real little pictures, and a look at the shop."""

import hashlib
import struct
import zlib
from datetime import timedelta
from typing import Any

import httpx
import msgspec

from backend.dev.shopify import ProductRecord
from backend.jobs.lifecycle import Checkpoint, JobLease, NewArtifact, advance, succeed
from backend.jobs.service import JobRef
from backend.leased_task import Retry
from backend.publications.context import PublicationContext
from backend.publications.execution import run_publication
from backend.publications.leases import PublicationRef
from backend.publications.states import TASK_STATES
from backend.storage.keys import artifact_key
from tests.running_app import RunningApp
from tests.scenarios import claimed_job

PNG = b"\x89PNG\r\n\x1a\n"
Looks = list[tuple[str, str | None]]


def png(seed: str) -> bytes:
    """A picture of 8 × 8 pixels in a colour of its own."""
    colour = hashlib.sha256(seed.encode()).digest()[:3]
    rows = b"".join(b"\0" + colour * 8 for _ in range(8))
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return PNG + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


async def publishable_job(
    shared_app: RunningApp,
    shop: str,
    product: ProductRecord | None = None,
    *,
    pictures: int = 2,
    role: str = "final",
    data: bytes | None = None,
    **meta: Any,
) -> tuple[JobRef, list[str]]:
    """A job that ended well with that many final pictures; their digests."""
    request = {"product_id": product.gid} if product else {"upload_key": "uploads/x.jpg"}
    job = await claimed_job(shared_app, shop=shop, request=request)
    return job.ref, await finish(shared_app, job, pictures=pictures, role=role, data=data, **meta)


async def finish(
    shared_app: RunningApp,
    job: JobLease,
    *,
    pictures: int = 2,
    role: str = "final",
    data: bytes | None = None,
    **meta: Any,
) -> list[str]:
    """End a begun job well, with that many pictures; their digests."""
    artifacts = [
        await artifact(shared_app, job.ref, number, role, data, meta) for number in range(pictures)
    ]
    async with shared_app.database.transaction() as connection:
        await advance(
            connection,
            job,
            stage="encode",
            message="Encoded",
            progress={},
            checkpoint=Checkpoint(files={each.name: each.key for each in artifacts}, facts={}),
            artifacts=artifacts,
        )
        await succeed(connection, job, {})
    return [each.meta["sha256"] for each in artifacts]


async def artifact(
    shared_app: RunningApp,
    ref: JobRef,
    number: int,
    role: str,
    data: bytes | None,
    meta: dict[str, Any],
) -> NewArtifact:
    """One picture, really stored."""
    content = data or png(f"{ref.public_id} {number}")
    name = f"catalog-{number}"
    key = artifact_key(
        shop_id=ref.shop_id, job_id=ref.public_id, stage="encode", name=name, data=content
    )
    await shared_app.worker_context.store.put(key, content, content_type="image/png")
    about = {
        "content_type": "image/png",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return NewArtifact(
        name=name, role=role, kind="catalog_image", label=None, key=key, meta={**about, **meta}
    )


def publication_request(digests: list[str], **fields: list[Any]) -> dict[str, Any]:
    """A request for these artifacts, with a value of each field for each of them."""
    return {
        "artifacts": [
            {"sha256": digest}
            | {name: values[n] for name, values in fields.items() if values[n] is not None}
            for n, digest in enumerate(digests)
        ]
    }


def publication_path(ref: JobRef) -> str:
    """Where the job's publication is."""
    return f"/v1/jobs/{ref.public_id}/publication"


async def post_publication(
    shared_app: RunningApp, shop: str, ref: JobRef, body: dict[str, Any], **headers: str
) -> httpx.Response:
    """Ask for the publication."""
    return await shared_app.http.post(
        publication_path(ref), json=body, headers={**shared_app.bearer(shop), **headers}
    )


async def get_publication(shared_app: RunningApp, shop: str, ref: JobRef) -> dict[str, Any]:
    """The publication as the API shows it."""
    answer = await shared_app.http.get(publication_path(ref), headers=shared_app.bearer(shop))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def withdraw_publication(shared_app: RunningApp, shop: str, ref: JobRef) -> httpx.Response:
    """Take the publication back."""
    return await shared_app.http.delete(publication_path(ref), headers=shared_app.bearer(shop))


def publication_context_of(shared_app: RunningApp, **changes: Any) -> PublicationContext:
    """The worker's publication context, without pauses between polls."""
    return msgspec.structs.replace(
        shared_app.worker_context.publication_context, pause=0.0, **changes
    )


async def run_publication_to_end(
    shared_app: RunningApp,
    ref: JobRef,
    *,
    nth: int = 1,
    publication_context: PublicationContext | None = None,
    most: int = 60,
) -> list[timedelta]:
    """Run the publication until nothing is left to do; the delays in between, which are skipped.

    What counts how long it has waited for Shopify finds that the time has passed.
    """
    delays: list[timedelta] = []
    publication = PublicationRef(shop_id=ref.shop_id, job_id=ref.public_id, round=nth)
    for task in TASK_STATES:
        context = publication_context or publication_context_of(shared_app)
        while isinstance(outcome := await run_publication(publication, context, task), Retry):
            delays.append(outcome.delay)
            await shared_app.execute(
                "UPDATE publications SET shopify_busy_since = shopify_busy_since - make_interval("
                "secs => :d) WHERE job_id = :j",
                d=outcome.delay.total_seconds(),
                j=ref.public_id,
            )
            assert len(delays) < most, "it never ends"
    return delays


async def publish(
    shared_app: RunningApp, shop: str, ref: JobRef, body: dict[str, Any], *, nth: int = 1
) -> dict[str, Any]:
    """The publication, once it has been asked for and worked on."""
    answer = await post_publication(shared_app, shop, ref, body)
    assert answer.status_code == 202, answer.text
    await run_publication_to_end(shared_app, ref, nth=nth)
    return await get_publication(shared_app, shop, ref)


def gallery_of(shared_app: RunningApp, product: ProductRecord) -> Looks:
    """The product's gallery: each media with its alt text, in order."""
    return [(media.gid, media.alt) for media in shared_app.shopify.current(product).media]


def variant_media(shared_app: RunningApp, product: ProductRecord) -> list[str | None]:
    """What each of the product's variants shows."""
    current = shared_app.shopify.current(product)
    names = {media.id: media.gid for media in current.media}
    return [names.get(variant.media_id or 0) for variant in current.variants]


def our_media(shared_app: RunningApp, ref: JobRef, shop: str) -> list[str]:
    """The files in the shop that we made for this job."""
    number = shared_app.shopify.platform.shops[shop].number
    return [
        media.gid
        for media in shared_app.shopify.platform.catalogue.library.of_shop(number)
        if ref.public_id in media.filename
    ]


async def publication_events(
    shared_app: RunningApp, ref: JobRef
) -> list[tuple[int, str | None, str | None]]:
    """The job's timeline: number, stage, and what became of the publication."""
    rows = await shared_app.rows(
        "SELECT seq, stage, extra->'publication'->>'status' AS status FROM job_events "
        "WHERE shop_id = :s AND job_id = :j ORDER BY seq",
        s=ref.shop_id,
        j=ref.public_id,
    )
    return [(row["seq"], row["stage"], row["status"]) for row in rows]


async def publication_statuses(shared_app: RunningApp, ref: JobRef) -> list[str]:
    """What the timeline tells of the publication, in order, once its numbers have been checked."""
    told = await publication_events(shared_app, ref)
    assert [seq for seq, _, _ in told] == list(range(1, len(told) + 1))
    return [status for _, _, status in told if status]


def first_publication(ref: JobRef) -> PublicationRef:
    """The job's first publication."""
    return PublicationRef(shop_id=ref.shop_id, job_id=ref.public_id, round=1)


def product_with_two_images(shared_app: RunningApp, shop: str) -> ProductRecord:
    """Two pictures, each shown by a variant."""
    product = shared_app.shopify.create_product(
        shop, "Tee", png("first"), "image/png", variants=("S", "M")
    )
    shared_app.shopify.add_image(product, png("second"), "image/png", alt="From behind")
    current = shared_app.shopify.current(product)
    for variant, media in zip(current.variants, current.media, strict=True):
        shared_app.shopify.show_at_variant(product, variant.gid, media.gid)
    return shared_app.shopify.current(product)


async def request_publication(shared_app: RunningApp, shop: str, product: ProductRecord) -> JobRef:
    """A publication of two pictures, one of them in the first place."""
    ref, digests = await publishable_job(shared_app, shop, product)
    answer = await post_publication(
        shared_app, shop, ref, publication_request(digests, position=[1, None], alt=["x", None])
    )
    assert answer.status_code == 202
    return ref


async def withdraw_after_edits(shared_app: RunningApp, shop: str, product: ProductRecord) -> JobRef:
    """A publication that is being taken back, after the merchant has changed all there is."""
    ref = await request_publication(shared_app, shop, product)
    await run_publication_to_end(shared_app, ref)
    current = shared_app.shopify.current(product)
    shared_app.shopify.move_image(product, current.media[2].gid, 0)
    shared_app.shopify.set_alt(product, current.media[1].gid, "New")
    for variant, media in zip(current.variants, current.media, strict=False):
        shared_app.shopify.show_at_variant(
            product, variant.gid, media.gid
        )  # ours, and another old one
    assert (await withdraw_publication(shared_app, shop, ref)).status_code == 202
    return ref
