"""The states of a submission, and the only moves between them.

    WAITING ──▶ INTENDED ──▶ SUBMITTED ◀──▶ READY ──▶ COLLECTED
       ▲           │  ↺          │            │
       └───────────┘             └─────┬──────┘
                                       ▼
                          FAILED · LOST · CANCELLED

WAITING wants a place within the provider's limits. INTENDED is committed before the request is
sent: whoever finds it does not know whether the provider has it. SUBMITTED has the provider's id.
READY has its job on the queue, which collects the result or learns why there is none.
"""

from enum import StrEnum


class SubmissionStatus(StrEnum):
    """The status of one request to a provider."""

    WAITING = "WAITING"
    INTENDED = "INTENDED"
    SUBMITTED = "SUBMITTED"
    READY = "READY"
    COLLECTED = "COLLECTED"
    FAILED = "FAILED"
    LOST = "LOST"
    CANCELLED = "CANCELLED"


IN_FLIGHT = (SubmissionStatus.INTENDED, SubmissionStatus.SUBMITTED)  # each takes a place
POLLED = (SubmissionStatus.SUBMITTED, SubmissionStatus.READY)  # the provider can be asked about it
OPEN_STATES = (SubmissionStatus.WAITING, *IN_FLIGHT, SubmissionStatus.READY)
