"""Optuna Dashboard on a study database, for looking only: behind a guard, on the loopback by default."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Any

from nas.errors import InputError
from nas.store.database import connect, optuna_storage
from nas.store.trouble import redact

Start = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], Start], Iterable[bytes]]

HEADERS = [("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY"), ("Referrer-Policy", "no-referrer")]


def application(url: str, hosts: Iterable[str]) -> Wsgi:
    """The dashboard of a database as a WSGI application that answers reads for `hosts` only.

    Raises: InputError when there is no such database, StoreError when it cannot be used.
    """
    connect(url, create=False, reading=True).dispose()
    import optuna_dashboard

    return guarded(optuna_dashboard.wsgi(optuna_storage(url)), hosts)


def guarded(inner: Wsgi, hosts: Iterable[str]) -> Wsgi:
    """Only GET and HEAD, only under a known host name: a page elsewhere can neither change a study nor read one."""
    known = frozenset(hosts)

    def answer(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "").lower()
        if host not in known:
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"this host name is not served\n"]
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start_response("405 Method Not Allowed", [("Content-Type", "text/plain"), ("Allow", "GET, HEAD")])
            return [b"this dashboard is for looking only\n"]

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            kept = [(name, value) for name, value in headers if not name.lower().startswith("access-control-")]
            return start_response(status, [*kept, *HEADERS], *rest)

        return inner(environ, start)

    return answer


def serve(url: str, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve until interrupted. Raises: InputError for an address that cannot be listened on."""
    from waitress import create_server

    names = {host, *_own_names()} if _is_public(host) else {host, "localhost", "127.0.0.1", "[::1]"}
    hosts = {name for base in names for name in (base, f"{base}:{port}")}
    app = application(url, hosts)
    try:
        server = create_server(app, host=host, port=port, threads=4, ident=None)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot listen on {host}:{port}: {reason}; choose another --port") from error
    if _is_public(host):
        announce(f"warning: {host} can be reached from other machines, and there is no password")
    announce(f"Optuna Dashboard of {redact(url)}: http://{host}:{port}/  (Ctrl-C ends it)")
    try:
        server.run()
    finally:
        server.close()


def _own_names() -> set[str]:
    """What other machines may call this one."""
    name = socket.gethostname()
    try:
        addresses = socket.gethostbyname_ex(name)[2]
    except OSError:
        addresses = []
    return {name.lower(), socket.getfqdn().lower(), "localhost", "127.0.0.1", *addresses}


def _is_public(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
