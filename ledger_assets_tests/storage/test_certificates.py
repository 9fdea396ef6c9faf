"""Certificates against a real ledger: made once, certified; whatever makes ledger and certificate differ is found."""

import base64
import json
import logging
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger_assets.accounting.certificate import CertificateError, minor, sign, to_text
from ledger_assets.accounting.rederivation import DerivationDiffers
from ledger_assets.settings import Settings
from ledger_assets.storage import certificates
from ledger_assets.storage.batches import BatchStateError
from ledger_assets.storage.certificate_findings import examine, findings
from ledger_assets.storage.certificates import Issued, certificate_path, issue
from ledger_assets.storage.database import connect, database_name
from ledger_assets.storage.derivation import derive
from ledger_assets.storage.signing_key import SigningKeyError, publish, signing_key
from ledger_assets.storage.write_once import write_once
from ledger_assets_tests.conftest import cloned
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import (
    ACTOR,
    FIRST_PERIOD,
    ROWS,
    SECOND_PERIOD,
    close_directly,
    deliver,
    execute,
    post,
    rows_of,
    staged,
    store_rules,
    value_of,
)

JANUARY, FEBRUARY, MARCH = FIRST_PERIOD, SECOND_PERIOD, "2024-03"


def certify(url: str, home: Path, period: str = FEBRUARY, key: bytes | None = None) -> Issued:
    with connect(url) as connection:
        return issue(connection, Settings(home=home, signing_key=key), period, performed_by=ACTOR)


def found(url: str, home: Path, period: str | None = None) -> list[str]:
    with connect(url) as connection:
        return [str(finding) for finding in findings(connection, home, period)]


def examined(url: str, home: Path, period: str = FEBRUARY, *, all_lines: bool = False) -> list[str]:
    """The problems that `ledger-assets certificate` shows."""
    with connect(url) as connection:
        answer = examine(connection, home, period, all_lines=all_lines)
    assert answer is not None
    return [finding.problem for finding in answer.findings]


def by_force(url: str, statements: str) -> None:
    """As a superuser who switches off whatever stands in his way."""
    execute(url, f"SET session_replication_role = replica; {statements}")


@pytest.fixture(scope="module")
def certified_books(
    test_server_url: str, closed_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The name of a database in which two months are closed and certified, and the home of the certificates."""
    home = tmp_path_factory.mktemp("certified")
    with cloned(test_server_url, closed_database) as url:
        certify(url, home)
        assert found(url, home) == []
        yield database_name(url), home


@pytest.fixture
def certified(test_server_url: str, certified_books: tuple[str, Path], tmp_path: Path) -> Iterator[str]:
    """The URL of two closed and certified months of this test's own; their home is tmp_path."""
    name, home = certified_books
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    with cloned(test_server_url, name) as url:
        yield url


# ------------------------------------------------------------------------------------------------ what is issued


def test_the_certificate_says_what_the_ledger_says(closed_url: str, tmp_path: Path) -> None:
    certificate = certify(closed_url, tmp_path).document["certificate"]
    assert (certificate["period"], certificate["close_number"], certificate["currency"]) == (FEBRUARY, 1, "IDR")
    assert (certificate["counts"]["entries"], certificate["counts"]["lines"]) == (ROWS, 8 * ROWS)
    assert sum(kind["count"] for kind in certificate["counts"]["transactions"]) == ROWS
    assert certificate["numbers"] == {"first": 1, "last": ROWS}
    (load,) = certificate["loads"]
    assert load["file_sha256"] == value_of(
        closed_url, "SELECT file_sha256 FROM source.load WHERE period = %s", FEBRUARY
    )
    (batch,) = certificate["batches"]
    assert (batch["rule_set"], batch["rule_version"], batch["rules_approved_by"]) == (
        "combined",
        1,
        "financial-controller",
    )
    assert len(batch["gates_passed"]) == 5
    sums = rows_of(
        closed_url,
        "SELECT account_code, sum(debit_amount)::text AS debit, sum(credit_amount)::text AS credit "
        "FROM ledger.ledger_entry_line WHERE period = %s GROUP BY account_code",
        FEBRUARY,
    )
    of_lines = {row["account_code"]: (row["debit"], row["credit"]) for row in sums}
    assert {row["account"]: (row["debit"], row["credit"]) for row in certificate["balances"]} == of_lines
    for fund in certificate["totals_by_fund"]:
        assert fund["debit"] == fund["credit"]


def test_duckdb_polars_and_postgresql_agree(closed_url: str) -> None:
    import polars as pl  # noqa: PLC0415

    lines = rows_of(
        closed_url,
        "SELECT account_code AS account, l.amount FROM ledger.je_line l JOIN acct.chart_of_accounts USING (account_id)",
    )
    by_polars = (
        pl.DataFrame(lines)
        .group_by("account")
        .agg(
            debit=pl.col("amount").filter(pl.col("amount") > 0).sum(),
            credit=-pl.col("amount").filter(pl.col("amount") < 0).sum(),
        )
    )
    with connect(closed_url) as connection:
        by_duckdb = derive(connection, [JANUARY, FEBRUARY], {})
    assert by_duckdb.lines == len(lines)
    assert {b.account: (b.debit, b.credit) for b in by_duckdb.balances} == {
        row["account"]: (row["debit"], row["credit"]) for row in by_polars.to_dicts()
    }
    snapshot = rows_of(
        closed_url,
        "SELECT account_code, closing_balance FROM ledger.account_balance_snapshot WHERE period = %s",
        FEBRUARY,
    )
    assert {b.account: b.closing for b in by_duckdb.balances} == {
        row["account_code"]: int(row["closing_balance"] * 100) for row in snapshot
    }


def test_sums_beyond_64_bits_are_exact(certified: str) -> None:
    """Four amounts that each fit, and whose sum does not."""
    by_force(certified, f"UPDATE ledger.je_line SET amount = {2**63 - 1} WHERE account_id = 1 AND amount > 0")
    many = value_of(certified, "SELECT count(*) FROM ledger.je_line WHERE account_id = 1 AND amount > 0")
    with connect(certified) as connection:
        derived = derive(connection, [JANUARY, FEBRUARY], {})
    assert many > 2
    code = value_of(certified, "SELECT account_code FROM acct.chart_of_accounts WHERE account_id = 1")
    assert {b.account: b.debit for b in derived.balances}[code] == many * (2**63 - 1)


def test_a_close_is_certified_once(closed_url: str, tmp_path: Path) -> None:
    first = certify(closed_url, tmp_path)
    again = certify(closed_url, tmp_path)
    assert (first.is_new, again.is_new) == (True, False)
    assert first.document == again.document
    assert value_of(closed_url, "SELECT count(*) FROM audit.batch_operation WHERE operation = 'CERTIFY'") == 2


def test_the_months_before_get_theirs_first_and_form_a_chain(closed_url: str, tmp_path: Path) -> None:
    february = certify(closed_url, tmp_path).document
    january = json.loads(certificate_path(tmp_path, JANUARY, 1).read_text(encoding="utf-8"))
    assert january["certificate"]["previous"] is None
    assert february["certificate"]["previous"] == {"period": JANUARY, "close_number": 1, "sha256": january["sha256"]}


def test_a_late_batch_gets_the_month_a_second_certificate(ledger_url: str, tmp_path: Path) -> None:
    store_rules(ledger_url)
    home = tmp_path / "home"
    for seed in (1, 2):
        deliver(ledger_url, JANUARY, folder=tmp_path, seed=seed)
        close_directly(ledger_url, JANUARY)
        certify(ledger_url, home, JANUARY)
    first, second = (json.loads(certificate_path(home, JANUARY, n).read_text(encoding="utf-8")) for n in (1, 2))
    assert second["certificate"]["replaces"] == {"close_number": 1, "sha256": first["sha256"]}
    assert len(second["certificate"]["batches"]) == 2
    assert second["certificate"]["numbers"] == {"first": 1, "last": 2 * ROWS}
    assert (home / "certificates" / f"{JANUARY}-2.json").exists()
    assert found(ledger_url, home) == []
    assert examined(ledger_url, home, JANUARY, all_lines=True) == []


def test_an_empty_month_is_certified_too(certified: str, tmp_path: Path) -> None:
    close_directly(certified, MARCH)
    certificate = certify(certified, tmp_path, MARCH).document["certificate"]
    assert (certificate["counts"]["lines"], certificate["numbers"]) == (0, {"first": None, "last": None})
    assert any(minor(account["closing"]) for account in certificate["balances"])
    assert examined(certified, tmp_path, MARCH, all_lines=True) == []


def test_a_month_that_is_not_closed_has_no_certificate(staged_url: str, tmp_path: Path) -> None:
    with pytest.raises(BatchStateError, match="is not closed"):
        certify(staged_url, tmp_path, JANUARY)


def test_two_at_once_make_one(closed_url: str, tmp_path: Path) -> None:
    issued: list[Issued] = []
    together = threading.Barrier(4)

    def one() -> None:
        together.wait()
        issued.append(certify(closed_url, tmp_path))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [document.document["sha256"] for document in issued] == [issued[0].document["sha256"]] * 4
    assert sum(one.is_new for one in issued) == 1
    assert found(closed_url, tmp_path) == []


def test_who_was_overtaken_takes_the_certificate_of_the_faster(
    closed_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another records and publishes after this one has found that there is none."""
    look = certificates._stored_text
    faster: list[Issued] = []

    def overtaken(connection: psycopg.Connection, period: str, close_number: int) -> str | None:
        found = look(connection, period, close_number)
        if not faster:
            monkeypatch.setattr(certificates, "_stored_text", look)
            faster.append(certify(closed_url, tmp_path))
        return found

    monkeypatch.setattr(certificates, "_stored_text", overtaken)
    slower = certify(closed_url, tmp_path)
    assert (faster[0].is_new, slower.is_new) == (True, False)
    assert slower.document == faster[0].document
    assert found(closed_url, tmp_path) == []


def test_a_file_that_was_not_written_is_written_by_the_next_run(certified: str, tmp_path: Path) -> None:
    """A kill between the record in the ledger and the file leaves just this."""
    path = certificate_path(tmp_path, FEBRUARY, 1)
    was = path.read_bytes()
    path.unlink()
    assert [f"its file {path} is missing" in finding for finding in found(certified, tmp_path)] == [True]
    certify(certified, tmp_path)
    assert path.read_bytes() == was


# ------------------------------------------------------------------------------------------------ what is refused


TAMPERINGS = {
    "a balance": "UPDATE ledger.account_balance_snapshot SET debit = debit + 1 WHERE account_code = '1100-10'",
    "an opening": "UPDATE ledger.account_balance_snapshot SET opening_balance = opening_balance + 1 "
    "WHERE account_code = '1100-10' AND period = '2024-02'",
    "a fund balance": "UPDATE ledger.fund_balance SET income = income + 1 WHERE fund = 'TABARRU'",
    "a line": "UPDATE ledger.je_line SET amount = amount + 1 "
    "WHERE period = '2024-02' AND je_number = 7 AND line_number = 1",
    "an account": "UPDATE ledger.je_line SET account_id = account_id % 11 + 1 "
    "WHERE period = '2024-02' AND je_number = 7 AND line_number = 1",
    "a deleted entry": "DELETE FROM ledger.je_line WHERE period = '2024-02' AND je_number = 7",
    "a deleted balance": "DELETE FROM ledger.account_balance_snapshot WHERE account_code = '1100-10'",
    "a detached leaf": "ALTER TABLE ledger.je_line_2024_02 DETACH PARTITION ledger.je_line_2024_02_monthend_a1_w002",
    "a foreign leaf": "CREATE TABLE ledger.foreign_leaf (LIKE ledger.je_line); ALTER TABLE ledger.je_line_2024_02 "
    "ATTACH PARTITION ledger.foreign_leaf FOR VALUES FROM (1000) TO (2000)",
    "an unknown account": "UPDATE ledger.je_line SET account_id = 999 WHERE period = '2024-02' AND je_number = 7",
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_what_was_changed_by_force_is_not_certified(closed_url: str, tmp_path: Path, tampering: str) -> None:
    certify(closed_url, tmp_path, JANUARY)
    by_force(closed_url, TAMPERINGS[tampering])
    with pytest.raises(CertificateError):
        certify(closed_url, tmp_path)
    assert value_of(closed_url, "SELECT count(*) FROM ledger.close_certificate WHERE period = %s", FEBRUARY) == 0
    assert not certificate_path(tmp_path, FEBRUARY, 1).exists()


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_what_was_changed_by_force_afterwards_is_found(certified: str, tmp_path: Path, tampering: str) -> None:
    by_force(certified, TAMPERINGS[tampering])
    assert examined(certified, tmp_path)
    with pytest.raises(CertificateError):
        certify(certified, tmp_path)


def test_the_refusal_names_account_expected_and_actual(closed_url: str, tmp_path: Path) -> None:
    certify(closed_url, tmp_path, JANUARY)
    (was,) = rows_of(
        closed_url,
        "SELECT debit FROM ledger.account_balance_snapshot WHERE period = '2024-02' AND account_code = '1100-10'",
    )
    by_force(closed_url, TAMPERINGS["a balance"])
    with pytest.raises(DerivationDiffers) as caught:
        certify(closed_url, tmp_path)
    assert caught.value.culprit == "2024-02, account 1100-10"
    assert f"debit: by the posted lines {was['debit']}, by the ledger {was['debit'] + 1}" in caught.value.rule


def test_a_change_of_lines_and_balances_together_is_found_by_the_certificate(certified: str, tmp_path: Path) -> None:
    """The books agree with themselves: only what was published says that they were others."""
    by_force(
        certified,
        "UPDATE ledger.je_line SET amount = amount + 100 WHERE period = '2024-02' AND je_number = 7 AND account_id = "
        "(SELECT account_id FROM acct.chart_of_accounts WHERE account_code = '1100-10');"
        "UPDATE ledger.account_balance_snapshot SET debit = debit + 1 "
        "WHERE account_code = '1100-10' AND period = '2024-02'",
    )
    assert any("balances: 1100-10, debit: certified" in finding for finding in found(certified, tmp_path))


@pytest.mark.parametrize("from_the_beginning", [False, True])
def test_a_line_of_an_earlier_month_is_found_when_all_lines_are_read(
    certified: str, tmp_path: Path, from_the_beginning: bool
) -> None:
    by_force(certified, TAMPERINGS["a line"].replace(FEBRUARY, JANUARY))
    assert bool(examined(certified, tmp_path, all_lines=from_the_beginning)) == from_the_beginning


# ------------------------------------------------------------------------------------------------ the certificates


def rewritten(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def test_an_edited_file_is_found_and_never_written_over(certified: str, tmp_path: Path) -> None:
    path = certificate_path(tmp_path, FEBRUARY, 1)
    rewritten(path, lambda text: text.replace('"lines": 480', '"lines": 481'))
    (finding,) = found(certified, tmp_path)
    assert "says something else" in finding
    with pytest.raises(CertificateError, match="not the certificate that the ledger recorded"):
        certify(certified, tmp_path)
    assert '"lines": 481' in path.read_text(encoding="utf-8")


def test_a_certificate_that_was_edited_in_both_places_is_found(certified: str, tmp_path: Path) -> None:
    rewritten(certificate_path(tmp_path, FEBRUARY, 1), lambda text: text.replace('"TABARRU"', '"TABARRV"'))
    by_force(certified, "UPDATE ledger.close_certificate SET document = replace(document, 'TABARRU', 'TABARRV') "
                        "WHERE period = '2024-02'")  # fmt: skip
    assert any("its content has the hash" in finding for finding in found(certified, tmp_path))


def test_a_certificate_that_was_signed_anew_with_another_key_is_found(certified: str, tmp_path: Path) -> None:
    path = certificate_path(tmp_path, FEBRUARY, 1)
    content = json.loads(path.read_text(encoding="utf-8"))["certificate"]
    forged = sign({**content, "currency": "USD"}, Ed25519PrivateKey.generate())
    path.write_text(to_text(forged), encoding="utf-8")
    with connect(superuser(certified)) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE ledger.close_certificate SET document = %s, sha256 = %s WHERE period = '2024-02'",
            [to_text(forged), forged["sha256"]],
        )
    problems = found(certified, tmp_path)
    assert any("not one of the ledger's" in finding for finding in problems)
    with pytest.raises(CertificateError, match="not one of the ledger's"):
        certify(certified, tmp_path)


def test_a_missing_predecessor_is_found(certified: str, tmp_path: Path) -> None:
    by_force(certified, "DELETE FROM ledger.close_certificate WHERE period = '2024-01'")
    problems = found(certified, tmp_path)
    assert any("2024-01.json was published, and the ledger has no record of it" in finding for finding in problems)
    assert any("the certificate of 2024-01 that it follows on is missing" in finding for finding in problems)
    close_directly(certified, MARCH)
    with pytest.raises(CertificateError, match="knows nothing of"):
        certify(certified, tmp_path, MARCH)


def test_a_predecessor_that_was_made_anew_is_found(certified: str, tmp_path: Path) -> None:
    by_force(certified, "DELETE FROM ledger.close_certificate WHERE period = '2024-01'")
    certificate_path(tmp_path, JANUARY, 1).unlink()
    certify(certified, tmp_path, JANUARY)
    assert any("that it follows on is another one now" in finding for finding in found(certified, tmp_path))


def test_a_batch_that_disappeared_is_found(certified: str, tmp_path: Path) -> None:
    by_force(certified, "DELETE FROM control.batch WHERE batch_id = '2024-01-MONTHEND'")
    assert any(
        "batch 2024-01-MONTHEND was posted then, now it is gone" in finding for finding in found(certified, tmp_path)
    )


def test_a_close_of_which_the_ledger_knows_nothing_any_more_is_found(certified: str, tmp_path: Path) -> None:
    """Back to before February, as a restored backup would be."""
    by_force(
        certified,
        "DELETE FROM ledger.close_certificate WHERE period = '2024-02';"
        "UPDATE control.period SET status = 'OPEN', closed_at = NULL WHERE period = '2024-02'",
    )
    (finding,) = found(certified, tmp_path)
    assert "was published, and the ledger has no record of it" in finding
    assert found(certified, tmp_path, JANUARY) == []


def test_a_month_that_is_open_again_is_not_compared(certified: str, tmp_path: Path) -> None:
    deliver(certified, FEBRUARY, folder=tmp_path, seed=9)
    post(certified, staged(certified, FEBRUARY))
    assert found(certified, tmp_path) == []
    close_directly(certified, FEBRUARY)
    (finding,) = found(certified, tmp_path)
    assert "close 2 of the month has none" in finding
    certify(certified, tmp_path)
    assert found(certified, tmp_path) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.close_certificate SET document = document",
        "DELETE FROM ledger.close_certificate",
        "TRUNCATE ledger.close_certificate",
    ],
)
def test_recorded_certificates_never_change(certified: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        execute(certified, statement)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [('"close_number": 1,\n    "counts"', '"close_number": 2,\n    "counts"', "that of close 2"),
     ('"previous": {', '"previous": null, "other": {', "does not follow")],
)  # fmt: skip
def test_the_ledger_records_only_what_follows(
    closed_url: str, tmp_path: Path, old: str, new: str, problem: str
) -> None:
    text = to_text(certify(closed_url, tmp_path).document)
    by_force(closed_url, "DELETE FROM ledger.close_certificate WHERE period = '2024-02'")
    assert old in text
    with pytest.raises(psycopg.Error, match=problem):
        _record(closed_url, text.replace(old, new))
    assert _record(closed_url, text)
    assert not _record(closed_url, text)


def _record(url: str, document: str) -> bool:
    with connect(url) as connection:
        row = connection.execute("SELECT ledger.record_certificate(%s, %s, %s)", [FEBRUARY, document, ACTOR]).fetchone()
    assert row is not None
    return bool(row[0])


# ------------------------------------------------------------------------------------------------ the chains


UNGUARDED_TRAIL = "ALTER TABLE audit.operation_chain DISABLE TRIGGER USER;"


def test_seals_and_heads_of_the_chains_are_in_the_certificate(certified: str, tmp_path: Path) -> None:
    certificate = certify(certified, tmp_path).document["certificate"]
    (batch,) = certificate["batches"]
    assert batch["seal"]["root"] == value_of(
        certified, "SELECT encode(root, 'hex') FROM ledger.batch_seal WHERE batch_id = '2024-02-MONTHEND'"
    )
    assert certificate["chain_heads"]["seal"]["position"] == 2
    assert len(certificate["chain_heads"]["audit"]["hash"]) == 64


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE ledger.batch_seal SET root = sha256('x') WHERE batch_id = '2024-01-MONTHEND'", "the seal of batch"),
        ("DELETE FROM ledger.batch_seal", "the seal of batch"),
        ("DELETE FROM ledger.seal_chain WHERE position = 2", "of the seal chain is gone: the chain was shortened"),
        ("UPDATE ledger.seal_chain SET hash = sha256('x') WHERE position = 2", "of the seal chain is another one now"),
        (f"{UNGUARDED_TRAIL} DELETE FROM audit.operation_chain", "of the audit chain is gone"),
        (
            f"{UNGUARDED_TRAIL} UPDATE audit.operation_chain SET hash = sha256('x')",
            "of the audit chain is another one now",
        ),
    ],
)
def test_a_chain_that_was_shortened_or_computed_anew_is_found(
    certified: str, tmp_path: Path, statement: str, problem: str
) -> None:
    by_force(certified, statement)
    assert any(problem in finding for finding in found(certified, tmp_path))


def test_what_is_appended_to_the_chains_is_no_difference(certified: str, tmp_path: Path) -> None:
    close_directly(certified, MARCH)
    assert found(certified, tmp_path) == []


# ------------------------------------------------------------------------------------------------ the key


def test_the_key_is_for_its_owner_only_and_its_public_part_for_everybody(tmp_path: Path) -> None:
    signing_key(Settings(home=tmp_path))
    key = tmp_path / "keys" / "certificate-signing.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    (public,) = (tmp_path / "certificates").glob("*.pem")
    assert b"PUBLIC KEY" in public.read_bytes()
    assert list(key.parent.iterdir()) == [key]


def test_the_key_is_made_once_however_many_want_it(tmp_path: Path) -> None:
    keys: list[bytes] = []
    together = threading.Barrier(8)

    def want() -> None:
        together.wait()
        keys.append(signing_key(Settings(home=tmp_path)).private_bytes_raw())

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    signing_key(Settings(home=tmp_path))
    key = tmp_path / "keys" / "certificate-signing.key"
    key.chmod(0o640)
    with pytest.raises(SigningKeyError, match="others may read it") as caught:
        signing_key(Settings(home=tmp_path))
    assert key.read_text(encoding="ascii").strip() not in str(caught.value)
    key.chmod(0o600)
    key.write_text("no key", encoding="ascii")
    with pytest.raises(SigningKeyError, match="it holds no key"):
        signing_key(Settings(home=tmp_path))


def test_the_key_of_the_environment_signs_and_stays_there(
    closed_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seed = bytes(range(32))
    with caplog.at_level(logging.DEBUG):
        certify(closed_url, tmp_path, key=seed)
    assert not (tmp_path / "keys").exists()
    assert found(closed_url, tmp_path) == []
    secret = {base64.b64encode(seed).decode(), seed.hex(), repr(seed)}
    written = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()]
    recorded = [str(rows_of(closed_url, "TABLE audit.batch_operation")), caplog.text]
    assert not any(form in text for form in secret for text in [*written, *recorded])


def test_certificates_of_an_earlier_key_stay_valid(closed_url: str, tmp_path: Path) -> None:
    certify(closed_url, tmp_path, JANUARY)
    certify(closed_url, tmp_path, FEBRUARY, key=bytes(32))
    assert len(list((tmp_path / "certificates").glob("*.pem"))) == 2
    assert found(closed_url, tmp_path) == []


def test_without_the_public_key_a_signature_proves_nothing(certified: str, tmp_path: Path) -> None:
    for path in (tmp_path / "certificates").glob("*.pem"):
        path.unlink()
    (finding,) = found(certified, tmp_path)
    assert "its signature proves nothing" in finding
    publish(tmp_path, Ed25519PrivateKey.generate().public_key())
    assert all("not one of the ledger's" in finding for finding in found(certified, tmp_path))


def test_a_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "once"
    assert write_once(path, b"first") == b"first"
    assert write_once(path, b"second") == b"first"
    assert list(tmp_path.iterdir()) == [path]
