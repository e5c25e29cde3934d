"""A study's rungs as a Ray Tune scheduler: what goes on, pauses, stops, and whom to wake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from nas.trial import State
from runners.ray_study import StudySearcher

UNMADE = "died because of an error raised in its creation task"  # Ray's words for an actor that could not be made
NEVER = "The actor never ran"  # and for one that it gave up before its process was there
NEVERS = 20  # such actors in a row, after which others are not expected to run either

KEPT = ("_live_trials", "_stopped_trials", "_failed_trials", "_trials_to_cache", "_trials")  # of Tune's controller


class RungScheduler(FIFOScheduler):  # type: ignore[misc]
    """Carries out what the study of a `StudySearcher` decides.

    A paused trial holds no actor and no device, and Tune keeps no checkpoint of it: what it needs to go on is in the
    directory that its config names. Late trials lose their actor; why a trial broke is told to the study.
    """

    def __init__(self, searcher: StudySearcher, *, forget: bool = False) -> None:
        """For the study of `searcher`.

        `forget` lets Tune drop the trials that have ended, so that long searches stay fast; they are then in no
        result grid.
        """
        super().__init__()
        self._searcher, self._forget = searcher, forget
        self._trials: dict[str, Any] = {}
        self._gone: list[Any] = []
        self._pending = self._never = 0
        searcher.scheduled = True

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as with the searcher."""
        return {}

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A new trial; Tune starts as many at a time as may be in flight (it would be one)."""
        self._trials[trial.trial_id] = trial
        if self._pending != self._searcher.workers:
            self._pending = self._searcher.workers
            _bare(tune_controller).update_max_pending_trials(self._pending)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """A paused trial to go on with; new ones start by themselves. Asked in each round of Tune's loop."""
        self._searcher.tick()
        if self._searcher.limit is not None:
            self._watch_the_clock()
        for trial_id in self._searcher.ended():
            tune_controller.stop_trial(self._trials[trial_id])
        if self._forget and self._gone:
            self._drop(_bare(tune_controller))
        while self._searcher.woken:
            trial_id = self._searcher.woken.popleft()
            trial, job = self._trials[trial_id], self._searcher.job(trial_id)
            if job is not None:
                trial.set_config({**trial.config, **self._searcher.words.config(job)})
                return trial
        return None

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """CONTINUE below the rung; at it, paused; STOP when the study has done with the trial."""
        self._never = 0
        state = self._searcher.took(trial.trial_id, result)
        if state is State.PAUSED:
            tune_controller.pause_trial(trial, should_checkpoint=False)  # PAUSE would save a checkpoint of Tune's
            return str(TrialScheduler.NOOP)
        return str(TrialScheduler.CONTINUE if state is State.RUNNING else TrialScheduler.STOP)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Why it broke: Tune tells only its scheduler."""
        try:
            told = Path(trial.error_file).read_text()
        except (OSError, TypeError):
            told = ""
        lines = [line.strip() for line in told.splitlines() if line.strip()] or ["its Ray actor or node is gone"]
        own, never = not isinstance(trial.get_pickled_error(), RayActorError), NEVER in told
        self._never = self._never + 1 if never else self._never
        rays = not own and UNMADE not in told
        self._searcher.broke(
            trial.trial_id,
            lines[-1].partition(". ")[0].rstrip(".") if rays else lines[-1][:500],  # Ray goes on with what it might be
            # else an idle actor was dead, or Ray started none
            begun=trial not in getattr(_bare(tune_controller), "_resetting_trials", ()) and not never,
            own=own,
            unmade=UNMADE in told or self._never > NEVERS,
        )
        self._left(trial)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:  # noqa: ARG002
        """Stopped, or ended by itself."""
        self._left(trial)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:  # noqa: ARG002
        """Stopped while it paused."""
        self._left(trial)

    def debug_string(self) -> str:
        """One line for Tune's reports."""
        return "Pausing at the rungs of a study."

    def _left(self, trial: Any) -> None:
        self._trials.pop(trial.trial_id, None)
        self._gone.append(trial)

    def _watch_the_clock(self) -> None:
        for trial_id, trial in self._trials.items():
            if trial.status == Trial.RUNNING and self._searcher.job(trial_id) is not None:
                self._searcher.began(trial_id)
        for trial_id in self._searcher.late():
            actor = self._trials[trial_id].temporary_state.ray_actor
            if actor is not None:
                ray.kill(actor)

    def _drop(self, controller: Any) -> None:
        """Tune looks at all its trials again and again, and keeps them for a grid that nobody asks for."""
        over = [trial for trial in self._gone if trial.is_finished()]
        self._gone = [trial for trial in self._gone if not trial.is_finished()]
        for trial in over:
            for name in KEPT:
                kept: Any = getattr(controller, name, ())
                if trial in kept:
                    kept.remove(trial)
            getattr(controller, "_trial_metadata", {}).pop(trial.trial_id, None)


def _bare(tune_controller: Any) -> Any:
    """The controller under the wrapper that Tune mostly gives to schedulers."""
    return getattr(tune_controller, "_tune_controller", tune_controller)
