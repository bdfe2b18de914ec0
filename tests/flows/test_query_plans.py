"""Nothing that is asked often reads a whole table: each goes by an index, however much there is.

The database has enough rows for Postgres to have a choice, and up-to-date statistics. Left out is
what is there to read everything, once a night (the sweep of the bucket, what is forgotten after its
time), and the queue's own tables.
"""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import asyncpg
import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.account.balance import BALANCE
from backend.account.transactions import OPERATIONS_PAGE, PURCHASES_PAGE
from backend.account.usage import USAGE
from backend.batches import leases as batches
from backend.batches import queries as batch_queries
from backend.batches.service import stop_batch
from backend.db import Database, Query
from backend.dev.services import LocalServices
from backend.failures.codes import CANCELLED, ERASED
from backend.gallery.render_queries import RENDER_PAGE_OF_CATEGORY
from backend.jobs import completion, erasure, lifecycle, queries
from backend.jobs.cancellation import cancel_job
from backend.jobs.daily_quotas import amount_of, is_within
from backend.jobs.idempotency import Repeatable, answered_before
from backend.jobs.ids import new_public_id
from backend.jobs.listing import JobListRequest, job_list
from backend.jobs.models import Job
from backend.jobs.reopen import reopen
from backend.jobs.service import JobRef, request_job, request_jobs
from backend.jobs.states import JobStatus
from backend.jobs.storefront import release_failed, unfailed_job
from backend.overview.queries import OVERVIEW
from backend.privacy import queries as privacy_queries
from backend.privacy.service import forget_requests, keep_request
from backend.publications import leases as publications
from backend.publications import queries as publication_queries
from backend.publications.service import publication, stop_publications
from backend.review.dismissal import dismiss, take_dismissal_back
from backend.review.queries import REVIEW_PAGE
from backend.rules.settings import shop_settings
from backend.shops.service import ShopRef, erase, installed_id, known_shop
from backend.tenancy import WEB, WORKER, enter
from backend.uploads.service import keep_uploads
from backend.worker import expiry, maintenance, reauth, retention
from backend.worker.batch_counts import settle_batches
from backend.workflows.catalog_image import CATALOG_IMAGE
from tests.benchmarks.http import data
from tests.plans import Plans
from tests.running_app import cloned_database
from webhooks.outcome import processed
from webhooks.payloads import Delivery
from webhooks.receive import DeliveryRef, settle, store_delivery, unsettled

JOBS = 4_000
SHOP = "shop-0.myshopify.com"
SHOP_ID = 1
TABLES = """
INSERT INTO shops (domain, status)
SELECT 'quiet-' || n || '.myshopify.com', 'installed' FROM generate_series(1, 3000) n;

INSERT INTO webhook_deliveries (shop_domain, topic, webhook_id, status, body, received_at)
SELECT 'shop-' || n % 100 || '.myshopify.com', 'products/update', 'delivery-' || n,
       CASE WHEN n < 20 THEN 'received' WHEN n < 40 THEN 'failed' ELSE 'processed' END,
       repeat('b', 200)::bytea, now() - n * interval '5 minutes'
FROM generate_series(1, 9000) n;

INSERT INTO idempotency_keys (shop_id, route, key, fingerprint, answer, created_at)
SELECT 1 + n % 100, 'POST /v1/catalog-image', 'key-' || n, md5(n::text),
       jsonb_build_object('public_id', repeat('a', 100)), now() - n * interval '15 seconds'
FROM generate_series(1, 6000) n;

INSERT INTO daily_counts (shop_id, day, what, amount)
SELECT 1 + n % 3000, current_date - n % 9, 'rule_credits', 1 FROM generate_series(1, 9000) n;

INSERT INTO shop_settings (shop_id, rules, daily_credit_cap)
SELECT n, '[]', 100 FROM generate_series(1, 3000) n;

INSERT INTO seen_pictures (shop_id, product_id, source, trigger)
SELECT 1 + n % 100, 'gid://shopify/Product/' || n, md5(n::text), 'product_created'
FROM generate_series(1, 6000) n;

INSERT INTO past_jobs (shop_id, natural_key)
SELECT 1 + n % 100, md5(n::text) FROM generate_series(1, 6000) n;

INSERT INTO uploads (shop_id, upload_key, key, created_at, stored_at, used_at)
SELECT 1 + n % 100, 'upload-' || n, 'uploads/' || md5(n::text), now() - n * interval '10 minutes',
       now(), CASE WHEN n % 300 = 0 THEN NULL ELSE now() END
FROM generate_series(1, 6000) n;

INSERT INTO job_stages (shop_id, job_id, stage, attempt, files)
SELECT shop_id, public_id, 'encode', 1, '{"final.jpg": "artifacts/1.jpg"}' FROM jobs;

INSERT INTO publications (shop_id, job_id, round, product_id, status)
SELECT shop_id, public_id, 1, request->>'product_id', 'PUBLISHED' FROM jobs;

INSERT INTO published_media
       (shop_id, job_id, number, round, stage, name, sha256, filename, status, media_id, position)
SELECT shop_id, public_id, 1, 1, 'encode', 'catalog-0', md5(public_id), public_id, 'ATTACHED',
       'gid://shopify/MediaImage/' || public_id, 1 FROM jobs;

INSERT INTO batches
       (shop_id, public_id, job_type, parameters, is_read, expansion, ended_at, counts, finished_at)
SELECT 1 + n % 100, 'batch-' || n, 'CATALOG_IMAGE', '{}', true, 'EXPANDED', now(), '{}',
       CASE WHEN n < 200 THEN NULL ELSE now() END
FROM generate_series(1, 3000) n;

INSERT INTO batch_items (shop_id, batch_id, ordinal, product_id, job_id)
SELECT shop_id, 'batch-' || (shop_id + 99), row_number() OVER (PARTITION BY shop_id),
       request->>'product_id', public_id FROM jobs;

INSERT INTO privacy_requests (shop_id, public_id, shopify_id, customer_id, requested_at)
SELECT 1 + n % 100, 'request-' || n, n, n, now() FROM generate_series(1, 3000) n;

INSERT INTO credit_accounts (shop_id, available, held, last_seq)
SELECT n, 100, 0, 200 FROM generate_series(1, 3000) n;

INSERT INTO credit_grants (shop_id, source, ref, amount, remaining)
SELECT 1 + n % 3000, 'pack', n::text, 100, CASE WHEN n < 3000 THEN 100 ELSE 0 END
FROM generate_series(0, 8999) n;

INSERT INTO purchases (shop_id, id, kind, handle, label, name, credits, price, currency, charge_gid)
SELECT shop_id, ref, 'pack', 'pack-100', '100 credits', ref, 100, 9, 'USD', ref FROM credit_grants;

INSERT INTO plan_periods (shop_id, ends_at, granted)
SELECT 1 + n % 3000, now() + n * interval '1 day', 100 FROM generate_series(1, 6000) n;

INSERT INTO subscriptions (shop_id) SELECT n FROM generate_series(1, 3000) n;

INSERT INTO credit_hold_lots (shop_id, job_id, grant_id, amount)
SELECT j.shop_id, public_id, min(g.id), 1
FROM jobs j JOIN credit_grants g ON g.shop_id = j.shop_id GROUP BY 1, 2;

INSERT INTO credit_entries (shop_id, seq, kind, d_available, d_held, job_id, grant_id)
SELECT shop_id, row_number() OVER (PARTITION BY shop_id ORDER BY public_id, kind DESC), kind,
       CASE kind WHEN 'hold' THEN -1 ELSE 0 END, CASE kind WHEN 'hold' THEN 1 ELSE -1 END,
       public_id, NULL
FROM jobs, (VALUES ('hold'), ('capture')) AS kinds(kind);

INSERT INTO credit_entries (shop_id, seq, kind, d_available, d_held, grant_id)
SELECT shop_id, 1000 + row_number() OVER (PARTITION BY shop_id ORDER BY id), 'grant', 100, 0, id
FROM credit_grants;

INSERT INTO submissions
       (shop_id, job_id, stage, number, provider, reference, status, seed, provider_job_id,
        intended_at, submitted_at, deadline_at, settled_at)
SELECT shop_id, public_id, 'try_on', 1, 'fal', public_id, 'COLLECTED', 1, public_id,
       now(), now(), now(), now() FROM jobs;

INSERT INTO catalog_entries (shop_id, id, kind, name, attributes, key)
SELECT shop_id, public_id, 'models', 'Ada', '{}', 'artifacts/' || public_id FROM jobs;

INSERT INTO webhook_endpoints (shop_id, id, url, secret)
SELECT n, 'endpoint-' || n, 'https://hooks.example.com/', 'secret' FROM generate_series(2, 3000) n;

INSERT INTO endpoint_deliveries (shop_id, id, endpoint_id, event_id, event_type, body, status)
SELECT shop_id, id || '-' || n, id, 'event-' || n, 'job.succeeded', '{}', 'succeeded'
FROM webhook_endpoints, generate_series(1, 3) n;

UPDATE jobs SET origin = 'storefront', customer_id = right(public_id, 4), natural_key = public_id
WHERE right(public_id, 1) IN ('0', '1');

UPDATE publications SET status = 'RESTORED' WHERE right(job_id, 1) BETWEEN '2' AND '9';

UPDATE jobs SET review = 'DISMISSED' WHERE right(public_id, 1) BETWEEN '2' AND '5';

UPDATE jobs SET category = CASE WHEN right(public_id, 1) < '8' THEN 'top' ELSE 'dress' END;
"""

Act = Callable[[AsyncConnection], Awaitable[Any]]


@pytest.fixture(scope="module")
async def url(services: LocalServices, template: str) -> AsyncIterator[str]:
    """A database that many shops have used for a while."""
    async with cloned_database(services.postgres.url(), template) as url:
        await data.fill(url, JOBS)
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        await connection.execute("VACUUM ANALYZE")
        await connection.close()
        yield url


@pytest.fixture
async def plans() -> Plans:
    """What is taken down in a test."""
    return Plans()


@pytest.fixture
async def database(url: str, plans: Plans) -> AsyncIterator[Database]:
    """The database, as a worker comes to it."""
    database = Database(url, role=WORKER)
    with plans.of(database.engine):
        yield database
    await database.close()


async def one_job(connection: AsyncConnection) -> JobRef:
    """One of the shop's jobs, chosen on the side."""
    found = text("SELECT public_id FROM jobs WHERE shop_id = :s ORDER BY public_id LIMIT 1")
    return JobRef(shop_id=SHOP_ID, public_id=str(await connection.scalar(found, {"s": SHOP_ID})))


READS = {
    "detail": queries.ONE_DETAIL,
    "version": queries.ONE_VERSION,
    "timeline": queries.ONE_TIMELINE,
    "visitors_detail": queries.VISITORS_DETAIL,
    "visitors_timeline": queries.VISITORS_TIMELINE,
}


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("query", READS.values(), ids=READS)
async def test_reading_a_job_uses_its_key(url: str, plans: Plans, query: Query, mode: str) -> None:
    connection = await asyncpg.connect(url, server_settings={"plan_cache_mode": mode})
    first = await connection.fetchval("SELECT min(public_id) FROM jobs WHERE shop_id = 1")
    given = {"shop_domain": SHOP, "public_id": first, "since": 3, "customer_id": "0000"}
    await connection.execute(f"SET ROLE {WEB}")
    await plans.watch(connection)

    await connection.fetchrow(query.sql, *query.arguments(given))

    await connection.close()
    assert {"shops", "jobs"} <= plans.tables()
    assert plans.sequential() == []


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("state", ["WAITING", "DISMISSED", "PUBLISHED"])
async def test_a_page_of_the_review_reads_only_its_cards(
    url: str, plans: Plans, state: str, mode: str
) -> None:
    connection = await asyncpg.connect(url, server_settings={"plan_cache_mode": mode})
    await connection.execute(f"SET ROLE {WEB}")
    await plans.watch(connection)
    given = {"shop_domain": SHOP, "state": state, "before": "Z" * 26, "limit": 3}

    found = await connection.fetch(REVIEW_PAGE.sql, *REVIEW_PAGE.arguments(given))

    await connection.close()
    assert plans.sequential() == []
    [jobs] = [node for node in plans.scans() if node["Relation Name"] == "jobs"]
    assert jobs["Index Name"] == "ix_jobs_review"
    assert (jobs["Actual Rows"], jobs.get("Rows Removed by Filter", 0)) == (3, 0)
    assert len(found) == 3


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_page_of_the_gallery_reads_only_renders_of_its_category(
    url: str, plans: Plans, mode: str
) -> None:
    connection = await asyncpg.connect(url, server_settings={"plan_cache_mode": mode})
    await connection.execute(f"SET ROLE {WEB}")
    await plans.watch(connection)
    given = {
        **{"shop_domain": SHOP, "job_types": ["CATALOG_IMAGE"], "category": "dress"},
        **{"before": "Z" * 26, "limit": 3, "offset": 0},
    }

    found = await connection.fetch(
        RENDER_PAGE_OF_CATEGORY.sql, *RENDER_PAGE_OF_CATEGORY.arguments(given)
    )

    await connection.close()
    assert [row["category"] for row in found] == ["dress"] * 3
    assert plans.sequential() == []
    [jobs] = [node for node in plans.scans() if node["Relation Name"] == "jobs"]
    assert jobs["Index Name"] == "ix_jobs_gallery"
    assert (jobs["Actual Rows"], jobs.get("Rows Removed by Filter", 0)) == (3, 0)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_the_overview_counts_by_indexes(url: str, plans: Plans, mode: str) -> None:
    connection = await asyncpg.connect(url, server_settings={"plan_cache_mode": mode})
    await connection.execute(f"SET ROLE {WEB}")
    await plans.watch(connection)
    given = {"shop_domain": SHOP, "since_id": "01K"}

    await connection.fetchrow(OVERVIEW.sql, *OVERVIEW.arguments(given))

    await connection.close()
    assert {"jobs", "publications", "daily_counts", "shop_settings"} <= plans.tables()
    assert {"ix_jobs_review", "ix_jobs_unfinished", "ix_jobs_failed"} <= plans.indexes()
    assert plans.sequential() == []


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_usage_reads_only_the_jobs_of_its_days(url: str, plans: Plans, mode: str) -> None:
    connection = await asyncpg.connect(url, server_settings={"plan_cache_mode": mode})
    ids = await connection.fetch("SELECT public_id FROM jobs WHERE shop_id = 1 ORDER BY 1 DESC")
    await connection.execute(f"SET ROLE {WEB}")
    await plans.watch(connection)
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    given = {"shop_domain": SHOP, "since": long_ago, "since_id": ids[2]["public_id"]}

    [found] = await connection.fetch(USAGE.sql, *USAGE.arguments(given))

    await connection.close()
    assert plans.sequential() == []
    [jobs] = [node for node in plans.scans() if node["Relation Name"] == "jobs"]
    assert (jobs["Actual Rows"], jobs.get("Rows Removed by Filter", 0)) == (3, 0)
    assert (found["jobs"], found["unpriced"]) == (3, 3)
    assert len(ids) > 3


LEDGER_PAGES = {
    "spend": (OPERATIONS_PAGE, "Z" * 26, "uq_credit_entries_hold"),
    "purchases": (PURCHASES_PAGE, 2**63 - 1, "ix_credit_entries_of_lots"),
}


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize(("query", "before", "index"), LEDGER_PAGES.values(), ids=LEDGER_PAGES)
async def test_a_page_of_transactions_reads_only_its_items(
    url: str, plans: Plans, query: Query, before: str | int, index: str, mode: str
) -> None:
    connection = await asyncpg.connect(url, server_settings={"plan_cache_mode": mode})
    await connection.execute(f"SET ROLE {WEB}")
    await plans.watch(connection)
    given = {"shop_domain": SHOP, "before": before, "limit": 2}

    found = await connection.fetch(query.sql, *query.arguments(given))

    await connection.close()
    assert len(found) == 2
    assert plans.sequential() == []
    [entries] = [node for node in plans.scans() if node.get("Index Name") == index]
    assert (entries["Actual Rows"], entries.get("Rows Removed by Filter", 0)) == (2, 0)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_the_balance_reads_only_its_shops_lots(url: str, plans: Plans, mode: str) -> None:
    connection = await asyncpg.connect(url, server_settings={"plan_cache_mode": mode})
    await connection.execute(f"SET ROLE {WEB}")
    await plans.watch(connection)

    [row] = await connection.fetch(BALANCE.sql, *BALANCE.arguments({"shop_domain": SHOP}))

    await connection.close()
    assert (row["available"], row["remaining"]) == (100, 100)
    assert {"credit_accounts", "credit_grants"} <= plans.tables()
    assert plans.sequential() == []


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_waiting_deliveries_are_counted_by_their_own_index(
    url: str, plans: Plans, mode: str
) -> None:
    connection = await asyncpg.connect(url, server_settings={"plan_cache_mode": mode})
    await connection.execute(f"SET ROLE {WEB}")
    await plans.watch(connection)
    ref = DeliveryRef(shop_domain=SHOP, topic="products/update", webhook_id=uuid.uuid4().hex)
    facts: dict[str, Any] = {"event_id": None, "api_version": None, "body": b"{}"}
    transaction = connection.transaction()
    await transaction.start()

    await store_delivery(connection, Delivery(**msgspec.structs.asdict(ref), **facts))

    await transaction.rollback()
    await connection.close()
    assert "ix_webhook_deliveries_line" in plans.indexes()
    assert plans.sequential() == []


PAGES: dict[str, dict[str, Any]] = {
    "first": {},
    "further_down": {"offset": 20},
    "after_a_cursor": {"cursor": "01K000000" + "Z" * 17},
    "of_a_status": {"status": JobStatus.FAILURE},
    "of_a_kind": {"job_type": "PRODUCT_TO_MODEL"},
    "lately": {"created_after": datetime(2100, 1, 1, tzinfo=UTC)},
}
ANYTHING = {"job_type": None, "status": None, "created_after": None, "offset": 0, "cursor": None}


@pytest.mark.parametrize("asked", PAGES.values(), ids=PAGES)
async def test_a_page_of_jobs_reads_only_its_shops_rows(
    database: Database, plans: Plans, asked: dict[str, Any]
) -> None:
    wanted = JobListRequest(limit=10, **{**ANYTHING, **asked})
    async with database.reading(SHOP) as connection:
        await job_list(connection, shop_domain=SHOP, wanted=wanted)

    assert {"shops", "jobs"} <= plans.tables()
    assert plans.sequential() == []


async def test_failed_jobs_are_found_by_their_own_index(database: Database, plans: Plans) -> None:
    asked: dict[str, Any] = {**ANYTHING, "status": JobStatus.FAILURE}
    wanted = JobListRequest(limit=10, **asked)
    async with database.reading(SHOP) as connection:
        # What Postgres may do by itself after five times: one plan for all values of a parameter.
        await connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        await job_list(connection, shop_domain=SHOP, wanted=wanted)

    assert "ix_jobs_failed" in plans.indexes()


async def whole_life(connection: AsyncConnection) -> None:
    """A job is asked for, claimed, put back, and ends well."""
    ref = await request_job(
        connection,
        CATALOG_IMAGE,
        shop_id=SHOP_ID,
        request={},
        origin="webhook",
        natural_key=uuid.uuid4().hex,
    )
    assert ref is not None
    claimed = await lifecycle.lease_job(connection, ref)
    assert claimed is not None
    await lifecycle.put_back(connection, claimed, message="Waits", waiting_for="reauth")
    await make_stage(connection, claimed)
    await reopen(connection, ref, ["validate"])
    again = await lifecycle.lease_job(connection, ref)
    assert again is not None
    await make_stage(connection, again)
    await lifecycle.succeed(connection, again, {})
    await lifecycle.append_after_success(
        connection, ref, stage="publish", message="Published", extra={}
    )


async def make_stage(connection: AsyncConnection, claimed: lifecycle.JobLease) -> None:
    """A stage with a picture."""
    picture = lifecycle.NewArtifact(
        name="picture", role="final", kind="catalog_image", label=None, key="key", meta={}
    )
    await lifecycle.advance(
        connection,
        claimed,
        stage="validate",
        message="Made",
        progress={},
        checkpoint=lifecycle.Checkpoint(files={}, facts={}),
        artifacts=[picture],
    )


async def many_jobs(connection: AsyncConnection) -> None:
    """Jobs are asked for at once, one is cancelled, and the rest ends with the shop."""
    refs = await request_jobs(
        connection, CATALOG_IMAGE, shop_id=SHOP_ID, requests=[{}] * 5, origin="api"
    )
    await cancel_job(connection, shop_domain=SHOP, public_id=refs[0].public_id)
    await completion.fail_unfinished(connection, SHOP_ID, CANCELLED)


async def storefront(connection: AsyncConnection) -> None:
    """A visitor asks for what was asked for today."""
    await installed_id(connection, SHOP)
    await release_failed(connection, SHOP_ID, "no such key")
    await unfailed_job(connection, SHOP_ID, "no such key")
    today = datetime.now(UTC).date()
    await is_within(connection, SHOP_ID, today, "storefront_jobs", amount=1, cap=10)


async def repeated(connection: AsyncConnection) -> None:
    """A request is sent twice."""
    answer = JobRef(shop_id=SHOP_ID, public_id="any")
    request = Repeatable(route="POST /v1/catalog-image", key=uuid.uuid4().hex, body=b"{}")
    for _ in range(2):
        await answered_before(connection, request, shop_id=SHOP_ID, answer=answer)


async def delivery(connection: AsyncConnection) -> None:
    """A delivery comes twice, is acted on, and settled."""
    ref = DeliveryRef(shop_domain=SHOP, topic="products/update", webhook_id=uuid.uuid4().hex)
    came = Delivery(
        shop_domain=SHOP,
        topic=ref.topic,
        webhook_id=ref.webhook_id,
        event_id=None,
        api_version=None,
        body=b"{}",
    )
    asyncpgs_own: Any = (await connection.get_raw_connection()).driver_connection
    await store_delivery(asyncpgs_own, came)
    await store_delivery(asyncpgs_own, came)
    assert await unsettled(connection, ref) is not None
    await settle(connection, ref, processed("NOTHING"))


async def product(connection: AsyncConnection) -> None:
    """What is asked before a product makes a job."""
    await publication_queries.is_own_media(connection, SHOP_ID, "gid://shopify/MediaImage/1")
    file = f"https://cdn.shopify.com/s/files/1/1/files/atelier-{new_public_id()}-1.jpg?v=1"
    await publication_queries.is_own_file(connection, SHOP_ID, file)
    await publication_queries.has_published(connection, SHOP_ID)
    await publication_queries.published_digests(connection, SHOP_ID, 1)
    await shop_settings(connection, shop_domain=SHOP)
    await amount_of(connection, SHOP_ID, date(2026, 11, 1), "rule_credits")


async def published(connection: AsyncConnection) -> None:
    """A publication is looked at, gone about and stopped."""
    job = await one_job(connection)
    ref = publications.PublicationRef(shop_id=SHOP_ID, job_id=job.public_id, round=1)
    await publication(connection, shop_domain=SHOP, public_id=job.public_id)
    await connection.execute(publication_queries.job_to_publish(SHOP, job.public_id))
    await connection.execute(publication_queries.final_artifacts(SHOP_ID, job.public_id, ["any"]))
    await publications.pictures(connection, ref)
    await publications.lease_publication(connection, ref, "publish")
    await stop_publications(connection, SHOP_ID, CANCELLED, datetime.now(UTC))


async def decided(connection: AsyncConnection) -> None:
    """A publication is restored, its job is dismissed, and that is taken back."""
    job = await one_job(connection)
    restored = text(
        "UPDATE publications SET status = 'RESTORED' "
        "WHERE shop_id = :shop_id AND job_id = :public_id"
    )
    await connection.execute(restored, msgspec.structs.asdict(job))
    await dismiss(connection, shop_domain=SHOP, public_id=job.public_id)
    await take_dismissal_back(connection, shop_domain=SHOP, public_id=job.public_id)


async def batched(connection: AsyncConnection) -> None:
    """Batches are looked at, worked on and stopped."""
    ref = batches.BatchRef(shop_id=SHOP_ID, public_id="batch-100", round=0)
    everything = partial(batch_queries.items, SHOP, ref.public_id, after=0, limit=10)
    await connection.execute(batch_queries.one(SHOP, ref.public_id))
    await connection.execute(batch_queries.batch_page(SHOP, before=None, limit=10))
    await connection.execute(everything(status=None))
    await connection.execute(everything(status=JobStatus.FAILURE))
    await connection.execute(batch_queries.failed_items(SHOP_ID, ref.public_id))
    await batches.lease_batch(connection, ref)
    await stop_batch(connection, SHOP_ID, CANCELLED, datetime.now(UTC))


async def expired(connection: AsyncConnection) -> None:
    """Files of jobs that have ended go, then the jobs, and the uploads that none of them names."""
    long = timedelta(seconds=0)
    for extent in (retention.INTERRUPTED_EXPIRY, retention.EXPIRING_FILES, retention.EXPIRED_JOBS):
        endings = await retention.next_endings(connection, long, extent, None)
        await retention.next_endings(connection, long, extent, endings[-1] if endings else None)
        jobs = [JobRef(shop_id=shop_id, public_id=job_id) for _, shop_id, job_id in endings]
        held = await expiry.retract(connection, jobs, extent)
        await expiry.unannounced_keys(connection, held)
        if extent is retention.EXPIRED_JOBS:
            await expiry.forget_jobs(connection, held)
        else:
            assert held or extent is retention.INTERRUPTED_EXPIRY
            await expiry.forget_files(connection, held)


async def customer_erased(connection: AsyncConnection) -> None:
    """One customer's jobs go."""
    customer = erasure.jobs_of(SHOP_ID, "0000")
    await erasure.count_jobs(connection, SHOP_ID, "0000")
    ids = await erasure.next_jobs(connection, SHOP_ID, customer, "")
    these = Job.public_id == erasure.among(ids)
    await completion.fail_unfinished(connection, SHOP_ID, ERASED, these)
    await erasure.stored_keys(connection, SHOP_ID, ids)
    await erasure.delete_jobs(connection, SHOP_ID, ids)
    await forget_requests(connection, SHOP_ID, "0000")


async def customer_asks(connection: AsyncConnection) -> None:
    """A customer's request is kept, listed and answered."""
    await keep_request(
        connection, SHOP_ID, shopify_id=0, customer_id="0000", requested_at=datetime.now(UTC)
    )
    await erasure.count_jobs(connection, SHOP_ID, "0000")
    await connection.execute(
        privacy_queries.privacy_request_page(SHOP, before="request-9", limit=10)
    )
    held = privacy_queries.held(SHOP, "request-100", before=None, limit=10)
    await connection.execute(held)


async def shop_erased(connection: AsyncConnection) -> None:
    """All of a shop goes: its jobs first, then whatever else there is of it."""
    whole = erasure.jobs_of(SHOP_ID, None)
    ids = await erasure.next_jobs(connection, SHOP_ID, whole, "")
    await erasure.stored_keys(connection, SHOP_ID, ids)
    await erasure.delete_jobs(connection, SHOP_ID, ids)
    await connection.execute(
        text("UPDATE shops SET status = 'uninstalled' WHERE id = :s"), {"s": SHOP_ID}
    )
    await erase(connection, SHOP_ID)


ACTS: dict[str, tuple[Act, set[str]]] = {
    "a_job's_whole_life": (whole_life, {"jobs", "job_events", "artifacts", "job_stages", "shops"}),
    "many_jobs_at_once": (many_jobs, {"jobs", "job_events"}),
    "a_visitor": (storefront, {"jobs", "daily_counts", "shops"}),
    "a_repeated_request": (repeated, {"idempotency_keys"}),
    "a_delivery": (delivery, {"webhook_deliveries", "shops"}),
    "a_product": (product, {"published_media", "shop_settings", "daily_counts"}),
    "a_publication": (published, {"publications", "published_media", "artifacts"}),
    "a_decision": (decided, {"publications", "jobs", "shops"}),
    "a_batch": (batched, {"batches", "batch_items", "jobs"}),
    "what_has_expired": (expired, {"jobs", "job_events", "artifacts", "job_stages"}),
    "a_customer_asks": (customer_asks, {"privacy_requests", "jobs", "shops"}),
    "a_customer_is_erased": (customer_erased, {"jobs", "artifacts", "job_stages"}),
    "a_shop_is_erased": (
        shop_erased,
        {"jobs", "job_events", "artifacts", "batch_items", "publications", "uploads"},
    ),
}


@pytest.mark.parametrize(("act", "touched"), ACTS.values(), ids=ACTS)
async def test_frequent_statements_use_indexes(
    database: Database, plans: Plans, act: Act, touched: set[str]
) -> None:
    async with database.engine.connect() as connection:
        await enter(connection, SHOP_ID)
        await act(connection)
        await connection.rollback()  # the next one finds all of it again

    assert touched <= plans.tables()
    assert plans.sequential() == []


async def resumed(database: Database) -> None:
    """A shop's merchant has come back."""
    await known_shop(database, SHOP)
    await reauth.resume_jobs(ShopRef(shop_id=SHOP_ID), database)
    await reauth.resume_deliveries(ShopRef(shop_id=SHOP_ID), database)


CHORES: dict[str, tuple[Callable[[Database], Awaitable[Any]], set[str]]] = {
    "requeue_overdue": (
        maintenance.requeue_overdue,
        {"jobs", "webhook_deliveries", "publications", "batches"},
    ),
    "end_long_waits": (reauth.end_long_waits, {"jobs", "batches", "publications"}),
    "settle_batches": (settle_batches, {"batches", "batch_items", "jobs"}),
    "expired_uploads": (maintenance.expired_uploads, {"uploads"}),
    "uploads_that_nothing_names": (
        partial(maintenance.expired_uploads, doomed=retention.unnamed_uploads(timedelta(days=365))),
        {"uploads", "jobs", "shop_settings"},
    ),
    "resume_shop": (resumed, {"shops", "jobs", "webhook_deliveries"}),
}


@pytest.mark.parametrize(("chore", "touched"), CHORES.values(), ids=CHORES)
async def test_maintenance_statements_use_indexes(
    database: Database,
    plans: Plans,
    chore: Callable[[Database], Awaitable[Any]],
    touched: set[str],
) -> None:
    await chore(database)

    assert touched <= plans.tables()
    assert plans.sequential() == []


async def test_a_rerun_finds_its_uploads_by_their_objects(database: Database, plans: Plans) -> None:
    some = text("SELECT key FROM uploads WHERE shop_id = :s AND expired_at IS NULL LIMIT 2")
    async with database.engine.connect() as connection:
        await enter(connection, SHOP_ID)
        keys = list(await connection.scalars(some, {"s": SHOP_ID}))
        plans.clear()
        assert await keep_uploads(connection, shop_id=SHOP_ID, keys=keys)
        await connection.rollback()

    [found] = [node for node in plans.scans() if node["Node Type"] == "Index Scan"]
    assert found["Index Name"] == "ix_uploads_key"
    assert (found["Actual Rows"], found.get("Rows Removed by Filter", 0)) == (2, 0)
    assert plans.sequential() == []


async def test_an_ended_batch_is_shown_without_counting(database: Database, plans: Plans) -> None:
    async with database.engine.connect() as connection:
        await enter(connection, SHOP_ID)
        await connection.execute(text("UPDATE batches SET counts = '{}', finished_at = now()"))
        plans.clear()
        await connection.execute(batch_queries.batch_page(SHOP, before=None, limit=10))
        await connection.rollback()

    assert "batches" in plans.tables()
    assert plans.read() == {"shops", "batches"}


async def test_a_missing_index_is_detected(database: Database, plans: Plans) -> None:
    async with database.engine.connect() as connection:
        await connection.execute(text("SET LOCAL ROLE none"))
        for name in ("unsettled", "line"):
            await connection.execute(text(f"DROP INDEX ix_webhook_deliveries_{name}"))
        await maintenance.requeue_deliveries(connection)
        await connection.rollback()

    assert [scan.partition(":")[0] for scan in plans.sequential()] == ["webhook_deliveries"]
