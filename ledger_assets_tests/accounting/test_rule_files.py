"""Rule files: what ships loads and is approved; every mistake is named by file, key and fix."""

from pathlib import Path

import pytest

from ledger_assets.accounting.errors import ExpressionError, RuleError, RuleFileError
from ledger_assets.accounting.rule_files import load_approvals, load_rule_set, rule_sets_in

CHART = """
[[account]]
account_code = "1"
description = "Cash"
account_type = "ASSET"
fund = "OPERATOR"
"""
RULES = """
name = "mine"
version = 1
prepared_by = "author"
products = ["P"]

[[template]]
code = "T"
version = 1
source_type = "PREMIUM"
description = "Contribution"
effective_from = 2025-01-01
matches = [{ condition = "channel = 'WEB'", priority = 5 }, { product_code = "P" }]
lines = [
    { entry = 1, line_number = 1, side = "DR", account_code = "1", fund = "OPERATOR", amount = ":gross_amount" },
    { entry = 1, line_number = 2, side = "CR", account_code = "1", fund = "OPERATOR", amount = ":gross_amount" },
]

[[override]]
product_code = "P"
account_code = "1"
replacement_account_code = "1"
"""


def _write(directory: Path, rules: str = RULES, chart: str = CHART) -> Path:
    (directory / "chart_of_accounts.toml").write_text(chart, encoding="utf-8")
    (directory / "mine.toml").write_text(rules, encoding="utf-8")
    return directory


def test_a_rule_set_is_read_with_its_defaults(tmp_path):
    rules = load_rule_set("mine", _write(tmp_path))
    (template,) = rules.templates
    assert [(one.priority, one.condition and one.condition.text) for one in template.matches] == [
        (5, "channel = 'WEB'"),
        (100, None),
    ]
    assert (template.effective_to, template.requires_approval, template.is_enabled) == (None, True, True)
    assert rules.overrides[0].channel is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('prepared_by = "author"\n', "", r"mine\.toml, prepared_by: the key is missing. Fix: add prepared_by"),
        ('name = "mine"', 'name = "yours"', "give file and rule set one name"),
        ("version = 1\nprepared", 'version = "1"\nprepared', r"mine\.toml, version: '1' is not a int"),
        ("version = 1\nprepared", "version = true\nprepared", r"mine\.toml, version: True is not a int"),
        ('products = ["P"]', 'products = "P"', r"mine\.toml, products: a list of texts"),
        ("2025-01-01", "2025-01-01T00:00:00", r"template\[1\]\.effective_from: .* is not a date"),
        ("2025-01-01", '"2025-01-01"', r"template\[1\]\.effective_from: .* is not a date"),
        ("priority = 5", "prority = 5", r"template\[1\]\.matches\[1\]\.prority: there is no such key"),
        ('side = "DR"', 'side = "Dr"', r"template\[1\]\.lines\[1\]: line 1 of entry 1: there is no side 'Dr'"),
        ("line_number = 2", "line_number = 1", r"mine\.toml, template\[1\]: template T v1: a line number occurs once"),
        (
            "channel = 'WEB'\"",
            'channel = 5"',
            r"template\[1\]\.matches\[1\]\.condition, character 11: a literal of type",
        ),
        (":gross_amount", ":gros_amount", r"template\[1\]\.lines\[1\]\.amount, character 2: there is no 'gros_amount'"),
        ("[[override]]", "[override]", r"mine\.toml, override: a list of tables"),
        ("[[override]]", "[[overide]]", r"mine\.toml, overide: there is no such key"),
        ('name = "mine"', 'name = "mine', r"mine\.toml: it is not TOML"),
        ('name = "mine"', "name = 'mine\x00'", r"mine\.toml: it is not TOML"),
    ],
)
def test_mistakes_are_named_by_file_and_key(tmp_path, old, new, message):
    assert old in RULES
    with pytest.raises(RuleError, match=message):
        load_rule_set("mine", _write(tmp_path, RULES.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"ASSET"',
            '"ASSETS"',
            r"chart_of_accounts\.toml, account\[1\]: account '1': there is no account type 'ASSETS'",
        ),
        ('fund = "OPERATOR"', 'fund = ""', r"account\[1\]: account '1': its fund is blank"),
        ('fund = "OPERATOR"', 'fund = "F"\nrecognises = "x"', r"account\[1\]\.recognises: a table is expected"),
        (
            'fund = "OPERATOR"',
            'fund = "F"\nrecognises = {source_type = "A"}',
            r"recognises\.component: the key is missing",
        ),
        ("[[account]]", "accounts = 1\n[[account]]", r"chart_of_accounts\.toml, accounts: there is no such key"),
    ],
)
def test_mistakes_in_the_chart_are_named_too(tmp_path, old, new, message):
    with pytest.raises(RuleFileError, match=message):
        load_rule_set("mine", _write(tmp_path, chart=CHART.replace(old, new, 1)))


def test_expressions_are_quoted_with_a_caret(tmp_path):
    with pytest.raises(ExpressionError) as refusal:
        load_rule_set("mine", _write(tmp_path, RULES.replace(":gross_amount", ":gross_amount * :ujroh_amount", 1)))
    assert str(refusal.value).splitlines()[-2:] == ["    :gross_amount * :ujroh_amount", " " * 21 + "^"]


def test_missing_files_are_named(tmp_path):
    with pytest.raises(RuleFileError, match=r"chart_of_accounts\.toml: the rule file is missing"):
        load_rule_set("mine", tmp_path)
    (tmp_path / "chart_of_accounts.toml").touch()
    with pytest.raises(RuleFileError, match=r"mine\.toml: the rule file is missing"):
        load_rule_set("mine", tmp_path)


def test_a_directory_without_approvals_has_none(tmp_path):
    assert load_approvals(tmp_path) == ()


def test_a_directory_holds_its_rule_sets(tmp_path):
    for name in ("chart_of_accounts.toml", "approvals.toml", "ours.toml", "theirs.toml", "notes.md"):
        (tmp_path / name).touch()
    assert rule_sets_in(tmp_path) == ("ours", "theirs")


def test_everything_that_ships_is_read():
    names = set(rule_sets_in())
    assert names == {"combined", "three_entries"}
    assert {(one.rule_set, one.version) for one in load_approvals()} == {(name, 1) for name in names}
    assert {name: load_rule_set(name).name for name in names} == {name: name for name in names}
