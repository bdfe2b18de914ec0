"""The merchant's review, page by page: one read, then offline presigning."""

import hashlib
from http import HTTPStatus
from typing import Any

import msgspec
from asyncpg import Record

from backend.errors import InvalidRequest, ShopNotInstalled
from backend.jobs.body_cache import CacheKey
from backend.jobs.detail import ARTIFACT_DECODER, EMPTY_LIST, StoredArtifact, artifact_response
from backend.jobs.etags import matches
from backend.jobs.ids import is_public_id
from backend.jobs.paging import link, next_query, query_problem
from backend.jobs.read_services import ReadServices
from backend.jobs.schemas import ArtifactResponse
from backend.publications.states import PublicationStatus
from backend.review import queries
from backend.review.queries import StoredReview
from backend.review.schemas import (
    CardProduct,
    CardPublication,
    ReviewCard,
    ReviewResponse,
    ReviewState,
)
from backend.storage.keys import content_type_of
from backend.storage.presign import Presigner
from backend.web import JsonResponse
from backend.workflows.pictures import ORIGINAL_THUMBNAIL, THUMBNAIL

BEHIND_ALL = "Z" * 26  # every ID is smaller
REVALIDATE = {"Cache-Control": "private, no-cache"}
VERSION = ("public_id", "attempt", "last_seq", "dismissed_at", "publication")


class ReviewRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters."""

    state: ReviewState
    limit: int
    cursor: str | None


async def read_review(
    reads: ReadServices, *, shop_domain: str, wanted: ReviewRequest, path: str, tags: str | None
) -> JsonResponse:
    """The page, or a 304 if the caller has it; `tags` is the If-None-Match header.

    Raises `ShopNotInstalled`, and `InvalidRequest` for an invalid cursor.
    """
    if wanted.cursor is not None and not is_public_id(wanted.cursor):
        raise InvalidRequest([query_problem("cursor", "Use the cursor from the Link header.")])
    window = reads.presigner.current_window()
    rows = await reads.database.rows(
        queries.REVIEW_PAGE,
        shop_domain=shop_domain,
        state=StoredReview[wanted.state.name],
        before=wanted.cursor or BEHIND_ALL,
        limit=wanted.limit + 1,  # one more than is shown, to know whether there is a next page
    )
    if not rows:
        raise ShopNotInstalled
    found = [row for row in rows if row["public_id"] is not None]
    versions = [card_version(row, window) for row in found]
    etag = etag_of(versions, window)
    page = found[: wanted.limit]
    following = next_query(wanted, page[-1]["public_id"]) if len(found) > len(page) else None
    headers = {"ETag": etag, **REVALIDATE, **link(path, following)}
    if tags and matches(tags, etag):
        return JsonResponse(HTTPStatus.NOT_MODIFIED, headers, None)
    cards: Any = [
        encoded_card(row, version, reads, shop_domain, window)
        for row, version in zip(page, versions, strict=False)  # `page` may have one less
    ]
    body = ReviewResponse(cards=cards, limit=wanted.limit, count=len(cards))
    return JsonResponse(HTTPStatus.OK, headers, body)


def card_version(row: Record, window: int) -> str:
    """What changes with the card, whose URLs are signed at `window`.

    Every change of a job's images raises `attempt` or `last_seq`.
    """
    return " ".join([str(row[name]) for name in VERSION] + [str(window)])


def etag_of(versions: list[str], window: int) -> str:
    """The tag of a page of these cards."""
    digest = hashlib.blake2b("\n".join(versions).encode(), digest_size=16).hexdigest()
    return f'"{digest}.{window}"'


def encoded_card(
    row: Record, version: str, reads: ReadServices, shop_domain: str, window: int
) -> msgspec.Raw:
    """The card as JSON, from the cache if its version has not changed."""
    key = CacheKey(shop_domain, row["public_id"], "card")
    cached = reads.bodies.get(key, window)
    if cached and cached.etag == version:
        return cached.body
    card = msgspec.Raw(msgspec.json.encode(card_of(row, reads.presigner)))
    reads.bodies.put(key, version, card)
    return card


def card_of(row: Record, presigner: Presigner) -> ReviewCard:
    """One card."""
    artifacts = ARTIFACT_DECODER.decode(row["artifacts"] or EMPTY_LIST)
    finals = [artifact for artifact in artifacts if artifact.role == "final"]
    judged = finals[0].meta if finals else {}
    status = row["publication"]
    return ReviewCard(
        public_id=row["public_id"],
        job_type=row["job_type"],
        created_at=row["created_at"],
        product=product_of(row),
        original=small(ORIGINAL_THUMBNAIL, artifacts, presigner) or upload_of(row, presigner),
        preview=small(THUMBNAIL, artifacts, presigner),
        result=[artifact_response(final, presigner) for final in finals],
        verdict=judged.get("verdict"),
        reasons=[reason["message"] for reason in judged.get("reasons", ())],
        publication=CardPublication(status=PublicationStatus(status)) if status else None,
        dismissed_at=row["dismissed_at"],
    )


def product_of(row: Record) -> CardProduct | None:
    """The job's product, if it was made for one."""
    if row["product_id"] is None:
        return None
    return CardProduct(id=row["product_id"], title=row["product_title"])


def small(
    kind: str, artifacts: list[StoredArtifact], presigner: Presigner
) -> ArtifactResponse | None:
    """The job's small picture of that kind, if it has one."""
    found = next((artifact for artifact in artifacts if artifact.kind == kind), None)
    return None if found is None else artifact_response(found, presigner)


def upload_of(row: Record, presigner: Presigner) -> ArtifactResponse | None:
    """The upload that the job was made from, while it is kept.

    A photo from the shop is not shown as it was fetched: its bytes are untrusted.
    """
    key = row["upload_key"]
    if key is None:
        return None
    content_type = content_type_of(key)
    signed = presigner.sign(key, content_type)
    return ArtifactResponse(
        image_url=signed.url,
        kind="original",
        role="intermediate",
        label=None,
        meta={"content_type": content_type, "expires_at": signed.expires_at},
    )
