"""Create what outbound webhooks need: endpoints, deliveries, and the triggers that cause events.

The triggers follow jobs, publications, batches and balances, whoever changes them: processes of the
version before end jobs too. Each asks first whether anybody listens, which is two index lookups.
An event inserts a delivery for each endpoint that wants it, and a queue entry for the endpoint.
The entry's key names the transaction: two transactions with events for one endpoint do not wait for
each other, and each has its own entry, which is taken after its commit.
"""

import sqlalchemy as sa
from alembic import op

from migrations.row_security import ALL, WEB, WORKER, expose, protect

revision = "0027_webhook_endpoints"
down_revision = "0026_further_uploads"
branch_labels = None
depends_on = None

CHANGED = "SELECT, INSERT, UPDATE"
# What the triggers need, in a web process as well; neither addresses nor secrets.
WANTED = "id, event_types, credits_low_below, disabled_at, deleted_at"
NEW_ULID = """
CREATE FUNCTION new_ulid() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(
        substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ',
               substring(bits from n * 5 + 1 for 5)::int + 1, 1),
        '' ORDER BY n
    )
    FROM (
        SELECT B'00' || floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint::bit(48)
               || ('x' || substr(hex, 1, 12) || substr(hex, 25, 8))::bit(80) AS bits
        FROM (SELECT replace(gen_random_uuid()::text, '-', '') AS hex) random
    ) id, generate_series(0, 25) n
$$
"""
# An account that is being erased has a name that no domain can have: see `webhooks.erasure`.
APPEND = """
CREATE FUNCTION append_webhook_event(
    its_shop bigint, its_type text, its_data jsonb, only_endpoint text DEFAULT NULL
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    shop record;
    endpoint record;
    event text := 'evt_' || new_ulid();
    its_body text;
BEGIN
    SELECT domain, status INTO shop FROM shops WHERE id = its_shop AND strpos(domain, '#') = 0;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    its_body := json_build_object(
        'type', its_type,
        'timestamp', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'data', jsonb_build_object('shop', shop.domain) || its_data
    )::text;
    FOR endpoint IN
        SELECT its_shop AS shop_id, id AS of_shop, NULL AS of_app FROM webhook_endpoints
        WHERE shop_id = its_shop AND shop.status = 'installed'
        AND disabled_at IS NULL AND deleted_at IS NULL
        AND CASE WHEN only_endpoint IS NULL
            THEN event_types IS NULL OR its_type = ANY (event_types)
            ELSE id = only_endpoint END
        UNION ALL
        SELECT NULL, NULL, id FROM app_webhook_endpoints
        WHERE disabled_at IS NULL AND deleted_at IS NULL
        AND CASE WHEN only_endpoint IS NULL
            THEN event_types IS NULL OR its_type = ANY (event_types)
            ELSE id = only_endpoint END
    LOOP
        INSERT INTO endpoint_deliveries
            (shop_id, id, endpoint_id, app_endpoint_id, event_id, event_type, body, next_attempt_at)
        VALUES (its_shop, new_ulid(), endpoint.of_shop, endpoint.of_app, event, its_type, its_body,
                now());
        INSERT INTO queue.pgqueuer (priority, entrypoint, payload, dedupe_key, status)
        VALUES (
            -1,
            'deliver_events',
            convert_to(json_build_object(
                'shop_id', endpoint.shop_id,
                'endpoint_id', coalesce(endpoint.of_shop, endpoint.of_app)
            )::text, 'UTF8'),
            concat_ws(':', 'deliver_events', coalesce(endpoint.of_shop, endpoint.of_app),
                      pg_current_xact_id()),
            'queued'
        )
        ON CONFLICT (dedupe_key)
            WHERE status = ANY (ARRAY['queued', 'picked']::queue.pgqueuer_status[])
            AND dedupe_key IS NOT NULL
            DO NOTHING;
    END LOOP;
    RETURN event;
END
$$
"""
# The beginning of each trigger's block.
UNLESS_NOBODY_LISTENS = """BEGIN
    IF NOT EXISTS (SELECT FROM webhook_endpoints WHERE shop_id = NEW.shop_id)
    AND NOT EXISTS (SELECT id FROM app_webhook_endpoints) THEN
        RETURN NULL;
    END IF;
"""
JOB_ENDED = """
CREATE FUNCTION tell_job_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM append_webhook_event(
        NEW.shop_id,
        CASE NEW.status WHEN 'SUCCESS' THEN 'job.succeeded' ELSE 'job.failed' END,
        jsonb_build_object(
            'job_id', NEW.public_id,
            'job_type', NEW.job_type,
            'status', NEW.status,
            'seq', NEW.last_seq,
            'batch_id', NEW.batch_id,
            'error_code', (
                SELECT extra -> 'error' ->> 'code' FROM job_events
                WHERE shop_id = NEW.shop_id AND job_id = NEW.public_id AND seq = NEW.last_seq
            ),
            'path', '/v1/jobs/' || NEW.public_id
        )
    );
    RETURN NULL;
END
$$
"""
PUBLICATION_ENDED = """
CREATE FUNCTION tell_publication_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM append_webhook_event(
        NEW.shop_id,
        'publication.' || lower(NEW.status),
        jsonb_build_object(
            'job_id', NEW.job_id,
            'product_id', NEW.product_id,
            'status', NEW.status,
            'seq', (SELECT last_seq FROM jobs
                    WHERE shop_id = NEW.shop_id AND public_id = NEW.job_id),
            'round', NEW.round,
            'error_code', NEW.error ->> 'code',
            'path', '/v1/jobs/' || NEW.job_id || '/publication'
        )
    );
    RETURN NULL;
END
$$
"""
# The status is that of `batches.states.status_of`; its last job has ended.
BATCH_ENDED = """
CREATE FUNCTION tell_batch_end() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ended text := CASE
        WHEN NEW.expansion = 'CANCELLED' THEN 'CANCELLED'
        WHEN NEW.expansion = 'EXPANDED' AND (NEW.counts ->> 'failed')::int = 0 THEN 'SUCCESS'
        WHEN (NEW.counts ->> 'succeeded')::int > 0 THEN 'PARTIAL'
        ELSE 'FAILURE' END;
BEGIN
    PERFORM append_webhook_event(
        NEW.shop_id,
        CASE ended WHEN 'FAILURE' THEN 'batch.failed' ELSE 'batch.finished' END,
        jsonb_build_object(
            'batch_id', NEW.public_id,
            'job_type', NEW.job_type,
            'status', ended,
            'round', NEW.round,
            'counts', NEW.counts,
            'error_code', NEW.error ->> 'code',
            'path', '/v1/batches/' || NEW.public_id
        )
    );
    RETURN NULL;
END
$$
"""
CREDITS_LOW = """
CREATE FUNCTION tell_low_credits() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    endpoint record;
BEGIN
    FOR endpoint IN
        SELECT id, credits_low_below, event_types FROM webhook_endpoints
        WHERE shop_id = NEW.shop_id
        UNION ALL SELECT id, credits_low_below, event_types FROM app_webhook_endpoints
    LOOP
        CONTINUE WHEN NOT 'credits.low' = ANY (coalesce(endpoint.event_types, '{credits.low}'))
            OR OLD.available < endpoint.credits_low_below
            OR NEW.available >= endpoint.credits_low_below;
        PERFORM append_webhook_event(
            NEW.shop_id,
            'credits.low',
            jsonb_build_object(
                'available', NEW.available,
                'held', NEW.held,
                'below', endpoint.credits_low_below,
                'seq', NEW.last_seq,
                'path', '/v1/credits'
            ),
            endpoint.id
        );
    END LOOP;
    RETURN NULL;
END
$$
"""
FUNCTIONS = {
    "new_ulid": NEW_ULID,
    "append_webhook_event": APPEND,
    "tell_job_end": JOB_ENDED,
    "tell_publication_end": PUBLICATION_ENDED,
    "tell_batch_end": BATCH_ENDED,
    "tell_low_credits": CREDITS_LOW,
}
TRIGGERS = {
    "tell_job_end": (
        "jobs",
        "UPDATE OF status",
        "OLD.status IN ('NOT_STARTED', 'IN_PROGRESS') AND NEW.status IN ('SUCCESS', 'FAILURE')",
    ),
    "tell_publication_end": (
        "publications",
        "UPDATE OF status",
        "NEW.status <> OLD.status AND NEW.status IN ('PUBLISHED', 'FAILED', 'RESTORED')",
    ),
    "tell_batch_end": (
        "batches",
        "UPDATE OF finished_at",
        "OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL",
    ),
    "tell_low_credits": (
        "credit_accounts",
        "UPDATE OF available",
        "NEW.available < OLD.available",
    ),
}


def upgrade() -> None:
    """Expand."""
    create_endpoints()
    create_deliveries()
    protect("webhook_endpoints", web=CHANGED)
    protect("endpoint_deliveries", web=CHANGED)
    op.execute(f"GRANT SELECT ({WANTED}) ON app_webhook_endpoints TO {WEB}")
    op.execute(f"GRANT {ALL} ON app_webhook_endpoints TO {WORKER}")
    for name, function in FUNCTIONS.items():
        is_trigger = name in TRIGGERS
        op.execute(
            function.replace("BEGIN\n", UNLESS_NOBODY_LISTENS, 1) if is_trigger else function
        )
    for name, (table, event, when) in TRIGGERS.items():
        op.execute(
            f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW WHEN ({when}) "
            f"EXECUTE FUNCTION {name}()"
        )


def create_endpoints() -> None:
    """One row an endpoint: of a shop, and of the operator."""
    op.create_table(
        "webhook_endpoints",
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        *endpoint_columns(),
        of_the_shop("webhook_endpoints"),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_webhook_endpoints")),
    )
    op.create_table(
        "app_webhook_endpoints",
        sa.Column("id", sa.Text(), nullable=False),
        *endpoint_columns(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_webhook_endpoints")),
    )


def endpoint_columns() -> list[sa.Column[object]]:
    """What both have."""
    return [
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("event_types", sa.ARRAY(sa.Text())),
        sa.Column("credits_low_below", sa.Integer(), server_default="50", nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("previous_secret", sa.Text()),
        sa.Column("previous_secret_until", sa.DateTime(timezone=True)),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        sa.Column("disabled_reason", sa.Text()),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True)),
        sa.Column("last_failed_at", sa.DateTime(timezone=True)),
        sa.Column("drained_until", sa.DateTime(timezone=True)),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        created_at(),
    ]


def create_deliveries() -> None:
    """One row an event and endpoint."""
    op.create_table(
        "endpoint_deliveries",
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("endpoint_id", sa.Text()),
        sa.Column("app_endpoint_id", sa.Text()),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("claims", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True)),
        sa.Column("last_attempt_at", sa.DateTime(timezone=True)),
        sa.Column("response_status", sa.SmallInteger()),
        sa.Column("response_ms", sa.Integer()),
        sa.Column("response_body", sa.Text()),
        sa.Column("error", sa.Text()),
        created_at(),
        sa.CheckConstraint(
            "status IN ('pending', 'succeeded', 'failed', 'canceled')",
            name=op.f("ck_endpoint_deliveries_status"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(endpoint_id, app_endpoint_id) = 1",
            name=op.f("ck_endpoint_deliveries_endpoint"),
        ),
        sa.CheckConstraint(
            "status <> 'pending' OR next_attempt_at IS NOT NULL",
            name=op.f("ck_endpoint_deliveries_pending"),
        ),
        of_the_shop("endpoint_deliveries"),
        sa.ForeignKeyConstraint(
            ["shop_id", "endpoint_id"],
            ["webhook_endpoints.shop_id", "webhook_endpoints.id"],
            name=op.f("fk_endpoint_deliveries_shop_id_endpoint_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["app_endpoint_id"],
            ["app_webhook_endpoints.id"],
            name=op.f("fk_endpoint_deliveries_app_endpoint_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_endpoint_deliveries")),
    )
    create_delivery_indexes()


def create_delivery_indexes() -> None:
    """For the log, for what is due, and for what is old."""
    table, pending = "endpoint_deliveries", "status = 'pending'"
    op.create_index("ix_endpoint_deliveries_log", table, ["shop_id", "endpoint_id", "id"])
    op.create_index(
        "ix_endpoint_deliveries_due",
        table,
        ["shop_id", "endpoint_id", "next_attempt_at"],
        postgresql_where=sa.text(pending),
    )
    op.create_index(
        "ix_endpoint_deliveries_app",
        table,
        ["app_endpoint_id", "next_attempt_at"],
        postgresql_where=sa.text(f"{pending} AND app_endpoint_id IS NOT NULL"),
    )
    op.create_index("ix_endpoint_deliveries_created_at", table, ["created_at"])


def created_at() -> sa.Column[object]:
    """By the database's clock."""
    return sa.Column(
        "created_at",
        sa.DateTime(timezone=True),
        server_default=sa.text("now()"),
        nullable=False,
    )


def of_the_shop(table: str) -> sa.ForeignKeyConstraint:
    """The shop whose row it is."""
    return sa.ForeignKeyConstraint(
        ["shop_id"], ["shops.id"], name=op.f(f"fk_{table}_shop_id"), ondelete="CASCADE"
    )


def downgrade() -> None:
    """Undo, in reverse order. What was not delivered yet is lost."""
    for name in reversed(TRIGGERS):
        op.execute(f"DROP TRIGGER {name} ON {TRIGGERS[name][0]}")
    for name in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {name}")
    for role in (WEB, WORKER):
        op.execute(f"REVOKE ALL ON app_webhook_endpoints FROM {role}")
    for table in ("endpoint_deliveries", "webhook_endpoints"):
        expose(table)
        op.drop_table(table)
    op.drop_table("app_webhook_endpoints")
    op.execute("DELETE FROM queue.pgqueuer WHERE entrypoint = 'deliver_events'")
