"""The Python front door, as the documentation shows it."""

import subprocess
import sys

import pytest
from evaluations import macs, share_of_conv3

import nas
from nas import Space, int_range, one_of, search
from nas.errors import InputError


def test_a_users_own_space_and_evaluation_need_neither_torch_nor_a_database(tmp_path):
    script = tmp_path / "own.py"
    script.write_text(
        "import sys\n"
        "from nas import Space, one_of, int_range, search\n"
        "space = Space({'kernel': one_of(1, 3, 5), 'depth': int_range(1, 4)})\n"
        "result = search(space, lambda c, budget, report: {'accuracy': c['depth'] / c['kernel']},\n"
        "    objectives={'accuracy': 'maximize'}, costs=lambda c: {'params': c['depth'] * c['kernel'] ** 2},\n"
        "    constraints={'params': '<= 20'}, trials=100, storage=None, runner='inline')\n"
        "assert result.exhausted and result.best.candidate == {'kernel': 1, 'depth': 4}, result.best\n"
        "assert len(result.trials) == 6, len(result.trials)\n"
        "assert 'torch' not in sys.modules and 'ray' not in sys.modules and 'sqlalchemy.orm' not in sys.modules\n"
    )

    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["own.py"]


def test_the_result_tells_trials_best_and_front(layers):
    result = search(
        layers, share_of_conv3, objectives={"accuracy": "maximize", "macs": "minimize"}, costs=macs, trials=30,
        storage=None, runner="inline", constraints={"macs": "<= 12"}, sampler="nsga2",
    )  # fmt: skip

    assert [trial.number for trial in result.trials] == list(range(30))
    assert result.best.metrics["accuracy"] == max(trial.metrics["accuracy"] for trial in result.trials)
    assert result.pareto[0] == result.best
    accuracies = [trial.metrics["accuracy"] for trial in result.pareto]
    costs = [trial.metrics["macs"] for trial in result.pareto]
    assert accuracies == sorted(accuracies, reverse=True)
    assert costs == sorted(costs, reverse=True)
    trial = result.best
    assert (trial.state, trial.budget.stop, trial.seconds is not None) == ("complete", 1, True)
    assert layers.decode(trial.genome) == trial.candidate


def test_a_report_may_be_called_and_the_budget_names_a_directory_that_exists(layers, tmp_path):
    seen = []

    def evaluate(candidate, budget, report):
        seen.append((budget.start, budget.stop, budget.device, (tmp_path / budget.checkpoint).is_dir()))
        report(1, {"accuracy": 0.1})
        return {"accuracy": 0.2}

    result = search(
        layers, evaluate, objectives=["accuracy:max"], trials=1, storage=None, runner="inline", epochs=(2, 6)
    )

    assert seen == [(0, 2, "cpu", True), (2, 6, "cpu", True)]
    assert result.trials[0].curve == {1: {"accuracy": 0.1}, 2: {"accuracy": 0.2}}  # the rung is on it too


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objectives": {}}, "no objective: at least one is needed"),
        ({"objectives": {"accuracy": "up"}}, "objective 'accuracy:up': NAME:max or NAME:min is expected"),
        ({"objectives": ["a:max", "a:min"]}, "an objective is named twice in a:max, a:min"),
        ({"constraints": {"mac": "<= 9"}}, "limit 'mac<=9': did you mean 'macs'. Known before training: macs"),
        ({"constraints": {"macs": "about 3"}}, "limit 'about 3': NAME<=NUMBER"),
        ({"constraints": {"macs": "<= -1"}}, r"no architecture found within macs<=-1; the nearest has macs=0"),
        ({"trials": 0}, "trials 0: at least 1 is needed"),
        ({"epochs": (2, 1)}, "epochs 2:1: 1 <= MIN <= MAX must hold"),
        ({"study": "../etc/x"}, "study name '../etc/x': letters, digits"),
        ({"runner": "inlin"}, "unknown runner 'inlin': did you mean inline.*known: inline, local, ray"),
        ({"workers": 3}, "the inline runner is one worker, not 3"),
        ({"sampler": "grid"}, "unknown sampler 'grid'"),
    ],
)
def test_wrong_arguments_are_one_clear_error_and_make_nothing(layers, tmp_path, changes, message):
    arguments = {"objectives": ["accuracy:max"], "costs": macs, "trials": 2, "runner": "inline"}
    arguments |= {"storage": f"sqlite:///{tmp_path}/nas.db", "checkpoints": tmp_path / "c", **changes}

    with pytest.raises(InputError, match=message):
        search(layers, share_of_conv3, **arguments)
    assert not (tmp_path / "c").exists()
    if "workers" not in changes:
        assert list(tmp_path.iterdir()) == []


def test_everything_that_is_promised_can_be_imported_and_nothing_else():
    for name in nas.__all__:
        assert getattr(nas, name) is not None
    with pytest.raises(AttributeError, match="module 'nas' has no attribute 'serach'"):
        nas.serach  # noqa: B018


def test_spaces_of_values_of_any_kind_are_searched():
    space = Space([one_of(1, 2), {"a": (int_range(1, 2), "x")}])

    result = search(
        space,
        lambda c, b, r: {"score": c[0] + c[1]["a"][0]},
        objectives=["score:max"],
        trials=9,
        storage=None,
        runner="inline",
    )

    assert len(result.trials) == 4
    assert result.best.candidate == [2, {"a": (2, "x")}]
