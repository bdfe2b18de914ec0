"""The peer: what a good developer would write for the same page with the usual libraries.

FastAPI, pydantic, SQLAlchemy's async ORM with `selectinload`, PyJWT and boto3's presigned URLs; one
session a request, eager loading, no query more than it takes. It shares nothing with our code.
"""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import boto3
import jwt
from botocore.config import Config
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel
from sqlalchemy import BigInteger, DateTime, ForeignKey, ForeignKeyConstraint, Text, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

LIFETIME = 900
BUCKET = os.environ["S3_BUCKET"]
KEY, SECRET = os.environ["SHOPIFY_API_KEY"], os.environ["SHOPIFY_API_SECRET"]
url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")
engine = create_async_engine(url, pool_size=10, max_overflow=0)
new_session = async_sessionmaker(engine, expire_on_commit=False)
s3 = boto3.client(
    "s3",
    endpoint_url=os.environ["S3_ENDPOINT_URL"],
    config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
)


class Base(DeclarativeBase):
    """The tables, as far as the page needs them."""


class Shop(Base):
    """The tenant."""

    __tablename__ = "shops"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    domain: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)


class Job(Base):
    """A job with its artifacts and events."""

    __tablename__ = "jobs"
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"), primary_key=True)
    public_id: Mapped[str] = mapped_column(Text, primary_key=True)
    job_type: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    request: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    artifacts: Mapped[list["Artifact"]] = relationship(order_by="Artifact.ordinal")
    events: Mapped[list["Event"]] = relationship(order_by="Event.seq")


class Event(Base):
    """A line of the timeline."""

    __tablename__ = "job_events"
    __table_args__ = (
        ForeignKeyConstraint(["shop_id", "job_id"], ["jobs.shop_id", "jobs.public_id"]),
    )
    shop_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    job_id: Mapped[str] = mapped_column(Text, primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    event_type: Mapped[str] = mapped_column(Text)
    stage: Mapped[str | None] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    extra: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Artifact(Base):
    """A picture."""

    __tablename__ = "artifacts"
    __table_args__ = (
        ForeignKeyConstraint(["shop_id", "job_id"], ["jobs.shop_id", "jobs.public_id"]),
    )
    shop_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    job_id: Mapped[str] = mapped_column(Text, primary_key=True)
    stage: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    ordinal: Mapped[int]
    seq: Mapped[int]
    role: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    label: Mapped[str | None] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    meta: Mapped[dict[str, Any]] = mapped_column(JSONB)


class ArtifactOut(BaseModel):
    """A picture to download."""

    image_url: str
    kind: str
    role: str
    label: str | None
    meta: dict[str, Any]


class EventOut(BaseModel):
    """A line of the timeline."""

    seq: int
    event_type: str
    visibility: str = "public"
    stage: str | None
    message: str
    artifacts: list[ArtifactOut]
    extra: dict[str, Any]
    created_at: datetime


class JobOut(BaseModel):
    """The page."""

    public_id: str
    job_type: str
    status: str
    created_at: datetime
    request: dict[str, Any] | None
    result: list[ArtifactOut]
    latest_event: EventOut | None


async def session() -> AsyncIterator[AsyncSession]:
    """One session a request."""
    async with new_session() as opened:
        yield opened


def shop_domain(authorization: Annotated[str, Header()]) -> str:
    """The shop that the session token names."""
    token = authorization.removeprefix("Bearer ")
    try:
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience=KEY, leeway=10)
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    return str(claims["dest"]).removeprefix("https://")


app = FastAPI()


@app.get("/v1/jobs/{public_id}")
async def get_job(
    public_id: str,
    domain: Annotated[str, Depends(shop_domain)],
    db: Annotated[AsyncSession, Depends(session)],
) -> JobOut:
    """The job's header, its final artifacts and its latest event."""
    statement = (
        select(Job)
        .join(Shop, Shop.id == Job.shop_id)
        .where(Shop.domain == domain, Shop.status == "installed", Job.public_id == public_id)
        .options(selectinload(Job.artifacts), selectinload(Job.events))
    )
    job = (await db.scalars(statement)).one_or_none()
    if job is None:
        raise HTTPException(404)
    latest = job.events[-1] if job.events else None
    return JobOut(
        public_id=job.public_id,
        job_type=job.job_type,
        status=job.status,
        created_at=job.created_at,
        request=job.request,
        result=[shown(each) for each in job.artifacts if each.role == "final"],
        latest_event=event(latest, job.artifacts) if latest else None,
    )


def event(found: Event, artifacts: list[Artifact]) -> EventOut:
    """The event with the artifacts it announced."""
    return EventOut(
        seq=found.seq,
        event_type=found.event_type,
        stage=found.stage,
        message=found.message,
        artifacts=[shown(each) for each in artifacts if each.seq == found.seq],
        extra=found.extra,
        created_at=found.created_at,
    )


def shown(artifact: Artifact) -> ArtifactOut:
    """The artifact with a URL in place of its key."""
    content_type = artifact.meta["content_type"]
    signed = s3.generate_presigned_url(
        "get_object",
        Params={
            "Bucket": BUCKET,
            "Key": artifact.key,
            "ResponseContentType": content_type,
            "ResponseContentDisposition": "inline",
        },
        ExpiresIn=LIFETIME,
    )
    expires_at = datetime.now(UTC) + timedelta(seconds=LIFETIME)
    return ArtifactOut(
        image_url=signed,
        kind=artifact.kind,
        role=artifact.role,
        label=artifact.label,
        meta={**artifact.meta, "expires_at": expires_at},
    )
