"""What is logged: warnings of ours; with `--verbose`, or NAS_LOG=debug, all that we and Ray have to say."""

from __future__ import annotations

import logging
import os

VARIABLE = "NAS_LOG"  # inherited by worker processes
OURS = ("nas", "search_spaces", "runners", "dashboards")


def verbose() -> bool:
    """Whether more was asked for."""
    return os.environ.get(VARIABLE, "").lower() == "debug"


def configure() -> None:
    """Do as the environment says, in this process; what a program that calls us has set up stays as it is."""
    if not verbose():
        return
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG)
