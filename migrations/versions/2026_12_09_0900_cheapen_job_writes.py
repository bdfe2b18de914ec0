"""Make each write of a job cheaper, with the same checks and triggers.

Postgres reads a table's CHECK constraints and its triggers' WHEN conditions from their stored text
in every statement that writes a row. The five checks of `jobs` were a third of the processor time
of a claim, and a fifth of that of a job's end. A function's body is compiled once a connection, so
the same conditions in one function cost a quarter of that. The triggers that follow a job's end now
name `finished_at`, which every end of a job sets and nothing else does: a statement that does not
set it skips them without reading their conditions.

Every row fulfils the conditions already: the checks before have enforced them. So the new check is
NOT VALID, and no row is read under the lock. To let Postgres know it too, run at any time, without
keeping anybody waiting:

    ALTER TABLE jobs VALIDATE CONSTRAINT ck_jobs_values;
"""

from alembic import op

revision = "0031_job_writes"
down_revision = "0030_categories_attempts"
branch_labels = None
depends_on = None

STATUS = "status IN ('NOT_STARTED', 'IN_PROGRESS', 'SUCCESS', 'FAILURE')"
CREDIT_STATE = (
    "status IN ('NOT_STARTED', 'IN_PROGRESS') AND credit_state IN ('none', 'held') "
    "OR status = 'SUCCESS' AND credit_state IN ('none', 'captured') "
    "OR status = 'FAILURE' AND credit_state IN ('none', 'released')"
)
CHECKS = {
    "status": STATUS,
    "origin": "origin IN ('api', 'webhook', 'storefront')",
    "files": "files IN ('KEPT', 'EXPIRING', 'EXPIRED')",
    "review": "review IN ('WAITING', 'DISMISSED', 'PUBLISHED')",
    "credit_state": CREDIT_STATE,
}
ALL_CHECKS = " AND ".join(f"({check})" for check in CHECKS.values())
# In PL/pgSQL: a function in SQL would be inlined, which is to read its text each time.
VALUES_FIT = f"""
CREATE FUNCTION job_values_fit(
    status text, origin text, files text, review text, credit_state text
) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN {ALL_CHECKS};
END
$$
"""
ENDS = "OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL"
# The function of each trigger has its name. What it was before is in 0022 and 0027.
TRIGGERS = {
    "decide_credits": (
        "BEFORE UPDATE OF finished_at ON jobs FOR EACH ROW "
        f"WHEN (OLD.credit_state = 'held' AND {ENDS})"
    ),
    "settle_credits": (
        "AFTER UPDATE OF finished_at ON jobs FOR EACH ROW "
        f"WHEN (OLD.credit_state = 'held' AND {ENDS})"
    ),
    "tell_job_end": f"AFTER UPDATE OF finished_at ON jobs FOR EACH ROW WHEN ({ENDS})",
}
TRIGGERS_BEFORE = {
    "decide_credits": (
        "BEFORE UPDATE OF status ON jobs FOR EACH ROW "
        "WHEN (OLD.credit_state = 'held' AND NEW.status IN ('SUCCESS', 'FAILURE'))"
    ),
    "settle_credits": (
        "AFTER UPDATE ON jobs FOR EACH ROW "
        "WHEN (OLD.credit_state = 'held' AND NEW.credit_state <> 'held')"
    ),
    "tell_job_end": (
        "AFTER UPDATE OF status ON jobs FOR EACH ROW WHEN ("
        "OLD.status IN ('NOT_STARTED', 'IN_PROGRESS') AND NEW.status IN ('SUCCESS', 'FAILURE'))"
    ),
}


def upgrade() -> None:
    """Expand: processes of the version before set `finished_at` with every end, too."""
    op.execute(VALUES_FIT)
    op.execute(
        "ALTER TABLE jobs ADD CONSTRAINT ck_jobs_values "
        "CHECK (job_values_fit(status, origin, files, review, credit_state)) NOT VALID"
    )
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_jobs_{name}"), "jobs")
    create_triggers(TRIGGERS)


def create_triggers(triggers: dict[str, str]) -> None:
    """In place of those of the same names."""
    for name, when in triggers.items():
        op.execute(f"CREATE OR REPLACE TRIGGER {name} {when} EXECUTE FUNCTION {name}()")


def downgrade() -> None:
    """Undo, in reverse order."""
    create_triggers(TRIGGERS_BEFORE)
    for name, check in CHECKS.items():
        op.execute(f"ALTER TABLE jobs ADD CONSTRAINT ck_jobs_{name} CHECK ({check}) NOT VALID")
    op.drop_constraint(op.f("ck_jobs_values"), "jobs")
    op.execute("DROP FUNCTION job_values_fit")
