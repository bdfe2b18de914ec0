"""The natural keys of rules' jobs, so that each image is made once.

A key contains the merchant's chosen parameters and the workflow's version, but no defaults: a
release that changes a default or adds a parameter does not re-create the images of all products.
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

# The defaults of the releases that stored them in keys and rules. Frozen; today's may change.
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
    """The job's key, then the key of releases that included the defaults.

    `stored` are the rule's parameters as in its row.
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
    """The chosen parameters; a row of an older release also has the defaults."""
    if not then.keys() <= stored.keys():
        return stored
    return {name: value for name, value in stored.items() if then.get(name) != value}


def chosen_parameters(parameters: msgspec.Struct) -> dict[str, Any]:
    """The parameters that differ from today's defaults, as a row stores them."""
    chosen = {
        field.name
        for field in msgspec.structs.fields(parameters)
        if field.required or getattr(parameters, field.name) != field.default
    }
    values: dict[str, Any] = msgspec.to_builtins(parameters)
    return {name: value for name, value in values.items() if name in chosen}


def canonical_json(parameters: Mapping[str, Any]) -> str:
    """A canonical encoding: equal parameters give equal texts."""
    return msgspec.json.encode(parameters, order="deterministic").decode()


async def is_made(connection: AsyncConnection, shop_id: int, keys: Sequence[str]) -> bool:
    """Whether the shop has, or had, a job with one of these keys."""
    here = exists().where(Job.shop_id == shop_id, Job.natural_key.in_(keys))
    past = exists().where(PastJob.shop_id == shop_id, PastJob.natural_key.in_(keys))
    return bool(await connection.scalar(select(or_(here, past))))
