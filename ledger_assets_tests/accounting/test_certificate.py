"""The certificate without a ledger: its canonical form, its signature, and what can be found wrong with it."""

import copy
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ledger_assets.accounting.certificate import (
    FORMAT,
    CertificateError,
    canonical,
    differences,
    from_text,
    minor,
    sign,
    signer,
    text,
    to_text,
    totals_by_fund,
    verify,
)
from ledger_assets.accounting.rederivation import Derivation, DerivationDiffers, DerivedBalance, Kept, reconcile

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = {KEY.public_key().public_bytes_raw()}


def account(code: str, fund: str, opening: str, debit: str, credit: str, closing: str) -> dict[str, str]:
    return {"account": code, "fund": fund, "opening": opening, "debit": debit, "credit": credit, "closing": closing}


def a_certificate() -> dict[str, Any]:
    balances = [
        account("1100-20", "TABARRU", "100.00", "1250.50", "0.00", "1350.50"),
        account("4110-20", "TABARRU", "-100.00", "0.00", "1250.50", "-1350.50"),
    ]
    return {
        "format": FORMAT,
        "period": "2024-02",
        "close_number": 1,
        "issued_at": "2024-03-02T18:20:00.000000Z",
        "counts": {"transactions": [{"type": "PREMIUM", "count": 1}], "entries": 1, "lines": 2},
        "batches": [{"batch_id": "2024-02-MONTHEND", "entries": 1, "lines": 2, "seal": None}],
        "balances": balances,
        "totals_by_fund": totals_by_fund(balances),
        "chain_heads": {"seal": None, "audit": None},
    }


def test_the_canonical_form_is_that_of_rfc_8785() -> None:
    """Its own example of sorting, without the fractions, which a certificate never holds."""
    value = {"peach": "This sorting order", "péché"[:1] + "each2": "is wrong\n\x0f\u20ac$", "a": [1, True, None, "ü"]}
    expected = '{"a":[1,true,null,"ü"],"peach":"This sorting order","peach2":"is wrong\\n\\u000f€$"}'
    assert canonical(value) == expected.encode()


@pytest.mark.parametrize("inexact", [1.5, float("nan"), 2**53, b"bytes", {"ü": 1}, {1: "a"}, {"a": [0.1]}])
def test_what_has_no_exact_form_is_refused(inexact: Any) -> None:
    with pytest.raises(CertificateError, match="no exact form"):
        canonical({"value": inexact})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="ascii")), inner),
)


@given(JSON)
def test_the_canonical_form_loses_nothing_and_does_not_depend_on_order(value: Any) -> None:
    form = canonical(value)
    assert json.loads(form) == value
    assert canonical(json.loads(json.dumps(value, sort_keys=True))) == form


def test_a_certificate_proves_itself() -> None:
    document = from_text(to_text(sign(a_certificate(), KEY)), "february")
    assert verify(document, TRUSTED) == []
    assert document["sha256"] == hashlib.sha256(canonical(a_certificate())).hexdigest()


def test_every_character_that_is_changed_is_noticed() -> None:
    published = to_text(sign(a_certificate(), KEY))
    unnoticed = []
    for place, character in enumerate(published):
        other = published[:place] + ("1" if character == "0" else "0") + published[place + 1 :]
        if character.isspace():
            continue  # blanks between the parts are no part of what is signed
        try:
            if not verify(from_text(other, "february"), TRUSTED):
                unnoticed.append((place, character))
        except CertificateError:
            continue
    assert unnoticed == []


def test_a_certificate_of_another_key_is_noticed() -> None:
    forged = sign({**a_certificate(), "issued_at": "later"}, Ed25519PrivateKey.generate())
    (problem,) = verify(forged, TRUSTED)
    assert "not one of the ledger's" in problem
    assert verify(forged, {signer(forged)}) == []


def test_a_signature_of_another_certificate_is_noticed() -> None:
    other = sign({**a_certificate(), "issued_at": "later"}, KEY)
    document = {**sign(a_certificate(), KEY), "signature": other["signature"]}
    assert verify(document, TRUSTED) == ["its signature is not that of its content"]


@pytest.mark.parametrize(
    ("part", "row", "key", "value", "problem"),
    [
        ("balances", 0, "closing", "1350.51", "account 1100-20 does not follow"),
        ("balances", 0, "fund", "TANAHUD", "not those of their accounts"),
        ("totals_by_fund", 0, "debit", "1250.51", "TABARRU: debits 1250.51, credits 1250.50"),
        ("batches", 0, "lines", 3, "the lines are not"),
        ("batches", 0, "entries", 3, "the entries are not"),
        ("balances", 0, "debit", "1250.5", "no amount with two decimals"),
        ("balances", 0, "debit", 1250, "malformed"),
    ],
)
def test_a_certificate_that_contradicts_itself_is_noticed_though_it_is_signed(
    part: str, row: int, key: str, value: Any, problem: str
) -> None:
    certificate = copy.deepcopy(a_certificate())
    certificate[part][row][key] = value
    problems = verify(sign(certificate, KEY), TRUSTED)
    assert any(problem in found for found in problems), problems


def test_a_certificate_of_another_format_is_not_judged() -> None:
    (problem,) = verify(sign({"format": "version 2"}, KEY), TRUSTED)
    assert "this program reads" in problem


@pytest.mark.parametrize(
    "broken",
    ["", "[]", "{}", "{", '{"certificate": 1, "sha256": "", "signature": "", "public_key": ""}', "[" * 100_000,
     to_text(sign(a_certificate(), KEY)).replace('"sha256"', '"period": 1, "sha256"'),
     to_text(sign(a_certificate(), KEY)).replace('"period"', '"period": "2024-01", "period"')],
)  # fmt: skip
def test_what_is_no_certificate_is_refused(broken: str) -> None:
    with pytest.raises(CertificateError, match="february"):
        from_text(broken, "february")


@pytest.mark.parametrize("part", ["sha256", "signature", "public_key"])
@pytest.mark.parametrize("value", [None, 1, "", "ü", "AAAA", ["x"], {"a": 1}])
def test_nonsense_in_a_document_is_a_problem_and_no_crash(part: str, value: Any) -> None:
    assert verify({**sign(a_certificate(), KEY), part: value}, TRUSTED)


def test_half_a_character_is_a_problem_and_no_crash() -> None:
    document = json.loads(to_text(sign(a_certificate(), KEY)).replace("PREMIUM", "\\ud800"))
    assert verify(document, TRUSTED)


@given(st.integers(-(10**40), 10**40))
def test_amounts_of_any_size_keep_every_digit(minor_units: int) -> None:
    assert minor(text(minor_units)) == minor_units


def test_differences_name_what_differs_and_leave_out_when() -> None:
    now = copy.deepcopy(a_certificate())
    now["issued_at"], now["chain_heads"] = "later", {"seal": {"position": 7, "hash": "00"}, "audit": None}
    assert differences(a_certificate(), now) == []
    now["balances"][0]["closing"] = "1350.51"
    now["close_number"] = 2
    now["batches"] = [{**now["batches"][0], "batch_id": "2024-02-MONTHEND-02"}]
    assert differences(a_certificate(), now) == [
        'balances: 1100-20, closing: certified "1350.50", now "1350.51"',
        "batches: 2024-02-MONTHEND: certified, now gone",
        "batches: 2024-02-MONTHEND-02: there now, not certified",
        "close_number: certified 1, now 2",
    ]
    twice = {**a_certificate(), "balances": [*a_certificate()["balances"], a_certificate()["balances"][0]]}
    assert differences(a_certificate(), twice)
    turned = {**a_certificate(), "balances": a_certificate()["balances"][::-1]}
    assert differences(a_certificate(), turned) == ["balances: the same rows in another order"]


# ------------------------------------------------------------------------------------------------ derivation


DERIVED = Derivation(
    [
        DerivedBalance("1100-20", "TABARRU", "ASSET", 10000, 125050, 0, 135050),
        DerivedBalance("4110-20", "TABARRU", "INCOME", -10000, 0, 125050, -135050),
    ],
    lines=2,
)


def kept() -> Kept:
    return Kept(
        {
            "1100-20": {"opening": 10000, "debit": 125050, "credit": 0, "closing": 135050},
            "4110-20": {"opening": -10000, "debit": 0, "credit": 125050, "closing": -135050},
        },
        {"TABARRU": 135050},
        2,
    )


def test_what_the_lines_say_is_what_the_ledger_says() -> None:
    reconcile("2024-02", DERIVED, kept())


@pytest.mark.parametrize("movement", ["opening", "debit", "credit", "closing"])
def test_an_account_that_differs_is_named_with_both_amounts(movement: str) -> None:
    ledger = kept()
    ledger.accounts["1100-20"][movement] += 1  # type: ignore[index]
    with pytest.raises(DerivationDiffers) as caught:
        reconcile("2024-02", DERIVED, ledger)
    assert caught.value.culprit == "2024-02, account 1100-20"
    expected = getattr(DERIVED.balances[0], movement)
    assert caught.value.rule == f"{movement}: by the posted lines {text(expected)}, by the ledger {text(expected + 1)}"


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        (lambda k: Kept({**k.accounts, "9999": {**k.accounts["1100-20"]}}, k.funds, k.lines), "account 9999"),
        (lambda k: Kept({"4110-20": k.accounts["4110-20"]}, k.funds, k.lines), "account 1100-20"),
        (lambda k: Kept(k.accounts, {"TABARRU": 135051}, k.lines), "fund TABARRU"),
        (lambda k: Kept(k.accounts, {}, k.lines), "fund TABARRU"),
        (lambda k: Kept(k.accounts, {**k.funds, "OTHER": 1}, k.lines), "fund OTHER"),
        (lambda k: Kept(k.accounts, k.funds, 3), "its lines"),
    ],
)
def test_whatever_else_differs_is_named(change: Any, culprit: str) -> None:
    with pytest.raises(DerivationDiffers) as caught:
        reconcile("2024-02", DERIVED, change(kept()))
    assert caught.value.culprit == f"2024-02, {culprit}"
