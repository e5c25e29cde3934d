"""Limits on what is measured, as a person gives them: `nas search --limit`, and what the other commands say."""

import json

import pytest

MINE = """
    import nas

    space = nas.Space({f"layer{index}": nas.one_of("skip", "conv3", "conv5") for index in range(4)})


    def costs(candidate):
        return {"macs": float(sum({"skip": 0, "conv3": 3, "conv5": 5}[value] for value in candidate.values()))}


    def evaluate(candidate, budget, report):
        return {"score": list(candidate.values()).count("conv3") / 4, "heat": costs(candidate)["macs"]}
"""
OWN = ["search", "--space", "mine:space", "--evaluate", "mine:evaluate", "--costs", "mine:costs", "--study", "own",
       "--objective", "score:max", "--epochs", "1", "--runner", "inline", "--sampler", "random", "--trials", "20"]  # fmt: skip
DIGITS = ["search", "--data", "digits", "--subset", "0.1", "--epochs", "1", "--limit", "params<=3e4", "--trials", "3",
          "--limit", "macs<=5e5", "--runner", "inline", "--gpus-per-trial", "0", "--sampler", "random"]  # fmt: skip


def test_a_search_under_a_limit_on_a_metric_shows_only_what_keeps_it_and_marks_the_rest(nas):
    code, out, _ = nas(*OWN, "--limit", "heat<=6", "--json")

    told = json.loads(out)
    assert code == 0
    assert told["best"]["metrics"]["heat"] <= 6
    assert told["nearest"] is None
    _, out, _ = nas("best", "own", "--json")
    assert json.loads(out)[0] == told["best"]
    assert all(trial["metrics"]["heat"] <= 6 for trial in json.loads(out))
    _, out, _ = nas("trials", "own", "--json")
    over = sum(trial["metrics"]["heat"] > 6 for trial in json.loads(out))
    _, out, _ = nas("trials", "own")
    assert out.count("(over heat<=6)") == over > 0


def test_when_nothing_keeps_the_limits_the_command_says_so_and_ends_with_1(nas):
    code, out, _ = nas(*OWN, "--limit", "score>=2", "--limit", "macs<=16")
    assert code == 1
    assert "no trial keeps score>=2, macs<=16; the nearest is trial " in out

    code, _, err = nas("best", "own")
    assert code == 2
    assert "study 'own': no trial keeps score>=2, macs<=16; the nearest is trial " in err
    code, out, _ = nas("status", "own")
    assert code == 0
    assert "no trial keeps score>=2" in out
    code, _, err = nas("export", "own", "--to", "x")
    assert code == 2
    assert "--trial exports it all the same" in err


def test_a_misspelt_cost_is_refused_before_anything_starts(nas, tmp_path):
    code, _, err = nas(*OWN, "--limit", "mac<=6")

    assert code == 2
    assert err.startswith("nas: limit 'mac<=6': did you mean 'macs'?"), err
    assert not (tmp_path / "nas.db").exists()


def test_a_trained_network_over_a_limit_on_its_accuracy_is_not_exported(nas, tmp_path):
    code, out, _ = nas(*DIGITS, "--limit", "accuracy>=0.99", "--objective", "macs:min", "--export", "best")

    assert code == 1
    assert "no trial keeps params<=30000, macs<=500000, accuracy>=0.99; the nearest is trial " in out
    assert not (tmp_path / "best").exists()


def test_a_dry_run_does_not_count_what_is_not_known_yet(nas):
    code, out, _ = nas(*OWN, "--limit", "heat<=6", "--limit", "macs<=10", "--dry-run")

    assert code == 0
    assert "within macs<=10: " in out
    assert "heat<=6: known once it is measured, not counted in that share" in out


def test_latency_is_measured_limited_and_an_objective_beside_known_and_trained_ones(nas):
    goals = ["--objective", "accuracy:max", "--objective", "latency_ms:min", "--objective", "params:min"]
    code, out, err = nas(*DIGITS, *goals, "--limit", "latency_ms<=1000", "--limit", "loss<=100", "--json")

    told = json.loads(out)
    assert code == 0, err
    assert told["complete"] == 3
    for trial in told["pareto"]:
        assert 0 < trial["metrics"]["latency_ms"] <= trial["metrics"]["latency_p90_ms"]
    _, out, _ = nas("status", told["study"], "--json")
    settings = json.loads(out)["settings"]
    assert "1 thread(s), float32, 1x1x8x8, 10 classes" in settings["measured_on"]
    assert settings["limits"] == ["params<=30000", "macs<=500000", "latency_ms<=1000", "loss<=100"]
    enqueued, _, err = nas("enqueue", told["study"], "mixer-b16")
    assert enqueued == 0, err


@pytest.mark.soak
def test_a_latency_that_no_network_has_is_one_clear_line(nas):
    code, _, err = nas(*DIGITS, "--limit", "latency_ms<=0.000001")

    assert code == 2
    assert "no architecture found within latency_ms<=1e-06: " in err
    assert " were measured, and the nearest has latency_ms=" in err


def test_a_dry_run_says_that_a_latency_is_measured(nas):
    code, out, _ = nas(*DIGITS, "--limit", "latency_ms<=5", "--dry-run")

    assert code == 0
    assert "latency_ms<=5: known once it is measured" in out


def test_a_latency_on_a_device_that_is_not_there_is_refused(nas, tmp_path):
    code, _, err = nas(*DIGITS, "--limit", "latency_ms<=5", "--latency-device", "cuda:99")

    assert code == 2
    assert "device 'cuda:99': this machine has " in err
    assert not (tmp_path / "nas.db").exists()


def test_what_is_shown_for_comparison_says_which_limits_it_breaks(nas):
    code, out, err = nas(*DIGITS, "--limit", "loss>=1000", "--published")

    assert code == 1, err  # nothing keeps it
    compared = out[out.index("for comparison") :]
    assert compared.count("published, scaled down") == compared.count("(over loss>=1000)") > 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--latency-device", "cpu"], "--latency-device cpu: nothing is timed without --objective latency_ms:min"),
        (["--limit", "latency_ms<=5", "--latency-device", "gpu"], "device 'gpu': cpu or cuda is expected"),
        (["--sampler", "tpee"], "unknown sampler 'tpee': did you mean tpe?"),
        (["--sampler", "tpe", "--proxies", "naswot"], "--proxies naswot: only --sampler auto chooses by them, not tpe"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_what_would_change_nothing_is_one_line_before_anything_else_is_said(nas, tmp_path, options, told, dry):
    code, out, err = nas(*DIGITS, *options, *dry)

    assert (code, out) == (2, "")
    (line,) = err.strip().splitlines()
    assert told in line
    assert not (tmp_path / "nas.db").exists()


def test_cost_times_a_network(nas):
    code, out, err = nas("cost", "cvt-13", "--resolution", "32", "--latency", "--batch", "2", "--json")

    assert code == 0, err
    latency = json.loads(out)["latency"]
    assert 0 < latency["p10_ms"] <= latency["median_ms"] <= latency["p90_ms"]
    assert (latency["batch"], latency["threads"]) == (2, 1)
    assert "a forward pass of 1 image(s) on " in nas("cost", "cvt-13", "--resolution", "32", "--latency")[1]
