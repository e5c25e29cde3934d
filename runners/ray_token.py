"""Token authentication of a Ray cluster: whether the token here is the one that the cluster asks for, if it asks."""

from __future__ import annotations

import os
import subprocess
import sys

import ray

from nas.errors import InputError

KNOCK_S = 60.0  # more than Ray itself takes to give up

KNOCK = """
import os, sys
from ray._private import services
if "RAY_AUTH_MODE" not in os.environ:  # as ray.init does it: a token that is there is shown
    from ray._private.authentication import authentication_token_setup as setup
    setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
from ray._raylet import GcsClient
GcsClient(address=services.canonicalize_bootstrap_address_or_die(sys.argv[1]))
print("in with", os.environ.get("RAY_AUTH_MODE"))
"""
REFUSALS = {  # what Ray says, and what is wrong then
    "InvalidAuthToken": "it asks for a token, and the one given here is missing or not its own",
    "couldn't find an authentication token": "RAY_AUTH_MODE=token is set, but there is no token",
    "RAY_AUTH_TOKEN_PATH is set but": "the file that RAY_AUTH_TOKEN_PATH names cannot be read or is empty",
}
REMEDY = "put its token into ~/.ray/auth_token, or into a file that RAY_AUTH_TOKEN_PATH names, or into RAY_AUTH_TOKEN"


def check_token(address: str) -> None:
    """Knock at the cluster with the token that Ray finds here, in a process of its own.

    Ray aborts a process that has no token, tries for 20 seconds with a wrong one and does not tell why, and starts no
    actor for a driver with a token on a cluster without.
    Raises: InputError when cluster and token do not fit. Any other trouble shows on connecting.
    """
    if ray.is_initialized():
        return
    mode = os.environ.get("RAY_AUTH_MODE", "").lower()
    said, heard = _knock(address, {})
    wrong = next((meant for words, meant in REFUSALS.items() if words in heard), None)
    if wrong is not None:
        told = "" if mode == "token" else ", and set RAY_AUTH_MODE=token"
        raise InputError(f"Ray cluster at {address}: {wrong}; {REMEDY}{told}")
    if said == "in with token" and _knock(address, {"RAY_AUTH_MODE": "disabled"})[0]:
        where = "RAY_AUTH_MODE=token is set" if mode else "there is a token"
        raise InputError(
            f"Ray cluster at {address}: it asks for no token, but {where} here; set RAY_AUTH_MODE=disabled"
        )


def _knock(address: str, environment: dict[str, str]) -> tuple[str, str]:
    """What was said on being let in, else nothing, and what was heard on being refused."""
    try:
        done = subprocess.run(  # noqa: S603 - a constant of this file
            [sys.executable, "-P", "-c", KNOCK, address],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=KNOCK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "", ""
    return ("", done.stderr) if done.returncode else (done.stdout.strip(), "")
