"""What the tests of commands share: `nas`, in a directory of its own with the module that the test file calls MINE."""

import sys
import textwrap

import pytest
from conftest import command


@pytest.fixture
def nas(request, capsys, monkeypatch, tmp_path):
    """Run a command in this process, in a directory with mine.py; exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    if mine := getattr(request.module, "MINE", ""):
        (tmp_path / "mine.py").write_text(textwrap.dedent(mine))
    return command(capsys, monkeypatch)
