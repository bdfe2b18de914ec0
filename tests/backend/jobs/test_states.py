"""The state table."""

from backend.jobs.states import MOVES, UNFINISHED, JobStatus, sources


def test_final_states_have_no_transitions() -> None:
    final = set(JobStatus) - UNFINISHED
    assert final == {JobStatus.SUCCESS, JobStatus.FAILURE}
    assert all(MOVES[state] == frozenset() for state in final)


def test_only_running_jobs_succeed_and_any_unfinished_job_can_fail() -> None:
    assert sources(JobStatus.SUCCESS) == {JobStatus.IN_PROGRESS}
    assert sources(JobStatus.FAILURE) == UNFINISHED
    assert sources(JobStatus.IN_PROGRESS) == UNFINISHED
    assert sources(JobStatus.NOT_STARTED) == frozenset()
