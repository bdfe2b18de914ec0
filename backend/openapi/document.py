"""The OpenAPI document: Litestar's, corrected and completed."""

from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.utils.helpers import get_name

from backend.openapi.examples import error_examples, success_examples
from backend.openapi.guards import SCHEMES, guard_of
from backend.openapi.headers import header_components, headers_of
from backend.openapi.outgoing import outgoing_webhooks
from backend.openapi.schemas import COMPONENT_REF, component_schemas, of_codes, parameter
from backend.openapi_responses import (
    BODIES,
    DocumentedResponse,
    ErrorResponse,
    error_responses,
)
from backend.webhook_endpoints.payloads import DATA_OF

IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of an earlier response. Answers 304 if nothing has changed.",
    "schema": {"type": "string"},
}

Document = dict[str, Any]


def completed_document(found: Document, app: Litestar) -> Document:
    """The complete document of the app, from Litestar's own, which is not modified."""
    paths: dict[str, dict[str, Document]] = {}
    kinds: set[type[msgspec.Struct]] = {ErrorResponse, *BODIES.values(), *DATA_OF.values()}
    for path, method, handler in documented_routes(app):
        answers = answers_of(handler)
        kinds |= kinds_of(handler, answers)
        paths.setdefault(path, {})[method] = complete_operation(
            found["paths"][path][method], handler, answers
        )
    components = {
        "schemas": component_schemas(kinds),
        "headers": header_components(),
        "securitySchemes": SCHEMES,
    }
    return {
        **found,
        "paths": paths,
        "webhooks": outgoing_webhooks(),
        "components": components,
    }


def complete_operation(
    found: Document, handler: HTTPRouteHandler, answers: dict[int, DocumentedResponse]
) -> Document:
    """One operation, completed."""
    return {
        **{key: value for key, value in found.items() if key != "deprecated"},
        "summary": handler.summary or handler.handler_name.replace("_", " ").capitalize(),
        "security": handler.resolve_security() or guard_of(handler).security,
        "parameters": parameters_of(found, answers),
        "responses": {
            str(status): response(found["operationId"], answer)
            for status, answer in sorted(answers.items())
        },
    }


def documented_routes(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """Path, method and handler of every operation in the document."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                if handler.resolve_include_in_schema():
                    yield route.path_format, method.lower(), handler


def operation_id(handler: HTTPRouteHandler, _method: Any, _path: Any) -> str:
    """The handler's name: stable, and unique because Litestar refuses duplicates."""
    return handler.handler_name


def answers_of(handler: HTTPRouteHandler) -> dict[int, DocumentedResponse]:
    """The responses of the route and the errors of its guard, by status."""
    answers = {
        status: answer
        for status, answer in (handler.responses or {}).items()
        if isinstance(answer, DocumentedResponse)
    }
    for status, answer in error_responses(guard_of(handler).errors).items():
        assert isinstance(answer, DocumentedResponse)
        answers[status] = answers[status].merged(answer) if status in answers else answer
    return answers


def parameters_of(operation: Document, answers: dict[int, DocumentedResponse]) -> list[Document]:
    """The parameters, plus If-None-Match if the route has a 304."""
    found = [parameter(each) for each in operation.get("parameters", [])]
    return [*found, IF_NONE_MATCH] if 304 in answers else found


def response(operation_id: str, answer: DocumentedResponse) -> Document:
    """One response as an OpenAPI object."""
    described = {"description": answer.description, "headers": headers_of(answer)}
    if answer.data_container is None:
        return described
    name = get_name(answer.data_container)
    if answer.codes:
        fields = getattr(answer.data_container, "__struct_fields__", ())
        schema, examples = of_codes(name, answer.codes), error_examples(answer.codes, fields)
    else:
        schema, examples = {"$ref": COMPONENT_REF.format(name=name)}, success_examples(operation_id)
    content = {"schema": schema} | ({"examples": examples} if examples else {})
    return {**described, "content": {"application/json": content}}


def kinds_of(handler: HTTPRouteHandler, answers: dict[int, DocumentedResponse]) -> set[Any]:
    """The Structs of the operation's request and responses."""
    fields = handler.parsed_fn_signature.parameters
    taken = {fields["data"].annotation} if "data" in fields else set()
    return taken | {answer.data_container for answer in answers.values()} - {None}
