"""Good input to start from: mutations of it reach further than noise."""

import io
from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from ledger_assets.accounting.generation import generate
from ledger_assets.accounting.rule_files import SHIPPED_RULES

AMOUNTS: Final = (
    ":gross_amount", ":gross_amount * 0.025", "-(:tabarru_amount + :ujroh_amount) / 4 - 2.50", ":ujroh_amount - -1",
)  # fmt: skip
CONDITIONS: Final = (
    "channel = 'AGENCY'", "gross_amount >= 1000.00 AND NOT (txn_date < '2025-01-31')", "policy_id LIKE 'P\\_%_'",
    "channel IN ('A', 'B') OR product_code IS NOT NULL", ":bank_value_date BETWEEN DATE '2025-01-01' AND '2025-02-01'",
    "tabarru_amount <> ujroh_amount AND currency NOT LIKE '%I%'", "gross_amount NOT BETWEEN -1 AND 5.5",
)  # fmt: skip
MAPPINGS: Final = (
    '[file]\ndelimiter = ";"\ndecimal = ","\nthousands = "."\n[columns]\ntxn_id = "N"\n[constants]\nchannel = "A"\n',
    '[id]\nprefix = "P"\nfrom = ["a", "b"]\nseparator = "-"\n[date]\nyear = "y"\nmonth = "spread"\nday = 15\n',
    '[date]\nformat = "%d/%m/%Y"\n[values.channel]\nA = "AGENCY"\n"*" = "OTHER"\n[period]\nother_months = "skip"\n',
    '[skip]\nzero_amounts = true\n[skip.where]\nstatus = ["void", ""]\n[id]\nfrom = "row_position"\n',
    '[split]\nremainder_on = "ujroh"\n[split.shares]\ntabarru = 40\ntanahud = "40.5"\nujroh = "19.5"\n',
)
VALUES: Final = ("2025-01-31", "1234.50", "-0.001", "1.234.567,89", " x ", "99999999999999999999", "0000-00-00", "\0")


def _csv() -> bytes:
    return next(generate("2025-01", 5, 1)).write_csv().encode()


def _parquet() -> bytes:
    file = io.BytesIO()
    next(generate("2025-01", 5, 1)).with_columns(pl.col("channel").cast(pl.Categorical)).write_parquet(file)
    return file.getvalue()


def _bytes(texts: Sequence[str]) -> list[bytes]:
    return [text.encode() for text in texts]


SEEDS: Final[Mapping[str, Sequence[bytes]]] = {
    "amounts": _bytes(AMOUNTS),
    "conditions": _bytes(CONDITIONS),
    "mappings": _bytes(MAPPINGS),
    "rule_files": [(SHIPPED_RULES / f"{name}.toml").read_bytes() for name in ("combined",)],
    "values": _bytes(VALUES),
    "csv_files": [_csv()],
    "parquet_files": [_parquet()],
}
