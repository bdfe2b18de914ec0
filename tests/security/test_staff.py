"""Within a shop: every member of staff may do the same, and docs/security.md says so (T-23)."""

from pathlib import Path

import pytest

from tests.doors import shared_world, waiting_job
from tests.world import SHOP, World

house = pytest.fixture(shared_world, scope="module")

SECURITY = Path(__file__).parents[2] / "docs" / "security.md"


async def test_what_one_member_of_staff_began_another_reads_and_cancels(house: World) -> None:
    ref = await waiting_job(house)
    statuses = []
    for user, method, path in (("1", "GET", ""), ("2", "GET", ""), ("2", "POST", "/cancel")):
        token = house.shopify.id_token(SHOP, user_id=user)
        answer = await house.http.request(
            method,
            f"/v1/jobs/{ref.public_id}{path}",
            headers={"Authorization": f"Bearer {token}"},
        )
        statuses.append(answer.status_code)
    assert statuses == [200, 200, 202]


def test_the_table_of_who_may_do_what_has_every_door() -> None:
    section = SECURITY.read_text().partition("## Who may do what within a shop")[2]
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    callers = [row.split("|")[1].strip() for row in rows[1:]]
    wanted = ("session token (`/v1`)", "signature (`/v1`)", "(`/proxy/v1`)", "(`/webhooks`)")
    assert [any(door in caller for caller in callers) for door in wanted] == [True] * 4
    assert len({row.count("|") for row in rows}) == 1, "and an answer in every column"
