"""Optuna Dashboard on a study database, for looking only: behind a guard, on the loopback by default."""

from __future__ import annotations

import gzip
import ipaddress
import logging
import re
import shlex
import socket
import warnings
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qs

from dashboards.drawings import Drawings
from dashboards.guard import Start, Wsgi, guarded
from dashboards.importances import Importances
from dashboards.trial_list import TrialList
from nas.errors import InputError
from nas.store.database import DEFAULT, optuna_storage
from nas.store.listing import Reader
from nas.store.trouble import redact, translated

log = logging.getLogger(__name__)

SPOKEN = "0.21."  # the versions of Optuna Dashboard whose pages our trial list is written for
STUDY = re.compile(r"/api/studies/(\d{1,18})/?")
IMPORTANCES = re.compile(r"/api/studies/(\d{1,18})/param_importances/?")
SMALL = 1000  # bytes that are not worth compressing
QUICK = 1  # level of gzip: a long list is packed in a fraction of a second, to a twentieth


def application(url: str, hosts: Iterable[str]) -> Wsgi:
    """The dashboard of a database as a WSGI application that answers reads for `hosts` only.

    Raises: InputError when there is no such database, StoreError when it cannot be used.
    """
    reader = Reader(url)
    import optuna_dashboard

    logging.getLogger("optuna_dashboard").setLevel(logging.CRITICAL)  # its tracebacks; what failed is said by the guard
    with translated(url):
        stock = optuna_dashboard.wsgi(optuna_storage(url))
    found = version("optuna-dashboard")
    if not found.startswith(SPOKEN):
        log.warning("optuna-dashboard %s is not %sx: its own trial list is shown, without our notes", found, SPOKEN)
        return guarded(stock, hosts, reader.check)
    drawings = Drawings(reader)
    where = "" if url == DEFAULT or redact(url) != url else f" --storage {shlex.quote(url)}"
    return guarded(_with_ours(stock, TrialList(reader, drawings, where), drawings), hosts, reader.check)


def _with_ours(stock: Wsgi, trials: TrialList, drawings: Drawings) -> Wsgi:
    """Trial lists of studies of ours, drawings, and importances from memory; all else is stock's."""
    importances = Importances(stock, trials)

    def answer(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        packs = "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")
        head = environ["REQUEST_METHOD"] == "HEAD"

        def say(kind: str, body: bytes, *, cache: str, status: str = "200 OK") -> Iterable[bytes]:
            headers = [("Content-Type", kind), ("Cache-Control", cache), ("Vary", "Accept-Encoding")]
            if packs and len(body) > SMALL:
                body = gzip.compress(body, QUICK, mtime=0)
                headers.append(("Content-Encoding", "gzip"))
            start_response(status, [*headers, ("Content-Length", str(len(body)))])
            return [] if head else [body]

        if path.startswith("/nas/"):
            drawn = drawings.answer(path)
            if drawn is None:
                start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
                return [b"there is no such picture\n"]
            return say(*drawn, cache="private, max-age=60")
        match = IMPORTANCES.fullmatch(path)
        found = importances.answer(int(match[1]), environ) if match else None
        if found is not None:
            return say("application/json", found[1], cache="no-store", status=found[0])
        match = STUDY.fullmatch(path)
        after = parse_qs(environ.get("QUERY_STRING", "")).get("after", ["0"])[-1]
        if match and re.fullmatch(r"\d{1,18}", after):
            listed = trials.answer(int(match[1]), int(after))
            if listed is not None:
                return say("application/json", listed.encode(), cache="no-store")
        return stock(environ, start_response)

    return answer


def serve(url: str, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve until interrupted. Raises: InputError for an address that cannot be listened on, StoreError."""
    from waitress import create_server

    warnings.filterwarnings("ignore", module="optuna")  # of importances of few trials, at every look
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
