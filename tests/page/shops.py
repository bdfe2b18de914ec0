"""A shop for one test on the running stack, with the app installed in it."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from backend.dev.shopify import ProductRecord
from backend.dev.stack import GARMENTS, Stack
from backend.jobs.states import UNFINISHED, JobStatus
from tests.wait import wait_until

JOB_TIMEOUT = 90  # seconds; the machine may be busy
ENDED = frozenset(JobStatus) - UNFINISHED

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A shop, with its merchant's and its page's ways to the app."""

    domain: str
    stack: Stack

    async def call(self, method: str, path: str, **how: Any) -> httpx.Response:
        """A request with this shop's session token; the answer, which must be a success."""
        token = self.stack.shopify.id_token(self.domain)
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self.stack.http.request(method, path, headers=headers, **how)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def product(self, garment: str = "tee_navy", title: str | None = None) -> ProductRecord:
        """A product with one of the sample photos."""
        return self.stack.shopify.create_product(
            self.domain, title or garment.replace("_", " ").capitalize(), photo(garment)
        )

    async def request_job(self, product: ProductRecord, **parameters: Any) -> str:
        """Request catalog images of the product; the job's public id."""
        body = {"product_id": product.gid, **parameters}
        return str((await self.call("POST", "/v1/catalog-image", json=body)).json()["job_id"])

    async def ended_job(self, public_id: str) -> dict[str, Any]:
        """The job's detail, as soon as a worker has ended it."""

        async def ended() -> dict[str, Any] | None:
            detail = (await self.call("GET", f"/v1/jobs/{public_id}")).json()
            return detail if detail["status"] in ENDED else None

        detail: dict[str, Any] | None = await wait_until(ended, JOB_TIMEOUT, poll=0.2)
        assert detail is not None
        return detail

    async def finished_job(self, garment: str = "tee_navy", **parameters: Any) -> str:
        """Create a product and its catalog images, really rendered; the job's public id."""
        public_id = await self.request_job(self.product(garment), **parameters)
        assert (await self.ended_job(public_id))["status"] == "SUCCESS"
        return public_id

    async def catalog_entry(self, generator: str = "model-generator", **parameters: Any) -> str:
        """An entry of the catalog that the stand-in provider has drawn; its id."""
        body = {"outputs": [{"size": 768, "format": "webp"}], **parameters}
        made = (await self.call("POST", f"/v1/{generator}", json=body)).json()
        public_id = str(made["job_id"])
        assert (await self.ended_job(public_id))["status"] == "SUCCESS"
        return public_id


def photo(garment: str) -> Path:
    """The file of a sample photo, such as `tee_navy`."""
    return GARMENTS / f"{garment}.jpg"


async def open_shop(stack: Stack, *, installed: bool = True) -> Shop:
    """A new shop. Without `installed`, the app has not been opened in it yet."""
    shop = Shop(domain=f"page-{next(_numbers)}.myshopify.com", stack=stack)
    stack.shopify.create_shop(shop.domain)
    if installed:
        await shop.call("POST", "/v1/installation")
    return shop
