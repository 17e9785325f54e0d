# SPDX-License-Identifier: GPL-3.0-or-later
"""One file a step; each operator is thin: it reads the settings, starts the work below, and reports."""

from collections.abc import Callable

import bpy

from ...core.errors import UserError
from ..jobs import pump, worker
from ..preferences import find_worker_python

CONTINUE = "Go on with what was interrupted, as it was set then: only what is missing is done"


class Resumable:
    """Of operators that can go on with what was interrupted."""

    resume: bpy.props.BoolProperty(
        name="Continue",
        description=CONTINUE,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        return CONTINUE if properties.resume else ""


def why_busy() -> str:
    """Why nothing can be started now, not even what needs no worker; empty when it can."""
    return "" if worker.running() is None else "A job is running"


def why_no_job() -> str:
    """Why no job can be started now; empty when one can."""
    return why_busy() or find_worker_python()[1]


def can_run(operator: type[bpy.types.Operator], reason: str) -> bool:
    """For `poll`: grey with a reason, or not grey."""
    if reason:
        operator.poll_message_set(reason)
    return not reason


def refuse(operator: bpy.types.Operator, problem: object) -> set[str]:
    """Say why nothing was done; what `execute` then returns."""
    operator.report({"ERROR"}, worker.sentence(str(problem)))
    return {"CANCELLED"}


def go_on(request: str, what: str, finish: worker.Finish) -> worker.Job:
    """Go on with the interrupted `request` of the open file; people call it `what`.

    Raises:
        UserError: there is none, a job is running, or there is no worker.
    """
    job = worker.interrupted(request)
    if job is None:
        raise UserError(f"no {what} was interrupted; start a new one")
    return worker.start(request, job.arguments, finish, job.session)


def run(operator: bpy.types.Operator, start: Callable[[], worker.Job]) -> set[str]:
    """Start a job and follow it. With an interface this returns at once; in background mode when the job has ended."""
    try:
        job = start()
    except (UserError, OSError, RuntimeError) as error:
        return refuse(operator, error)
    pump.follow(job)
    if job.error is not None:
        return refuse(operator, job.outcome)
    if job.ended:
        operator.report({"INFO"}, job.outcome)
    return {"FINISHED"}
