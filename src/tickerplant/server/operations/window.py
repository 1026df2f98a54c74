"""The operations of the window: the page at `/`, and its files."""

from __future__ import annotations

from tickerplant.errors import RequestError
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.operations.operation import NOT_THERE, Operation, Request
from tickerplant.server.response import TEXT, Response
from tickerplant.server.window import PAGE, wants_page, window

NOT_BUILT = "The window, a web page at this address, is not built: run `make window`."


def _page(plane: ControlPlane, request: Request) -> Response:
    text = plane.welcome()
    if wants_page(request.headers):
        page = window().response(PAGE, request.headers)
        if page is not None:
            return page
        text = f"{text}\n{NOT_BUILT}\n"
    return Response(text.encode(), content_type=TEXT, headers=(("Vary", "Accept"),))


def _file(_plane: ControlPlane, request: Request) -> Response:
    file = window().response(request.id, request.headers)
    if file is None:
        problem = f"the window has no file {request.id[:60]}" if window().files else NOT_BUILT
        raise RequestError(NOT_THERE, problem, 404)
    return file


OPERATIONS = (
    Operation(
        method="GET",
        path="/",
        name="welcome",
        summary="The window for browsers; the addresses, text, for others.",
        doc="A request whose `Accept` has `text/html` gets the page.",
        handler=_page,
        content_type=TEXT,
        is_own=True,
    ),
    Operation(
        method="GET",
        path="/window/{id}",
        name="windowFile",
        summary="A file of the window.",
        id_doc="the name of the file.",
        handler=_file,
        content_type=TEXT,
        statuses={404: "There is no such file, or the window is not built."},
        is_own=True,
    ),
)
