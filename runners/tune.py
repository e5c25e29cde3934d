"""`ray`: Ray Tune places and runs the jobs of a study; the study itself, attempts and checkpoints stay ours.

Why it is built so is in docs/decisions/0001-ray-tune-pausing-trials.md. The only module that knows Ray.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import queue
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nas.api import RunnerOptions, Watch
from nas.errors import ForeignPackageError, InputError, NasError
from nas.jobs import Evaluate, Event, Failed, Job, Lost, Reported
from nas.study import Study
from runners.evaluation import evaluate_job
from runners.local import check_numbers, most_on_gpus, too_late
from runners.wire import event_text, job_text, read_event, read_job

CONNECT_S = 5.0
UNMADE = "died because of an error raised in its creation task"  # Ray's words for an actor that could not be made
EVENT = "mixer_nas_event"  # key of a Tune result that holds one of our events as JSON
ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is the driver's, as with the other runners
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "OMP_WAIT_POLICY": "PASSIVE",  # inherited by a cluster started here, see runners.local
}


def check(options: RunnerOptions) -> None:
    """Raises: InputError for an address that cannot carry a search; the cluster itself is looked at by `run`."""
    if options.address is not None and options.address.startswith("ray://"):
        raise InputError(
            f"--address {options.address}: a Ray Client address cannot carry a search; give HOST:PORT of the head node"
        )
    check_numbers(options)
    if options.address is not None and options.address not in ("auto", "local"):
        _check_reachable(options.address)


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"--address {address}: auto or HOST:PORT of the head node is expected")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as error:
        raise InputError(f"no Ray cluster at {address}: {error.strerror or error}") from error


def run(study: Study, evaluate: Evaluate, options: RunnerOptions, watch: Watch) -> None:
    """Carry out the study on a Ray cluster.

    Raises: InputError when the cluster cannot be reached or lacks the GPUs, ForeignPackageError when a node would
    import another package in place of ours.
    """
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what goes wrong is told as the trial's reason
    with _environment(ENVIRONMENT), _cluster(options.address):
        _check_nodes()
        workers, cpus = _share(options, study)
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(workers)
        searcher = StudySearcher(study, workers, options, watch)
        with tempfile.TemporaryDirectory(prefix="nas-tune-") as scratch:
            try:
                _fit(study, evaluate, searcher, {"cpu": cpus, "gpu": options.gpus_per_trial}, scratch)
            except Exception:
                if searcher.error is None:
                    raise
        if searcher.error is not None:
            raise searcher.error


def _fit(study: Study, evaluate: Evaluate, searcher: StudySearcher, resources: dict[str, float], scratch: str) -> None:
    _send_by_value(evaluate)
    trainable = tune.with_parameters(JobTrainable, space=study.space, evaluate=evaluate)
    tuner = Tuner(
        tune.with_resources(trainable, {name: amount for name, amount in resources.items() if amount}),
        tune_config=TuneConfig(search_alg=searcher, scheduler=Causes(searcher), num_samples=-1, reuse_actors=True),
        run_config=RunConfig(
            storage_path=scratch,
            verbose=0,
            checkpoint_config=CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuner.fit()


class Causes(FIFOScheduler):  # type: ignore[misc]
    """First in, first out; ends what is late, and notes why a trial broke, which Tune tells only its scheduler."""

    def __init__(self, searcher: StudySearcher) -> None:
        super().__init__()
        self._searcher = searcher

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as with the searcher."""
        return {}

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Asked ten times a second; an actor whose job is late is killed first, whatever it does."""
        self._searcher.tick()
        for trial in tune_controller.get_live_trials():
            if trial.temporary_state.ray_actor is not None and self._searcher.late(trial.trial_id):
                ray.kill(trial.temporary_state.ray_actor)
        return super().choose_trial_to_run(tune_controller)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:  # noqa: ARG002
        """The last line of the error that Tune has written down, and whether the actor could not be made."""
        try:
            told = Path(trial.error_file).read_text()
        except (OSError, TypeError):
            return
        lines = [line.strip() for line in told.splitlines() if line.strip()]
        if lines:
            self._searcher.causes[trial.trial_id] = lines[-1][:500]
            if UNMADE in told:
                self._searcher.unable(lines[-1][:500])


class StudySearcher(Searcher):  # type: ignore[misc]
    """A Tune searcher that asks a study for jobs and tells it what came of them."""

    def __init__(self, study: Study, workers: int, options: RunnerOptions, watch: Watch) -> None:
        """`workers` is how many jobs may be in flight."""
        super().__init__(metric="mixer_nas_step", mode="max")
        self._study, self._workers, self._watch = study, workers, watch
        self._ends = None if options.timeout is None else time.monotonic() + options.timeout
        self._limit = options.trial_timeout
        self._jobs: dict[str, Job] = {}
        self._started: dict[str, tuple[float, str]] = {}
        self._killed: dict[str, Failed] = {}
        self.error: NasError | None = None
        self.causes: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher, and the study in SQL is the only state that counts."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """The next job; None while others run and none is to be had; FINISHED at the end."""
        late = self.error is not None or (self._ends is not None and time.monotonic() >= self._ends)
        if len(self._jobs) >= self._workers:
            return None
        try:
            job = None if late else self._study.next()
        except NasError as error:
            self.error = error  # Tune would bury it in a traceback of its own
            job = None
        if job is None:
            waits = self._jobs or not (late or self._study.over)
            return None if waits else Searcher.FINISHED
        self._jobs[trial_id] = job
        self._watch(self._study)
        return {"job": job_text(job), "timed": self._limit is not None}

    def tick(self) -> None:
        """Between events: what waits for the database is tried again. Raises what ends the search at once."""
        try:
            self._study.flush()
        except NasError as error:
            self.error = error
            raise
        if self._study.away_s is not None:
            self._watch(self._study)

    def late(self, trial_id: str) -> bool:
        """Whether a job shall be killed now; said once."""
        if self._limit is None or trial_id not in self._started or trial_id in self._killed:
            return False
        began, host = self._started[trial_id]
        seconds, job = time.monotonic() - began, self._jobs[trial_id]
        if seconds <= self._limit:
            return False
        self._killed[trial_id] = Failed(job.number, job.attempt, too_late(self._limit), seconds, host)
        return True

    def unable(self, cause: str) -> None:
        """An actor could not be made: neither could another one, and the trials wait."""
        self.error = self.error or InputError(f"a Ray worker cannot start: {cause}")

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """A report; where jobs are timed, the first says that the job has begun and where."""
        self._started.setdefault(trial_id, (time.monotonic(), str(result.get("hostname", ""))))
        self._take(result)

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:  # noqa: FBT001, FBT002
        """The last event, or none: then the actor or its node is gone."""
        job, killed = self._jobs.pop(trial_id, None), self._killed.pop(trial_id, None)
        begun = self._started.pop(trial_id, None) is not None
        if result is not None:
            self._take(result)
        if job is None or (self.error is not None and not begun):
            return
        if error or result is None:
            if killed is not None:
                self._handle(killed)
                return
            cause = self.causes.pop(trial_id, "its Ray actor or node is gone")
            self._handle(Lost(job.number, job.attempt, cause))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: see `__getstate__`."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""

    def _take(self, result: Mapping[str, Any]) -> None:
        if EVENT in result:
            self._handle(read_event(result[EVENT]))

    def _handle(self, event: Event) -> None:
        try:
            self._study.handle(event)
            self._study.flush()
        except NasError as error:
            self.error = self.error or error
        self._watch(self._study)


class Stopped(BaseException):
    """Ends an evaluation that nobody waits for any more; no `except Exception` of the user's shall stop it."""


class JobTrainable(tune.Trainable):  # type: ignore[misc]
    """A Ray actor that evaluates job after job. Each `step` gives the next event of the current job."""

    _begun: bool
    _thread: threading.Thread

    def setup(self, config: dict[str, Any], space: Any = None, evaluate: Any = None) -> None:
        """Once an actor: keep space and evaluation, begin the first job."""
        self._space, self._evaluate = space, evaluate
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next job, in the same warm process."""
        self._end()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Say that the job has begun, where that is timed; after that, wait for the next event."""
        if not self._begun:
            self._begun = True
            return {"mixer_nas_step": 0, "done": False}
        self._go.release()
        event = self._events.get()
        done = not isinstance(event, Reported)
        if done:
            self._thread.join()
        return {EVENT: event_text(event), "mixer_nas_step": getattr(event, "step", 0), "done": done}

    def cleanup(self) -> None:
        """Stop the current job."""
        self._end()

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:  # noqa: ARG002
        """Nothing: checkpoints are the study's."""
        return {}

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing."""

    def _begin(self, config: dict[str, Any]) -> None:
        job = _with_device(read_job(config["job"]))
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._go, self._stopped = threading.Semaphore(0), False
        self._begun = not config["timed"]

        def send(event: Event) -> None:
            self._events.put(event)
            if isinstance(event, Reported):
                self._go.acquire()
                if self._stopped:
                    raise Stopped

        def work() -> None:
            self._go.acquire()
            if not self._stopped:
                with suppress(Stopped):
                    evaluate_job(self._space, self._evaluate, job, send)

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def _end(self) -> None:
        self._stopped = True
        self._go.release()
        self._thread.join(timeout=60)
        if self._thread.is_alive():
            raise RuntimeError("the evaluation did not stop, so this actor is not used again")


def _with_device(job: Job) -> Job:
    device = "cuda" if ray.get_gpu_ids() else job.budget.device
    return dataclasses.replace(job, budget=dataclasses.replace(job.budget, device=device))


# -- the cluster -------------------------------------------------------------------------------------------------------


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Settings for Tune, and no database URL for the processes that Ray starts."""
    before = {name: os.environ.get(name) for name in (*values, "NAS_STORAGE", "TUNE_MAX_PENDING_TRIALS_PG")}
    os.environ.update(values)
    os.environ.pop("NAS_STORAGE", None)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Connected to Ray; a connection that was there before is used and left as it is."""
    if ray.is_initialized():
        yield
        return
    here, terminated = Path.cwd(), signal.getsignal(signal.SIGTERM)
    with tempfile.TemporaryDirectory(prefix="nas-ray-", ignore_cleanup_errors=True) as empty:
        os.chdir(empty)  # Ray puts the driver's directory first on its workers' path, see the decision
        try:
            ray.init(
                address=address or "local",
                include_dashboard=False if address is None else None,
                log_to_driver=False,
                logging_level="error",
                configure_logging=True,
            )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise InputError(f"no Ray cluster at {address or 'this machine'}: {str(error).splitlines()[0]}") from error
        finally:
            os.chdir(here)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, terminated)  # Ray has put one there that exits with 1
        try:
            yield
        finally:
            ray.shutdown()


def _share(options: RunnerOptions, study: Study) -> tuple[int, int]:
    """How many jobs at a time, and the cores for each."""
    have = ray.cluster_resources()
    cores, gpus = int(have.get("CPU", 0)), have.get("GPU", 0.0)
    if options.gpus_per_trial > gpus:
        raise InputError(f"--gpus-per-trial {options.gpus_per_trial:g}: this Ray cluster has {gpus:g} GPU(s)")
    if cores < 1:
        raise InputError("this Ray cluster has no CPU to run trials on")
    most = most_on_gpus(int(gpus), options.gpus_per_trial) if options.gpus_per_trial else cores
    workers = min(options.workers or most, most, max(1, study.plan.trials))
    smallest = min(int(node["Resources"].get("CPU", 0)) or cores for node in ray.nodes() if node["Alive"])
    return workers, max(1, min(cores // workers, smallest))


def _send_by_value(evaluate: Evaluate) -> None:
    """A user's own module need not be importable on the nodes."""
    module = sys.modules.get(getattr(evaluate, "__module__", type(evaluate).__module__) or "")
    file = getattr(module, "__file__", None)
    ours = Path(__file__).resolve().parent.parent
    installed = file is None or "site-packages" in file or Path(file).resolve().is_relative_to(ours / "nas")
    if module is not None and not installed and module.__name__ != "__main__":
        cloudpickle.register_pickle_by_value(module)


PROBE = """
def probe(names):
    import importlib.util, pathlib
    found = {}
    for name in names:
        spec = importlib.util.find_spec(name)
        places = [spec.origin] if spec and spec.origin else list(spec.submodule_search_locations) if spec else []
        found[name] = str(pathlib.Path(places[0])) if places else "nowhere"
    return found
"""


def _check_nodes() -> None:
    """Ask every node where it would import our packages from; they must lie beside each other.

    Raises: ForeignPackageError naming the package and the node.
    """
    scope: dict[str, Any] = {"__name__": "__main__"}  # so that Ray sends the function by value
    exec(PROBE, scope)  # noqa: S102 - a constant of this file
    probe = ray.remote(num_cpus=0, max_retries=0)(scope["probe"])
    names = ("nas", "search_spaces", "runners", "dashboards")
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    asked = {  # by id: several nodes may share an address
        node_id: probe.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote(names)
        for node_id in nodes
    }
    for node_id, answer in asked.items():
        node = nodes[node_id]
        try:
            found = ray.get(answer, timeout=120)
        except ray.exceptions.RayError as error:
            raise InputError(f"Ray node {node} does not answer: {str(error).splitlines()[0]}") from error
        if found["nas"] == "nowhere":
            raise InputError(f"mixer-nas is not installed on Ray node {node}")
        home = Path(found["nas"]).parent.parent
        for name in names:
            if Path(found[name]) != home / name / "__init__.py":
                raise ForeignPackageError(
                    f"package {name!r} on Ray node {node} would come from {Path(found[name]).parent}, "
                    f"but mixer-nas has its own in {home}; rename that folder or take it off the path"
                )
