"""The states of a publication: the table is the diagram, and the database knows the same ones."""

from backend.publications.models import Publication, PublishedMedia
from backend.publications.states import (
    PUBLICATION_TRANSITIONS,
    TASK_STATES,
    MediaStatus,
    PublicationStatus,
    states_before,
)

ALL = set(PublicationStatus)


def test_every_state_is_reachable_and_restored_is_final() -> None:
    reached, frontier = set(), {PublicationStatus.PENDING}
    while frontier:
        reached |= frontier
        frontier = {
            target for state in frontier for target in PUBLICATION_TRANSITIONS[state]
        } - reached
    assert reached == ALL == set(PUBLICATION_TRANSITIONS)
    assert PUBLICATION_TRANSITIONS[PublicationStatus.RESTORED] == frozenset()


def test_every_state_can_lead_to_restoring() -> None:
    others = ALL - {PublicationStatus.RESTORED}
    assert states_before(PublicationStatus.RESTORING) == others


def test_every_unfinished_state_belongs_to_exactly_one_task() -> None:
    first, second = TASK_STATES.values()
    assert first.isdisjoint(second)
    finished = {PublicationStatus.PUBLISHED, PublicationStatus.FAILED, PublicationStatus.RESTORED}
    assert first | second == ALL - finished


def test_the_database_allows_the_same_states() -> None:
    for model, statuses in ((Publication, PublicationStatus), (PublishedMedia, MediaStatus)):
        checks = [
            str(constraint.sqltext)
            for constraint in model.__table__.constraints  # type: ignore[attr-defined]
            if str(constraint.name).endswith("_status")
        ]
        assert len(checks) == 1
        assert all(f"'{status}'" in checks[0] for status in statuses)
        assert checks[0].count("'") == 2 * len(statuses)
