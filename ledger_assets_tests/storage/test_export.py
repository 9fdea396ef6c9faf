"""The books, checked by programs that are not ours: beancount, and hledger where it is installed."""

import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from beancount import loader
from beancount.core import data, realization

from ledger_assets.accounting.plain_text import Balance
from ledger_assets.storage.database import connect
from ledger_assets.storage.export import NotClosedError, export
from ledger_assets.storage.reading import rows

MONTHS = ("2024-01", "2024-02")


def exported(url: str, period: str, folder: Path, notation: str) -> Path:
    file = folder / f"{period}.{notation}"
    with connect(url) as connection:
        assert export(connection, period, file, notation=notation) == 60
    assert [path.name for path in folder.glob("*.part")] == []
    return file


@pytest.mark.parametrize("period", MONTHS)
def test_beancount_accepts_the_month_and_ends_with_our_trial_balance(
    closed_url: str, period: str, tmp_path: Path
) -> None:
    entries, errors, _ = loader.load_file(str(exported(closed_url, period, tmp_path, "beancount")))
    assert errors == []
    assert len([entry for entry in entries if isinstance(entry, data.Transaction)]) == 60 + 1
    accounts = realization.realize(entries)
    theirs = {
        account.account.rsplit(":", 1)[1]: account.balance.get_currency_units("IDR").number
        for account in realization.iter_children(accounts, leaf_only=True)
    }
    with connect(closed_url) as connection:
        ours = rows(connection, "snapshot/trial_balance", period=period)
    assert theirs == {row["account_code"]: row["closing_balance"] for row in ours}


@pytest.mark.parametrize("period", MONTHS)
@pytest.mark.skipif(shutil.which("hledger") is None, reason="hledger is not installed")
def test_hledger_accepts_the_month(closed_url: str, period: str, tmp_path: Path) -> None:
    file = exported(closed_url, period, tmp_path, "hledger")
    subprocess.run(["hledger", "-f", file, "check", "--strict"], check=True)  # noqa: S607
    changed = file.read_text().replace(".00 IDR =", ".01 IDR =", 1)
    file.write_text(changed)
    assert subprocess.run(["hledger", "-f", file, "check"], check=False, capture_output=True).returncode != 0  # noqa: S607


def test_beancount_refuses_a_month_in_which_a_cent_moved(closed_url: str, tmp_path: Path) -> None:
    file = exported(closed_url, "2024-01", tmp_path, "beancount")
    lines = file.read_text().splitlines()
    last = max(number for number, line in enumerate(lines) if line.startswith("2024-02-01 balance"))
    amount = lines[last].split()[3]
    lines[last] = lines[last].replace(amount, str(Decimal(amount) + Decimal("0.01")))
    file.write_text("\n".join(lines))
    _, errors, _ = loader.load_file(str(file))
    assert len(errors) == 1


def test_a_month_that_is_not_closed_is_not_exported(ledger_url: str, tmp_path: Path) -> None:
    with connect(ledger_url) as connection, pytest.raises(NotClosedError, match="close it first"):
        export(connection, "2024-01", tmp_path / "x", notation="hledger")
    assert list(tmp_path.iterdir()) == []


def test_names_fit_the_notation() -> None:
    balance = Balance("1100.10 a", "GENERAL FUND", "ASSET", Decimal(0), Decimal(0))
    assert balance.name == "Assets:General-fund:1100-10-a"
