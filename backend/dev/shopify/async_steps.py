"""Time passing for what is asynchronous: files and jobs of one shop."""

from backend.dev.shopify import processing
from backend.dev.shopify.state import Event, Platform, ShopRecord


def step_all(platform: Platform, shop: ShopRecord) -> None:
    """One step for everything; a GraphQL request of the shop is one."""
    step_files(platform, shop)
    step_jobs(platform, shop)


def step_files(platform: Platform, shop: ShopRecord) -> None:
    """One step for each file that is under way, and news of the products that show it."""
    catalogue = platform.catalogue
    last = platform.steps_to_finish
    for media in catalogue.library.under_way(shop.number):
        ends = media.steps + 1 >= last
        fail = platform.file_failures.popleft() if ends and platform.file_failures else None
        after = processing.step(catalogue.library, media, platform.now(), last=last, fail=fail)
        if after.status == "READY":
            for product in catalogue.showing(after):
                catalogue.put(product, platform.now())
                platform.events.append(Event(shop.domain, "products/update", product.id))


def step_jobs(platform: Platform, shop: ShopRecord) -> None:
    """One step for each job that is not done."""
    for work in shop.work:
        if work.is_done:
            continue
        work.steps += 1
        if work.steps >= platform.steps_to_finish:
            work.is_done = True
            work.finish()
