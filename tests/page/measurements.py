"""What the first view of a page costs: requests, bytes, shifts and time."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.async_api import Request

from tests.page.accessibility import DEEP
from tests.page.admin_page import AdminPage

SLOW_NETWORK = {  # 1.6 Mbit/s, as Lighthouse's "slow 4G"
    "offline": False,
    "latency": 150,
    "downloadThroughput": 1_600_000 / 8,
    "uploadThroughput": 750_000 / 8,
}
SLOW_CPU = 4  # times slower

_ALL_IS_SHOWN = f"""() => {{ {DEEP}
  const all = deep(document);
  const isShown = (each) => each.getClientRects().length > 0;
  const nears = ({{ loading, complete }}) => loading === "lazy" || complete;
  return Boolean(document.querySelector("s-page"))
    && !all.some((each) => each.localName === "s-spinner" && isShown(each))
    && all.filter((each) => each.localName === "img" && each.src && isShown(each)).every(nears);
}}"""

_VITALS = """() => new Promise((resolve) => {
  const found = { cls: 0, lcp: 0 };
  const observer = new PerformanceObserver(read);
  function read(list) {
    for (const entry of list.getEntries())
      if (entry.entryType === "layout-shift") found.cls += entry.hadRecentInput ? 0 : entry.value;
      else found.lcp = entry.startTime;
  }
  for (const type of ["layout-shift", "largest-contentful-paint"])
    new PerformanceObserver(read).observe({ type, buffered: true });
  // Buffered entries come before the second frame from here.
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => resolve(found))));
})"""


@dataclass(kw_only=True)
class FirstView:
    """The cost of one first view, without any cache."""

    api_calls: list[str] = field(default_factory=list)
    """Method and path of each."""
    script_bytes: int = 0
    """Our own, as transferred."""
    script_files: int = 0
    document_bytes: int = 0
    picture_bytes: int = 0
    layout_shift: float = 0.0
    largest_paint: float = 0.0
    """In milliseconds after the start of the app's document."""


async def measure_first_view(
    admin: AdminPage, path: str = "/", *, is_slow: bool = False
) -> FirstView:
    """Open the page, wait until everything is there, and count. `is_slow`: a weak phone."""
    requests: list[Request] = []

    def keep(request: Request) -> None:
        requests.append(request)

    admin.page.on("request", keep)
    if is_slow:
        session = await admin.page.context.new_cdp_session(admin.page)
        await session.send("Network.enable")
        await session.send("Network.emulateNetworkConditions", SLOW_NETWORK)
        await session.send("Emulation.setCPUThrottlingRate", {"rate": SLOW_CPU})
    await admin.open(path)
    await admin.frame.wait_for_function(_ALL_IS_SHOWN)
    vitals = await admin.frame.evaluate(_VITALS)
    admin.page.remove_listener("request", keep)
    view = FirstView(layout_shift=vitals["cls"], largest_paint=vitals["lcp"])
    for request in requests:
        await _count(view, request, admin)
    return view


async def _count(view: FirstView, request: Request, admin: AdminPage) -> None:
    split = urlsplit(request.url)
    is_ours = f"{split.scheme}://{split.netloc}" == admin.shopify.app_url
    if is_ours and split.path.startswith("/v1/"):
        view.api_calls.append(f"{request.method} {split.path}")
        return
    if request.frame.name != "app-iframe":
        return
    size = (await request.sizes())["responseBodySize"]
    if request.resource_type == "image":
        view.picture_bytes += size
    elif is_ours and request.resource_type == "script":
        view.script_bytes += size
        view.script_files += 1
    elif is_ours and request.resource_type == "document":
        view.document_bytes += size
