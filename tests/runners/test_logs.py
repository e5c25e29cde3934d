"""What is logged: nothing more than warnings, unless it was asked for."""

import os
import subprocess
import sys

import pytest

MINE = """
import nas
space = nas.Space({"depth": nas.int_range(1, 6)})
def evaluate(candidate, budget, report):
    raise RuntimeError("no luck")
"""
SEARCH = [
    sys.executable, "-m", "nas", "search", "--space", "mine:space", "--evaluate", "mine:evaluate", "--objective",
    "score:max", "--trials", "1", "--workers", "1",
]  # fmt: skip


@pytest.mark.parametrize(("options", "variable"), [((), ""), (("-v",), ""), ((), "debug"), ((), "DEBUG")])
def test_the_traceback_of_a_worker_is_shown_where_more_was_asked_for(tmp_path, options, variable):
    (tmp_path / "mine.py").write_text(MINE)

    done = subprocess.run(
        [*SEARCH, *options], cwd=tmp_path, env={**os.environ, "NAS_LOG": variable}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip

    assert done.returncode == 1
    assert "trial 0 failed: RuntimeError: no luck at " in done.stderr
    asked = bool(options or variable)
    assert ("DEBUG runners.evaluation: evaluation failed" in done.stderr) == asked
    assert ("Traceback" in done.stderr) == asked
