"""Runs of the command line whose process died: a kill, or a power cut.

Dagster watches over the processes that its own programs launch, and over no other. Such a run would be in progress for
ever: one run goes at a time, so everything that is launched afterwards would wait in the queue, and the sensor that
starts a close would leave the month to a process that is no more.

Judged on the machine that the process ran on, by process number and start, as both stand in the run's tags. A process
that cannot be looked at is taken for alive: a run that is ended too late waits for a person, one that is ended too
early is told as failed while it posts.
"""

import os
import socket
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

import psutil
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import MAX_RETRIES_TAG

PLACE: Final = "ledger_assets/place"
PROCESS: Final = "ledger_assets/process"
_STARTED: Final = "ledger_assets/process_started"
_SAME_START: Final = 5.0
"""Seconds. When the machine started is known by whole seconds, and on some systems computed."""


def tags_of_process(number: int) -> Mapping[str, str]:
    """What a run of this process bears. Dagster's daemon could not start it again, so it does not try."""
    boot, seconds = _start_of(psutil.Process(number))
    return {PLACE: _place(), PROCESS: str(number), _STARTED: f"{seconds:.1f} {boot}".strip(), MAX_RETRIES_TAG: "0"}


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
    """The machine and, of a container, its own numbering of processes. Machines made of one image share their name."""
    numbering, machine = Path("/proc/self/ns/pid"), _text(Path("/etc/machine-id"))
    parts = (
        socket.gethostname(),
        numbering.readlink().name if numbering.is_symlink() else "",
        sha256(f"ledger-assets {machine}".encode()).hexdigest()[:12] if machine else "",  # which is to be kept secret
    )
    return " ".join(filter(None, parts))


def _start_of(process: psutil.Process) -> tuple[str, float]:
    """Which start of the machine, where it has a name, and how many seconds after it the process began.

    Both stay as they are when somebody sets the clock.
    """
    return _text(Path("/proc/sys/kernel/random/boot_id")), process.create_time() - psutil.boot_time()


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _is_alive(run: DagsterRun) -> bool:
    number = int(run.tags[PROCESS])
    began, _, boot_then = run.tags[_STARTED].partition(" ")
    try:
        process = psutil.Process(number)
        boot, seconds = _start_of(process)
        ended = process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return _is_hidden(number)
    except psutil.AccessDenied:
        return True
    return not ended and boot == boot_then and abs(seconds - float(began)) < _SAME_START


def _is_hidden(number: int) -> bool:
    """Whether there is such a process after all: some machines show nobody the processes of others (hidepid)."""
    try:
        os.kill(number, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        pass
    return False
