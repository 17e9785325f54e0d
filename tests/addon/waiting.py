# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for a job, and reads what a grey button says."""

from __future__ import annotations

import time

import bpy

from radiance_twin.addon.jobs import worker


def why_grey(operator: str) -> str:
    """What the button's tooltip says about being grey; empty when it is not."""
    try:
        getattr(bpy.ops.radiance_twin, operator)()
    except RuntimeError as error:
        return str(error).partition(".poll() ")[2]
    return ""


def hear_until(job: worker.Job, stage: str = "") -> None:
    """Until the job has ended, or has said that it is at `stage`."""
    deadline = time.monotonic() + 20
    while not job.ended and not (stage and job.stage == stage):
        assert time.monotonic() < deadline, job.lines
        job.hear(0.01)
        time.sleep(0.01)
