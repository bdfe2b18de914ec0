"""`atelier` as it is, but for its patience: jobs wait an outage out for seconds, not for minutes.

python -m tests.faults.disconnecting_client worker
"""

from datetime import timedelta

import msgspec

from backend import retries

PATIENCE = timedelta(seconds=10)

retries.JOBS = msgspec.structs.replace(
    retries.JOBS, give_up_after=PATIENCE
)  # before anybody takes it

from backend.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
