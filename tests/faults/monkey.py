"""A soak: searches whose driver and workers are killed at random, again and again, and what must hold at their end.

    python tests/faults/monkey.py --kills 200 --seed 0 [--trials 50] [--seconds 1.0] [--url URL] [--keep DIR]

`nas search` runs as its own process; every few seconds its driver or one of its workers gets SIGKILL, and a driver that
was killed is started again by the same command. When a search ends the next one begins, until there were `--kills`.
After each search: exit code 0, every trial in the database in one final state, no network with two results, no result
that was ever seen is gone or changed, none computed again after it was seen, `nas doctor` content, no process left, and
at most three times the time that the same search takes unhurt. Exit code 1 when any of that did not hold.
"""

import argparse
import dataclasses
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import sqlalchemy

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NAS = [sys.executable, "-c", "from nas.front import main; main()"]
MARK = "NAS_SOAK_SEARCH"  # of the environment: whose processes these are
TICK_S, POLL_S = 0.05, 1.0
GRACE_S = 5.0  # for the processes of a search to be gone
ATTEMPTS = 3  # a trial that was lost so often may be failed


@dataclasses.dataclass
class Settings:
    folder: Path
    url: str
    trials: int = 50
    seconds: float = 1.0
    between: tuple = (4.0, 10.0)
    most_ratio: float | None = 3.0  # of the unhurt search's time; None: not looked at
    need_doctor: bool = False
    say: object = print

    def environment(self, study):
        paths = [str(ROOT), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "NAS_STORAGE": self.url,
            "NAS_SOAK_SECONDS": str(self.seconds),
            "NAS_SOAK_LEDGER": str(self.folder / "ledger.jsonl"),
            MARK: self.mark(study),
        }

    def mark(self, study):
        return f"{self.folder}:{study}"

    def command(self, study):
        options = ["--space", "soaked:space", "--evaluate", "soaked:evaluate", "--objective", "accuracy:max"]
        options += ["--trials", str(self.trials), "--epochs", "4", "--sampler", "random", "--seed", "0"]
        options += ["--runner", "local", "--workers", "2", "--checkpoints", str(self.folder / "checkpoints")]
        return [*NAS, "search", *options, "--study", study, *self.storage]

    @property
    def storage(self):
        """As an option, unless it has a password, which only the environment may hold."""
        return [] if sqlalchemy.make_url(self.url).password else ["--storage", self.url]


@dataclasses.dataclass
class Search:
    """What happened to one search and what was wrong with it."""

    study: str
    wall_s: float = 0.0
    drivers_killed: int = 0
    workers_killed: int = 0
    failed: int = 0  # trials that lost their worker or driver three times
    redone: int = 0  # evaluations whose end was not yet in the database when something was killed
    tracebacks: int = 0
    doctor: str = "not asked"
    lost: list = dataclasses.field(default_factory=list)
    doubles: list = dataclasses.field(default_factory=list)
    faults: list = dataclasses.field(default_factory=list)  # all others

    @property
    def kills(self):
        return self.drivers_killed + self.workers_killed

    @property
    def wrong(self):
        return [*self.lost, *self.doubles, *self.faults]


# -- processes -------------------------------------------------------------------------------------------------------


def _proc(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it is gone
        return b""


def processes(mark):
    """Ids of the living processes whose environment carries the mark."""
    entry = f"{MARK}={mark}".encode()
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return sorted(pid for pid in pids if entry in _proc(pid, "environ").split(b"\0"))


def workers(driver, mark):
    """Ids of a driver's worker processes: its children that are there to work, not multiprocessing's tracker."""
    return [
        pid
        for pid in processes(mark)
        if f"PPid:\t{driver}\n".encode() in _proc(pid, "status") and b"spawn_main" in _proc(pid, "cmdline")
    ]


def left_behind(mark, grace_s=GRACE_S):
    """Ids and commands of the marked processes that are still there after the grace time; they are killed."""
    deadline = time.monotonic() + grace_s
    while (left := processes(mark)) and time.monotonic() < deadline:
        time.sleep(TICK_S)
    told = [f"process {pid} was left behind: {_proc(pid, 'cmdline').replace(bytes(1), b' ').decode()}" for pid in left]
    for pid in left:
        _kill(pid)
    return told


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


# -- what the database and the ledger say ----------------------------------------------------------------------------


class Witness:
    """Looks at a study while it runs, reading only, and remembers every result that it saw."""

    def __init__(self, url, study):
        self.seen = {}  # number -> (value, when it was first seen)
        self.changed = []
        self._study = study
        parsed = sqlalchemy.make_url(url)
        self._file = Path(parsed.database) if parsed.get_backend_name() == "sqlite" else None
        if self._file:
            parsed = parsed.set(database=f"file:{parsed.database}", query={"mode": "ro", "uri": "true"})
        self._engine = sqlalchemy.create_engine(parsed, poolclass=sqlalchemy.NullPool)

    QUERY = sqlalchemy.text(
        "SELECT trials.number, trial_values.value FROM trials JOIN studies ON studies.study_id = trials.study_id "
        "JOIN trial_values ON trial_values.trial_id = trials.trial_id "
        "WHERE studies.study_name = :study AND trials.state = 'COMPLETE'"
    )

    def look(self):
        """The results now, by number; what was seen before and is missing or other now goes to `changed`."""
        if self._file and not self._file.exists():
            return {}
        try:
            with self._engine.connect() as connection:
                results = dict(connection.execute(self.QUERY, {"study": self._study}).all())
        except (sqlalchemy.exc.OperationalError, sqlalchemy.exc.ProgrammingError):
            return {}  # the tables are being made, or the server is away: nothing was seen, and nothing is lost by that
        for number, (value, _) in self.seen.items():
            if results.get(number) != value:
                self.changed.append(f"trial {number}: {value} was seen and it is {results.get(number)} now")
        for number in results.keys() - self.seen.keys():
            self.seen[number] = results[number], time.time()
        return results


def read_ledger(folder, study):
    file = folder / "ledger.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [line for line in lines if line["study"] == study]


def read_by_optuna(url, study):
    """[(number, state, value, digest)], as anybody with Optuna sees the study."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trials = optuna.load_study(study_name=study, storage=url).trials
    return [
        (trial.number, trial.state.name.lower(), trial.values[0] if trial.values else None, trial.user_attrs["digest"])
        for trial in trials
    ]


def check_trials(search, by_optuna, by_command, trials):
    """Every trial there, once, in one final state, told alike by Optuna and by `nas trials`, no network twice."""
    numbers = [number for number, *_ in by_optuna]
    if sorted(numbers) != list(range(trials)):
        search.faults.append(f"{trials} trials were asked for and the database has {len(numbers)}: {sorted(numbers)}")
    search.faults += [
        f"trial {number} is {state} after the end"
        for number, state, _, _ in by_optuna
        if state not in {"complete", "fail"}
    ]
    told = [
        (one["number"], one["state"], one["metrics"]["accuracy"] if one["state"] == "complete" else None, one["digest"])
        for one in by_command
    ]
    for ours in sorted(set(told) ^ set(by_optuna), key=str):
        search.faults.append(f"only {'nas trials' if ours in told else 'Optuna'} says {ours}")
    for one in by_command:
        if one["state"] == "fail":
            search.failed += 1
            if one["attempt"] < ATTEMPTS or "lost" not in one["reason"]:
                search.faults.append(f"trial {one['number']} failed at attempt {one['attempt']}: {one['reason']}")
    results = {}
    for number, state, _, digest in by_optuna:
        if state == "complete":
            results.setdefault(digest, []).append(number)
    search.doubles += [f"trials {same} are one network" for same in results.values() if len(same) > 1]


def check_results(search, by_optuna, seen, ledger):
    """What was seen is there; what is there was computed, to that value, and not again after it was seen."""
    results = {number: value for number, state, value, _ in by_optuna if state == "complete"}
    search.lost += [
        f"trial {number}: {value} was seen and it is {results.get(number)} at the end"
        for number, (value, _) in sorted(seen.items())
        if results.get(number) != value
    ]
    done = {}
    for line in ledger:
        number, when = line["trial"], line["time"]
        if line["event"] == "done":
            done.setdefault(number, []).append(line["value"])
        elif number in seen and when > seen[number][1]:
            search.doubles.append(f"trial {number} was evaluated again after its result was in the database")
    for number, value in sorted(results.items()):
        if value not in done.get(number, []):
            search.faults.append(f"trial {number}: {value} was never computed, the ledger has {done.get(number)}")
    search.redone = sum(len(values) - 1 for values in done.values())


def ask_doctor(settings, study):
    """(in a word, faults): a command that does not exist is a fault only if it is needed."""
    done = _nas(settings, study, "doctor", study, *settings.storage, "--json")
    if "No such command" in done.stderr:
        return "not available", ["nas doctor does not exist"] if settings.need_doctor else []
    if done.returncode:
        return "found faults", [
            f"nas doctor ended with {done.returncode}: {(done.stdout + done.stderr).strip()[-500:]}"
        ]
    return "content", []


def _nas(settings, study, *arguments):
    environment = settings.environment(study)
    command = [*NAS, *arguments]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, cwd=settings.folder, timeout=120
    )


# -- the soak --------------------------------------------------------------------------------------------------------


class Driver:
    """`nas search` as a process of its own session, what it says in one file a start."""

    def __init__(self, settings, study):
        self._settings, self._study, self._starts = settings, study, 0
        self.logs = settings.folder / "logs"
        self.logs.mkdir(exist_ok=True)
        self.start()

    def start(self):
        self._starts += 1
        self.log = self.logs / f"{self._study}.{self._starts}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self._settings.command(self._study),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._settings.environment(self._study),
                cwd=self._settings.folder,
                start_new_session=True,
            )

    def kill(self):
        """Whether it was still running."""
        self.process.kill()
        return self.process.wait() == -signal.SIGKILL

    @property
    def last_words(self):
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return " | ".join(lines[-3:])


def one_search(settings, study, rng=None, kills=0, limit_s=None):
    """One search to its end, with at most `kills` kills on the way, and the checks of its end."""
    search, mark = Search(study), settings.mark(study)
    witness, started = Witness(settings.url, study), time.monotonic()
    driver = Driver(settings, study)
    next_kill = started + (rng.uniform(*settings.between) if rng else 0)
    next_look, stumbles, ended = started, 0, None
    try:
        while True:
            code = driver.process.poll()
            if code == 0:
                break
            if code is not None:  # nobody killed it
                stumbles += 1
                search.faults.append(f"the driver ended by itself with {code}: {driver.last_words}")
                if stumbles == ATTEMPTS:  # without a kill between them: it does not start any more
                    break
                driver.start()
            now = time.monotonic()
            if limit_s and now - started > limit_s:
                search.faults.append(f"the search hung: it was ended after {limit_s:.0f} s: {driver.last_words}")
                driver.kill()
                break
            if now >= next_look:
                witness.look()
                next_look = now + POLL_S
            if rng and search.kills < kills and now >= next_kill:
                witness.look()
                _strike(search, driver, mark, rng)
                stumbles = 0
                next_kill = now + rng.uniform(*settings.between)
            time.sleep(TICK_S)
        ended = time.monotonic()
        search.wall_s = ended - started
    finally:
        if ended is None:
            driver.kill()
        search.faults += left_behind(mark)
    _check(settings, search, witness)
    return search


def _strike(search, driver, mark, rng):
    """Kill the driver, and start it again, or a worker; where there is none at the moment, the driver."""
    found = workers(driver.process.pid, mark) if rng.random() < 0.5 else []
    if found:
        search.workers_killed += _kill(rng.choice(found))
    elif driver.kill():
        search.drivers_killed += 1
        driver.start()
    # else it had just ended, and its code is looked at next


def _check(settings, search, witness):
    study = search.study
    witness.look()
    search.lost += witness.changed
    by_optuna = read_by_optuna(settings.url, study)
    told = _nas(settings, study, "trials", study, *settings.storage, "--json")
    if told.returncode:
        search.faults.append(f"nas trials ended with {told.returncode}: {told.stderr.strip()[-500:]}")
    check_trials(search, by_optuna, json.loads(told.stdout) if told.returncode == 0 else [], settings.trials)
    check_results(search, by_optuna, witness.seen, read_ledger(settings.folder, study))
    search.doctor, faults = ask_doctor(settings, study)
    search.faults += faults
    for log in sorted((settings.folder / "logs").glob(f"{study}.*")):
        search.tracebacks += log.read_text(errors="replace").count("Traceback (most recent call last)")


def soak(settings, kills, seed):
    """The unhurt search, and then searches until there were so many kills: (unhurt, searches)."""
    say, rng = settings.say, random.Random(seed)
    unhurt = one_search(settings, "unhurt", limit_s=settings.trials * settings.seconds * 4 + 60)
    say(f"unhurt: {_line(unhurt, unhurt)}")
    searches = []
    while not unhurt.wrong and (left := kills - sum(search.kills for search in searches)) > 0:
        study = f"hurt-{len(searches)}"
        search = one_search(settings, study, rng, left, limit_s=unhurt.wall_s * 8 + 60)
        ratio = search.wall_s / unhurt.wall_s
        if settings.most_ratio and ratio > settings.most_ratio:
            search.faults.append(f"it took {ratio:.2f} times as long as unhurt; {settings.most_ratio:g} are allowed")
        searches.append(search)
        done = sum(search.kills for search in searches)
        say(f"{study}: {_line(search, unhurt)}; {done} of {kills} kills")
        if len(searches) >= 5 and not done:
            search.faults.append("nothing was killed in five searches: they are too short for these intervals")
            break
    return unhurt, searches


def _line(search, unhurt):
    words = [
        f"{search.wall_s:.1f} s ({search.wall_s / unhurt.wall_s:.2f}x)",
        f"killed {search.drivers_killed} drivers, {search.workers_killed} workers",
        f"{search.failed} trials failed, {search.redone} evaluations done again, {search.tracebacks} tracebacks",
        f"doctor {search.doctor}",
    ]
    return ", ".join(words) + "".join(f"\n    WRONG: {fault}" for fault in search.wrong)


def summary(unhurt, searches):
    """The closing table as text."""
    everything = [unhurt, *searches]

    def total(field):
        return sum(getattr(search, field) for search in everything)

    def number(field):
        return sum(len(getattr(search, field)) for search in everything)

    ratios = [search.wall_s / unhurt.wall_s for search in searches]
    rows = {
        "searches": len(searches),
        "kills of drivers": total("drivers_killed"),
        "kills of workers": total("workers_killed"),
        "lost results": number("lost"),
        "double results": number("doubles"),
        "other faults": number("faults"),
        "trials failed after three attempts": total("failed"),
        "evaluations done again": total("redone"),
        "tracebacks printed": total("tracebacks"),
        "unhurt search": f"{unhurt.wall_s:.1f} s",
        "wall ratio, median": f"{statistics.median(ratios):.2f}" if ratios else "-",
        "wall ratio, worst": f"{max(ratios):.2f}" if ratios else "-",
        "doctor": ", ".join(sorted({search.doctor for search in everything})),
    }
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one evaluation")
    parser.add_argument("--between", type=float, nargs=2, default=(4.0, 10.0), metavar=("MIN", "MAX"), help="seconds")
    parser.add_argument("--ratio", type=float, default=3.0, help="most time allowed, in unhurt searches")
    parser.add_argument("--url", help="database [default: a SQLite file in the folder]")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="an empty folder for database, ledger and logs")
    parser.add_argument("--need-doctor", action="store_true", help="`nas doctor` must exist")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nas-monkey-") as scratch:
        folder = (given.keep or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            parser.error(f"{folder} is not empty")
        settings = Settings(
            folder=folder,
            url=given.url or f"sqlite:///{folder}/nas.db",
            trials=given.trials,
            seconds=given.seconds,
            between=tuple(given.between),
            most_ratio=given.ratio,
            need_doctor=given.need_doctor,
            say=lambda line: print(line, flush=True),
        )
        print(f"seed {given.seed}, {settings.trials} trials of {settings.seconds:g} s a search", flush=True)
        unhurt, searches = soak(settings, given.kills, given.seed)
        print(summary(unhurt, searches))
    sys.exit(1 if any(search.wrong for search in [unhurt, *searches]) else 0)


if __name__ == "__main__":
    main()
