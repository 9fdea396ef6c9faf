"""The proof of one entry holds without the database, and only for that entry as it is."""

import copy
import json
from typing import Any

import pytest

from ledger_assets.accounting.seal_proof import ProofError, check_proof
from ledger_assets.storage.entry_proofs import NoSuchEntry, prove_entry
from ledger_assets_tests.scenario import execute, rows_of
from ledger_assets_tests.seal.test_tampering import BLOCK, LINES, UNGUARDED, Entry


def proof_of(url: str, period: str, number: int) -> dict[str, Any]:
    report, proof = prove_entry(url, period, number)
    assert (report.verdict, report.differences) == ("PROVEN", [])
    assert proof is not None
    read_back: dict[str, Any] = json.loads(json.dumps(proof))
    return read_back


def test_an_entry_is_proven_as_the_ledger_shows_it(sealed_url: str) -> None:
    number = Entry.of(sealed_url).number
    proof = proof_of(sealed_url, "2024-02", number)
    assert check_proof(proof) == []
    (header,) = rows_of(
        sealed_url, "SELECT * FROM ledger.ledger_entry_header WHERE period = '2024-02' AND je_number = %s", number
    )
    lines = rows_of(
        sealed_url,
        "SELECT line_number, account_code, fund, debit_amount::text AS debit, credit_amount::text AS credit "
        "FROM ledger.ledger_entry_line WHERE period = '2024-02' AND je_number = %s ORDER BY line_number",
        number,
    )
    entry = proof["entry"]
    assert entry["lines"] == lines
    assert (entry["je_date"], entry["source_id"], entry["total_amount"]) == (
        str(header["je_date"]),
        header["source_id"],
        str(header["total_debit"]),
    )
    assert entry["source_type"] == header["source_type"]
    assert proof["chain"]["position"] == 2


def _flipped(text: str) -> str:
    return ("1" if text[0] != "1" else "2") + text[1:]


FORGERIES = {
    "another amount": lambda p: p["entry"]["lines"][0].update(debit="1.00"),
    "another account": lambda p: p["entry"]["lines"][0].update(account_code="9999-99"),
    "another number": lambda p: p.update(je_number=p["je_number"] + 1),
    "another place": lambda p: p.update(worker_index=0),
    "another count": lambda p: p.update(block_count=2),
    "another sibling": lambda p: p["worker_path"].__setitem__(0, _flipped(p["worker_path"][0])),
    "no sibling": lambda p: p["worker_path"].pop(),
    "another batch": lambda p: p["chain"].update(batch_id="2024-01-MONTHEND"),
    "another position": lambda p: p["chain"].update(position=1),
    "another root": lambda p: p["chain"].update(root=_flipped(p["chain"]["root"])),
    "another hash": lambda p: p["chain"].update(hash=_flipped(p["chain"]["hash"])),
    "another header": lambda p: p.update(header=p["header"].replace("kind MONTHEND", "kind YEAREND")),
    "another dictionary": lambda p: p.update(dictionary=p["dictionary"].replace("INCOME", "EQUITY")),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_proof_is_refused(sealed_url: str, forgery: str) -> None:
    proof = proof_of(sealed_url, "2024-02", Entry.of(sealed_url).number)
    forged = copy.deepcopy(proof)
    FORGERIES[forgery](forged)
    assert forged != proof
    assert check_proof(forged)


@pytest.mark.parametrize(
    "change", [{"format": "2"}, {"block": "AAAA"}, {"block": "!"}, {"header": None}, {"chain": {}}]
)
def test_what_is_no_proof_is_said_to_be_none(sealed_url: str, change: dict[str, Any]) -> None:
    proof = proof_of(sealed_url, "2024-02", Entry.of(sealed_url).number)
    with pytest.raises(ProofError):
        check_proof(proof | change)


def test_an_entry_that_was_changed_is_not_proven(sealed_url: str) -> None:
    entry = Entry.of(sealed_url)
    execute(
        sealed_url,
        UNGUARDED + f"UPDATE {LINES} SET amount = amount + 1 WHERE je_number = {entry.number} AND line_number = 1",
    )
    report, proof = prove_entry(sealed_url, "2024-02", entry.number)
    assert (report.verdict, proof) == ("DIFFERENT", None)
    assert [finding.where.startswith(BLOCK) for finding in report.differences] == [True]
    assert prove_entry(sealed_url, "2024-01", 1)[0].verdict == "PROVEN"


def test_a_number_that_nobody_has_is_refused(sealed_url: str) -> None:
    with pytest.raises(NoSuchEntry, match="no posted batch"):
        prove_entry(sealed_url, "2024-02", 100_000)
