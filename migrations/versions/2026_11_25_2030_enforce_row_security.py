"""Enforce row-level security: two roles that own nothing, and a policy for each on shops' tables.

Not for running code: processes of the version before connect as the owner, who sees no rows from
now on unless it is a superuser. Stop them, migrate, start the new ones. Each table is locked for as
long as its catalogue entries take.

Roles are the cluster's, not the database's: others may use them, so they stay when this is undone.
Where the login may not create roles, somebody who may does it before (docs/tenancy.md).
"""

from alembic import op

from migrations.row_security import ALL, DOMAIN, WEB, WORKER, expose, protect

revision = "0011_row_security"
down_revision = "0010_batches"
branch_labels = None
depends_on = None

# What the web processes do with the rows of the shop whose request it is. They delete nothing.
KEPT = "SELECT, INSERT, UPDATE"
READ, ADDED, UNKNOWN = "SELECT", "SELECT, INSERT", ""
OF_WEB = {
    "jobs": KEPT,
    "job_events": ADDED,
    "artifacts": READ,
    "job_stages": UNKNOWN,
    "idempotency_keys": KEPT,
    "daily_counts": KEPT,
    "uploads": KEPT,
    "publications": KEPT,
    "published_media": ADDED,
    "shop_settings": KEPT,
    "seen_pictures": UNKNOWN,
    "batches": KEPT,
    "batch_items": KEPT,
}
# By domain: shops enter before they have an id, and deliveries arrive without one.
BY_DOMAIN = {"shops": ("domain", KEPT), "webhook_deliveries": ("shop_domain", ADDED)}

# Another database of the cluster may be migrated at the same time.
CREATE_ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
        CREATE ROLE {role} NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$
"""
# So that one login is enough for everything. Postgres 16 gives it to whoever creates a role, but
# without leave to become it.
BECOME_ROLE = """
DO $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        GRANT {role} TO CURRENT_USER;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END
$$
"""


def upgrade() -> None:
    """Roles, rights, policies."""
    for role in (WEB, WORKER):
        op.execute(CREATE_ROLE.format(role=role))
        op.execute(BECOME_ROLE.format(role=role))
        op.execute(f"GRANT USAGE ON SCHEMA public, queue TO {role}")
        op.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA queue TO {role}")
    for table, rights in OF_WEB.items():
        protect(table, web=rights)
    for table, (column, rights) in BY_DOMAIN.items():
        protect(table, web=rights, mine=f"{column} = {DOMAIN}")
    op.execute(f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA queue TO {WEB}")
    op.execute(f"GRANT {ALL} ON ALL TABLES IN SCHEMA queue TO {WORKER}")
    op.execute(f"GRANT {ALL} ON findings TO {WORKER}")


def downgrade() -> None:
    """Undo, in reverse order; the roles stay, and may do nothing here."""
    op.execute(f"REVOKE ALL ON findings FROM {WORKER}")
    for table in (*reversed(BY_DOMAIN), *reversed(OF_WEB)):
        expose(table)
    for role in (WEB, WORKER):
        op.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA queue FROM {role}")
        op.execute(f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA queue FROM {role}")
        op.execute(f"REVOKE ALL ON SCHEMA public, queue FROM {role}")
