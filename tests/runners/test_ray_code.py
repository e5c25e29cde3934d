"""What of a user's code is sent to Ray's nodes: what the evaluation needs, and no more."""

import functools
import importlib
import sys

import evaluations
import pytest

from nas.errors import InputError
from runners import ray_code
from runners.ray_code import companions, is_installed, is_users, our_packages, staged
from runners.ray_luggage import home_module, pack, unpack


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A directory of a user's, on the path; what is imported from it is forgotten."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in sys.modules[name].__file__:
            del sys.modules[name]


def test_what_is_imported_anywhere_goes_along_and_what_is_not_stays(home):
    (home / "first.py").write_text("import json\ndef f(c, b, r):\n    from second import g\n    return g()\n")
    (home / "second.py").write_text("import third.inner, numpy, not_there\n")
    (home / "third").mkdir()
    (home / "third" / "__init__.py").write_text("")
    (home / "third" / "inner.py").write_text("import fourth\n")
    (home / "fourth.py").write_text("import first\n")
    (home / "stranger.py").write_text("")
    (home / "json.py").write_text("")  # Python's own comes first in any process that has started

    found = companions(pack(importlib.import_module("first").f).modules)

    assert found == {name: home / f"{name}.py" for name in ("first", "second", "fourth")} | {"third": home / "third"}


def test_a_partial_and_an_object_are_at_home_where_their_code_is(home):
    (home / "own.py").write_text(
        "import torch\nclass Judge:\n    def __call__(self, c, b, r):\n        return {'a': float(torch.ones(1))}\n"
    )
    judge = importlib.import_module("own").Judge()
    luggage = pack(judge)

    assert home_module(functools.partial(functools.partial(evaluations.macs), 1)) == "evaluations"
    assert home_module(judge) == "own"
    assert {"own", "torch"} <= luggage.modules
    del sys.modules["own"]
    sys.path.remove(str(home))
    assert unpack(luggage)(None, None, None) == {"a": 1.0}  # by value: nothing is imported


def test_what_is_whose():
    import nas.api

    assert is_users(evaluations)
    assert not is_users(nas.api)
    assert not is_users(pytest)
    assert is_installed("numpy")
    assert not any(is_installed(name) for name in ("json", "sys", "nas", "evaluations", "__main__", ""))
    assert companions(["numpy", "nas.training", "json", "no.such"]) == {}


def test_copies_are_free_of_what_need_not_be_sent(home, tmp_path_factory):
    target = tmp_path_factory.mktemp("target")
    package = home / "mine"
    for folder in ("__pycache__", ".git", "data"):
        (package / folder).mkdir(parents=True)
        (package / folder / "file.pyc").write_text("")
        (package / folder / "file.txt").write_text("")

    entries = staged({"mine": package, **our_packages()}, target)

    assert sorted(entries) == sorted(str(target / name) for name in ("mine", *ray_code.OURS))
    assert [str(path.relative_to(target / "mine")) for path in (target / "mine").rglob("*") if path.is_file()] == [
        "data/file.txt"
    ]
    assert (target / "nas" / "version.py").is_file()


def test_a_package_full_of_data_is_named(home, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(ray_code, "LARGEST", 1000)
    (home / "mine").mkdir()
    (home / "mine" / "weights").write_bytes(bytes(2000))

    with pytest.raises(InputError, match=r"^package 'mine' \(.*mine\) holds 0 MB and is to be sent to the Ray nodes"):
        staged({"mine": home / "mine"}, tmp_path_factory.mktemp("target"))


def test_data_sets_stay_out_of_the_bytes(digits):
    from nas.recipe import Recipe
    from nas.training import TrainAndValidate

    evaluate = TrainAndValidate(digits, Recipe(epochs=1))
    luggage = pack(evaluate)

    assert digits.folder.encode() not in luggage.content
    assert luggage.sets == {digits.digest: digits}
    assert "nas.training" in luggage.modules
    assert unpack(luggage) == evaluate
    assert unpack(evaluate) is evaluate
