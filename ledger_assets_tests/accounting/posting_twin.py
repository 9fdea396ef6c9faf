"""The expansion once more, one transaction at a time in plain Python: what `posting.expand` is tested against.

Written from the rules and not from the code: fractions instead of wide integers, loops instead of columns.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ledger_assets.accounting.months import first_day
from ledger_assets.accounting.templates import RuleSet, Template, TemplateLine
from ledger_assets_tests.accounting.rule_examples import Transaction, ids


@dataclass
class Expected:
    """Headers, lines and (row number, reason) of the exceptions, as tuples in the order of the frames' columns."""

    headers: list[tuple[object, ...]] = field(default_factory=list)
    lines: list[tuple[object, ...]] = field(default_factory=list)
    exceptions: list[tuple[int, str]] = field(default_factory=list)


def expected(transactions: Iterable[Transaction], rules: RuleSet, first_je_number: int, period: str) -> Expected:
    """What the expansion has to be."""
    template_ids, account_ids = ids(rules)
    result, number = Expected(), first_je_number
    for row_number, row in enumerate(transactions, 1):
        templates = rules.templates_for(row)
        if len(templates) != 1:
            result.exceptions.append((row_number, "AMBIGUOUS_TEMPLATE" if templates else "NO_TEMPLATE"))
            continue
        template = templates[0]
        amounts = {line: line.amount.evaluate(row) for line in template.lines}
        reason = _reason(row, template, amounts)
        if reason:
            result.exceptions.append((row_number, reason))
            continue
        source_entry = 0
        for entry in range(1, template.entry_count + 1):
            lines = [line for line in template.lines if line.entry == entry and amounts[line]]
            if not lines:
                continue
            source_entry += 1
            debit = sum(amounts[line] for line in lines if line.side == "DR")
            result.headers.append(
                (
                    debit,
                    number,
                    max(row["bank_value_date"], first_day(period)),
                    template_ids[template.key],
                    source_entry,
                    period,
                    row["txn_id"],
                    row["bank_value_date"] if row["bank_value_date"] < first_day(period) else None,
                )
            )
            for line in lines:
                account = account_ids[rules.account_for(line.account_code, row["product_code"], row["channel"])]
                signed = amounts[line] if line.side == "DR" else -amounts[line]
                result.lines.append((signed, number, line.line_number, account, period))
            number += 1
    return result


def _reason(row: Transaction, template: Template, amounts: dict[TemplateLine, int]) -> str | None:
    """Why the transaction cannot be posted; gives the remainders to the lines that take them."""
    if min(amounts.values()) < 0:
        return "NEGATIVE_AMOUNT"
    if row["gross_amount"] != row["tabarru_amount"] + row["tanahud_amount"] + row["ujroh_amount"]:
        return "OUT_OF_BALANCE"
    for entry, fund in {(line.entry, line.fund): None for line in template.lines}:
        lines = [line for line in template.lines if (line.entry, line.fund) == (entry, fund)]
        miss = sum(amounts[line] * (1 if line.side == "DR" else -1) for line in lines)
        rounded = sum(line.amount.form.rounds for line in lines)
        takers = [line for line in lines if line.takes_remainder]
        if abs(miss) > (rounded // 2 if takers else 0):
            return "OUT_OF_BALANCE"
        if takers:
            amounts[takers[0]] -= miss if takers[0].side == "DR" else -miss
    if min(amounts.values()) < 0:
        return "NEGATIVE_AMOUNT"
    return None if any(amounts.values()) else "NO_AMOUNT"
