"""Litestar as we use it: what it prepares for others, at the start of each process, is left out."""

from http import HTTPStatus
from typing import Any

from litestar import Litestar, Response, Router, route
from litestar.enums import HttpMethod, MediaType
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.routes import HTTPRoute


class WebApp(Litestar):
    """Litestar with the one plugin that we use, and without copies of our routers.

    Its default plugins for pydantic and attrs import both, pydantic's first version included. It
    copies a router, as another app may have it too; each of ours is made for this app.
    """

    def _validate_registration_value(self, value: Any) -> Any:
        if not isinstance(value, Router):
            return super()._validate_registration_value(value)
        value.owner = self
        share_options_handler(value)
        return value

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def share_options_handler(router: Router) -> None:
    """Give all paths of the router one handler for OPTIONS, with the router's guards.

    Litestar adds one for each path, and prepares each: half of the time that all handlers take.
    """
    shared = route(
        "/", http_method=HttpMethod.OPTIONS, include_in_schema=False, sync_to_thread=False
    )(list_methods)
    shared.owner = router
    for each in router.routes:
        if isinstance(each, HTTPRoute):
            own = [one for one in each.route_handlers if HttpMethod.OPTIONS not in one.http_methods]
            each.route_handlers = [*own, shared]


def list_methods() -> Response[None]:
    """The answer to OPTIONS. `backend.web` completes Allow, also with what Litestar leaves out."""
    return Response(
        None,
        status_code=HTTPStatus.NO_CONTENT,
        headers={"Allow": HttpMethod.OPTIONS.value},
        media_type=MediaType.TEXT,
    )
