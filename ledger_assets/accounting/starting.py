"""When a month's close starts by itself (A2): decided from what is reported, announced, loaded, and lies in the inbox.

Here: the decision and its words. Not here: where the facts come from (storage/prerequisites, storage/inbox), and
the tick (automation/sensors).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Files = Mapping[str, float]
"""Names of files, each with the second since 1970 at which it came to lie where it is."""


@dataclass(frozen=True)
class Month:
    """A month that could be closed now, and what is known of it; `files` lie in its inbox.

    `loads` has a mapping for each load, withdrawn ones too: load_id, status, file_name, loaded_at (seconds since 1970).
    `situation` is a text that changes with everything else that may make a failed close succeed.
    """

    period: str
    has_begun: bool
    is_reopened: bool
    prerequisites: Sequence[Mapping[str, Any]]
    announced: Sequence[Mapping[str, Any]]
    loads: Sequence[Mapping[str, Any]]
    situation: str
    files: Files

    @property
    def waiting_files(self) -> Files:
        """The files of the inbox that no load has taken in since they came to lie there. One whose load was
        withdrawn does not wait: who withdrew it delivers another."""
        return {
            name: since
            for name, since in self.files.items()
            if not any(load["file_name"] == name and load["loaded_at"] >= since for load in self.loads)
        }


def waits_for(month: Month) -> list[str]:
    """What keeps the month's close from starting by itself, in words; nothing = it starts."""
    if not month.has_begun:
        return ["its first day"]
    if month.is_reopened:
        return [f"a person, because it was reopened: ledger-assets close {month.period}"]
    return [*_unfinished(month), *_unannounced(month), *_missing(month)]


def _unfinished(month: Month) -> list[str]:
    return [
        f"{one['name']} ({one['status'] + ' since ' + one['since'] + ' UTC' if one['status'] else 'not reported'})"
        for one in month.prerequisites
        if one["status"] != "COMPLETE"
    ]


def _unannounced(month: Month) -> list[str]:
    is_announced = any(total["period"] == month.period for total in month.announced)
    return [] if is_announced else ["the source's announced totals (none arrived)"]


def _missing(month: Month) -> list[str]:
    """Totals that differ; not while files lie in the inbox: the close takes them in, and compares afterwards."""
    if month.waiting_files:
        return []
    return [
        f"{total['txn_type']}{'' if total['period'] == month.period else ' of ' + total['period']} "
        f"(announced {total['announced']}, loaded {total['loaded']})"
        for total in month.announced
        if not total["agrees"]
    ]


def fingerprint(month: Month, taken: Files) -> str:
    """The month's situation in a few letters: others as soon as anything is reported, announced or loaded.

    Args:
        taken: the files that the last close which started by itself found in the inbox. That it has loaded them changes
            nothing: else a close that failed would be repeated because of what it did itself.
    """
    loads = [
        ("file", load["file_name"], taken[load["file_name"]])
        if load["status"] == "LOADED" and taken.get(load["file_name"], float("inf")) <= load["loaded_at"]
        else ("load", load["load_id"], load["status"])
        for load in month.loads
    ]
    files = [("file", name, since) for name, since in month.waiting_files.items()]
    announced = [(total["period"], total["txn_type"], total["announced"]) for total in month.announced]
    facts = [month.period, month.has_begun, month.is_reopened, list(month.prerequisites), announced, month.situation]
    return hashlib.sha256(json.dumps([facts, sorted(map(str, {*loads, *files}))]).encode()).hexdigest()[:20]
