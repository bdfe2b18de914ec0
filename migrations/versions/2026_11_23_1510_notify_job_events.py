"""Tell listeners which job has a new event, from the transaction that adds it.

A trigger rather than a call beside each write: no writer can forget it.
"""

from alembic import op

revision = "0003_notify"
down_revision = "0002_tenants"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One notification a job and transaction; Postgres drops repeats by itself."""
    op.execute(
        """
        CREATE FUNCTION notify_job_event() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('job_events', NEW.public_id);
            RETURN NULL;
        END
        $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER notify_job_event AFTER UPDATE OF last_seq ON jobs
        FOR EACH ROW WHEN (OLD.last_seq <> NEW.last_seq)
        EXECUTE FUNCTION notify_job_event()
        """
    )


def downgrade() -> None:
    """Pollers go on without it, only slower."""
    op.execute("DROP TRIGGER notify_job_event ON jobs")
    op.execute("DROP FUNCTION notify_job_event")
