"""The search file: checked, with file and key in every message."""

import pytest

from nas.config import parse_epochs, read_config
from nas.errors import InputError


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "search.toml"
    path.write_bytes(text.encode(encoding))
    return path


def test_options_override_the_file_and_the_file_the_defaults(tmp_path):
    path = write(
        tmp_path, 'space = "cvt"\ntrials = 7\nobjectives = ["accuracy:max", "macs:min"]\nlimits = ["params <= 2e6"]\n'
    )

    config = read_config(path, {"trials": 9})

    assert (config.space, config.trials, config.data) == ("cvt", 9, "digits")
    assert config.objectives == ["accuracy:max", "macs:min"]
    assert config.limits == ["params<=2000000"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trails = 3", r"search\.toml: unknown key 'trails'; did you mean trials\?"),
        ("trials = 3\ntrials = 4", r"search\.toml: not TOML: .*(line 2|[Cc]annot overwrite)"),
        ("trials = 'many'", r"search\.toml: trials: input should be a valid integer.*not 'many'"),
        ("trials = 0", r"search\.toml: trials: input should be greater than or equal to 1, not 0"),
        ("subset = 2.0", r"search\.toml: subset: input should be less than or equal to 1, not 2\.0"),
        ("epochs = '4:1'", r"epochs '4:1': MIN:MAX with 1 <= MIN <= MAX is expected"),
        ("objectives = ['accuracy']", r"objective 'accuracy': NAME:max or NAME:min is expected"),
        ("limits = ['params<2']", r"limit 'params<2': NAME<=NUMBER or NAME>=NUMBER is expected"),
        ("limits = ['params<=nan']", r"limit 'params<=nan': NAME<=NUMBER"),
        ("space =", r"search\.toml: not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_config(write(tmp_path, text), {})


def test_all_faults_are_named_at_once(tmp_path):
    with pytest.raises(InputError, match=r"trials: .*; .*unknown key 'spaces'"):
        read_config(write(tmp_path, "trials = 0\nspaces = 'cvt'"), {})


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    assert read_config(write(tmp_path, "\ufefftrials = 5\r\nseed = 2\r\n"), {}).trials == 5


def test_an_empty_file_is_the_defaults_and_a_missing_or_huge_one_is_refused(tmp_path):
    assert read_config(write(tmp_path, ""), {}) == read_config(None, {})
    with pytest.raises(InputError, match=r"none\.toml: No such file"):
        read_config(tmp_path / "none.toml", {})
    with pytest.raises(InputError, match="larger than 1 MB"):
        read_config(write(tmp_path, "#" * 1_000_001), {})
    with pytest.raises(InputError, match="not TOML"):
        read_config(write(tmp_path, "space = 'é'", "latin-1"), {})


@pytest.mark.parametrize(("text", "epochs"), [("1:4", (1, 4)), ("9", (9, 9)), ("3:3", (3, 3))])
def test_epochs_are_a_range_or_a_number(text, epochs):
    assert parse_epochs(text) == epochs


def test_an_evaluation_of_ones_own_has_rungs_only_where_they_are_asked_for():
    own = {"evaluate": "mine:evaluate", "space": "mine:space"}

    assert read_config(None, own).rungs.levels == (10,)
    assert read_config(None, {**own, "epochs": "1:9"}).rungs.levels == (1, 3, 9)
    assert read_config(None, {}).rungs.levels == (1, 3, 10)
