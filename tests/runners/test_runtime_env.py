"""`--runtime-env`: the file, what it may not hold, and who has a use for it."""

import pytest
from conftest import command as command_

from nas import search
from nas.errors import InputError
from runners.runtime_env import checked_runtime_env, read_runtime_env


@pytest.fixture
def nas(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return command_(capsys, monkeypatch)


@pytest.mark.parametrize(("name", "text"), [("env.yaml", "pip: [timm]\n"), ("env.json", '{"pip": ["timm"]}')])
def test_yaml_and_json_are_read(tmp_path, name, text):
    (tmp_path / name).write_text(text)

    assert read_runtime_env(tmp_path / name) == {"pip": ["timm"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[timm]", "a mapping is expected, as in"),
        ("pip: [timm", "neither YAML nor JSON"),
        ("pip: " + "x" * 1_000_000, "larger than 1 MB"),
    ],
)
def test_a_file_that_is_none_is_one_line_with_its_name(tmp_path, nas, text, said):
    (tmp_path / "env.yaml").write_text(text)

    code, _, err = nas("search", "--runner", "ray", "--runtime-env", "env.yaml")

    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert "--runtime-env env.yaml: " in err
    assert said in err


@pytest.mark.parametrize("name", ["NAS_STORAGE", "NAS_STORAGE_FILE"])
def test_the_database_is_not_for_workers(name):
    with pytest.raises(InputError, match=rf"env_vars: {name} is the driver's alone"):
        checked_runtime_env({"env_vars": {name: "postgresql://"}})


def test_paths_mean_what_they_mean_here_wherever_ray_is_connected_from(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "requirements.txt").write_text("timm\n")
    monkeypatch.chdir(tmp_path)

    found = checked_runtime_env(
        {"working_dir": "code", "pip": "requirements.txt", "py_modules": ["code", "gcs://a.zip"]}
    )

    assert found == {
        "working_dir": str(tmp_path / "code"),
        "pip": str(tmp_path / "requirements.txt"),
        "py_modules": [str(tmp_path / "code"), "gcs://a.zip"],
    }


@pytest.mark.parametrize("runner", ["local", "inline"])
def test_runners_without_nodes_refuse_it(layers, runner):
    with pytest.raises(InputError, match=rf"^runtime_env: .* the {runner} runner has none$"):
        search(layers, print, objectives=["a:max"], runner=runner, runtime_env={"pip": []}, storage=None)


def test_the_command_says_so_too_and_takes_it_from_a_search_file(nas, tmp_path):
    (tmp_path / "search.toml").write_text('runtime_env = "missing.yaml"\n')

    assert nas("search", "--runtime-env", "env.yaml")[::2] == (
        2, "nas: --runtime-env env.yaml: only --runner ray has nodes to set up\n",
    )  # fmt: skip
    assert nas("search", "search.toml", "--runner", "ray")[::2] == (
        2, "nas: --runtime-env missing.yaml: No such file or directory\n",
    )  # fmt: skip
