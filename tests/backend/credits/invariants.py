"""What holds of every ledger at every moment, told by SQL of its own from one snapshot."""

import asyncio
import contextlib
from typing import Any

from tests.backend.credits.history import History
from tests.running_app import RunningApp

SUMS = """
SELECT a.shop_id, a.available, a.held, a.last_seq,
       (SELECT coalesce(sum(remaining), 0) FROM credit_grants g
        WHERE g.shop_id = a.shop_id) AS lots,
       (SELECT coalesce(sum(d_available), 0) FROM credit_entries e
        WHERE e.shop_id = a.shop_id) AS d_available,
       (SELECT coalesce(sum(d_held), 0) FROM credit_entries e
        WHERE e.shop_id = a.shop_id) AS d_held,
       (SELECT count(*) FROM credit_entries e WHERE e.shop_id = a.shop_id) AS entries,
       (SELECT coalesce(sum(credits_cost), 0) FROM jobs j WHERE j.shop_id = a.shop_id
        AND status IN ('NOT_STARTED', 'IN_PROGRESS')) AS unfinished,
       (SELECT coalesce(-sum(d_held), 0) FROM credit_entries e WHERE e.shop_id = a.shop_id
        AND kind = 'capture') AS captured,
       (SELECT coalesce(sum(d_available), 0) FROM credit_entries e WHERE e.shop_id = a.shop_id
        AND kind = 'grant') AS granted,
       (SELECT coalesce(min(least(available, held)), 0) FROM (
           SELECT sum(d_available) OVER past AS available, sum(d_held) OVER past AS held
           FROM credit_entries e WHERE e.shop_id = a.shop_id WINDOW past AS (ORDER BY seq)
        ) AS balances) AS lowest
FROM credit_accounts a
"""
JOBS = """
SELECT coalesce(e.job_id, j.public_id) AS job_id, j.status, j.credit_state, j.credits_cost,
       e.holds, e.captures, e.releases, e.held, e.taken,
       (SELECT coalesce(sum(amount), 0) FROM credit_hold_lots l
        WHERE l.shop_id = e.shop_id AND l.job_id = e.job_id) AS of_lots
FROM (
    SELECT shop_id, job_id,
           count(*) FILTER (WHERE kind = 'hold') AS holds,
           count(*) FILTER (WHERE kind = 'capture') AS captures,
           count(*) FILTER (WHERE kind = 'release') AS releases,
           sum(d_held) AS held,
           sum(d_held) FILTER (WHERE kind = 'hold') AS taken
    FROM credit_entries WHERE job_id IS NOT NULL GROUP BY 1, 2
) AS e
FULL JOIN jobs j ON j.shop_id = e.shop_id AND j.public_id = e.job_id
"""
ENTRIES = "SELECT * FROM credit_entries ORDER BY shop_id, seq"
BETWEEN_CHECKS = 0.2  # seconds
ENDS = {"NOT_STARTED": (0, 0), "IN_PROGRESS": (0, 0), "SUCCESS": (1, 0), "FAILURE": (0, 1)}


class Invariants:
    """The checks. They remember the entries, which must never change."""

    def __init__(self, running_app: RunningApp) -> None:
        self.running_app = running_app
        self.seen: dict[tuple[int, int], dict[str, Any]] = {}

    async def hold(self) -> None:
        """Raise `AssertionError` if one of them does not."""
        for sums in await self.running_app.rows(SUMS):
            assert sums["available"] == sums["lots"] == sums["d_available"], sums
            assert sums["held"] == sums["unfinished"] == sums["d_held"], sums
            assert sums["lowest"] >= 0, sums
            assert sums["captured"] <= sums["granted"], sums
            assert sums["entries"] == sums["last_seq"], sums
        for job in await self.running_app.rows(JOBS):
            job_is_paid_once(job)
        entries = {
            (row["shop_id"], row["seq"]): row for row in await self.running_app.rows(ENTRIES)
        }
        assert {key: entries.get(key) for key in self.seen} == self.seen, "an entry has changed"
        self.seen = entries

    def agree_with(self, history: History) -> None:
        """Raise `AssertionError` if the entries are not what the writers were told."""
        mine = [row for row in self.seen.values() if row["shop_id"] == history.shop_id]
        granted = [row["d_available"] for row in mine if row["kind"] == "grant"]
        assert sorted(granted) == sorted(history.told.grants.values())
        held = {row["job_id"]: row["d_held"] for row in mine if row["kind"] == "hold"}
        assert held == history.told.jobs, "a job is lost, or nobody was told of it"
        ended = {
            row["job_id"]: row["kind"] for row in mine if row["kind"] in {"capture", "release"}
        }
        assert {job: ended.get(job) for job in history.told.ends} == history.told.ends


def job_is_paid_once(job: dict[str, Any]) -> None:
    """One hold, and one capture or release with its end; a job that was deleted had ended."""
    assert job["holds"] == 1, job
    assert job["taken"] == job["of_lots"], job
    ends = (job["captures"], job["releases"])
    assert ends in {(0, 0), (1, 0), (0, 1)}, job
    assert job["held"] == (0 if sum(ends) else job["taken"]), job
    if job["status"] is None:
        assert sum(ends) == 1, job
        return
    assert ends == ENDS[job["status"]], job
    assert job["credits_cost"] == job["taken"], job


async def checks_until(stopped: asyncio.Event, invariants: Invariants) -> int:
    """Check again and again until that is set; how often."""
    checked = 0
    while not stopped.is_set():
        await invariants.hold()
        checked += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), BETWEEN_CHECKS)
    return checked
