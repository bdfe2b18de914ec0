"""What a rule's job is about, as its natural key: so each picture is made once.

A key holds what the merchant has chosen and the workflow's version, but no defaults: a release that
changes one, or adds a parameter, does not have every product of every shop made anew.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.jobs.models import Job
from backend.jobs.service import natural_key
from backend.rules.models import PastJob
from backend.shops.shopify_responses import Product, ProductImage
from backend.workflows.registry import Workflow

OUTPUTS_THEN = [{"size": 2048, "format": "jpeg"}, {"size": 1024, "format": "webp"}]

# The defaults when keys held them, and stored rules too. Frozen: a workflow's own may change.
DEFAULTS_THEN: Mapping[str, Mapping[str, Any]] = {
    "CATALOG_IMAGE": {
        "background": "#ffffff",
        "margin": 0.08,
        "shadow": "none",
        "outputs": OUTPUTS_THEN,
    },
    "PRODUCT_TO_MODEL_DIRECT": {
        "body": "female",
        "background": "#f4f4f2",
        "outputs": OUTPUTS_THEN,
    },
    "BACKGROUND_SWAP_WITH_IMAGE": {"shadow": "contact", "outputs": OUTPUTS_THEN},
    "BACKGROUND_SWAP_WITH_SPEC": {
        "mood": "neutral",
        "dominant_colors": ["#e8e4de"],
        "shadow": "contact",
        "outputs": OUTPUTS_THEN,
    },
}


def keys_of(
    workflow: Workflow, product: Product, image: ProductImage, stored: dict[str, Any]
) -> tuple[str, ...]:
    """The key of the job, then the one it would have had in releases that wrote the defaults in.

    `stored` are the rule's parameters as its row has them.
    """
    picture = natural_key(image.media_gid, image.url)
    then = DEFAULTS_THEN.get(workflow.job_type, {})
    chosen = without_defaults_then(stored, then)
    version = f"v{workflow.version}"
    key = natural_key(workflow.job_type, version, product.gid, picture, canonical_json(chosen))
    if workflow.version > 1 or workflow.job_type not in DEFAULTS_THEN:
        return (key,)
    older = natural_key(workflow.job_type, product.gid, picture, canonical_json({**then, **chosen}))
    return key, older


def without_defaults_then(stored: dict[str, Any], then: Mapping[str, Any]) -> dict[str, Any]:
    """What was chosen. A row of an older release has every parameter, a newer one only those."""
    if not then.keys() <= stored.keys():
        return stored
    return {name: value for name, value in stored.items() if then.get(name) != value}


def chosen_parameters(parameters: msgspec.Struct) -> dict[str, Any]:
    """Those that are not the defaults of now, as a row keeps them."""
    chosen = {
        field.name
        for field in msgspec.structs.fields(parameters)
        if field.required or getattr(parameters, field.name) != field.default
    }
    values: dict[str, Any] = msgspec.to_builtins(parameters)
    return {name: value for name, value in values.items() if name in chosen}


def canonical_json(parameters: Mapping[str, Any]) -> str:
    """The same for the same parameters."""
    return msgspec.json.encode(parameters, order="deterministic").decode()


async def is_made(connection: AsyncConnection, shop_id: int, keys: Sequence[str]) -> bool:
    """Whether the shop has a job with one of these keys, or has had one that is no longer kept."""
    here = exists().where(Job.shop_id == shop_id, Job.natural_key.in_(keys))
    past = exists().where(PastJob.shop_id == shop_id, PastJob.natural_key.in_(keys))
    return bool(await connection.scalar(select(or_(here, past))))
