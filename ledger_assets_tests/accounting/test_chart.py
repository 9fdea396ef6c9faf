"""Accounts refuse what cannot be."""

import pytest

from ledger_assets.accounting.chart import Account, AccountType
from ledger_assets.accounting.errors import RuleError


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"account_code": " "}, "account_code is blank"),
        ({"description": ""}, "description is blank"),
        ({"fund": "FUND "}, "blanks around it"),
        ({"account_type": "INCOMES"}, "no account type 'INCOMES'"),
        ({"mirror_account_code": "1100"}, "cannot mirror itself"),
        ({"recognises": ("PREMIUM", "gross_amount")}, "which is no component"),
        ({"recognises": ("", "ujroh_amount")}, "which is no component"),
        ({"account_type": "ASSET", "recognises": ("PREMIUM", "ujroh_amount")}, "ASSET accounts recognise nothing"),
    ],
)
def test_accounts_that_cannot_be_are_refused(changes, rule):
    plain = {"account_code": "1100", "description": "Fees", "account_type": "INCOME", "fund": "FUND"}
    with pytest.raises(RuleError, match=rule):
        Account(**plain | changes)


def test_the_type_may_be_given_as_text():
    account = Account("1100", "Fees", "INCOME", "FUND", recognises=("PREMIUM", "ujroh_amount"))  # type: ignore[arg-type]
    assert account.account_type is AccountType.INCOME
    assert account.is_open
