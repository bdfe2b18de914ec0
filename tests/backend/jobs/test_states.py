"""The state table."""

from backend.jobs.states import MOVES, UNFINISHED, JobStatus, sources


def test_no_move_leaves_a_final_state() -> None:
    final = set(JobStatus) - UNFINISHED
    assert final == {JobStatus.SUCCESS, JobStatus.FAILURE}
    assert all(MOVES[state] == frozenset() for state in final)


def test_only_a_running_job_succeeds_and_any_unfinished_one_can_fail() -> None:
    assert sources(JobStatus.SUCCESS) == {JobStatus.IN_PROGRESS}
    assert sources(JobStatus.FAILURE) == UNFINISHED
    assert sources(JobStatus.IN_PROGRESS) == UNFINISHED
    assert sources(JobStatus.NOT_STARTED) == frozenset()
