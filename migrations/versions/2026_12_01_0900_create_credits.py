"""Create the ledger of credits, and tie it to the jobs.

`jobs.credit_state` says what has become of a job's price, and a constraint ties it to the status.
Triggers move the credits, whoever ends a job: processes of the version before end `held` jobs too.
The triggers on jobs run nothing for a job that holds nothing, which is every job without BILLING.

Locks are taken in one order, account last where jobs end (job, account) and first where jobs are
made (account, new row): whoever has the account waits for no job's row.

The column is a constant, so no row is written anew. Every row that is there has `none`, which the
constraint allows with every status. So to validate it would only read every job, under the lock
that this transaction has on the table until its end: NOT VALID checks all that is written from now.
"""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

from migrations.row_security import WEB, WORKER, expose, protect

revision = "0022_credits"
down_revision = "0021_review"
branch_labels = None
depends_on = None

KEPT, ADDED = "SELECT, INSERT, UPDATE", "SELECT, INSERT"
OF_WEB = {
    "credit_accounts": KEPT,
    "credit_grants": KEPT,
    "credit_hold_lots": ADDED,
    "credit_entries": ADDED,
}
APPENDED = ("credit_hold_lots", "credit_entries")
# An account is set aside under a name that no domain can have: see `webhooks.erasure`.
IS_ERASED = "EXISTS (SELECT FROM shops WHERE shops.id = shop_id AND strpos(shops.domain, '#') > 0)"
MATCHES = """
ALTER TABLE jobs ADD CONSTRAINT ck_jobs_credit_state CHECK (
    status IN ('NOT_STARTED', 'IN_PROGRESS') AND credit_state IN ('none', 'held')
    OR status = 'SUCCESS' AND credit_state IN ('none', 'captured')
    OR status = 'FAILURE' AND credit_state IN ('none', 'released')
) NOT VALID
"""
# The only statement that changes a balance: with the change goes its entry.
POST = """
CREATE FUNCTION post_credit_entry(
    its_shop bigint, its_kind text, to_available integer, to_held integer,
    its_job text, its_grant bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
BEGIN
    UPDATE credit_accounts
    SET available = available + to_available, held = held + to_held, last_seq = last_seq + 1
    WHERE shop_id = its_shop RETURNING last_seq INTO STRICT number;
    INSERT INTO credit_entries (shop_id, seq, kind, d_available, d_held, job_id, grant_id)
    VALUES (its_shop, number, its_kind, to_available, to_held, its_job, its_grant);
END
$$
"""
# Before the row is inserted: whoever waits for its natural key must not have the account.
LOCK = """
CREATE FUNCTION lock_credits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM credit_accounts WHERE shop_id = NEW.shop_id FOR NO KEY UPDATE;
    RETURN NEW;
END
$$
"""
# After the row is inserted: none is if its natural key is taken.
HOLD = """
CREATE FUNCTION hold_credits() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lot record;
    part integer;
    missing integer := NEW.credits_cost;
BEGIN
    FOR lot IN
        SELECT id, remaining FROM credit_grants
        WHERE shop_id = NEW.shop_id AND remaining > 0
        AND (expires_at IS NULL OR expires_at > now())
        ORDER BY array_position(ARRAY['trial', 'plan', 'pack', 'manual'], source),
                 expires_at NULLS LAST, id
    LOOP
        part := least(lot.remaining, missing);
        UPDATE credit_grants SET remaining = remaining - part
        WHERE shop_id = NEW.shop_id AND id = lot.id;
        INSERT INTO credit_hold_lots (shop_id, job_id, grant_id, amount)
        VALUES (NEW.shop_id, NEW.public_id, lot.id, part);
        missing := missing - part;
        EXIT WHEN missing = 0;
    END LOOP;
    IF missing > 0 THEN
        RAISE EXCEPTION 'insufficient balance' USING
            ERRCODE = 'AT402', DETAIL = NEW.credits_cost || ' ' || (NEW.credits_cost - missing);
    END IF;
    PERFORM post_credit_entry(
        NEW.shop_id, 'hold', -NEW.credits_cost, NEW.credits_cost, NEW.public_id, NULL
    );
    RETURN NULL;
END
$$
"""
DECIDE = """
CREATE FUNCTION decide_credits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.credit_state := CASE NEW.status WHEN 'SUCCESS' THEN 'captured' ELSE 'released' END;
    RETURN NEW;
END
$$
"""
# What an expired lot gets back lives for 30 days more, in a lot of its own. The money of a voided
# lot went back before, and so its credits go too.
SETTLE = """
CREATE FUNCTION settle_credits() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    part record;
BEGIN
    PERFORM FROM credit_accounts WHERE shop_id = OLD.shop_id FOR NO KEY UPDATE;
    IF NEW.credit_state = 'captured' THEN
        PERFORM post_credit_entry(
            OLD.shop_id, 'capture', 0, -OLD.credits_cost, OLD.public_id, NULL
        );
        RETURN NULL;
    END IF;
    PERFORM post_credit_entry(
        OLD.shop_id, 'release', OLD.credits_cost, -OLD.credits_cost, OLD.public_id, NULL
    );
    FOR part IN
        SELECT taken.grant_id, taken.amount, lot.source,
               lot.expires_at <= now() AS has_expired, lot.closed_at IS NOT NULL AS is_closed
        FROM credit_hold_lots taken
        JOIN credit_grants lot ON lot.shop_id = taken.shop_id AND lot.id = taken.grant_id
        WHERE taken.shop_id = OLD.shop_id AND taken.job_id = OLD.public_id
    LOOP
        IF part.has_expired THEN
            INSERT INTO credit_grants (shop_id, source, ref, amount, remaining, expires_at)
            VALUES (OLD.shop_id, part.source,
                    'released:' || OLD.public_id || ':' || part.grant_id,
                    part.amount, part.amount, now() + interval '30 days');
        ELSIF part.is_closed THEN
            PERFORM post_credit_entry(
                OLD.shop_id, 'void', -part.amount, 0, NULL, part.grant_id
            );
        ELSE
            UPDATE credit_grants SET remaining = remaining + part.amount
            WHERE shop_id = OLD.shop_id AND id = part.grant_id;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$
"""
FUNCTIONS = {
    "post_credit_entry": POST,
    "lock_credits": LOCK,
    "hold_credits": HOLD,
    "decide_credits": DECIDE,
    "settle_credits": SETTLE,
}
TRIGGERS = {
    "lock_credits": "BEFORE INSERT ON jobs FOR EACH ROW WHEN (NEW.credit_state = 'held')",
    "hold_credits": "AFTER INSERT ON jobs FOR EACH ROW WHEN (NEW.credit_state = 'held')",
    "decide_credits": (
        "BEFORE UPDATE OF status ON jobs FOR EACH ROW "
        "WHEN (OLD.credit_state = 'held' AND NEW.status IN ('SUCCESS', 'FAILURE'))"
    ),
    "settle_credits": (
        "AFTER UPDATE ON jobs FOR EACH ROW "
        "WHEN (OLD.credit_state = 'held' AND NEW.credit_state <> 'held')"
    ),
}


def upgrade() -> None:
    """Expand."""
    create_accounts()
    create_grants()
    create_hold_lots()
    create_entries()
    create_trial_marks()
    protect_tables()
    op.execute(
        "ALTER TABLE jobs ADD COLUMN IF NOT EXISTS credit_state text NOT NULL DEFAULT 'none'"
    )
    op.execute(MATCHES)
    for function in FUNCTIONS.values():
        op.execute(function)
    for name, when in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION {name}()")
    op.add_column("batches", sa.Column("waiting_credits", sa.Integer()))
    op.add_column("batches", sa.Column("waiting_since", sa.DateTime(timezone=True)))


def create_accounts() -> None:
    """One row a shop."""
    op.create_table(
        "credit_accounts",
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("available", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("held", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("available >= 0", name=op.f("ck_credit_accounts_available")),
        sa.CheckConstraint("held >= 0", name=op.f("ck_credit_accounts_held")),
        of_the_shop("credit_accounts"),
        sa.PrimaryKeyConstraint("shop_id", name=op.f("pk_credit_accounts")),
    )


def create_grants() -> None:
    """One row a lot."""
    op.create_table(
        "credit_grants",
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        created_at(),
        sa.CheckConstraint(
            "source IN ('plan', 'pack', 'trial', 'manual')", name=op.f("ck_credit_grants_source")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_credit_grants_amount")),
        sa.CheckConstraint(
            "remaining BETWEEN 0 AND amount", name=op.f("ck_credit_grants_remaining")
        ),
        sa.CheckConstraint(
            "closed_at IS NULL OR remaining = 0", name=op.f("ck_credit_grants_closed_at")
        ),
        sa.ForeignKeyConstraint(
            ["shop_id"],
            ["credit_accounts.shop_id"],
            name=op.f("fk_credit_grants_shop_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("shop_id", "id", name=op.f("pk_credit_grants")),
        sa.UniqueConstraint(
            "shop_id", "source", "ref", name=op.f("uq_credit_grants_shop_id_source_ref")
        ),
    )
    op.create_index(
        "ix_credit_grants_open",
        "credit_grants",
        ["expires_at"],
        postgresql_where=sa.text("closed_at IS NULL"),
    )


def create_hold_lots() -> None:
    """One row a job and lot."""
    op.create_table(
        "credit_hold_lots",
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("grant_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_credit_hold_lots_amount")),
        sa.ForeignKeyConstraint(
            ["shop_id", "grant_id"],
            ["credit_grants.shop_id", "credit_grants.id"],
            name=op.f("fk_credit_hold_lots_shop_id_grant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("shop_id", "job_id", "grant_id", name=op.f("pk_credit_hold_lots")),
    )


def create_entries() -> None:
    """One row a change; a job has one hold, and one end of it."""
    op.create_table(
        "credit_entries",
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("d_available", sa.Integer(), nullable=False),
        sa.Column("d_held", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Text()),
        sa.Column("grant_id", sa.BigInteger()),
        created_at(),
        sa.CheckConstraint(
            "kind IN ('grant', 'hold', 'capture', 'release', 'expire', 'void')",
            name=op.f("ck_credit_entries_kind"),
        ),
        of_the_shop("credit_entries"),
        sa.PrimaryKeyConstraint("shop_id", "seq", name=op.f("pk_credit_entries")),
    )
    for name, kinds in (("hold", "kind = 'hold'"), ("end", "kind IN ('capture', 'release')")):
        op.create_index(
            f"uq_credit_entries_{name}",
            "credit_entries",
            ["shop_id", "job_id"],
            unique=True,
            postgresql_where=sa.text(kinds),
        )
    op.create_index(
        "ix_credit_entries_of_lots",
        "credit_entries",
        ["shop_id", "seq"],
        postgresql_where=sa.text("grant_id IS NOT NULL"),
    )


def create_trial_marks() -> None:
    """Who had a trial, by a hash; and its key, of 244 random bits."""
    op.create_table(
        "trial_key",
        sa.Column("key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_trial_key")),
    )
    op.execute("INSERT INTO trial_key VALUES (gen_random_uuid()::text || gen_random_uuid()::text)")
    op.create_table(
        "trial_marks",
        sa.Column("shop_hash", sa.LargeBinary(), nullable=False),
        created_at(),
        sa.PrimaryKeyConstraint("shop_hash", name=op.f("pk_trial_marks")),
    )


def created_at() -> sa.Column[datetime]:
    """By the database's clock."""
    return sa.Column(
        "created_at",
        sa.DateTime(timezone=True),
        server_default=sa.text("now()"),
        nullable=False,
    )


def of_the_shop(table: str) -> sa.ForeignKeyConstraint:
    """The shop whose row it is. Entries name no account: the check would be half of their cost."""
    return sa.ForeignKeyConstraint(
        ["shop_id"], ["shops.id"], name=op.f(f"fk_{table}_shop_id"), ondelete="CASCADE"
    )


def protect_tables() -> None:
    """Nobody changes what is only appended, and workers delete it only to erase a shop."""
    for table, rights in OF_WEB.items():
        protect(table, web=rights)
    for table in APPENDED:
        op.execute(f"REVOKE UPDATE ON {table} FROM {WORKER}")
        op.execute(
            f"CREATE POLICY of_erased_shops ON {table} AS RESTRICTIVE FOR DELETE TO {WORKER} "
            f"USING ({IS_ERASED})"
        )
    for role in (WEB, WORKER):
        op.execute(f"GRANT SELECT ON trial_key TO {role}")
        op.execute(f"GRANT SELECT, INSERT ON trial_marks TO {role}")


def downgrade() -> None:
    """Undo, in reverse order. The jobs stay, and the credits they hold are lost with the ledger."""
    op.drop_column("batches", "waiting_since")
    op.drop_column("batches", "waiting_credits")
    for name in reversed(TRIGGERS):
        op.execute(f"DROP TRIGGER {name} ON jobs")
    for name in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {name}")
    op.drop_constraint(op.f("ck_jobs_credit_state"), "jobs")
    op.drop_column("jobs", "credit_state")
    op.drop_table("trial_marks")
    op.drop_table("trial_key")
    for table in APPENDED:
        op.execute(f"DROP POLICY of_erased_shops ON {table}")
    for table in reversed(OF_WEB):
        expose(table)
        op.drop_table(table)
