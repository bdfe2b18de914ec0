"""What the tests of publications share: jobs with real little pictures, and a look at the shop."""

import hashlib
import struct
import zlib
from datetime import timedelta
from typing import Any

import httpx
import msgspec

from backend.dev.shopify import Product
from backend.jobs.service import JobRef
from backend.jobs.timeline import Checkpoint, Claim, NewArtifact, advance, succeed
from backend.publications.ledger import PublicationRef
from backend.publications.press import Press
from backend.publications.running import run_publication
from backend.publications.states import ERRANDS
from backend.storage.keys import artifact_key
from tests.doors import begun_job
from tests.world import World

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


async def finished(
    house: World,
    shop: str,
    product: Product | None = None,
    *,
    pictures: int = 2,
    role: str = "final",
    data: bytes | None = None,
    **meta: Any,
) -> tuple[JobRef, list[str]]:
    """A job that ended well with that many final pictures; their digests."""
    request = {"product_id": product.gid} if product else {"upload_key": "uploads/x.jpg"}
    job = await begun_job(house, shop=shop, request=request)
    return job.ref, await finish(house, job, pictures=pictures, role=role, data=data, **meta)


async def finish(
    house: World,
    job: Claim,
    *,
    pictures: int = 2,
    role: str = "final",
    data: bytes | None = None,
    **meta: Any,
) -> list[str]:
    """End a begun job well, with that many pictures; their digests."""
    artifacts = [
        await artifact(house, job.ref, number, role, data, meta) for number in range(pictures)
    ]
    async with house.database.transaction() as connection:
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
    house: World, ref: JobRef, number: int, role: str, data: bytes | None, meta: dict[str, Any]
) -> NewArtifact:
    """One picture, really stored."""
    content = data or png(f"{ref.public_id} {number}")
    name = f"catalog-{number}"
    key = artifact_key(
        shop_id=ref.shop_id, job_id=ref.public_id, stage="encode", name=name, data=content
    )
    await house.workshop.store.put(key, content, content_type="image/png")
    about = {
        "content_type": "image/png",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return NewArtifact(
        name=name, role=role, kind="catalog_image", label=None, key=key, meta={**about, **meta}
    )


def wanted(digests: list[str], **fields: list[Any]) -> dict[str, Any]:
    """A request for these artifacts, with a value of each field for each of them."""
    return {
        "artifacts": [
            {"sha256": digest}
            | {name: values[n] for name, values in fields.items() if values[n] is not None}
            for n, digest in enumerate(digests)
        ]
    }


def path(ref: JobRef) -> str:
    """Where the job's publication is."""
    return f"/v1/jobs/{ref.public_id}/publication"


async def post(
    house: World, shop: str, ref: JobRef, body: dict[str, Any], **headers: str
) -> httpx.Response:
    """Ask for the publication."""
    return await house.http.post(path(ref), json=body, headers={**house.bearer(shop), **headers})


async def look(house: World, shop: str, ref: JobRef) -> dict[str, Any]:
    """The publication as the API shows it."""
    answer = await house.http.get(path(ref), headers=house.bearer(shop))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def undo(house: World, shop: str, ref: JobRef) -> httpx.Response:
    """Take the publication back."""
    return await house.http.delete(path(ref), headers=house.bearer(shop))


def press_of(house: World, **changes: Any) -> Press:
    """The worker's press, which does not sleep between two looks."""
    return msgspec.structs.replace(house.workshop.press, pause=0.0, **changes)


async def work(
    house: World, ref: JobRef, *, nth: int = 1, press: Press | None = None, most: int = 60
) -> list[timedelta]:
    """Run the publication until nothing is left to do; the delays in between, which are skipped.

    What counts how long it has waited for Shopify finds that the time has passed.
    """
    delays: list[timedelta] = []
    publication = PublicationRef(shop_id=ref.shop_id, job_id=ref.public_id, round=nth)
    for errand in ERRANDS:
        while (
            delay := await run_publication(publication, press or press_of(house), errand)
        ) is not None:
            delays.append(delay)
            await house.execute(
                "UPDATE publications SET shopify_busy_since = shopify_busy_since - make_interval("
                "secs => :d) WHERE job_id = :j",
                d=delay.total_seconds(),
                j=ref.public_id,
            )
            assert len(delays) < most, "it never ends"
    return delays


async def published(
    house: World, shop: str, ref: JobRef, body: dict[str, Any], *, nth: int = 1
) -> dict[str, Any]:
    """The publication, once it has been asked for and worked on."""
    answer = await post(house, shop, ref, body)
    assert answer.status_code == 202, answer.text
    await work(house, ref, nth=nth)
    return await look(house, shop, ref)


def looks(house: World, product: Product) -> Looks:
    """The product's gallery: each media with its alt text, in order."""
    return [(media.gid, media.alt) for media in house.shopify.current(product).media]


def links(house: World, product: Product) -> list[str | None]:
    """What each of the product's variants shows."""
    current = house.shopify.current(product)
    names = {media.id: media.gid for media in current.media}
    return [names.get(variant.media_id or 0) for variant in current.variants]


def ours(house: World, ref: JobRef, shop: str) -> list[str]:
    """The files in the shop that we made for this job."""
    number = house.shopify.platform.shops[shop].number
    return [
        media.gid
        for media in house.shopify.platform.catalogue.library.of_shop(number)
        if ref.public_id in media.filename
    ]


async def events(house: World, ref: JobRef) -> list[tuple[int, str | None, str | None]]:
    """The job's timeline: number, stage, and what became of the publication."""
    rows = await house.rows(
        "SELECT seq, stage, extra->'publication'->>'status' AS status FROM job_events "
        "WHERE shop_id = :s AND job_id = :j ORDER BY seq",
        s=ref.shop_id,
        j=ref.public_id,
    )
    return [(row["seq"], row["stage"], row["status"]) for row in rows]


async def statuses(house: World, ref: JobRef) -> list[str]:
    """What the timeline tells of the publication, in order, once its numbers have been checked."""
    told = await events(house, ref)
    assert [seq for seq, _, _ in told] == list(range(1, len(told) + 1))
    return [status for _, _, status in told if status]
