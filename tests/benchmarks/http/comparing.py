"""Do the three servers answer the same? Asked before anything is timed.

URLs are signed at different moments, so their queries are left out of it. The bare server sends
rows: what has to be in them is what the others' answers are made of.
"""

import json
import re
from typing import Any

import httpx

from tests.benchmarks.http.asking import SINCE, Client
from tests.benchmarks.http.servers import Server

COMPARED = 25
QUERY = re.compile(r"\?X-Amz-[^\"]*|\?response-content[^\"]*")
MOMENT = re.compile(r"(?<=\d)\+00:00|Z(?=\")")


async def compare_answers(running: dict[str, Server], client: Client) -> str:
    """The tag of a detail. Raises `AssertionError` where the servers differ."""
    async with httpx.AsyncClient(timeout=120) as http:
        for shop, job in client.jobs[:COMPARED]:
            key = {"Authorization": f"Bearer {client.token(shop)}"}
            path = f"/v1/jobs/{job}"
            ours, peers, bare = [
                await http.get(f"http://127.0.0.1:{running[name].port}{path}{query}", headers=key)
                for name, query in (("ours", ""), ("peer", ""), ("bare", f"?shop={shop}"))
            ]
            assert {ours.status_code, peers.status_code, bare.status_code} == {200}, peers.text
            assert plain(ours.json()) == plain(peers.json())
            for fact in facts(ours.json()):
                assert fact in bare.text, f"{fact} is not in the bare answer"
            events = await http.get(
                f"http://127.0.0.1:{running['ours'].port}{path}/events?since={SINCE}", headers=key
            )
            rows = await http.get(
                f"http://127.0.0.1:{running['bare'].port}{path}/events?since={SINCE}&shop={shop}"
            )
            for event in events.json()["events"]:
                assert event["message"] in rows.text
        await compare_reviews(running, client, http)
        return str(ours.headers["etag"])


async def compare_reviews(
    running: dict[str, Server], client: Client, http: httpx.AsyncClient
) -> None:
    """Whether the rows of a page of the review have what its cards are made of."""
    for shop in {shop for shop, _ in client.jobs[:COMPARED]}:
        key = {"Authorization": f"Bearer {client.token(shop)}"}
        ours, bare = [
            await http.get(f"http://127.0.0.1:{running[name].port}/v1/review{query}", headers=key)
            for name, query in (("ours", ""), ("bare", f"?shop={shop}"))
        ]
        assert ours.json()["count"] > 0
        for card in ours.json()["cards"]:
            digests = [each["meta"]["sha256"] for each in card["result"]]
            for fact in (card["public_id"], card["product"]["id"], *digests):
                assert fact in bare.text, f"{fact} is not in the bare answer"


def plain(answer: Any) -> Any:
    """The answer without what depends on the moment."""
    text = MOMENT.sub("", QUERY.sub("", json.dumps(answer)))
    return without_expiry(json.loads(text))


def without_expiry(value: Any) -> Any:
    """The same, without any `expires_at`."""
    if isinstance(value, list):
        return [without_expiry(item) for item in value]
    if isinstance(value, dict):
        return {name: without_expiry(item) for name, item in value.items() if name != "expires_at"}
    return value


def facts(answer: dict[str, Any]) -> list[str]:
    """What a row has to say for this answer to be made of it."""
    pictures = [QUERY.sub("", each["image_url"]).split("/bench/")[1] for each in answer["result"]]
    digests = [each["meta"]["sha256"] for each in answer["result"]]
    event = answer["latest_event"]
    return [answer["public_id"], answer["job_type"], *pictures, *digests, event["message"]]
