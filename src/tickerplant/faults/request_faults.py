"""The faults of subscriptions and of requests."""

from __future__ import annotations

from typing import Annotated, ClassVar

from tickerplant.faults.fault import OF_CONNECTIONS, Fault
from tickerplant.faults.params import Duration, Share, status

HANG_MS = 30_000
"""How long a REST request hangs."""
NOT_JSON_STATUS = 200
"""The status with which a REST request is refused whose answer is not JSON."""


class SubscriptionFault(Fault):
    """Happens when a client subscribes."""

    acts_on = "subscription"
    acted_on = "subscriptions"
    aims = ("venue", "stream", *OF_CONNECTIONS)
    occasion = "it acts when a client subscribes, and not on subscriptions that run"
    acknowledges: ClassVar[bool] = True
    """Whether the request is acknowledged; else its streams are silent."""


class RequestFault(Fault):
    """Happens to requests: they are refused, or answered later."""

    def delay_ms(self) -> int:
        """Return how much later a request is answered; 0 if it is refused instead."""
        return 0


class ApiFault(RequestFault):
    """Happens to requests of the WebSocket API."""

    acts_on = "api"
    acted_on = "WebSocket API requests"
    aims = ("venue", "method", *OF_CONNECTIONS)
    occasion = "it acts on requests of the WebSocket API"

    def statuses(self) -> tuple[int, ...]:
        """Return the statuses with which requests are refused in turn on each connection."""
        return ()


class RestFault(RequestFault):
    """Happens to REST requests."""

    acts_on = "rest"
    acted_on = "REST requests"
    aims = ("venue", "path")
    occasion = "it acts on REST requests"


class Silent(SubscriptionFault):
    """Stream names in SUBSCRIBE and in URLs are acknowledged and stay silent on that connection until
    they are unsubscribed and subscribed again. It acts on new subscriptions; `drop` silences those
    that run.
    """

    occasion = f"{SubscriptionFault.occasion}; `drop` withholds the messages of those"
    share: Share = None


class NoAck(SubscriptionFault):
    """SUBSCRIBE requests are carried out and never acknowledged."""

    acknowledges = False
    share: Share = None


class ApiError(ApiFault):
    """WebSocket API requests are answered with an error; 418 and 429 (-1003) have a `retryAfter` 1 s
    later, 503 is -1008. The connection stays open.
    """

    joined = ("share",)
    share: Share = None
    status: Annotated[int | None, status(400, 403, 418, 429, 500, 503)] = None
    """The status; without it in turn 429, 503 and 418 on each connection."""

    def statuses(self) -> tuple[int, ...]:
        return (429, 503, 418) if self.status is None else (self.status,)


class ApiDelay(ApiFault):
    """WebSocket API requests are answered this much later."""

    time: Duration
    """How much later."""
    share: Share = None

    def delay_ms(self) -> int:
        return self.time


class HttpHang(RestFault):
    """REST requests are answered after 30 s."""

    share: Share = None

    def delay_ms(self) -> int:
        return HANG_MS


class HttpDelay(RestFault):
    """REST requests are answered this much later."""

    time: Duration
    """How much later."""
    share: Share = None

    def delay_ms(self) -> int:
        return self.time


class Http429(RestFault):
    """REST requests are answered 429 (-1003) with `Retry-After: 1`."""

    refused = 429
    kind = "http_429"
    share: Share = None


class Http418(RestFault):
    """REST requests are answered 418 (-1003) with `Retry-After: 1`."""

    refused = 418
    kind = "http_418"
    share: Share = None


class Http503(RestFault):
    """REST requests are answered 503 (-1008)."""

    refused = 503
    kind = "http_503"
    share: Share = None


class Http(RestFault):
    """REST requests are answered with this status: 418, 429 and 503 as the exchange does, others with
    a page of HTML, as firewalls and gateways do.
    """

    status: Annotated[int, status(400, 401, 403, 404, 408, 418, 429, 451, 500, 502, 503, 504)]
    """The HTTP status."""
    share: Share = None

    def refuse(self) -> int:
        return self.status


class HttpGarbage(RestFault):
    """REST requests are answered 200 with invalid JSON."""

    refused = NOT_JSON_STATUS
    share: Share = None
