"""What is built and installed: the four packages and nothing else, usable from any directory."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"nas", "search_spaces", "runners", "dashboards"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A wheel from the tree, an sdist, and a wheel from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]
    subprocess.run([*build, str(folder / "direct"), "--wheel", str(ROOT)], check=True, capture_output=True)
    subprocess.run([*build, str(folder / "sdist"), "--sdist", str(ROOT)], check=True, capture_output=True)
    sdist = next((folder / "sdist").glob("*.tar.gz"))
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    source = next((folder / "unpacked").iterdir())
    subprocess.run([*build, str(folder / "through"), "--wheel", str(source)], check=True, capture_output=True)
    return next((folder / "direct").glob("*.whl")), sdist, next((folder / "through").glob("*.whl"))


def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_the_four_packages_typed_and_nothing_else(built):
    files = names(built[0])

    assert {name.split("/")[0] for name in files} == PACKAGES
    assert {f"{package}/py.typed" for package in PACKAGES} <= files.keys()
    assert {"dashboards/report.html.jinja", "dashboards/report.md.jinja"} <= files.keys()
    assert not [name for name in files if "tests" in name or name.startswith("test")]


def test_the_wheel_through_the_sdist_is_the_same(built):
    assert names(built[0]) == names(built[2])


def test_the_sdist_holds_licence_readme_and_tests(built):
    with tarfile.open(built[1]) as archive:
        tops = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}

    assert {"LICENSE", "README.md", "pyproject.toml", "tests/conftest.py", "nas/architecture.py"} <= tops


@pytest.mark.parametrize("which", [0, 2])
def test_installed_elsewhere_it_runs_from_another_directory(built, which, tmp_path):
    target, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(target),
        str(built[which]),
    ]
    subprocess.run(install, check=True, capture_output=True)
    script = f"import sys; sys.path.insert(0, {str(target)!r})\nimport nas\nassert nas.__file__.startswith({str(target)!r})\n"
    script += "sys.argv = ['nas', 'cost', 'cvt-13', '--json']\nfrom nas.front import main\nmain()"

    done = subprocess.run([sys.executable, "-c", script], cwd=elsewhere, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert '"params": 19997480' in done.stdout


def test_the_packages_import_one_way_and_each_library_has_its_home():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout


def test_import_nas_loads_no_heavy_library():
    script = "import nas, sys; print([name for name in ('torch', 'ray', 'optuna', 'sqlalchemy', 'numpy') if name in sys.modules])"

    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
        == "[]"
    )


def test_no_module_of_ours_unpickles_and_every_torch_load_is_weights_only():
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        text = path.read_text()
        for forbidden in ("pickle.load", "pickle.loads", "joblib", "dill", "yaml.load"):
            assert forbidden not in text, f"{path}: {forbidden}"
        assert text.count("torch.load(") == text.count("weights_only=True"), path
