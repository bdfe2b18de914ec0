"""The machine: what can happen to jobs, in any order, and what each of it must answer.

Each rule does one thing to the product and the same to the model; `Checks` compares the two after
every step. Two shops live side by side, so that whatever one does happens beside the other's work.
"""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    RuleStrategy,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.auth.guards import Visitor
from backend.failures.registry import Failure
from backend.jobs.asked_by import AskedBy
from backend.jobs.cancellation import cancel_job
from backend.jobs.creation import make_job
from backend.jobs.idempotency import Repeatable
from backend.jobs.lifecycle import (
    Checkpoint,
    JobLease,
    NewArtifact,
    advance,
    fail,
    lease_job,
    succeed,
)
from backend.jobs.service import JobRef, natural_key, request_job
from backend.jobs.states import JobStatus
from backend.jobs.storefront import DailyCaps, make_storefront_job, storefront_request
from backend.leased_task import Fenced
from backend.settings import UNLIMITED
from backend.shops.service import known_shop
from backend.worker.maintenance import requeue_overdue
from backend.workflows import WORKFLOWS
from backend.workflows.catalog_image import CATALOG_IMAGE
from backend.workflows.offer import WorkflowOffer
from tests.backend.jobs.machine.checks import CUSTOMERS, Checks
from tests.backend.jobs.machine.model import KeptAnswer, Model, ModelJob, ModelShop, Worker
from tests.backend.jobs.machine.shared_app import DAILY_CAP, FOR_ANYBODY, SHOPS, SharedApp
from tests.scenarios import refusal

BY_NAME = {workflow.name: workflow for workflow in WORKFLOWS.values()}
PRODUCTS = ("gid://shopify/Product/1", "gid://shopify/Product/2")
BROKEN = Failure(code="IMAGE_CORRUPT", message="The photo is broken.")

# How a worker ends a job, and what becomes of it.
ENDINGS: dict[str, Any] = {
    "well": (lambda connection, claimed: succeed(connection, claimed, {}), JobStatus.SUCCESS),
    "badly": (
        lambda connection, claimed: fail(connection, claimed, BROKEN),
        JobStatus.FAILURE,
        BROKEN.code,
    ),
}

# The least that each workflow wants beside the product.
WANTED: dict[str, dict[str, str]] = {
    "catalog-image": {},
    "product-to-model-direct": {"category": "top"},
}

sides = st.sampled_from(["north", "north", "south"])
names = st.sampled_from(sorted(WANTED))
products = st.sampled_from(PRODUCTS)
keys = st.sampled_from(["a", "b"])
customers = st.sampled_from([None, *CUSTOMERS])
nth = st.integers(0, 3)


def body_of(name: str, product: str) -> bytes:
    """What a merchant or a visitor sends."""
    return json.dumps({"product_id": product, **WANTED[name]}).encode()


def stages_of(name: str) -> tuple[str, ...]:
    """The workflow's stages by name, in order."""
    return tuple(stage.name for stage in BY_NAME[name].stages)


class EveryRule(RuleStrategy):
    """Leaves no rule out.

    Hypothesis leaves some out of each example, which finds more in hundreds of them. In twenty it
    finds less: half of the rules would hardly be used.
    """

    def _rule_is_enabled(self, each: Any) -> bool:
        return self.is_valid(each)


class JobMachine(RuleBasedStateMachine):
    """Hypothesis chooses the rules; each is a sentence about the product."""

    jobs = Bundle("jobs")
    workers = Bundle("workers")

    def __init__(self, shared_app: SharedApp, *, is_short: bool) -> None:
        super().__init__()
        if is_short:
            self._rules_strategy = EveryRule(self)
        self.shared_app = shared_app
        self.run = shared_app.run
        self.run(shared_app.emptied())
        self.domains = SHOPS
        self.model = Model({domain: ModelShop(domain) for domain in self.domains.values()})
        self.checks = Checks(shared_app, self.model)
        self.refs: dict[str, JobRef] = {}

    def teardown(self) -> None:
        """Whatever has happened, no unfinished job is lost for good."""
        self.run(self.age_unfinished())
        self.requeued()
        self.run(self.checks.all_hold())
        self.run(self.checks.lists_are_complete())

    @invariant()
    def all_is_well(self) -> None:
        """Everything that was promised."""
        self.run(self.checks.all_hold())

    # Merchants ask

    @initialize(target=jobs, name=names, product=products)
    def ask_first(self, name: str, product: str) -> Any:
        """Nothing happens where there is no job, and nothing is repeated where there is no key."""
        return self.ask(side="north", name=name, product=product, key="a", is_signed=False)

    @rule(
        target=jobs,
        side=sides,
        name=names,
        product=products,
        key=st.one_of(st.none(), keys),
        is_signed=st.booleans(),
    )
    def ask(self, side: str, name: str, product: str, key: str | None, is_signed: bool) -> Any:
        """Without a key every request is a new job; with one the same request is done once.

        Another body under the key is refused. The key counts in one shop and on one route, it is
        the same for every kind of caller, and after a day it is as good as new.
        """
        shop, body = self.domains[side], body_of(name, product)
        answer = self.run(self.shared_app.ask(shop, name, body, key, is_signed=is_signed))
        if not self.is_let_in(shop, answer):
            return multiple()
        kept = self.model.shops[shop].kept(name, key)
        if kept is None:
            job_id = self.born(shop, name, answer)
            if key is not None:
                self.model.shops[shop].keys[name, key] = KeptAnswer(body, answer.content, job_id)
            return job_id
        self.is_repeated(answer, kept, body)
        return multiple()

    @precondition(lambda self: self.live_keys())
    @rule(
        target=jobs,
        chosen=nth,
        product=products,
        hours=st.sampled_from([0, 1, 23, 25]),
        is_signed=st.booleans(),
    )
    def ask_again(self, chosen: int, product: str, hours: int, is_signed: bool) -> Any:
        """A key comes back some hours later, whatever has become of its job meanwhile."""
        found = self.live_keys()
        shop, name, key = found[chosen % len(found)]
        side = next(side for side, domain in self.domains.items() if domain == shop)
        self.keys_grow_old(shop, hours)
        return self.ask(side=side, name=name, product=product, key=key, is_signed=is_signed)

    # Visitors and webhooks ask

    @rule(target=jobs, side=sides, customer=customers, product=products)
    def visit(self, side: str, customer: str | None, product: str) -> Any:
        """The same visitor's question is the same job, unless it failed; a day has so many jobs."""
        name, shop, today = "product-to-model-direct", self.domains[side], datetime.now(UTC).date()
        body = body_of(name, product)
        answer = self.run(self.shared_app.visit(shop, customer, name, body))
        if not self.is_let_in(shop, answer):
            return multiple()
        natural = ("storefront", customer, name, product, today)
        earlier = self.model.holder(shop, natural)
        if earlier and self.model.jobs[earlier].status != JobStatus.FAILURE:
            assert answer.status_code == 202
            said = (answer.json()["job_id"], answer.json()["status"])
            assert said == (earlier, self.model.jobs[earlier].status)
            return multiple()
        visits = self.model.shops[shop].visits
        if visits.get(today, 0) >= (DAILY_CAP if customer else FOR_ANYBODY):
            assert refusal(answer) == (429, "DAILY_CAP_REACHED")
            return multiple()
        if earlier:
            self.model.jobs[earlier].natural = None
        visits[today] = visits.get(today, 0) + 1
        return self.born(
            shop, name, answer, origin="storefront", customer=customer, natural=natural
        )

    @rule(target=jobs, side=sides)
    def everybody_visits(self, side: str) -> Any:
        """Each on their own account asks for each product, which is more than a day has."""
        made = [
            self.visit(side=side, customer=customer, product=product)
            for product in PRODUCTS
            for customer in (None, *CUSTOMERS)
        ]
        return multiple(*(job for job in made if isinstance(job, str)))

    @precondition(lambda self: self.visits())
    @rule(target=jobs, chosen=nth, is_cancelled=st.booleans())
    def visit_again(self, chosen: int, is_cancelled: bool) -> Any:
        """A visitor repeats their question, perhaps because its job has come to nothing."""
        found = self.visits()
        job = found[chosen % len(found)]
        known = self.model.jobs[job]
        assert known.natural is not None
        side = next(side for side, domain in self.domains.items() if domain == known.shop)
        if is_cancelled:
            self.cancel(job=job, side=side)
        return self.visit(side=side, customer=known.customer, product=known.natural[3])

    @precondition(lambda self: self.open_sides())
    @rule(target=jobs, chosen=nth, product=products, picture=st.sampled_from(["1", "2"]))
    def product_changes(self, chosen: int, product: str, picture: str) -> Any:
        """A webhook asks once for each picture of a product, however often it is delivered."""
        sides = self.open_sides()
        shop, natural = self.domains[sides[chosen % len(sides)]], ("webhook", product, picture)
        found = self.run(known_shop(self.shared_app.running_app.database, shop))
        assert found is not None

        async def act(connection: AsyncConnection) -> JobRef | None:
            return await request_job(
                connection,
                CATALOG_IMAGE,
                shop_id=found.id,
                request={"product_id": product},
                origin="webhook",
                natural_key=natural_key(*natural),
            )

        ref = self.run(self.shared_app.commit(act))
        if self.model.holder(shop, natural):
            assert ref is None
            return multiple()
        assert ref is not None
        stages = stages_of(CATALOG_IMAGE.name)
        self.model.jobs[ref.public_id] = ModelJob(shop, "webhook", stages, natural=natural)
        self.refs[ref.public_id] = ref
        return ref.public_id

    # Workers

    @rule(target=workers, job=jobs)
    def claim(self, job: str) -> Any:
        """A worker takes the job, whoever has had it before; not a finished one, nor poison."""
        taken = self.run(
            self.shared_app.commit(lambda connection: lease_job(connection, self.refs[job]))
        )
        known = self.model.jobs.get(job)
        if known is None or not known.claim():
            assert taken is None
            return multiple()
        assert taken is not None
        assert (taken.attempt, taken.stage_attempts) == (known.attempt, known.stage_attempts)
        assert (taken.shop_domain, taken.origin) == (known.shop, known.origin)
        assert sorted(taken.done) == sorted(known.done)
        return Worker(taken, list(known.done))

    @precondition(lambda self: self.model.unfinished())
    @rule(target=workers, job=jobs, ending=st.sampled_from(sorted(ENDINGS)))
    def overtake(self, job: str, ending: str) -> Any:
        """A worker hangs, another takes the job over, and the first awakes: too late to write."""
        first, second = self.claim(job=job), self.claim(job=job)
        if not isinstance(first, Worker) or not isinstance(second, Worker):
            return multiple()
        self.work(worker=first, stages=2)
        self.finish(worker=first, ending=ending)
        return multiple(first, second)

    @precondition(lambda self: self.model.unfinished())
    @rule(job=jobs)
    def crash_until_it_is_poison(self, job: str) -> None:
        """Worker after worker dies on the job, until nobody takes it any more."""
        for _ in range(5):
            self.claim(job=job)

    @rule(worker=workers, stages=st.integers(1, 3))
    def work(self, worker: Worker, stages: int) -> None:
        """The worker records the next stages, as far as they know which."""
        for stage in self.stages_left(worker)[:stages]:
            self.recorded(worker, stage)

    @rule(worker=workers, ending=st.sampled_from(sorted(ENDINGS)))
    def finish(self, worker: Worker, ending: str) -> None:
        """The worker ends the job, at whatever stage it is."""
        act, *end = ENDINGS[ending]
        self.write(
            worker,
            lambda connection: act(connection, worker.claim),
            lambda job: job.end(*end),
        )

    @rule(target=workers, job=jobs, is_ended=st.booleans())
    def work_to_the_end(self, job: str, is_ended: bool) -> Any:
        """A worker for whom all goes well, or who dies with everything made and nothing said."""
        worker = self.claim(job=job)
        if not isinstance(worker, Worker):
            return multiple()
        self.work(worker=worker, stages=9)
        self.run(self.checks.all_hold())
        if is_ended:
            self.finish(worker=worker, ending="well")
        return worker

    # Merchants change their minds

    @rule(job=jobs, side=sides)
    def cancel(self, job: str, side: str) -> None:
        """It ends the shop's own job, once."""
        shop, known = self.domains[side], self.model.jobs.get(job)
        answer = self.run(self.shared_app.cancel(shop, job))
        if not self.is_let_in(shop, answer):
            return
        if known is None or known.shop != shop:
            assert refusal(answer) == (404, "JOB_NOT_FOUND")
        elif known.is_final:
            assert refusal(answer) == (409, "JOB_ALREADY_FINISHED")
        else:
            assert answer.status_code == 202
            assert answer.json() == {"public_id": job, "status": "FAILURE"}
            known.end(JobStatus.FAILURE, "CANCELLED")

    @precondition(lambda self: self.model.unfinished())
    @rule(side=sides, is_true=st.booleans())
    def hear_that_the_app_was_removed(self, side: str, is_true: bool) -> None:
        """Every job ends with the account; a late or false report changes nothing."""
        shop = self.model.shops[self.domains[side]]
        if is_true:
            self.shared_app.running_app.shopify.uninstall(shop.domain)
        told = self.run(self.shared_app.deliver(shop.domain, "app/uninstalled"))
        if shop.is_installed and is_true:
            assert told == ("processed", "UNINSTALLED")
            shop.is_installed = False
            self.model.fail_all(shop.domain, "SHOP_UNINSTALLED")
        else:
            assert told[0] == "ignored"

    @precondition(lambda self: len(self.open_sides()) < 2)
    @rule()
    def come_back(self) -> None:
        """Whoever has left installs the app again, and finds what was not erased."""
        for shop in self.model.shops.values():
            if not shop.is_installed:
                self.run(self.shared_app.come_back(shop.domain))
                shop.is_installed = True

    @precondition(lambda self: self.model.jobs)
    @rule(side=sides, whom=st.sampled_from([*CUSTOMERS, "everybody"]))
    def forget(self, side: str, whom: str) -> None:
        """A customer's jobs go and nobody else's; all that a shop had goes once it has left."""
        shop = self.model.shops[self.domains[side]]
        if whom != "everybody":
            payload: dict[str, object] = {
                "shop_domain": shop.domain,
                "customer": {"id": int(whom)},
                "orders_to_redact": [],
            }
            self.run(self.shared_app.deliver(shop.domain, "customers/redact", payload))
            self.model.forget(shop.domain, whom)
            return
        told = self.run(self.shared_app.deliver(shop.domain, "shop/redact"))
        if shop.is_installed:
            assert told == ("ignored", "REINSTALLED")
            return
        self.model.forget(shop.domain)
        shop.keys.clear()
        shop.visits.clear()

    # The machinery breaks down

    @precondition(lambda self: any(job.is_queued for job in self.model.unfinished()))
    @rule(side=sides)
    def lose_the_queue(self, side: str) -> None:
        """The queue gives up the entries of a shop's jobs."""
        self.run(
            self.shared_app.running_app.execute(
                "DELETE FROM queue.pgqueuer q USING jobs j JOIN shops s ON s.id = j.shop_id "
                "WHERE s.domain = :d "
                "AND q.dedupe_key = 'run_job:' || j.shop_id || ':' || j.public_id",
                d=self.domains[side],
            )
        )
        for job in self.model.of(self.domains[side]).values():
            job.is_queued = False

    @precondition(lambda self: any(not job.is_queued for job in self.model.unfinished()))
    @rule(is_overdue=st.booleans())
    def look_for_lost_jobs(self, is_overdue: bool) -> None:
        """Maintenance finds what is lost for longer than is normal, and nothing else."""
        if is_overdue:
            self.run(self.age_unfinished())
        self.requeued()

    @rule(worker=workers, what=st.sampled_from(["advance", *ENDINGS]))
    def crash_while_writing(self, worker: Worker, what: str) -> None:
        """A worker dies before the commit: nothing has happened, and it may be done again."""

        async def act(connection: AsyncConnection) -> None:
            if what in ENDINGS:
                await ENDINGS[what][0](connection, worker.claim)
            else:
                stage = (self.stages_left(worker) or ["encode"])[0]
                await record(connection, worker.claim, stage, is_last=True)

        if self.model.is_holding(worker):
            self.run(self.shared_app.crash(act))
            return
        with pytest.raises(Fenced):
            self.run(self.shared_app.crash(act))

    @rule(job=jobs, is_cancel=st.booleans())
    def crash_while_taking(self, job: str, is_cancel: bool) -> None:
        """The attempt does not count, and nothing ends."""
        known = self.model.jobs.get(job)
        if not is_cancel:
            self.run(
                self.shared_app.crash(lambda connection: lease_job(connection, self.refs[job]))
            )
        elif known and not known.is_final:
            self.run(
                self.shared_app.crash(
                    lambda connection: cancel_job(connection, shop_domain=known.shop, public_id=job)
                )
            )

    @precondition(lambda self: self.open_sides())
    @rule(chosen=nth, product=products, key=keys)
    def crash_while_asking(self, chosen: int, product: str, key: str) -> None:
        """Neither the job nor its event, its queue entry nor its key stay."""
        sides, workflow = self.open_sides(), CATALOG_IMAGE
        shop = self.domains[sides[chosen % len(sides)]]
        if self.model.shops[shop].kept(workflow.name, key):
            return

        async def act(connection: AsyncConnection) -> None:
            made = await make_job(
                connection,
                workflow,
                workflow.request(product_id=product),
                shop_domain=shop,
                asked_by=AskedBy(kind="signed_request"),
                request_id="crash",
                offer=WorkflowOffer(),
                quotas=UNLIMITED,
                repeatable=Repeatable(
                    route=f"POST /v1/{workflow.name}",
                    key=key,
                    body=body_of(workflow.name, product),
                ),
            )
            assert not made.is_replay

        self.run(self.shared_app.crash(act))

    @precondition(lambda self: self.free_sides())
    @rule(chosen=nth, customer=customers, product=products)
    def crash_while_visiting(self, chosen: int, customer: str | None, product: str) -> None:
        """The visit does not count, and a failed job keeps its key."""
        sides, workflow = self.free_sides(), BY_NAME["product-to-model-direct"]
        shop = self.domains[sides[chosen % len(sides)]]
        asked = storefront_request(workflow)(product_id=product, category="top")

        async def act(connection: AsyncConnection) -> None:
            await make_storefront_job(
                connection,
                workflow,
                asked,
                visitor=Visitor(shop=shop, customer_id=customer),
                request_id="crash",
                caps=DailyCaps(shop=DAILY_CAP, visitor=DAILY_CAP),
                quotas=UNLIMITED,
            )

        self.run(self.shared_app.crash(act))

    # What the rules share

    def is_let_in(self, shop: str, answer: httpx.Response) -> bool:
        """Whether the shop has the app; if not, that is what it is told."""
        if self.model.shops[shop].is_installed:
            return True
        assert refusal(answer) == (401, "SHOP_NOT_INSTALLED")
        return False

    def born(self, shop: str, name: str, answer: httpx.Response, **what: Any) -> str:
        """The answer is that of a new job; its id."""
        assert answer.status_code == 202, answer.text
        assert "idempotency-replayed" not in answer.headers
        job_id: str = answer.json()["job_id"]
        assert answer.json()["status"] == "NOT_STARTED"
        assert job_id not in self.refs, "an id is never given twice"
        job = ModelJob(shop, what.pop("origin", "api"), stages_of(name), **what)
        self.model.jobs[job_id] = job
        found = self.run(known_shop(self.shared_app.running_app.database, shop))
        assert found is not None
        self.refs[job_id] = JobRef(shop_id=found.id, public_id=job_id)
        return job_id

    def keys_grow_old(self, shop: str, hours: int) -> None:
        """Time passes for all keys of a shop."""
        for kept in self.model.shops[shop].keys.values():
            kept.age += hours
        self.run(
            self.shared_app.running_app.execute(
                "UPDATE idempotency_keys SET created_at = created_at - make_interval(hours => :h) "
                "WHERE shop_id = (SELECT id FROM shops WHERE domain = :d)",
                h=hours,
                d=shop,
            )
        )

    def is_repeated(self, answer: httpx.Response, kept: KeptAnswer, body: bytes) -> None:
        """The first answer once more, to the byte; or a refusal if the body is another."""
        if body != kept.body:
            assert refusal(answer) == (422, "IDEMPOTENCY_KEY_REUSED")
            return
        assert (answer.status_code, answer.content) == (202, kept.content)
        assert answer.headers["idempotency-replayed"] == "true"
        assert answer.headers["location"] == f"/v1/jobs/{kept.job_id}"

    def stages_left(self, worker: Worker) -> list[str]:
        """What the worker still has to make, as far as they know."""
        stages = next(
            stages_of(each.name)
            for each in WORKFLOWS.values()
            if each.job_type == worker.claim.job_type
        )
        return [stage for stage in stages if stage not in worker.done]

    def recorded(self, worker: Worker, stage: str) -> None:
        """The worker records that stage; the last one delivers the pictures."""
        is_last = self.stages_left(worker) == [stage]
        made = [(stage, item.name, item.role) for item in pictures(stage, is_last=is_last)]
        self.write(
            worker,
            lambda connection: record(connection, worker.claim, stage, is_last=is_last),
            lambda job: job.advance(stage, made),
        )
        worker.done.append(stage)

    def write(
        self,
        worker: Worker,
        act: Callable[[AsyncConnection], Awaitable[None]],
        effect: Callable[[ModelJob], None],
    ) -> None:
        """Let the worker write: it counts if they have the job, and else they are told."""
        if self.model.is_holding(worker):
            self.run(self.shared_app.commit(act))
            effect(self.model.jobs[worker.job_id])
            return
        with pytest.raises(Fenced):
            self.run(self.shared_app.commit(act))

    def requeued(self) -> None:
        """Maintenance looks."""
        lost = self.model.lost()
        assert self.run(requeue_overdue(self.shared_app.running_app.database)) == len(lost)
        for job in lost:
            job.is_queued = True

    async def age_unfinished(self) -> None:
        """Two minutes pass for whatever has not ended."""
        await self.shared_app.running_app.execute(
            "UPDATE jobs SET created_at = now() - interval '2 minutes' WHERE finished_at IS NULL"
        )
        for job in self.model.jobs.values():
            job.is_overdue = job.is_overdue or not job.is_final

    def open_sides(self) -> list[str]:
        """The shops that have the app."""
        return [
            side for side, domain in self.domains.items() if self.model.shops[domain].is_installed
        ]

    def free_sides(self) -> list[str]:
        """The shops that have the app and whose visitors may still ask today."""
        today = datetime.now(UTC).date()
        return [
            side
            for side in self.open_sides()
            if self.model.shops[self.domains[side]].visits.get(today, 0) < FOR_ANYBODY
        ]

    def visits(self) -> list[str]:
        """The storefront's jobs that still stand for their question."""
        return [
            name
            for name, job in self.model.jobs.items()
            if job.origin == "storefront" and job.natural
        ]

    def live_keys(self) -> list[tuple[str, str, str]]:
        """The keys that still stand for an answer, of shops that have the app."""
        return [
            (shop.domain, *where)
            for shop in self.model.shops.values()
            for where in shop.keys
            if shop.is_installed and shop.kept(*where)
        ]


async def record(
    connection: AsyncConnection, claimed: JobLease, stage: str, *, is_last: bool
) -> None:
    """Record a stage with its pictures, as the worker does; no object is stored."""
    made = pictures(stage, is_last=is_last)
    await advance(
        connection,
        claimed,
        stage=stage,
        message=f"Made {stage}",
        progress={},
        checkpoint=Checkpoint(files={item.name: item.key for item in made}, facts={}),
        artifacts=made,
    )


def pictures(stage: str, *, is_last: bool) -> list[NewArtifact]:
    """Two final pictures of the last stage, one to look at of the third, none of the others."""
    role, count = ("final", 2) if is_last else ("intermediate", int(stage == "segment"))
    return [
        NewArtifact(
            name=f"picture-{number}",
            role=role,
            kind="catalog_image",
            label=None,
            key=f"artifacts/nobody/{stage}/{number}",
            meta={"content_type": "image/png", "width": 1, "height": 1},
        )
        for number in range(count)
    ]
