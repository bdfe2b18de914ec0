"""Every staff member of a shop has the same permissions, as docs/security.md says (T-23)."""

from pathlib import Path

import pytest

from tests.running_app import SHOP, RunningApp
from tests.scenarios import open_shared_app, waiting_job

shared_app = pytest.fixture(open_shared_app, scope="module")

SECURITY = Path(__file__).parents[2] / "docs" / "security.md"


async def test_one_staff_member_can_read_and_cancel_anothers_job(
    shared_app: RunningApp,
) -> None:
    ref = await waiting_job(shared_app)
    statuses = []
    for user, method, path in (("1", "GET", ""), ("2", "GET", ""), ("2", "POST", "/cancel")):
        token = shared_app.shopify.id_token(SHOP, user_id=user)
        answer = await shared_app.http.request(
            method,
            f"/v1/jobs/{ref.public_id}{path}",
            headers={"Authorization": f"Bearer {token}"},
        )
        statuses.append(answer.status_code)
    assert statuses == [200, 200, 202]


def test_the_staff_permissions_table_lists_every_kind_of_access() -> None:
    section = SECURITY.read_text().partition("## Who may do what within a shop")[2]
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    callers = [row.split("|")[1].strip() for row in rows[1:]]
    wanted = ("session token (`/v1`)", "signature (`/v1`)", "(`/proxy/v1`)", "(`/webhooks`)")
    assert [any(case in caller for caller in callers) for case in wanted] == [True] * 4
    assert len({row.count("|") for row in rows}) == 1, "and an answer in every column"
