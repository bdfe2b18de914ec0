"""How an app would call Shopify, for the tests of the stand-in; and the clock they share."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from backend.dev.shopify import ProductRecord, StandInShopify, grants

API_KEY = "key"
SECRET = "hush"
NOW = 1_790_000_000.0  # 2026-09-21T14:13:20Z
SHOP = "a-shop.myshopify.com"
OTHER_SHOP = "b-shop.myshopify.com"
GARMENT = Path(__file__).parents[3] / "backend/dev/garments/tee_navy.jpg"

INSTALLATION = """
query Installation {
  shop { id myshopifyDomain name }
  currentAppInstallation { accessScopes { handle } }
}
"""
STAGE = """
mutation Stage($input: [StagedUploadInput!]!) {
  stagedUploadsCreate(input: $input) {
    stagedTargets { url resourceUrl parameters { name value } }
    userErrors { field message }
  }
}
"""
CREATE = """
mutation Create($files: [FileCreateInput!]!) {
  fileCreate(files: $files) { files { id fileStatus } userErrors { code field message } }
}
"""
POLL = """
query Poll($id: ID!) {
  node(id: $id) {
    ... on MediaImage { id alt fileStatus image { url width height } mimeType fileErrors { code } }
  }
}
"""
UPDATE = """
mutation Update($files: [FileUpdateInput!]!) {
  fileUpdate(files: $files) { files { id alt fileStatus } userErrors { code field message } }
}
"""
APPEND = """
mutation Append($product: ProductUpdateInput!, $media: [CreateMediaInput!]) {
  productUpdate(product: $product, media: $media) {
    product { id title status media(first: 250) { nodes { id alt status } } }
    userErrors { field message }
  }
}
"""
REORDER = """
mutation Reorder($id: ID!, $moves: [MoveInput!]!) {
  productReorderMedia(id: $id, moves: $moves) {
    job { id done } mediaUserErrors { code field message }
  }
}
"""


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


async def exchange(
    client: httpx.AsyncClient, shop: str, id_token: str | None, **changes: object
) -> httpx.Response:
    body = {
        "client_id": API_KEY,
        "client_secret": SECRET,
        "grant_type": grants.TOKEN_EXCHANGE,
        "subject_token": id_token,
        "subject_token_type": grants.ID_TOKEN,
        "requested_token_type": grants.OFFLINE_TOKEN,
        "expiring": 1,
        **changes,
    }
    return await client.post(f"https://{shop}/admin/oauth/access_token", json=body)


async def refresh(client: httpx.AsyncClient, shop: str, refresh_token: str) -> httpx.Response:
    body = {
        "client_id": API_KEY,
        "client_secret": SECRET,
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
    }
    return await client.post(f"https://{shop}/admin/oauth/access_token", data=body)


async def ask(
    client: httpx.AsyncClient,
    shop: str,
    token: str,
    document: str,
    version: str = "2026-10",
    **variables: object,
) -> httpx.Response:
    return await client.post(
        f"https://{shop}/admin/api/{version}/graphql.json",
        json={"query": document, "variables": variables},
        headers={"X-Shopify-Access-Token": token},
    )


@dataclass(frozen=True)
class App:
    """The app with its token for the shop."""

    client: httpx.AsyncClient
    token: str

    async def answer(self, document: str, **variables: Any) -> Any:
        """The whole answer to a document."""
        answer = await ask(self.client, SHOP, self.token, document, **variables)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def data(self, document: str, **variables: Any) -> Any:
        """The one root field of an answer without errors."""
        answer = await self.answer(document, **variables)
        assert "errors" not in answer, answer["errors"]
        (value,) = answer["data"].values()
        return value

    async def refusal(self, document: str, **variables: Any) -> str:
        """The code of the one userError of a mutation."""
        payload = await self.data(document, **variables)
        (error,) = payload.get("mediaUserErrors") or payload["userErrors"]
        return str(error.get("code") or error["message"])


def png(width: int, height: int, size: int = 64) -> bytes:
    """The header of a PNG, and nothing behind it but zeros."""
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)
    return head.ljust(size, b"\0")


async def stage(app: App, **changes: Any) -> Any:
    """A target for an upload."""
    wanted = {"resource": "IMAGE", "filename": "tee.jpg", "mimeType": "image/jpeg", **changes}
    payload = await app.data(STAGE, input=[wanted])
    assert payload["userErrors"] == []
    return payload["stagedTargets"][0]


async def put(
    client: httpx.AsyncClient,
    target: dict[str, Any],
    content: bytes = b"bytes",
    content_type: str = "image/jpeg",
    **changes: str,
) -> httpx.Response:
    """Upload with PUT; `changes` replace parameters of the signed URL."""
    url = httpx.URL(target["url"]).copy_merge_params(changes)
    return await client.put(url, content=content, headers={"Content-Type": content_type})


async def uploaded(app: App, content: bytes | None = None, filename: str = "tee.jpg") -> str:
    """The resourceUrl of bytes that are there."""
    target = await stage(app, filename=filename)
    answer = await put(app.client, target, GARMENT.read_bytes() if content is None else content)
    assert answer.status_code == 200, answer.text
    return str(target["resourceUrl"])


async def created(app: App, content: bytes | None = None, **fields: Any) -> str:
    """The gid of a new file."""
    source = await uploaded(app, content, fields.get("filename", "tee.jpg"))
    payload = await app.data(CREATE, files=[{"originalSource": source, **fields}])
    assert payload["userErrors"] == [], payload
    return str(payload["files"][0]["id"])


async def ready(shopify: StandInShopify, app: App, **fields: Any) -> str:
    """The gid of a file that is ready."""
    gid = await created(app, **fields)
    await shopify.step_files(2)
    return gid


async def reordered(app: App, product: ProductRecord, *moves: tuple[str, int]) -> Any:
    """The job of these moves."""
    wanted = [{"id": gid, "newPosition": str(position)} for gid, position in moves]
    payload = await app.data(REORDER, id=product.gid, moves=wanted)
    assert payload["mediaUserErrors"] == []
    return payload["job"]
