"""What a driver tells a Ray cluster of itself; real clusters are in tests/cluster."""

import sys

from ray._private import utils

from runners.ray_cluster import _secretive


def test_the_command_line_that_ray_shows_to_the_cluster_holds_no_database_url(monkeypatch):
    words = ["nas", "search", "--storage", "postgresql+psycopg://me:secret@db/nas?password=other word", "--trials", "9"]
    monkeypatch.setattr(sys, "orig_argv", words)
    before = utils.get_entrypoint_name

    with _secretive():
        shown = utils.get_entrypoint_name()

    assert shown == "nas search --storage postgresql+psycopg://... --trials 9"
    assert utils.get_entrypoint_name is before
