"""The states of a job, and the only moves between them.

    NOT_STARTED ──claim──▶ IN_PROGRESS ──finish──▶ SUCCESS
         │                  │  ↺ claim again
         │                  │    (after a crash)
         └──────give up─────┴────────────────────▶ FAILURE

SUCCESS and FAILURE are final: no move leaves them, and each is entered together with the one
terminal event. `sources` is what every UPDATE of a status is guarded with.
"""

from enum import StrEnum


class JobStatus(StrEnum):
    """The status in the API."""

    NOT_STARTED = "NOT_STARTED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.NOT_STARTED: frozenset({JobStatus.IN_PROGRESS, JobStatus.FAILURE}),
    JobStatus.IN_PROGRESS: frozenset({JobStatus.IN_PROGRESS, JobStatus.SUCCESS, JobStatus.FAILURE}),
    JobStatus.SUCCESS: frozenset(),
    JobStatus.FAILURE: frozenset(),
}

UNFINISHED = frozenset({JobStatus.NOT_STARTED, JobStatus.IN_PROGRESS})


def sources(target: JobStatus) -> frozenset[JobStatus]:
    """The states from which `target` can be entered."""
    return frozenset(state for state, targets in MOVES.items() if target in targets)
