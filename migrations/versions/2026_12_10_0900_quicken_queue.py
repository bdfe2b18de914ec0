"""Let frequent transactions send their hints after the commit, and plan the queue's statements.

A transaction that has set `app.hints_after_commit` to a channel sends the hints of that channel
itself, once it is committed (`backend.hints` says why). The triggers then send none. All others,
those of processes of the version before and of SQL by hand too, have them sent by the triggers.

PgQueuer's index of `(priority, id)` has the order in which entries are taken, but no entry point.
On a queue without statistics, or whose statistics were read while it was empty, Postgres chose it
for each of a worker's entry points, and read the whole backlog a dozen times to take two entries.
The index of `(entrypoint, priority, id)` serves the same statement with one probe for each entry
point. No statement uses PgQueuer's index of `(updated, id)`: entries whose worker is dead are found
by their heartbeat. Each entry was also written into both. PgQueuer's own `pgq upgrade` would create
them again, and its trigger: do not run it.
"""

from alembic import op

revision = "0032_quicken_queue"
down_revision = "0031_job_writes"
branch_labels = None
depends_on = None

# In the body, not in a trigger's WHEN: Postgres reads that from its text in each statement.
NOTIFY_JOB_EVENT = """
CREATE OR REPLACE FUNCTION notify_job_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('app.hints_after_commit', true) IS DISTINCT FROM 'job_events' THEN
        PERFORM pg_notify('job_events', NEW.public_id);
    END IF;
    RETURN NULL;
END
$$
"""
NOTIFY_JOB_EVENT_BEFORE = """
CREATE OR REPLACE FUNCTION notify_job_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('job_events', NEW.public_id);
    RETURN NULL;
END
$$
"""
# As PgQueuer's own function does for an INSERT.
NOTIFY_NEW_ENTRY = """
CREATE FUNCTION queue.notify_new_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('app.hints_after_commit', true) IS DISTINCT FROM 'ch_pgqueuer' THEN
        PERFORM pg_notify(
            'ch_pgqueuer',
            json_build_object(
                'channel', 'ch_pgqueuer',
                'operation', 'insert',
                'sent_at', now(),
                'table', TG_TABLE_NAME,
                'type', 'table_changed_event'
            )::text
        );
    END IF;
    RETURN NULL;
END
$$
"""
NEW_ENTRIES = """
CREATE OR REPLACE TRIGGER tg_pgqueuer_changed AFTER INSERT ON queue.pgqueuer
EXECUTE FUNCTION queue.{function}()
"""


def upgrade() -> None:
    """Expand: processes of the version before have their hints sent by the triggers."""
    # First what needs the strongest lock on the queue: to ask for it later could end in a deadlock
    # with a worker, which reads the queue and writes to it in one transaction.
    op.execute("DROP INDEX IF EXISTS queue.pgqueuer_priority_id_id1_idx")
    op.execute("DROP INDEX IF EXISTS queue.pgqueuer_updated_id_id1_idx")
    op.execute(NOTIFY_JOB_EVENT)
    op.execute(NOTIFY_NEW_ENTRY)
    op.execute(NEW_ENTRIES.format(function="notify_new_entry"))


def downgrade() -> None:
    """Undo; the indexes as PgQueuer creates them. Here the trigger needs the strongest lock."""
    op.execute(NEW_ENTRIES.format(function="fn_pgqueuer_changed"))
    op.execute("DROP FUNCTION queue.notify_new_entry")
    op.execute(
        "CREATE INDEX pgqueuer_updated_id_id1_idx ON queue.pgqueuer (updated, id DESC) "
        "INCLUDE (id) WHERE status = 'picked'"
    )
    op.execute(
        "CREATE INDEX pgqueuer_priority_id_id1_idx ON queue.pgqueuer (priority, id DESC) "
        "INCLUDE (id) WHERE status = 'queued'"
    )
    op.execute(NOTIFY_JOB_EVENT_BEFORE)
