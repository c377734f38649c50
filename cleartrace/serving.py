"""What every small HTTP service of the project shares: where it may listen, its token, and how it is run."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_REFUSED = b'{"error": {"message": "the bearer token is missing or wrong", "type": "invalid_request_error"}}'


class NotServed(ValueError):
    """A service may not, or cannot, be started like this."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_loopback_url(url: str) -> bool:
    """Whether only this machine reaches the host of `url`.

    Example:
        >>> is_loopback_url("http://[::1]:8000/v1"), is_loopback_url("https://localhost.example.org")
        (True, False)
    """
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


def check_binding(host: str, token: str | None, variable: str) -> None:
    """Raises `NotServed` for an address that others reach without a token. `variable`: where a token comes from."""
    if not is_loopback(host) and not token:
        raise NotServed(
            f"{host} can be reached from other machines: export {variable} and give clients the same value as their "
            "key, or listen on 127.0.0.1"
        )


class Guarded:
    """An ASGI application behind `Authorization: Bearer TOKEN`. `open_paths` want none."""

    def __init__(self, app: App, token: str, open_paths: Collection[str] = ()) -> None:
        self._app, self._expected, self._open = app, f"Bearer {token}".encode(), frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._open or self._knows(scope):
            await self._app(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_REFUSED)).encode())]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": _REFUSED})

    def _knows(self, scope: Scope) -> bool:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return hmac.compare_digest(given, self._expected)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; whoever calls before the service has started waits for it. `port` 0 takes a free one.

    Raises `NotServed` where the port is taken.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise NotServed(f"cannot listen on {host}, port {port}: {error}") from None


async def run(app: Any, listener: socket.socket, started: Callable[[str, Callable[[], None]], None]) -> None:
    """Serve until stopped or interrupted, and close the socket.

    Args:
        started: called with the address, and with what stops the service.

    Raises `NotServed` without uvicorn.
    """
    with listener:
        try:
            import uvicorn
        except ImportError as error:
            message = f"a service needs uvicorn and starlette ({error}): pip install 'cleartrace[serve]'"
            raise NotServed(message) from error
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3)
        server = uvicorn.Server(config)

        def stop() -> None:
            server.should_exit = True

        host, port = listener.getsockname()[:2]
        started(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", stop)
        await server.serve(sockets=[listener])
