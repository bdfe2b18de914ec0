"""The reads of publications. Every one of them starts from the shop."""

import re
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import Select, Text, and_, cast, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.jobs.ids import is_public_id
from backend.jobs.models import Artifact, Job
from backend.jobs.queries import installed
from backend.publications.models import Publication, PublishedMedia
from backend.shops.models import Shop

OWN_FILENAME = re.compile(r"(?<![0-9a-z])atelier-([0-9a-z]{26})-[0-9]+(?![0-9a-z])", re.IGNORECASE)


def latest(shop_domain: str, public_id: str) -> Select[Any]:
    """The job's newest publication; no row if the shop is not installed.

    `public_id` is null if the shop has no such job, `round` if the job was never published.
    """
    newest = (
        select(Publication)
        .where(Publication.shop_id == Shop.id, Publication.job_id == Job.public_id)
        .order_by(Publication.round.desc())
        .limit(1)
        .lateral("newest")
    )
    fields = func.json_build_object(
        "sha256", PublishedMedia.sha256,
        "alt", PublishedMedia.alt,
        "position", PublishedMedia.position,
        "status", PublishedMedia.status,
        "media_id", PublishedMedia.media_id,
    )  # fmt: skip
    media = (
        select(func.json_agg(aggregate_order_by(fields, PublishedMedia.number)))
        .where(
            PublishedMedia.shop_id == newest.c.shop_id,
            PublishedMedia.job_id == newest.c.job_id,
            PublishedMedia.round == newest.c.round,
        )
        .scalar_subquery()
    )
    statement: Select[Any] = select(
        Job.public_id,
        Shop.id.label("owner_id"),
        newest,
        cast(media, Text).label("artifacts"),
    ).select_from(Shop)
    return (
        statement.outerjoin(Job, and_(Job.shop_id == Shop.id, Job.public_id == public_id))
        .outerjoin(newest, newest.c.job_id == Job.public_id)
        .where(*installed(shop_domain))
    )


def job_to_publish(shop_domain: str, public_id: str) -> Select[Any]:
    """The job and its shop, as needed for a publication; nulls if the shop has no such job."""
    rounds = (
        select(func.max(Publication.round))
        .where(Publication.shop_id == Shop.id, Publication.job_id == public_id)
        .scalar_subquery()
    )
    columns: Select[Any] = select(
        Job.public_id,
        Job.status,
        Job.request["product_id"].astext.label("product_id"),
        Shop.id.label("shop_id"),
        Shop.scopes,
        rounds.label("rounds"),
        func.now().label("now"),
    ).select_from(Shop)
    job = and_(Job.shop_id == Shop.id, Job.public_id == public_id)
    return columns.outerjoin(Job, job).where(*installed(shop_domain))


def job_kept(shop_id: int, public_id: str) -> Select[Any]:
    """The job, locked against erasure until the transaction ends."""
    found = select(Job.public_id).where(Job.shop_id == shop_id, Job.public_id == public_id)
    return found.with_for_update(read=True, key_share=True)


def final_artifacts(shop_id: int, public_id: str, digests: list[str]) -> Select[Any]:
    """The job's final artifacts with these digests."""
    sha256 = Artifact.meta["sha256"].astext
    return (
        select(
            sha256.label("sha256"),
            Artifact.stage,
            Artifact.name,
            Artifact.meta["content_type"].astext.label("content_type"),
            func.coalesce(Artifact.meta["is_preview"].as_boolean(), False).label("is_preview"),
        )
        .where(
            Artifact.shop_id == shop_id,
            Artifact.job_id == public_id,
            Artifact.role == "final",
            sha256.in_(digests),
        )
        .order_by(Artifact.ordinal)
    )


def first_final(shop_id: int, public_id: str) -> Select[Any]:
    """The main image of a job: its first final artifact, and the verdict on it."""
    return (
        select(
            Artifact.meta["sha256"].astext.label("sha256"),
            Artifact.meta["verdict"].astext.label("verdict"),
            func.coalesce(Artifact.meta["is_preview"].as_boolean(), False).label("is_preview"),
        )
        .where(Artifact.shop_id == shop_id, Artifact.job_id == public_id, Artifact.role == "final")
        .order_by(Artifact.seq, Artifact.ordinal)
        .limit(1)
    )


async def is_own_media(connection: AsyncConnection, shop_id: int, media_id: str) -> bool:
    """Whether we created that media in this shop, even if it was removed since."""
    found = (
        select(PublishedMedia.number)
        .where(PublishedMedia.shop_id == shop_id, PublishedMedia.media_id == media_id)
        .limit(1)
    )
    return await connection.scalar(found) is not None


async def is_own_file(connection: AsyncConnection, shop_id: int, url: str) -> bool:
    """Whether the file at this URL has the name of one that we made for a job of this shop."""
    job_id = job_in_filename(url)
    if job_id is None:
        return False
    found = select(Job.public_id).where(Job.shop_id == shop_id, Job.public_id == job_id)
    return await connection.scalar(found) is not None


def job_in_filename(url: str) -> str | None:
    """The job that a file's name tells, such as `atelier-01J…-1.jpg`; None for other files.

    Shopify adds a UUID to a name that exists, and importers a number, a size, or lower case.
    """
    found = OWN_FILENAME.search(PurePosixPath(unquote(urlsplit(url).path)).name)
    return found[1].upper() if found and is_public_id(found[1].upper()) else None


async def has_published(connection: AsyncConnection, shop_id: int) -> bool:
    """Whether the shop has images that we published."""
    found = select(PublishedMedia.number).where(
        PublishedMedia.shop_id == shop_id, PublishedMedia.media_id.is_not(None)
    )
    return await connection.scalar(found.limit(1)) is not None


async def published_digests(connection: AsyncConnection, shop_id: int, size: int) -> set[str]:
    """The SHA-256 of each image of so many bytes that we published in this shop."""
    artifact = and_(
        Artifact.shop_id == PublishedMedia.shop_id,
        Artifact.job_id == PublishedMedia.job_id,
        Artifact.stage == PublishedMedia.stage,
        Artifact.name == PublishedMedia.name,
    )
    found = (
        select(PublishedMedia.sha256)
        .join(Artifact, artifact)
        .where(
            PublishedMedia.shop_id == shop_id,
            PublishedMedia.media_id.is_not(None),
            Artifact.meta["bytes"].as_integer() == size,
        )
    )
    return set((await connection.scalars(found)).all())
