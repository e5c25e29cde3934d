"""What is said of a Ray node that cannot do its share; clusters are in tests/cluster."""

import logging
import platform
from importlib import metadata
from pathlib import Path

import pytest

from nas.errors import ForeignPackageError, InputError
from nas.version import __version__
from runners.ray_code import OURS
from runners.ray_nodes import Facts, _check, _pip, _warn

PACKAGES = {name: f"/there/{name}/__init__.py" for name in OURS}
SENT = {name: f"/tmp/ray/py_modules_files/_ray_pkg_{name}/{name}/__init__.py" for name in OURS}


def facts(**other):
    usual = {
        "node": "10.0.0.5", "packages": PACKAGES, "version": __version__, "python": platform.python_version(),
        "torch": metadata.version("torch"), "lacks": (), "sees": True,
    }  # fmt: skip
    return Facts(**{**usual, **other})


@pytest.mark.parametrize("packages", [PACKAGES, SENT])
def test_packages_beside_each_other_or_sent_by_ray_are_ours(packages):
    _check(facts(packages=packages))


@pytest.mark.parametrize("packages", [PACKAGES, SENT])
def test_a_package_from_elsewhere_is_named(packages):
    elsewhere = {**packages, "runners": "/home/me/runners/__init__.py"}

    with pytest.raises(ForeignPackageError, match=r"^package 'runners' on Ray node 10.0.0.5 would come from /home/me/"):
        _check(facts(packages=elsewhere))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"version": "0.0.9"}, r"^Ray node 10\.0\.0\.5 has mixer-nas 0\.0\.9, this is "),
        ({"packages": dict.fromkeys(OURS, "nowhere"), "version": ""}, r"^mixer-nas is not installed on Ray node 10\."),
        ({"python": "3.8.1"}, r"^Ray node 10\.0\.0\.5 runs Python 3\.8\.1, this is "),
        (
            {"lacks": ("PIL", "kornia", "pandas")},
            r"pip install 'kornia>=[\d.]+' 'pillow>=\d+' 'ray\[tune\]>=[\d.]+', or",
        ),
    ],
)
def test_what_a_node_lacks_is_one_line(other, said):
    with pytest.raises(InputError, match=said) as caught:
        _check(facts(**other))
    assert "\n" not in str(caught.value)


def test_what_we_do_not_ask_for_is_installed_by_the_name_that_it_has_here():
    assert _pip(["yaml", "never_heard_of"]) == "'PyYAML' 'never_heard_of'"


def test_blind_nodes_and_another_torch_are_warned_of_once(caplog):
    with caplog.at_level(logging.WARNING):
        _warn([facts(), facts(node="b", sees=False, torch="1.13.1"), facts(node="b", torch="1.13.1")], Path("/c"))
        _warn([facts(), facts(torch="")], Path("/c"))

    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("the checkpoints in /c are not seen by 1 of 3 Ray nodes (b): ")
    assert second.startswith("Ray node b has torch 1.13.1, this is ")
