"""Prove one entry: its block read again, and the way from there to the chain (E2)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.seal import ENTRIES_PER_BLOCK, Blocks
from ledger_assets.accounting.seal_differences import Rows
from ledger_assets.accounting.seal_proof import check_proof, make_proof
from ledger_assets.accounting.verification import (
    Finding,
    Report,
    SealedBatch,
    SealedWorker,
    check_chain,
    check_seal,
    is_known,
)
from ledger_assets.storage.database import connect
from ledger_assets.storage.verification import (
    Verification,
    read_batches,
    read_chain,
    read_meanings,
    read_workers,
    snapshot,
)


class NoSuchEntry(LedgerError):  # noqa: N818 - what happened
    """A number that no posted entry of the month has."""


def prove_entry(
    url: str, period: str, je_number: int, archive: Path | None = None
) -> tuple[Report, dict[str, Any] | None]:
    """Read the block of an entry again; the report, and the proof when everything on its way to the chain holds.

    `archive`: where the files of archived months lie.

    Raises NoSuchEntry.
    """
    with connect(url, application_name="ledger-assets verify") as connection:
        snapshot(connection)
        verification = Verification(connection, url, period, archive)
        proof, _ = look_at_entry(verification, period, je_number)
    return verification.report, proof


def look_at_entry(verification: Verification, period: str, je_number: int) -> tuple[dict[str, Any] | None, Rows | None]:
    """The proof of an entry, and the rows of its block, from the tables or the files; the report says what is wrong.

    Raises NoSuchEntry.
    """
    connection, report = verification.connection, verification.report
    report.scope = f"{period}, entry {je_number}"
    batches, chain = read_batches(connection), read_chain(connection)
    batch = _batch_of(batches, period, je_number)
    workers = read_workers(connection, batch.batch_id)
    report.chain_length, report.chain_head = len(chain), chain[-1].hash.hex() if chain else ""
    if batch.header is None or not is_known(batch, workers):
        report.not_looked_at.append(Finding("seal", batch.batch_id, "it has no seal that is known here"))
        return None, None
    report.batches = 1
    report.differences += check_chain(chain, {one.batch_id: one for one in batches}) + check_seal(batch, workers)
    worker = next((one for one in workers if je_number in _numbers(one)), None)
    if report.differences or worker is None:
        return None, None
    block, rows = _proven_block(verification, batch, worker, je_number)
    if block is None:
        return None, None
    proof = make_proof(
        je_number,
        block,
        ((je_number - _numbers(worker).start) // ENTRIES_PER_BLOCK, worker.block_hashes or []),
        (workers.index(worker), [one.root or b"" for one in workers]),
        batch.header,
        batch.dictionary or "",
        next(link for link in chain if (link.batch_id, link.event) == (batch.batch_id, "POSTED")),
    )
    report.differences += [Finding("seal", report.scope, problem) for problem in check_proof(proof)]
    return proof, rows


def _batch_of(batches: Sequence[SealedBatch], period: str, je_number: int) -> SealedBatch:
    for batch in batches:
        first, last = batch.sealed_numbers or (batch.first_je_number, batch.last_je_number or 0)
        if (batch.period, batch.state) == (period, "COMMITTED") and first <= je_number <= last:
            return batch
    raise NoSuchEntry(
        f"entry {je_number} of {period}", "no posted batch has that number", f"look at ledger-assets status {period}"
    )


def _numbers(worker: SealedWorker) -> range:
    first = worker.sealed_first or 0
    return range(first, first + (worker.sealed_entries or 0))


def _proven_block(
    verification: Verification, batch: SealedBatch, worker: SealedWorker, je_number: int
) -> tuple[bytes | None, Rows | None]:
    """The block of an entry in canonical form, and its rows; None when it cannot be read or is not what was sealed."""
    report, numbers = verification.report, _numbers(worker)
    verification.meanings = read_meanings(verification.connection)
    dictionary = verification.meanings.dictionary(batch.dictionary or "")
    number = (je_number - numbers.start) // ENTRIES_PER_BLOCK
    first = numbers.start + number * ENTRIES_PER_BLOCK
    entries = min(ENTRIES_PER_BLOCK, numbers.stop - first)
    where = f"{batch.batch_id}, worker {worker.worker_number}"
    rows = verification.rows_of(batch, worker, where, (first, first + entries - 1))
    if rows is None or report.differences:
        return None, None
    blocks = Blocks(rows.headers, rows.lines, first=first, entries=entries, dictionary=dictionary)
    if blocks.hashes() != (worker.block_hashes or [])[number : number + 1]:
        verification.check_worker(batch, worker, dictionary)  # which names the rows
        return None, None
    report.blocks, report.entries, report.lines = 1, rows.headers.height, rows.lines.height
    return b"".join(blocks.pieces(0)), rows
