"""Choose what carries requests: httpx's own transport, aiohttp itself, or httpx over aiohttp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.request import getproxies

import httpx
from httpx_aiohttp import AiohttpTransport, HttpxAiohttpClient

from prefect_responses.client.carriers import HttpxCarrier
from prefect_responses.client.endpoints import is_loopback
from prefect_responses.client.on_aiohttp import AiohttpCarrier, open_session
from prefect_responses.client.sending import Sending, SendingOnAiohttp

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    import aiohttp

    from prefect_responses.client.carriers import Carrier

Transport = Literal["httpx", "aiohttp"]

#: Seconds that an idle connection is kept: less than the shortest that servers are known to keep
#: theirs (5), because a POST on a connection that the server is closing is a POST in doubt.
KEPT_IDLE = 4.0


@dataclass(frozen=True, slots=True)
class Doors:
    """Open connections to one endpoint.

    Args:
        transport: see `HttpResponsesApi`.
        root: the URL that all paths follow.
        headers: those of every request.
        connect: seconds until a connection stands at most.
        verify: whether, or by which context, the server's certificate is checked.
    """

    transport: Transport
    root: str
    headers: Mapping[str, str]
    connect: float
    verify: bool | ssl.SSLContext

    def plain(self, max_connections: int) -> Carrier:
        """Return what carries whole exchanges.

        Where the environment names a proxy, httpx decides who goes through it, on either transport.
        """
        if self.transport == "httpx" or self._may_need_proxy:
            return self.streaming(max_connections)
        return AiohttpCarrier(
            self.root,
            self.headers,
            connect=self.connect,
            max_connections=max_connections,
            kept_idle=KEPT_IDLE,
            verify=httpx.create_ssl_context(self.verify),
        )

    def streaming(self, max_connections: int) -> HttpxCarrier:
        """Return what carries exchanges whose answers are read while they come."""
        on_aiohttp = self.transport == "aiohttp"
        kind = _ClientOnAiohttp if on_aiohttp else httpx.AsyncClient
        client = kind(
            verify=httpx.create_ssl_context(self.verify),
            limits=httpx.Limits(
                max_connections=max_connections,
                max_keepalive_connections=max_connections,
                keepalive_expiry=KEPT_IDLE,
            ),
            trust_env=self._trusts_environment,
            follow_redirects=False,
        )
        sending = SendingOnAiohttp if on_aiohttp else Sending
        return HttpxCarrier(client, self.root, self.headers, sending, self.connect)

    @property
    def _trusts_environment(self) -> bool:
        # A proxy cannot reach our loopback address, and would be handed the key in the clear.
        return not is_loopback(httpx.URL(self.root).host)

    @property
    def _may_need_proxy(self) -> bool:
        named = getproxies()
        return self._trusts_environment and any(named.get(one) for one in ("http", "https", "all"))


class _ClientOnAiohttp(HttpxAiohttpClient):
    """Open the same sessions as `AiohttpCarrier`, with a proxy or without one."""

    def _init_transport(self, *given: Any, **options: Any) -> AiohttpTransport:
        return _OurTransport(*given, **options)

    def _init_proxy_transport(
        self, proxy: httpx.Proxy, *given: Any, **options: Any
    ) -> AiohttpTransport:
        return _OurTransport(*given, **options | {"proxy": proxy})


class _OurTransport(AiohttpTransport):
    def get_client(self) -> aiohttp.ClientSession:
        limits = self.limits
        return open_session(limits.max_connections, limits.keepalive_expiry, self.ssl_context)
