"""What may be shown of personal data, and what must stay readable."""

import pytest

from ledger_assets.accounting.masking import (
    looks_like_data,
    masked_code,
    masked_id,
    masked_number,
    masked_record,
    masked_text,
    pattern,
    without_quotes,
)

WORDS = [
    ("write to siti.aminah@example.co.id, please", "write to [e-mail], please"),
    ("<budi+x@example.com>", "<[e-mail]>"),
    ("call 0812-3456-7890 today", "call ****7890 today"),
    ("call +62 812 3456 7890.", "call ****7890."),
    ("account 1234567890", "account ****7890"),
    ("policy POL-00012345", "policy POL-****2345"),
    ("identity (3174012345678901)", "identity (****8901)"),
    ("é 0812345678 é", "é ****5678 é"),
]
HARMLESS = [
    "2024-01-MONTHEND",
    "2024-01-31 17:05:03.123456+00:00",
    "gross_amount 1234567890.00 and 1,234,567,890.12",
    "numbers 1 to 99,999,999",
    "+1,234",
    "worker 3 of 2024-01-MONTHEND-02 is gone",
    "a" * 64,
    "je_line_2024_01_monthend_a1_w001",
    "0.00",
]


@pytest.mark.parametrize(("words", "shown"), WORDS)
def test_addresses_and_long_numbers_are_masked_in_words(words: str, shown: str) -> None:
    assert masked_text(words) == shown


@pytest.mark.parametrize("words", HARMLESS)
def test_days_amounts_and_names_of_ours_stay(words: str) -> None:
    assert masked_text(words) == words


def test_a_number_shows_its_last_four_characters_and_a_short_one_nothing() -> None:
    assert [masked_number(value) for value in ("POL-00012345", "12345", "1234", "", "Nur Hadi")] == [
        "****2345",
        "****2345",
        "****",
        "****",
        "****",
    ]


@pytest.mark.parametrize("value", ["P2024000000001", "TX-1", "C:2024/01-7", "A1"])
def test_an_id_that_looks_like_one_is_shown(value: str) -> None:
    assert masked_id(value) == value


@pytest.mark.parametrize(
    "value",
    ["Budi Santoso", "budi@example.com", "081234567890", "3174012345678901", "SANTOSO1", "BUDI", "x1", "=A1", "A" * 41],
)
def test_what_does_not_look_like_an_id_is_masked(value: str) -> None:
    assert masked_id(value) == masked_number(value) != value


def test_a_code_is_shown_if_the_rules_name_it() -> None:
    shown = [masked_code(code, {"AGENT"}) for code in ("AGENT", "Budi", None)]
    assert shown == ["AGENT", "(not in the rules)", "(none)"]


def test_a_value_is_shown_by_its_pattern() -> None:
    assert [pattern(value) for value in ("12,5x", "31/01/2025", "Núria ٣", "9" * 41)] == [
        "99,9x",
        "99/99/9999",
        "xxxxx 9",
        f"{'9' * 40}...",
    ]


def test_a_message_about_a_value_shows_its_pattern() -> None:
    message = 'invalid input syntax for type numeric: "Budi 12"'
    assert without_quotes(message) == 'invalid input syntax for type numeric: "xxxx 99"'


def test_a_first_line_with_an_amount_a_day_or_an_address_is_no_header() -> None:
    for cell in ("100.00", "2024-01-31", "a@b.c", "081234", "-5"):
        assert looks_like_data(["txn", cell])
    assert not looks_like_data(["txn_id", "gross amount", "Column 1", ""])


def test_a_record_is_masked_by_its_columns() -> None:
    record = {"policy_id": "POL-12", "txn_id": "Budi Santoso", "detail": "see a@b.c", "rows": 12345678901, "none": None}
    assert masked_record(record) == {
        "policy_id": "****L-12",
        "txn_id": "****",
        "detail": "see [e-mail]",
        "rows": 12345678901,
        "none": None,
    }
