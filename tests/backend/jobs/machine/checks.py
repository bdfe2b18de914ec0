"""What has to hold after every step: the database and the API are as the model has them."""

import copy
from collections import Counter
from typing import Any

import httpx
import msgspec
from sqlalchemy import text

from backend.jobs.states import MOVES, JobStatus
from tests.backend.jobs.machine.model import FINAL, Model, ModelJob
from tests.backend.jobs.machine.shared_app import DAILY_CAP, SharedApp

Row = dict[str, Any]
Shown = tuple[ModelJob, bool]  # and whether its shop has the app

TERMINAL = {"succeeded", "failed"}
CUSTOMERS = ("7", "8")

MOVED = "SELECT DISTINCT source, target FROM moves"
JOBS = """
SELECT s.domain, j.public_id, j.origin, j.customer_id, j.natural_key, j.status, j.attempt,
       j.strikes, j.last_seq, j.started_at, j.finished_at,
       (SELECT json_agg(json_build_array(seq, event_type, stage, extra->'error'->>'code')
                        ORDER BY seq)::text
        FROM job_events e WHERE e.shop_id = j.shop_id AND e.job_id = j.public_id) AS events,
       (SELECT json_agg(json_build_array(stage, name, role) ORDER BY seq, ordinal)::text
        FROM artifacts a WHERE a.shop_id = j.shop_id AND a.job_id = j.public_id) AS artifacts,
       (SELECT json_agg(stage ORDER BY created_at)::text
        FROM job_stages c WHERE c.shop_id = j.shop_id AND c.job_id = j.public_id) AS checkpoints,
       (SELECT count(*) FROM queue.pgqueuer q WHERE q.status IN ('queued', 'picked')
        AND q.dedupe_key = 'run_job:' || j.shop_id || ':' || j.public_id) AS entries
FROM jobs j JOIN shops s ON s.id = j.shop_id
"""
SHOPS = """
SELECT domain, status,
       (SELECT count(*) FROM idempotency_keys k WHERE k.shop_id = s.id) AS keys,
       (SELECT coalesce(json_object_agg(day, amount), '{}')::text
        FROM daily_counts d WHERE d.shop_id = s.id AND d.what = 'storefront_jobs') AS visits
FROM shops s
"""


def rows(aggregate: str | None) -> list[Any]:
    """What an aggregate holds; Postgres aggregates nothing to null."""
    return msgspec.json.decode(aggregate or "[]", type=list[Any])


class Checks:
    """The comparison. It remembers what the API has shown already, and looks where things moved."""

    def __init__(self, shared_app: SharedApp, model: Model) -> None:
        self.shared_app = shared_app
        self.model = model
        self.shown: dict[str, Shown] = {}

    async def all_hold(self) -> None:
        """Everything that was promised."""
        async with self.shared_app.running_app.database.reading() as connection:
            moves, shops, jobs = [
                [dict(row) for row in (await connection.execute(text(sql))).mappings()]
                for sql in (MOVED, SHOPS, JOBS)
            ]
        for move in moves:
            assert move["target"] in MOVES[JobStatus(move["source"])], move
        self.shops_are_as_modelled({row["domain"]: row for row in shops})
        self.jobs_are_as_modelled({row["public_id"]: row for row in jobs})
        await self.the_api_shows_what_has_moved()

    def shops_are_as_modelled(self, found: dict[str, Row]) -> None:
        """Installed or not; as many kept answers, as many visits and never more than the cap."""
        for domain, shop in self.model.shops.items():
            if domain not in found:
                assert not shop.is_installed and not shop.keys and not shop.visits
                continue
            row = found[domain]
            assert (row["status"] == "installed") == shop.is_installed
            assert row["keys"] == len(shop.keys)
            visits = msgspec.json.decode(row["visits"])
            assert visits == {day.isoformat(): count for day, count in shop.visits.items()}
            assert all(count <= DAILY_CAP for count in visits.values())

    def jobs_are_as_modelled(self, found: dict[str, Row]) -> None:
        """No job more and none less, each with its whole timeline."""
        assert found.keys() == self.model.jobs.keys()
        for name, row in found.items():
            is_sound(row)
            is_as_modelled(row, self.model.jobs[name])

    async def the_api_shows_what_has_moved(self) -> None:
        """Jobs that are other than they were, or whose shop is.

        Another shop looks too when a job is new, has ended or has gone; visitors, when it is new
        or has gone.
        """
        for name in {**self.model.jobs, **self.shown}:
            before, now = self.shown.get(name), self.state(name)
            if before == now:
                continue
            await self.looked_at(name, before, now)
            if now is None:
                del self.shown[name]
            else:
                self.shown[name] = copy.deepcopy(now)

    def state(self, name: str) -> Shown | None:
        """What decides how a job looks."""
        job = self.model.jobs.get(name)
        return None if job is None else (job, self.model.shops[job.shop].is_installed)

    async def looked_at(self, name: str, before: Shown | None, now: Shown | None) -> None:
        """The job as its shop, another shop and visitors see it, or do not."""
        running_app = self.shared_app.running_app
        known = now or before
        assert known is not None
        job = known[0]
        answer = await running_app.detail(name, shop=job.shop)
        self.is_seen(answer, job.shop, job if now else None)
        if before and now and not job.is_final:
            return
        for domain in self.model.shops:
            if domain != job.shop:
                self.is_seen(await running_app.detail(name, shop=domain), domain, None)
        if before and now:
            return
        for customer in (None, *CUSTOMERS) if job.origin == "storefront" else (None,):
            answer = await self.shared_app.visit(job.shop, customer, f"jobs/{name}")
            is_visible = now is not None and job.is_visible_to(customer)
            self.is_seen(answer, job.shop, job if is_visible else None)

    def is_seen(self, answer: httpx.Response, domain: str, job: ModelJob | None) -> None:
        """The answer shows the job as it stands, or says nothing of it."""
        if not self.model.shops[domain].is_installed:
            assert answer.status_code == 401
        elif job is None:
            assert answer.status_code == 404
        else:
            assert answer.status_code == 200
            is_shown(answer.json(), job)

    async def lists_are_complete(self) -> None:
        """Each shop's list has each of its jobs, newest first, and no other's."""
        running_app = self.shared_app.running_app
        for domain, shop in self.model.shops.items():
            answer = await running_app.http.get(
                "/v1/jobs?limit=200", headers=running_app.bearer(domain)
            )
            if not shop.is_installed:
                assert answer.status_code == 401
                continue
            listed = [(job["public_id"], job["status"]) for job in answer.json()["jobs"]]
            expected = {name: str(job.status) for name, job in self.model.of(domain).items()}
            assert listed == sorted(expected.items(), reverse=True)


def is_sound(row: Row) -> None:
    """What holds of every job whatever has happened to it, told from its rows alone."""
    events = rows(row["events"])
    types = Counter(kind for _, kind, _, _ in events)
    is_final = row["status"] in FINAL
    assert [seq for seq, *_ in events] == list(range(1, row["last_seq"] + 1))
    assert events[0][1] == "queued" and types["queued"] == 1
    assert types["succeeded"] == (row["status"] == "SUCCESS")
    assert types["failed"] == (row["status"] == "FAILURE")
    assert not is_final or events[-1][1] in TERMINAL, "nothing comes after the end"
    assert (row["finished_at"] is not None) == is_final
    artifacts = [(stage, name) for stage, name, *_ in rows(row["artifacts"])]
    assert len(artifacts) == len(set(artifacts))
    assert rows(row["checkpoints"]) == [stage for _, _, stage, _ in events if stage is not None]


def is_as_modelled(row: Row, job: ModelJob) -> None:
    """Field for field."""
    assert row["domain"] == job.shop
    assert row["origin"] == job.origin
    assert row["customer_id"] == job.customer
    assert (row["natural_key"] is None) == (job.natural is None)
    assert row["status"] == job.status
    assert (row["attempt"], row["strikes"]) == (job.attempt, job.stage_attempts)
    assert (row["started_at"] is not None) == (job.attempt > 0)
    assert [tuple(event[1:]) for event in rows(row["events"])] == job.events
    assert [tuple(item[:3]) for item in rows(row["artifacts"])] == job.artifacts
    if not job.is_final:
        assert row["entries"] == job.is_queued


def is_shown(body: dict[str, Any], job: ModelJob) -> None:
    """The header, the last event and, once it has succeeded, the final pictures."""
    assert body["status"] == job.status
    last = body["latest_event"]
    kind, stage, code = job.events[-1]
    assert (last["seq"], last["event_type"], last["stage"]) == (len(job.events), kind, stage)
    assert last["extra"].get("error", {}).get("code") == code
    finals = [item for item in job.artifacts if item[2] == "final"]
    assert len(body["result"]) == (len(finals) if job.status == JobStatus.SUCCESS else 0)
