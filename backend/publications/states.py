"""The states of a publication, and the only moves between them.

    PENDING ──claim──▶ PUBLISHING ──────▶ PUBLISHED
       │                │ │ ↺ claim again     │
       │                │ └────▶ FAILED       │
       │                │        ▲    │       │
       │                ▼        │    ▼       │
       └──── undo ──▶ RESTORING ─┴── undo ◀───┘
                        │ ↺ claim again
                        └──────▶ RESTORED

PUBLISHING with an error set is on its way to FAILED: it takes back what it has done so far. PENDING
goes to FAILED too when the app is removed. RESTORED is final. FAILED is left only by an undo, for
there can be something left that could not be taken back; a new publication may follow either.
`states_before` is what every UPDATE of a status is guarded with.

A picture of it goes PENDING ▶ CREATING ▶ PROCESSING ▶ READY ▶ ATTACHING ▶ ATTACHED ▶ REMOVED, and
from anywhere to REMOVED. CREATING and ATTACHING are intents: Shopify may have done it already.
"""

from enum import StrEnum

from backend import queue


class PublicationStatus(StrEnum):
    """The status in the API."""

    PENDING = "PENDING"
    PUBLISHING = "PUBLISHING"
    PUBLISHED = "PUBLISHED"
    FAILED = "FAILED"
    RESTORING = "RESTORING"
    RESTORED = "RESTORED"


class MediaStatus(StrEnum):
    """The status of one published image."""

    PENDING = "PENDING"
    CREATING = "CREATING"
    PROCESSING = "PROCESSING"
    READY = "READY"
    ATTACHING = "ATTACHING"
    ATTACHED = "ATTACHED"
    REMOVED = "REMOVED"


PUBLICATION_TRANSITIONS: dict[PublicationStatus, frozenset[PublicationStatus]] = {
    PublicationStatus.PENDING: frozenset(
        {PublicationStatus.PUBLISHING, PublicationStatus.RESTORING, PublicationStatus.FAILED}
    ),
    PublicationStatus.PUBLISHING: frozenset(
        {
            PublicationStatus.PUBLISHING,
            PublicationStatus.PUBLISHED,
            PublicationStatus.FAILED,
            PublicationStatus.RESTORING,
        }
    ),
    PublicationStatus.PUBLISHED: frozenset({PublicationStatus.RESTORING}),
    PublicationStatus.FAILED: frozenset({PublicationStatus.RESTORING}),
    PublicationStatus.RESTORING: frozenset(
        {PublicationStatus.RESTORING, PublicationStatus.RESTORED, PublicationStatus.FAILED}
    ),
    PublicationStatus.RESTORED: frozenset(),
}

TO_PUBLISH = frozenset({PublicationStatus.PENDING, PublicationStatus.PUBLISHING})
TO_RESTORE = frozenset({PublicationStatus.RESTORING})
UNFINISHED_PUBLICATION = TO_PUBLISH | TO_RESTORE
MEANT = TO_PUBLISH | {PublicationStatus.PUBLISHED}  # unless an error is set
# The task of a queue entry: undoing does not wait behind a publication that waits.
TASK_STATES = {queue.PUBLISH: TO_PUBLISH, queue.UNPUBLISH: TO_RESTORE}


def states_before(target: PublicationStatus) -> frozenset[PublicationStatus]:
    """The states from which `target` can be entered."""
    return frozenset(
        state for state, targets in PUBLICATION_TRANSITIONS.items() if target in targets
    )
