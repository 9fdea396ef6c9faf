"""Runs of the command line whose process died: a kill, or a power cut.

Dagster watches over the processes that its own programs launch, and over no other. Such a run would be in progress for
ever: one run goes at a time, so everything that is launched afterwards would wait in the queue, and the sensor that
starts a close would leave the month to a process that is no more.

Judged on the machine that the process ran on, by process number and start, as both stand in the run's tags.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import MAX_RETRIES_TAG

PLACE: Final = "ledger_assets/place"
PROCESS: Final = "ledger_assets/process"
_STARTED: Final = "ledger_assets/process_started"
_SAME_START: Final = 5.0
"""Seconds. The moment at which a process started is computed from a clock that may be set meanwhile."""


def tags_of_this_process() -> Mapping[str, str]:
    """What a run of this process bears. Dagster's daemon could not start it again, so it does not try."""
    started = psutil.Process().create_time()
    return {PLACE: _place(), PROCESS: str(os.getpid()), _STARTED: f"{started:.1f}", MAX_RETRIES_TAG: "0"}


def end_dead_runs(instance: DagsterInstance) -> list[str]:
    """Record runs of this machine as failed whose process is not there any more; safe to repeat. Returns their ids."""
    filters = RunsFilter(statuses=[DagsterRunStatus.STARTED], tags={PLACE: _place()})
    # Re-executed in the UI, it hands its tags on to a run that Dagster has launched, and watches.
    ours = [run for run in instance.get_runs(filters) if run.remote_job_origin is None and run.parent_run_id is None]
    dead = [run for run in ours if not _is_alive(run)]
    for run in dead:
        instance.report_run_failed(run, f"its process {run.tags[PROCESS]} died; nothing is half posted: run it again")
    return [run.run_id for run in dead]


def _place() -> str:
    """The machine and, of a container, its own numbering of processes."""
    numbering = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {numbering.readlink().name if numbering.is_symlink() else ''}".strip()


def _is_alive(run: DagsterRun) -> bool:
    try:
        process = psutil.Process(int(run.tags[PROCESS]))
        started = process.create_time()
        ended = process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    return not ended and abs(started - float(run.tags[_STARTED])) < _SAME_START
