"""What a page must hold to for everybody: axe, a narrow window, targets, keyboard, less motion."""

from importlib.resources import files
from typing import Any

from playwright.async_api import Locator

from tests.page.admin_page import AdminPage

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
NARROW = {"width": 320, "height": 640}
SMALLEST_TARGET = 24  # CSS pixels: WCAG 2.5.8
MOST_TABS = 200

# Elements in shadow roots, too.
DEEP = """const deep = (root) => [...root.querySelectorAll("*")]
  .flatMap((each) => [each, ...(each.shadowRoot ? deep(each.shadowRoot) : [])]);"""


async def axe_findings(admin: AdminPage) -> list[str]:
    """What axe finds in the app's document: the rule, its impact, and where. Empty is right."""
    await admin.frame.evaluate(AXE)
    found: dict[str, Any] = await admin.frame.evaluate(
        "(runOnly) => axe.run(document, { runOnly, resultTypes: ['violations'] })", RULES
    )
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']} {node['html'][:200]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


async def make_narrow(admin: AdminPage) -> None:
    """The smallest window that must do: 320 × 640."""
    await admin.page.set_viewport_size({"width": NARROW["width"], "height": NARROW["height"]})


async def sideways_overflow(admin: AdminPage) -> int:
    """By how many pixels the app's document is wider than its window. 0 is right."""
    overflow: int = await admin.frame.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return overflow


async def small_targets(admin: AdminPage) -> list[str]:
    """The controls below 24 × 24 pixels, links in running text aside. Empty is right."""
    found: list[str] = await admin.frame.evaluate(
        f"""(smallest) => {{ {DEEP}
          return deep(document)
            .filter((each) => each.matches(
              "button, input, select, textarea, summary, [role=button], s-button a, a.button"))
            .map((each) => [each, (each.closest("label") ?? each).getBoundingClientRect()])
            .filter(([, {{ width, height }}]) => width && (width < smallest || height < smallest))
            .map(([each, {{ width, height }}]) =>
              `${{each.outerHTML.slice(0, 120)}} ${{width}} × ${{height}}`);
        }}""",
        SMALLEST_TARGET,
    )
    return found


async def reduce_motion(admin: AdminPage) -> None:
    """The system's wish for less motion."""
    await admin.page.emulate_media(reduced_motion="reduce")


async def running_animations(admin: AdminPage) -> list[str]:
    """The names of animations and transitions under way in the app's document."""
    found: list[str] = await admin.frame.evaluate(
        """document.getAnimations().filter(({ playState }) => playState === "running")
           .map((each) => each.animationName ?? each.transitionProperty)"""
    )
    return found


async def tab_to(admin: AdminPage, target: Locator) -> None:
    """Press Tab until this has the focus. Fails when it never gets it."""
    for _ in range(MOST_TABS):
        if await has_focus(target):
            return
        await admin.page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {target}")


async def has_focus(target: Locator) -> bool:
    """Whether the element, or one in its shadow root, has the focus."""
    focused: bool = await target.evaluate("(each) => each.matches(':focus, :focus-within')")
    return focused
