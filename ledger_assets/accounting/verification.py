"""What a verification compares, and what it says (E2): seals with each other, with the chain, and with the batches.

Here: the comparisons that need no row of the ledger, and the report. Pure. Not here: reading (storage/verification),
and rows (accounting/seal_differences).

No stored total is trusted: each is either recomputed or compared with what was sealed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise

from ledger_assets.accounting.counting import counted, entries_and_lines
from ledger_assets.accounting.seal import (
    ENTRIES_PER_BLOCK,
    NO_HASH,
    SEAL_VERSION,
    batch_root,
    chain_hash,
    entries_of,
    header_facts,
    header_text,
    rows_root,
    tree_root,
)

PROVEN, DIFFERENT, INCOMPLETE = "PROVEN", "DIFFERENT", "INCOMPLETE"
EXIT_CODES = {PROVEN: 0, DIFFERENT: 2, INCOMPLETE: 3}


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was sealed, or that could not be looked at.

    Attributes:
        what: the kind: rows, blocks, seal, chain, batch, leaf, numbers, chart, balance, audit, certificate.
        where: batch, worker and block, or the place in the chain.
        problem: a sentence without full stop.
        rows: the rows that differ, each a mapping of column to text.
    """

    what: str
    where: str
    problem: str
    rows: Sequence[Mapping[str, str]] = ()

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


@dataclass
class Report:
    """What a verification read and found. Its counts are those of the rows that were read, not of any record."""

    scope: str
    batches: int = 0
    blocks: int = 0
    entries: int = 0
    lines: int = 0
    chain_length: int = 0
    chain_head: str = ""
    differences: list[Finding] = field(default_factory=list)
    not_looked_at: list[Finding] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        if self.differences:
            return DIFFERENT
        return INCOMPLETE if self.not_looked_at else PROVEN

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]

    @property
    def summary(self) -> str:
        """One sentence: the verdict, what was read, and the first thing that is wrong."""
        first = "".join(f"; {finding}" for finding in [*self.differences, *self.not_looked_at][:1])
        return f"{self.verdict} {self.scope}: {self.what_was_read}{first}"

    @property
    def what_was_read(self) -> str:
        """How much was looked at."""
        if not self.batches:
            return "nothing is posted"
        of = f"{counted(self.batches, 'batch', 'batches')}, {counted(self.blocks, 'block')}"
        return f"{of}, {entries_and_lines(self.entries, self.lines)}"


@dataclass(frozen=True)
class Link:
    """A link of the chain (`ledger.seal_chain`)."""

    position: int
    event: str
    batch_id: str
    root: bytes
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True)
class SealedBatch:
    """A batch as the tables have it now, next to its seal; without one the fields from seal_version on are None."""

    batch_id: str
    period: str
    kind: str
    state: str
    reverses_batch_id: str | None
    rule_set: str
    rule_version: int
    content_hash: str | None
    first_je_number: int
    last_je_number: int | None
    entry_count: int | None
    line_count: int | None
    source_checksum: str
    seal_version: int | None
    header: str | None
    root: bytes | None
    dictionary_hash: bytes | None
    dictionary: str | None
    before_seals: bool
    reserved_first: int | None
    reserved_last: int | None

    @property
    def sealed_facts(self) -> dict[str, str]:
        return header_facts(self.header or "")

    @property
    def sealed_numbers(self) -> tuple[int, int] | None:
        """The first and last number that were sealed; None for a batch without entries, or a text that is none."""
        parts = self.sealed_facts.get("numbers", "").split(" ")
        return (int(parts[0]), int(parts[1])) if len(parts) == 2 and all(map(str.isdigit, parts)) else None


@dataclass(frozen=True)
class SealedWorker:
    """A worker's record next to its seal; where one of them is gone its fields are None."""

    worker_number: int
    first_je_number: int | None
    last_je_number: int | None
    entry_count: int | None
    line_count: int | None
    header_leaf: int | None
    line_leaf: int | None
    seal_version: int | None
    sealed_first: int | None
    sealed_entries: int | None
    sealed_lines: int | None
    dictionary_hash: bytes | None
    block_hashes: list[bytes] | None
    root: bytes | None


# ------------------------------------------------------------------------------------------------ chain


def check_chain(chain: Sequence[Link], batches: Mapping[str, SealedBatch]) -> list[Finding]:
    """Links follow each other without a gap, say what their hashes say, and name the batches that there are."""
    findings: list[Finding] = []
    position, previous = 0, NO_HASH
    for link in chain:
        problems = []
        if link.position != position + 1:
            problems.append(f"the links from {position + 1} to {link.position - 1} are missing")
        if link.previous_hash != previous:
            problems.append("it does not continue the link before it")
        if link.hash != chain_hash(link.position, link.event, link.batch_id, link.root, link.previous_hash):
            problems.append("it was edited: its hash is that of other contents")
        batch = batches.get(link.batch_id)
        if batch is None or batch.root is None:
            problems.append(f"batch {link.batch_id}, {link.event} here, has {'no seal' if batch else 'no record'}")
        elif batch.root != link.root:
            problems.append(f"the root of batch {link.batch_id} here is not the one of its seal")
        findings += [Finding("chain", f"chain, position {link.position}", problem) for problem in problems]
        position, previous = link.position, link.hash
    return findings + _check_events(chain, batches)


def _check_events(chain: Sequence[Link], batches: Mapping[str, SealedBatch]) -> list[Finding]:
    findings = []
    for batch in batches.values():
        events = tuple(link.event for link in chain if link.batch_id == batch.batch_id)
        expected = {"COMMITTED": ("POSTED",), "ROLLED_BACK": ("POSTED", "ROLLED_BACK")}.get(batch.state, ())
        if batch.header is None:
            if not batch.before_seals:
                findings.append(Finding("seal", batch.batch_id, f"it is {batch.state} and has no seal"))
        elif events != expected:
            seen = ", then ".join(events) or "nothing"
            findings.append(Finding("chain", batch.batch_id, f"it is {batch.state}, but the chain says {seen} of it"))
    return findings


# ------------------------------------------------------------------------------------------------ seal of a batch


def check_seal(batch: SealedBatch, workers: Sequence[SealedWorker]) -> list[Finding]:
    """The seal's parts agree with each other and with the batch's record; rows are not looked at."""
    findings = []
    if batch.header is None or batch.root is None or batch.dictionary_hash is None:
        return []
    if batch_root(batch.header) != batch.root:
        findings.append(Finding("seal", batch.batch_id, "its root is not the hash of its header: one was edited"))
    if batch.dictionary is None or sha256(batch.dictionary.encode()).digest() != batch.dictionary_hash:
        findings.append(Finding("seal", batch.batch_id, "its dictionary was edited or is gone"))
    sealed, now = batch.sealed_facts, facts_of(batch, workers)
    if header_text(sealed) != batch.header or list(sealed) != list(now):
        findings.append(Finding("seal", batch.batch_id, "its header is no header of a seal"))
    for name, value in now.items():
        if sealed.get(name) != value:
            problem = f"{name}: sealed {sealed.get(name, 'nothing')}, now {value}"
            if name == "rows":
                problem = "the roots of its workers are not those that were sealed"
            findings.append(Finding("batch" if name != "rows" else "seal", batch.batch_id, problem))
    reserved = (batch.reserved_first, batch.reserved_last)
    if batch.state == "COMMITTED" and reserved != (batch.sealed_numbers or (None, None)):
        findings.append(
            Finding("numbers", batch.batch_id, f"numbers sealed {batch.sealed_numbers}, reserved {reserved}")
        )
    return findings + _check_workers(batch, workers)


def facts_of(batch: SealedBatch, workers: Sequence[SealedWorker]) -> dict[str, str]:
    """What the header of the seal would say of the batch as it is now."""
    sealed = [worker for worker in workers if worker.root is not None]
    numbers = "-" if batch.last_je_number is None else f"{batch.first_je_number} {batch.last_je_number}"
    return {
        "batch": batch.batch_id,
        "period": batch.period,
        "kind": batch.kind,
        "reverses": batch.reverses_batch_id or "-",
        "rules": f"{json.dumps(batch.rule_set, ensure_ascii=False)} {batch.rule_version} {batch.content_hash}",
        "numbers": numbers,
        "entries": str(batch.entry_count),
        "lines": str(batch.line_count),
        "source": batch.source_checksum,
        "dictionary": (batch.dictionary_hash or b"").hex(),
        "workers": str(len(sealed)),
        "rows": rows_root([worker.root for worker in sealed if worker.root is not None]).hex(),
    }


def _check_workers(batch: SealedBatch, workers: Sequence[SealedWorker]) -> list[Finding]:
    findings = []
    numbers = batch.sealed_numbers
    next_number = numbers[0] if numbers else 0
    for worker in workers:
        problems = _problems_of(worker, next_number)
        if worker.dictionary_hash is not None and worker.dictionary_hash != batch.dictionary_hash:
            problems.append("it names another dictionary than its batch")
        where = f"{batch.batch_id}, worker {worker.worker_number}"
        findings += [Finding("seal", where, problem) for problem in problems]
        next_number += worker.sealed_entries or 0
    if numbers and next_number != numbers[1] + 1:
        problem = f"its workers are sealed up to number {next_number - 1}, the batch up to {numbers[1]}"
        findings.append(Finding("seal", batch.batch_id, problem))
    sealed_lines = str(sum(worker.sealed_lines or 0 for worker in workers))
    if sealed_lines != batch.sealed_facts.get("lines"):
        findings.append(Finding("seal", batch.batch_id, f"its workers are sealed with {sealed_lines} lines together"))
    return findings


def _problems_of(worker: SealedWorker, next_number: int) -> list[str]:
    if worker.root is None or worker.block_hashes is None:
        return ["its seal is gone"]
    if worker.entry_count is None:
        return ["its record in control.batch_worker is gone"]
    problems = []
    if tree_root(worker.block_hashes) != worker.root:
        problems.append("the hashes of its blocks do not make up its root: they were edited")
    if worker.sealed_entries and worker.sealed_first != next_number:
        problems.append(f"it is sealed from number {worker.sealed_first} on, which should be {next_number}")
    entries = worker.sealed_entries or 0
    last = worker.sealed_first + entries - 1 if worker.sealed_first is not None and entries else None
    now = (worker.first_je_number, worker.last_je_number, worker.entry_count, worker.line_count)
    sealed = (worker.sealed_first, last, worker.sealed_entries, worker.sealed_lines)
    if now != sealed:
        problems.append(f"numbers, entries and lines: sealed {_figures(sealed)}, now {_figures(now)}")
    if len(worker.block_hashes) != -(-entries // ENTRIES_PER_BLOCK):
        problems.append(f"it has {len(worker.block_hashes)} block hashes for {entries} entries")
    return problems


def _figures(figures: tuple[int | None, ...]) -> str:
    first, last, entries, lines = figures
    return f"{first} to {last}, {entries} and {lines}"


def is_known(batch: SealedBatch, workers: Sequence[SealedWorker]) -> bool:
    """Whether this program knows the version of the seal."""
    versions = {batch.seal_version, *(worker.seal_version for worker in workers if worker.root is not None)}
    return versions == {SEAL_VERSION}


# ------------------------------------------------------------------------------------------------ numbers


def check_numbers(batches: Sequence[SealedBatch], next_numbers: Mapping[str, int]) -> list[Finding]:
    """In every month the numbers of posted batches run from 1 on, each following the one before.

    Numbers of a batch that was rolled back may be missing or used again; those of no batch may not.
    """
    findings = []
    for period in sorted({batch.period for batch in batches} | set(next_numbers)):
        own = [batch for batch in batches if batch.period == period and batch.sealed_numbers]
        posted = sorted((b.sealed_numbers, b.batch_id) for b in own if b.state == "COMMITTED" and b.sealed_numbers)
        freed = [batch.sealed_numbers for batch in own if batch.state != "COMMITTED" and batch.sealed_numbers]
        ranges = [((0, 0), "the first number"), *posted]
        for (before, earlier), (after, later) in pairwise(ranges):
            if after[0] <= before[1]:
                findings.append(Finding("numbers", later, f"it begins at {after[0]}, inside the numbers of {earlier}"))
            elif not _covered(before[1] + 1, after[0] - 1, freed):
                problem = f"numbers {before[1] + 1} to {after[0] - 1} of {period} belong to no posted batch"
                findings.append(Finding("numbers", period, problem))
        last, following = ranges[-1][0][1], next_numbers.get(period, 1)
        if following <= last or not _covered(last + 1, following - 1, freed):
            problem = f"the next number is {following}, but the last sealed entry has {last}"
            findings.append(Finding("numbers", period, problem))
    return findings


def _covered(first: int, last: int, ranges: Sequence[tuple[int, int]]) -> bool:
    """Whether every number from first to last lies in one of the ranges."""
    for start, end in sorted(ranges):
        if start <= first <= end:
            first = end + 1
    return first > last


# ------------------------------------------------------------------------------------------------ chart


def check_dictionary(
    text: str,
    sealed_by: str,
    accounts: Mapping[str, tuple[str, str]],
    templates: Mapping[tuple[str, int, str, int], tuple[str, str]],
) -> list[Finding]:
    """What the sealed rows name is still what it was: the fund and type of each account, each template's meaning.

    Args:
        text: a dictionary.
        sealed_by: the batches that it was sealed with, in words.
        accounts: code to fund and type, as they are now.
        templates: rule set, its version, template code, its version to source type and description, as they are now.
    """
    sealed_accounts, sealed_templates = entries_of(text)
    findings = []
    for code, *was in sealed_accounts:
        present = accounts.get(str(code))
        if present != tuple(was):
            problem = f"account {code}: sealed as {_words(was)}, now {_words(present)}"
            findings.append(Finding("chart", sealed_by, problem))
    for rule_set, rule_version, code, version, *was in sealed_templates:
        now = templates.get((str(rule_set), int(rule_version), str(code), int(version)))
        if now != tuple(was):
            problem = (
                f"template {code} v{version} of {rule_set} v{rule_version}: sealed as {_words(was)}, now {_words(now)}"
            )
            findings.append(Finding("chart", sealed_by, problem))
    return findings


def _words(values: Sequence[str | int] | None) -> str:
    return "not there" if values is None else ", ".join(map(str, values))
