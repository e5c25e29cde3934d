"""Asking a WSGI application without a server."""

import gzip
import json
from wsgiref.util import setup_testing_defaults

import optuna_dashboard

from dashboards.app import application
from nas.store.database import optuna_storage


def ask(app, path, *, query="", method="GET", host="here", **environ):
    """(status, headers, body)"""
    asked = {}
    setup_testing_defaults(asked)
    asked |= {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": host, **environ}
    seen = []
    body = b"".join(app(asked, lambda status, headers, *_: seen.append((status, dict(headers)))))
    return (*seen[-1], body)


def ours(url):
    return application(url, ["here"])


def stock(url):
    return optuna_dashboard.wsgi(optuna_storage(url))


def study(app, number=1, after=0):
    """The study as the pages get it."""
    status, headers, body = ask(app, f"/api/studies/{number}", query=f"after={after}", HTTP_ACCEPT_ENCODING="gzip")
    assert status == "200 OK", body
    return json.loads(gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body)
