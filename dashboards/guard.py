"""What stands before the dashboard: known host names, reads only, headers of our own, and no tracebacks."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

from nas.errors import NasError, StoreError

log = logging.getLogger(__name__)

Start = Callable[..., Any]
Wsgi = Callable[[dict[str, Any], Start], Iterable[bytes]]

HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
OURS = frozenset(name.lower() for name, _ in HEADERS) | {"content-security-policy"}
PAGE = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-eval'",  # the parallel coordinates compile their shaders' bindings
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
REST = "default-src 'none'; style-src 'unsafe-inline'; sandbox"  # for whatever somebody opens by itself


def guarded(inner: Wsgi, hosts: Iterable[str], check: Callable[[], None] = lambda: None) -> Wsgi:
    """Only GET and HEAD, only under a known host name: a page elsewhere can neither change a study nor read one.

    What fails inside is answered with 503 and one line when `check` raises StoreError too, else with 500; neither
    a traceback nor a secret leaves the process, nor is one printed.
    """
    known = frozenset(hosts)

    def answer(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")

        def plain(status: str, line: str, *headers: tuple[str, str]) -> Iterable[bytes]:
            """A line, as the page's scripts expect an error where they ask for data."""
            api = path.startswith("/api/")
            body = (json.dumps({"reason": line}) if api else line).encode() + b"\n"
            kind = "application/json" if api else "text/plain; charset=utf-8"
            start_response(status, [("Content-Type", kind), *headers, *_headers(REST)])
            return [body]

        if environ.get("HTTP_HOST", "").lower() not in known:
            return plain("403 Forbidden", "this host name is not served")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return plain("405 Method Not Allowed", "this dashboard is for looking only", ("Allow", "GET, HEAD"))
        seen: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], *_error: Any) -> None:
            seen[:] = [status, headers]

        try:
            body = inner({"HTTP_ACCEPT_ENCODING": "", **environ, "wsgi.errors": io.StringIO()}, start)
        except StoreError as error:
            return plain("503 Service Unavailable", str(error), ("Retry-After", "5"))
        except Exception as error:  # noqa: BLE001 - a page must not show a traceback
            return plain(*_failed(error, check))
        if seen[0].startswith("500"):
            _close(body)
            return plain(*_failed(None, check))
        policy = PAGE if path.startswith("/dashboard") and seen[0].startswith("200") else REST
        kept = [(name, value) for name, value in seen[1] if not _replaced(name)]
        start_response(seen[0], [*kept, *_headers(policy)])
        return body

    return answer


def _replaced(name: str) -> bool:
    return name.lower() in OURS or name.lower().startswith("access-control-")


def _headers(policy: str) -> list[tuple[str, str]]:
    return [*HEADERS, ("Content-Security-Policy", policy)]


def _failed(error: Exception | None, check: Callable[[], None]) -> tuple[str, str]:
    try:
        check()
    except NasError as away:
        log.debug("503: %s", away)
        return "503 Service Unavailable", str(away)
    log.warning("an answer of the dashboard failed: %s", type(error).__name__ if error else "internal server error")
    return "500 Internal Server Error", "the dashboard failed at this, and the database can be read"


def _close(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()
