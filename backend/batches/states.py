"""The states of a batch: what is stored of its expansion, and what is told of it as a whole.

    EXPANDING ──────▶ EXPANDED ────┐
     ▲ │ ↺ claim again             │
     │ ├────────────▶ FAILED ──────┤
     │ └─ cancel ─▶ CANCELLED ◀────┤ cancel, while jobs of it run
     │                  │          │
     └───── retry ──────┴──────────┘

The expansion makes the items, and a job for each. A retry has it make new jobs for the items that
failed, and go on reading the collection where it was left. `status_of` tells the whole from the
stored state and the counts.
"""

from enum import StrEnum

import msgspec


class Expansion(StrEnum):
    """The stored state: the progress of creating items and jobs."""

    EXPANDING = "EXPANDING"
    EXPANDED = "EXPANDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class BatchStatus(StrEnum):
    """The status in the API."""

    EXPANDING = "EXPANDING"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    PARTIAL = "PARTIAL"
    FAILURE = "FAILURE"
    CANCELLED = "CANCELLED"


RUNNING = frozenset({BatchStatus.EXPANDING, BatchStatus.IN_PROGRESS})


class BatchCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The batch's products by status of their newest job; one without a job is `failed`."""

    total: int = 0
    not_started: int = 0
    in_progress: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def unfinished(self) -> int:
        """How many are unfinished."""
        return self.not_started + self.in_progress


def status_of(expansion: Expansion, counts: BatchCounts) -> BatchStatus:
    """The status of the whole batch. If the expansion fails, jobs that it created continue."""
    if expansion is Expansion.EXPANDING:
        return BatchStatus.EXPANDING
    if expansion is Expansion.CANCELLED:
        return BatchStatus.CANCELLED
    if counts.unfinished:
        return BatchStatus.IN_PROGRESS
    if expansion is Expansion.EXPANDED and not counts.failed:
        return BatchStatus.SUCCESS
    return BatchStatus.PARTIAL if counts.succeeded else BatchStatus.FAILURE
