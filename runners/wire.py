"""Jobs and events as JSON: what crosses to another machine is text and numbers, and nothing is unpickled."""

from __future__ import annotations

import dataclasses
import json

from nas.jobs import Budget, Event, Failed, Finished, Job, Reported, Started

EVENT = "mixer_nas_event"  # key of a Tune result that holds one of our events as JSON
KINDS: dict[str, type[Event]] = {"started": Started, "reported": Reported, "finished": Finished, "failed": Failed}


def job_text(job: Job) -> str:
    """A job as JSON; `read_job` is the inverse."""
    return json.dumps(dataclasses.asdict(job))


def read_job(text: str) -> Job:
    """The job of `job_text`."""
    body = json.loads(text)
    return Job(body["number"], body["attempt"], tuple(body["genome"]), Budget(**body["budget"]))


def event_text(event: Event) -> str:
    """An event that a worker sends, as JSON; `read_event` is the inverse."""
    kind = next(name for name, cls in KINDS.items() if cls is type(event))
    return json.dumps([kind, dataclasses.asdict(event)])


def read_event(text: str) -> Event:
    """The event of `event_text`."""
    kind, body = json.loads(text)
    return KINDS[kind](**body)
