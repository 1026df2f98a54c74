"""The HTTP side of a port: market-data queries and the operations of the server, by path.

One plain ASGI callable; a path is looked up.  The weight of a query is charged to the
client's address before it is answered, whether or not the response is an error (REST general
information page).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct, structs

from tickerplant.errors import RequestError
from tickerplant.faults.fault import EXEMPT_KEY
from tickerplant.faults.request_faults import NOT_JSON_STATUS
from tickerplant.feed.weight import AllowanceSpentError
from tickerplant.protocol.rate_limiter import Charge
from tickerplant.protocol.target import BadTarget, parse_target
from tickerplant.queries import QUERIES, find_path, request_errors
from tickerplant.queries.account_requests import (
    NO_ORDERS,
    NO_ORDERS_TEXT,
    AccountRequest,
    find_account_path,
)
from tickerplant.queries.query import Query
from tickerplant.server.compression import Compression
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.faults.injected_errors import (
    HTML,
    NOT_JSON,
    RETRY_AFTER_MS,
    html_page,
    injected_error,
)
from tickerplant.server.guard import NOT_FROM_HERE, PLANT_PATHS, Refusal, joined
from tickerplant.server.http_request import HttpRequest
from tickerplant.server.operations.catalogue import OPENAPI_PATH, ROUTER, Route
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.operations.operation import MAX_SHOWN
from tickerplant.server.response import JSON, TEXT, Headers, Response, problem_response
from tickerplant.server.slices import Slices
from tickerplant.suggestions import suggestion

BAD_PATH = -5000
LONGEST_PATH = 200
"""Characters of an unknown path that an error repeats."""

KEY_HEADER = b"x-mbx-apikey"
PEER = "peer"
"""Where the state of a scope has the address at the other end of the connection."""
PENDING = "pending"
"""Where the state of a scope has the `PendingResponse` to its request, if that is begun already."""
ASKED_HEADERS = b"access-control-request-headers"
"""The header in which a browser says what a page wants to send."""
PUBLIC: Headers = (
    ("access-control-allow-origin", "*"),
    ("access-control-expose-headers", "retry-after, x-mbx-used-weight-1m"),
)
"""What lets pages of any origin read the responses with market data."""
_PUBLIC = "".join(f"{name}: {value}\r\n" for name, value in PUBLIC)
_PUBLIC_FIELDS = [(name.encode(), value.encode()) for name, value in PUBLIC]
NO_CONTENT = HTTPStatus.NO_CONTENT.value
ASKED_AGAIN_S = 86_400
"""How long a browser remembers what pages may ask."""
UNKNOWN = "unknown"
"""The address of a client whose socket is gone."""


class PendingResponse(Response, frozen=True, kw_only=True):
    """A response to a request that is charged, and whose body is not there yet."""

    query: Query
    params: Mapping[str, object]
    slices: Slices | None
    """What writes the body; None for that of a forwarded request."""


class _ErrorBody(Struct, frozen=True):
    """An error as the exchange prints it."""

    code: int
    msg: str


def error_response(code: int, message: str, status: int, headers: Headers = ()) -> Response:
    """Return the exchange's error body with an HTTP status."""
    return Response(msgspec.json.encode(_ErrorBody(code, message)), status, JSON, headers)


def _error(error: RequestError, headers: Headers) -> Response:
    return error_response(error.code, error.message, error.status, headers)


_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}


RemoteAnswer: TypeAlias = Callable[[HttpRequest], Awaitable[tuple[bool, Response]]]
"""Asks the plant of an edge what `Rest.answer` returns."""


class Rest:
    """The ASGI application of one venue's port."""

    def __init__(
        self,
        endpoint: Endpoint,
        plane: ControlPlane,
        *,
        compresses: bool = True,
        remote: RemoteAnswer | None = None,
    ) -> None:
        """Answer the requests of one port; `remote` all that is not about this process, if given."""
        self._remote = remote
        self._compression = Compression(endpoint.counters.compressed) if compresses else None
        self._endpoint = endpoint
        self._plane = plane
        venue = endpoint.venue
        self._questions = {
            path.encode(): (path, query)
            for query in QUERIES
            if remote is None and (path := query.path_on(venue)) is not None
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        path, method = _path(scope["path"], scope["raw_path"]), scope["method"]
        headers, client = dict(scope["headers"]), scope["client"]
        address = client[0] if client else UNKNOWN
        pending: PendingResponse | None = scope["state"].get(PENDING)
        route, refusal, is_from_here = ROUTER.find(path), None, False
        guard = self._endpoint.guard
        if path.startswith(PLANT_PATHS):
            asked, peer = joined(scope["headers"]), scope["state"].get(PEER, UNKNOWN)
            refusal = guard.refusal(method, asked, peer)
            is_from_here = guard.is_from_here(peer, asked)
        if pending is not None:
            known, response = True, await self._finish(pending)
            response = self._encoded(response, headers, _target(scope))
        elif refusal is not None:
            known, response = route is not None, self._refuse(refusal, address)
        else:
            takes_body = route is not None and method == "POST" and method in route.operations
            body = await self._body(receive, route) if route and takes_body else b""
            if isinstance(body, Response):
                known, response = True, body
            else:
                request = HttpRequest(
                    self._endpoint.venue.name,
                    address,
                    guard.charged_to(address, headers),
                    method,
                    path,
                    _target(scope),
                    headers,
                    body,
                    is_from_here,
                )
                is_own = route is not None and route.is_own
                answer = (not is_own and self._remote) or self.answer
                known, response = await answer(request)
        verb = method if method in {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"} else "other"
        label = route.template if route else path if known else "other"
        self._endpoint.counters.requests[label, verb, response.status] += 1
        fields = [(b"date", self._endpoint.date.encode())]
        if response.status != NO_CONTENT:
            fields.append((b"content-type", response.content_type.encode()))
            fields.append((b"content-length", b"%d" % len(response.body)))
        for name, value in response.headers:
            fields.append((name.encode(), value.encode("latin-1")))
        if route is None and not path.startswith(PLANT_PATHS):
            fields += _PUBLIC_FIELDS
        await send({"type": "http.response.start", "status": response.status, "headers": fields})
        await send({"type": "http.response.body", "body": response.body})

    def answer_question(
        self, url: bytes, fields: Iterable[tuple[bytes, bytes]], address: str
    ) -> Response | None:
        """Return the response to a GET of market data, counted; None if the URL is anything else.

        A response that takes longer is a `PendingResponse`, which is not counted yet.
        """
        raw_path, _, query_string = url.partition(b"?")
        found = self._questions.get(raw_path)
        endpoint, faults = self._endpoint, self._endpoint.faults
        if faults is not None and faults.touches_requests:
            return None  # a fault may delay or change the answer
        if found is None or len(url) > endpoint.limits.max_uri_bytes or b"#" in query_string:
            return None
        path, query = found
        headers = dict(fields)
        charged_to = endpoint.guard.charged_to(address, headers)
        response = self._query(query, query_string, bool(headers.get(KEY_HEADER)), charged_to)
        if isinstance(response, PendingResponse):
            return response
        endpoint.counters.requests[path, "GET", response.status] += 1
        return self._encoded(response, headers, url)

    def head(self, response: Response) -> bytes:
        """Return the status line and the headers of a response with market data."""
        fields = "".join([f"{name.lower()}: {value}\r\n" for name, value in response.headers])
        return (
            f"{_STATUS_LINES[response.status]}date: {self._endpoint.date}\r\n"
            f"content-type: {response.content_type}\r\ncontent-length: {len(response.body)}\r\n"
            f"{fields}{_PUBLIC}\r\n"
        ).encode("latin-1")

    def _encoded(
        self, response: Response, headers: Mapping[bytes, bytes], target: bytes
    ) -> Response:
        """Return a response with market data as its client accepts it."""
        if self._compression is None:
            return response
        return self._compression.encoded(response, headers, target)

    async def answer(self, request: HttpRequest) -> tuple[bool, Response]:
        """Return whether the path exists, and the response to any request."""
        path, uri_bytes = request.path, len(request.target)
        most_bytes = self._endpoint.limits.max_uri_bytes
        route = ROUTER.find(path)
        refusal = self._refusal(route, request)
        if refusal is not None:
            return route is not None, self._refuse(refusal, request.address)
        if route is not None:
            if uri_bytes > most_bytes:
                problem = f"the URL has {uri_bytes} bytes; at most {most_bytes} are allowed"
                return True, problem_response(414, problem)
            return True, await self._operate(route, request)
        if path.startswith(PLANT_PATHS) and uri_bytes <= most_bytes:
            turned_away = self._turn_away_problem(request.charged_to)
            return False, turned_away or _no_operation(path)
        faults, venue = self._endpoint.faults, self._endpoint.venue
        may_fail = (
            faults is not None
            and faults.touches_requests
            and request.method != "OPTIONS"
            and request.headers.get(EXEMPT_KEY) != b"1"
            and find_path(venue, path) is not None
        )
        if faults is not None and may_fail and (status := await faults.request(venue.name, path)):
            return True, self._refuse_by_fault(status)
        known, response = self.respond(request)
        if isinstance(response, PendingResponse):
            response = await self._finish(response)
        if faults is not None and may_fail and response.status == HTTPStatus.OK:
            params = parameters(_query_string(request))
            body = faults.revised_answer(venue.name, path, params, response.body)
            response = structs.replace(response, body=body)
        return known, self._encoded(response, request.headers, request.target)

    def _refuse_by_fault(self, status: int) -> Response:
        """Return the response of a fault: as the exchange, a firewall or a gateway would write it."""
        if status == NOT_JSON_STATUS:
            return Response(NOT_JSON)
        if status not in {418, 429, 503}:
            return Response(html_page(status), status, HTML)
        error = injected_error(status, self._endpoint.rate_limiter, self._endpoint.clock())
        headers = (
            () if status == HTTPStatus.SERVICE_UNAVAILABLE else (_retry_after(RETRY_AFTER_MS),)
        )
        return error_response(error.code, error.message, status, headers)

    def respond(self, request: HttpRequest) -> tuple[bool, Response]:
        """Return whether there is a query at the path, and the response."""
        method, path, address = request.method, request.path, request.charged_to
        query = find_path(self._endpoint.venue, path)
        account = {} if query else find_account_path(self._endpoint.venue, path)
        known = query is not None or bool(account)
        verbs = {"GET": None} if query else account
        is_too_long = len(request.target) > self._endpoint.limits.max_uri_bytes
        if method == "OPTIONS" and not is_too_long:
            return known, _preflight(_allowed(verbs), request.headers)
        if not known or is_too_long:
            turned_away = self._turn_away_problem(address)
            return known, turned_away or self._refuse_target(method, path, request.target)
        verb = "GET" if method == "HEAD" else method
        if verb not in verbs:
            message = f"Path {path}, Method {method} is invalid"
            invalid = error_response(BAD_PATH, message, 405, (("Allow", _allowed(verbs)),))
            return True, self._turn_away_problem(address) or invalid
        if query is None:
            return True, self._refuse_account(account[verb], address)
        has_key = bool(request.headers.get(KEY_HEADER))
        return True, self._query(query, _query_string(request), has_key, address)

    def _refuse_account(self, request: AccountRequest, address: str) -> Response:
        """Charge and refuse a request about an account; the first one is logged."""
        endpoint = self._endpoint
        endpoint.complaints.add(
            NO_ORDERS,
            f"! {request.http_method} {request.path} is {NO_ORDERS_TEXT}",
            peer=address,
        )
        charge = self._charge(address, request.weight)
        used = (("X-MBX-USED-WEIGHT-1M", str(charge.used)),)
        if charge.refused:
            return self._turn_away(charge, used)
        return _error(request_errors.bad_key(), used)

    async def _operate(self, route: Route, request: HttpRequest) -> Response:
        """Carry out an operation; return its response."""
        operation = route.operations.get(request.method)
        if operation is None:
            message = f"{request.method} is not possible at {route.template}, only {route.allowed}"
            return problem_response(405, message, headers=(("Allow", route.allowed),))
        query_string, headers = _query_string(request), request.headers
        return await operation.answer(
            self._plane, self._endpoint, route.id, query_string, headers, request.body
        )

    def _refusal(self, route: Route | None, request: HttpRequest) -> Refusal | None:
        """Return why an operation is refused: for want of the token, or of any; None if it is not."""
        method, token = request.method, self._plane.token
        is_public = route is not None and route.is_public(method)
        if is_public or not request.path.startswith(PLANT_PATHS):
            return None
        if refusal := token.refusal(request.headers, request.address, self._endpoint.clock()):
            return refusal
        is_for_here = route is not None and route.is_for_here(method)
        is_refused = is_for_here and not request.is_from_here and not token.is_needed
        return NOT_FROM_HERE if is_refused else None

    def _refuse(self, refusal: Refusal, address: str) -> Response:
        """Count and refuse a request to one of the server's own pages; the first is logged."""
        kind, complaints = f"{PLANT_PATHS} {refusal.status}", self._endpoint.complaints
        if refusal.logged:
            complaints.add(kind, f"! {refusal.logged}", peer=address)
        else:
            complaints.count(kind, 1)
        return problem_response(refusal.status, refusal.error, headers=refusal.headers)

    async def _body(self, receive: Any, route: Route) -> bytes | Response:
        """Return the body of a request, or the response if it is too long or incomplete."""
        body: bytes = b""
        most_bytes = max(
            self._endpoint.limits.max_body_bytes, route.operations["POST"].max_body_bytes
        )
        while True:
            part = await receive()
            if part["type"] == "http.disconnect":
                return problem_response(400, "the body is incomplete")  # the client is gone
            body += part["body"]
            if len(body) > most_bytes:
                return problem_response(413, f"the body is longer than {most_bytes} bytes")
            if not part["more_body"]:
                return body

    def _refuse_target(self, method: str, path: str, target: bytes) -> Response:
        """Return the error for a path that is not served over HTTP."""
        try:
            text = target.decode("ascii", "surrogateescape")
            parse_target(text, self._endpoint.venue, self._endpoint.limits)
        except BadTarget as bad:
            if bad.status != 404:
                return Response(f"{bad.message}\n".encode(), bad.status, TEXT)
            return error_response(
                BAD_PATH, f"Path {path[:LONGEST_PATH]}, Method {method} is invalid", 404
            )
        text = (
            f"{path} is a WebSocket address: connect with a WebSocket client, ws://, not http://.\n"
        )
        return Response(text.encode(), 400, TEXT)

    def _query(self, query: Query, query_string: bytes, has_key: bool, address: str) -> Response:
        endpoint = self._endpoint
        params = parameters(query_string)
        profile = endpoint.queries.profile
        weight = query.weigh_over_rest(params, profile)
        charge = endpoint.rate_limiter.charge(address, weight, endpoint.clock(), query.allowance)
        endpoint.counters.weight += weight
        shown = query.shows_weight_in(profile)
        used = (("X-MBX-USED-WEIGHT-1M", str(charge.used)),) if shown else ()
        if charge.refused:
            return self._turn_away(charge, used)
        if query.requires_key and not has_key:
            return _error(request_errors.bad_key(), used)
        try:
            if endpoint.queries.forwards(query, params):
                slices = None
            else:
                body = endpoint.queries.begin(query, params)
                if isinstance(body, bytes):
                    return Response(body, headers=used, stays=query.stays)
                slices = body
        except RequestError as error:
            return _error(error, used)
        return PendingResponse(b"", headers=used, query=query, params=params, slices=slices)

    async def _finish(self, pending: PendingResponse) -> Response:
        """Return the response to a forwarded request, or to one whose answer takes long."""
        queries = self._endpoint.queries
        try:
            if pending.slices is not None:
                body = await queries.finish(pending.query, pending.slices)
            else:
                body = await queries.forward(pending.query, pending.params)
        except AllowanceSpentError as error:
            headers = (*pending.headers, _retry_after(error.retry_after_ms))
            return _error(error, headers)
        except RequestError as error:
            return _error(error, pending.headers)
        return Response(body, headers=pending.headers, stays=pending.slices is None)

    def _charge(self, address: str, weight: int) -> Charge:
        self._endpoint.counters.weight += weight
        return self._endpoint.rate_limiter.charge(address, weight, self._endpoint.clock())

    def _turn_away_problem(self, address: str) -> Response | None:
        """Charge a request that nobody can answer; return the response if it is over the limit."""
        charge = self._charge(address, self._endpoint.limits.problem_weight)
        return self._turn_away(charge, ()) if charge.refused else None

    def _turn_away(self, charge: Charge, used: Headers) -> Response:
        """Return the response to a request over the limit (REST general information page)."""
        refusal = self._endpoint.rate_limiter.refusal(charge)
        self._endpoint.complaints.add(f"http {refusal.status}", f"! {refusal.message}")
        headers = (*used, _retry_after(charge.retry_after_ms))
        return error_response(refusal.code, refusal.message, refusal.status, headers)


def _allowed(verbs: Iterable[str]) -> str:
    """Return the header Allow of a path that answers to some verbs."""
    return ", ".join([*verbs, *(["HEAD"] if "GET" in verbs else []), "OPTIONS"])


def _preflight(allowed: str, headers: Mapping[bytes, bytes]) -> Response:
    """Return the response to OPTIONS, which browsers send before some requests of other origins."""
    asked = headers.get(ASKED_HEADERS, b"*").decode("latin-1")
    fields = (
        ("Allow", allowed),
        ("Access-Control-Allow-Methods", allowed),
        ("Access-Control-Allow-Headers", asked),
        ("Access-Control-Max-Age", str(ASKED_AGAIN_S)),
    )
    return Response(b"", NO_CONTENT, headers=fields)


def _target(scope: Any) -> bytes:
    """Return the request target as it was sent."""
    query_string: bytes = scope["query_string"]
    target: bytes = scope["raw_path"]
    return target + b"?" + query_string if query_string else target


def _retry_after(pause_ms: int) -> tuple[str, str]:
    """Return the Retry-After header, in seconds."""
    return "Retry-After", str(-(-pause_ms // 1_000))


def _no_operation(path: str) -> Response:
    """Return the response at a path of the control plane where there is nothing."""
    templates = [each for each in ROUTER.templates if each.startswith(PLANT_PATHS)]
    tails = [each.removeprefix(PLANT_PATHS) for each in templates]
    hint = suggestion(path.removeprefix(PLANT_PATHS), tails, PLANT_PATHS + "{}")
    return problem_response(
        404, f"there is no operation {path[:MAX_SHOWN]}: see {OPENAPI_PATH} for all of them{hint}"
    )


def _path(path: str, raw_path: bytes) -> str:
    """Return the path of a request: as it was sent if it escapes more of an operation than its id.

    So what stands before a server, and looks at the beginning of paths, sees what the server sees.
    """
    if b"%" not in raw_path or not path.startswith(PLANT_PATHS):
        return path
    route, parent = ROUTER.find(path), path.rpartition("/")[0]
    has_id = route is not None and bool(route.id)
    if has_id and raw_path.startswith(f"{parent}/".encode()):
        return path
    return raw_path.decode("ascii", "replace")


def _query_string(request: HttpRequest) -> bytes:
    return request.target.partition(b"?")[2]


def parameters(query_string: bytes) -> dict[str, object]:
    """Return the parameters of a query string; the last value of a repeated one counts."""
    text = query_string.decode("utf-8", "replace")
    if "%" in text or "+" in text:
        return dict(parse_qsl(text, keep_blank_values=True))
    pairs = [pair.partition("=") for pair in text.split("&") if pair]
    return {name: value for name, _, value in pairs}
