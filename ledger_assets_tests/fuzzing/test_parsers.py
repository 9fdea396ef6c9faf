"""Whatever the bytes: the parsers return, or say what is wrong. Counted, and bounded in work."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_assets.accounting.amounts import parse_amount
from ledger_assets.accounting.conditions import parse_condition
from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.mapping import parse_mapping
from ledger_assets_tests.fuzzing import mutations, targets
from ledger_assets_tests.fuzzing.profiles import examples
from ledger_assets_tests.fuzzing.seeds import SEEDS

# So many examples of each keep all of them together under half a minute.
EXAMPLES = {"amounts": 250, "conditions": 200, "mappings": 200, "rule_files": 60, "values": 200, "parquet_files": 80}


@pytest.mark.parametrize("name", EXAMPLES)
def test_damaged_input_is_read_or_refused(name: str) -> None:
    @examples(EXAMPLES[name])
    @given(st.one_of(mutations.damage_to(SEEDS[name]), st.binary(max_size=60), st.text(max_size=60).map(_encoded)))
    def run(data: bytes) -> None:
        targets.TARGETS[name](data)

    run()


@examples(250)
@given(mutations.csv_files())
def test_damaged_csv_files_are_read_row_by_row_or_refused(content: bytes) -> None:
    targets.csv_files(content)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_the_seeds_themselves_are_good(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fuzzer that starts from what is refused at once tests one line."""
    if name == "values":
        pytest.skip("its seeds are of several kinds, so that each is refused by some reader")

    def refused(error: LedgerError) -> None:
        raise error

    monkeypatch.setattr(targets, "told", refused)
    for seed in SEEDS[name]:
        targets.TARGETS[name](seed)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# ------------------------------------------------------------------------------------------ what has no good text


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5_000,
        "a = " + "{a = " * 2_000,
        "a = " + "9" * 5_000,
        "[columns]\ntxn_id = 0x" + "f" * 5_000,
        '[date]\nyear = "y"\nmonth = 0x' + "f" * 5_000,
        '[date]\nformat = "%Y-%m-%d %H"',
        '[date]\nformat = "%Y-%m-%d\\u0000"',
        '[file]\ndelimiter = "\\u0000"',
        '[file]\nthousands = "+"',
        '[split]\nremainder_on = "ujroh"\n[split.shares]\ntabarru = "1e1000002"\ntanahud = 0\nujroh = 0',
        '[split]\nremainder_on = "ujroh"\n[split.shares]\ntabarru = 0x' + "f" * 5_000 + "\ntanahud = 0\nujroh = 0",
    ],
)
def test_mappings_that_ended_in_a_traceback(text: str) -> None:
    with pytest.raises(LedgerError) as caught:
        parse_mapping(text.encode(), "m.toml")
    targets.told(caught.value)


# ----------------------------------------------------------------------------------------------- bounded in work


def steps(parse: Callable[[str], Any], text: str) -> int:
    """How many lines of Python a parse takes; a refusal counts like a result."""
    count = 0

    def line(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        parse(text)
    except LedgerError:
        pass
    finally:
        sys.settrace(before)
    return count


GROWING: dict[str, tuple[Callable[[str], Any], Callable[[int], str]]] = {
    "parentheses": (parse_amount, lambda n: "(" * n + ":gross_amount" + ")" * n),
    "open parentheses": (parse_amount, lambda n: "(" * n),
    "signs": (parse_amount, lambda n: "- " * n + ":gross_amount"),
    "sums": (parse_amount, lambda n: ":gross_amount" + " + 1" * n),
    "quotients": (parse_amount, lambda n: ":gross_amount" + " / 2" * n),
    "digits": (parse_amount, lambda n: ":gross_amount * 0." + "1" * n),
    "parenthesised conditions": (parse_condition, lambda n: "(" * n + "channel = 'A'" + ")" * n),
    "negations": (parse_condition, lambda n: "NOT " * n + "channel = 'A'"),
    "conjunctions": (parse_condition, lambda n: "channel = 'A' AND " * n + "channel = 'A'"),
    "alternatives in turn": (parse_condition, lambda n: "(channel = 'A' OR " * n + "channel = 'A'" + ")" * n),
    "lists": (parse_condition, lambda n: f"channel IN ({', '.join(['1'] * n)})"),
    "patterns": (parse_condition, lambda n: f"channel LIKE '{'%a' * n}'"),
}


@pytest.mark.parametrize("name", GROWING)
def test_twice_the_text_is_never_much_more_than_twice_the_work(name: str) -> None:
    parse, text = GROWING[name]
    small, large = steps(parse, text(20)), steps(parse, text(80))
    assert large < 16 * small, "work grows faster than the square of the length"
