"""What ought to be so: shops, jobs and kept answers as plain values, moved by the rules.

Written from the promises and not from the code; nothing here asks the product.
"""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from backend.jobs.lifecycle import JobLease
from backend.jobs.states import JobStatus

KEPT_HOURS = 24
MAX_STAGE_ATTEMPTS = 3
FINAL = frozenset({JobStatus.SUCCESS, JobStatus.FAILURE})

Natural = tuple[Any, ...]


@dataclass
class ModelJob:
    """A job: each event as (type, stage, error code), each artifact as (stage, name, role)."""

    shop: str
    origin: str
    stages: tuple[str, ...]
    customer: str | None = None
    natural: Natural | None = None
    status: JobStatus = JobStatus.NOT_STARTED
    attempt: int = 0
    stage_attempts: int = 0
    events: list[tuple[str, str | None, str | None]] = field(
        default_factory=lambda: [("queued", None, None)]
    )
    artifacts: list[tuple[str, str, str]] = field(default_factory=list)
    is_queued: bool = True
    is_overdue: bool = False

    @property
    def is_final(self) -> bool:
        """Whether nothing may change any more."""
        return self.status in FINAL

    @property
    def done(self) -> list[str]:
        """The stages that are recorded, in order."""
        return [stage for _, stage, _ in self.events if stage is not None]

    def claim(self) -> bool:
        """A worker claims it; whether it may work on it: the fourth attempt at a stage ends it."""
        if self.is_final:
            return False
        self.status = JobStatus.IN_PROGRESS
        self.attempt += 1
        self.stage_attempts += 1
        if self.stage_attempts > MAX_STAGE_ATTEMPTS:
            self.end(JobStatus.FAILURE, "WORKER_CRASHED")
            return False
        return True

    def advance(self, stage: str, artifacts: list[tuple[str, str, str]]) -> None:
        """A stage is recorded, and the count of attempts starts again."""
        self.stage_attempts = 1
        self.events.append(("stage", stage, None))
        self.artifacts += artifacts

    def end(self, status: JobStatus, code: str | None = None) -> None:
        """The one end."""
        self.status = status
        self.events.append(("succeeded" if code is None else "failed", None, code))

    def is_visible_to(self, customer: str | None) -> bool:
        """Whether a visitor of its storefront may see it."""
        return self.origin == "storefront" and self.customer in {None, customer}


@dataclass
class KeptAnswer:
    """What a key stands for."""

    body: bytes
    content: bytes
    job_id: str
    age: int = 0  # hours


@dataclass
class ModelShop:
    """A shop; its keys count on one route each."""

    domain: str
    is_installed: bool = True
    keys: dict[tuple[str, str], KeptAnswer] = field(default_factory=dict)
    visits: dict[date, int] = field(default_factory=dict)

    def kept(self, route: str, key: str | None) -> KeptAnswer | None:
        """The answer that a key still stands for."""
        found = self.keys.get((route, key or ""))
        return found if found and found.age < KEPT_HOURS else None


@dataclass
class Worker:
    """Somebody who has claimed a job once; `done` is what they believe has been made."""

    claim: JobLease
    done: list[str]

    @property
    def job_id(self) -> str:
        """Which job."""
        return self.claim.ref.public_id


@dataclass
class Model:
    """Everything."""

    shops: dict[str, ModelShop]
    jobs: dict[str, ModelJob] = field(default_factory=dict)

    def of(self, shop: str) -> dict[str, ModelJob]:
        """The jobs of one shop."""
        return {name: job for name, job in self.jobs.items() if job.shop == shop}

    def holder(self, shop: str, natural: Natural) -> str | None:
        """Which job of the shop is about that."""
        names = [name for name, job in self.of(shop).items() if job.natural == natural]
        return names[0] if names else None

    def is_holding(self, worker: Worker) -> bool:
        """Whether this worker, and nobody after them, has the job."""
        job = self.jobs.get(worker.job_id)
        return job is not None and not job.is_final and job.attempt == worker.claim.attempt

    def unfinished(self) -> list[ModelJob]:
        """The jobs that have not ended."""
        return [job for job in self.jobs.values() if not job.is_final]

    def lost(self) -> list[ModelJob]:
        """Unfinished jobs that the queue has forgotten, for longer than is normal."""
        return [job for job in self.unfinished() if job.is_overdue and not job.is_queued]

    def fail_all(self, shop: str, code: str) -> None:
        """End every job of the shop that has not ended."""
        for job in self.unfinished():
            if job.shop == shop:
                job.end(JobStatus.FAILURE, code)

    def forget(self, shop: str, customer: str | None = None) -> None:
        """The jobs of a shop, or of one of its customers, were never here."""
        for name, job in self.of(shop).items():
            if customer is None or job.customer == customer:
                del self.jobs[name]
