"""The chain of the audit trail without a database: what is hashed, and what is found."""

import hashlib
from itertools import pairwise

import pytest

from ledger_assets.accounting.audit_chain import FIELDS, NOTHING_BEFORE, Link, Witness, operation_hash, verify


def operation(number: int, **changes: str | None) -> tuple[str | None, ...]:
    fields = dict.fromkeys(FIELDS, "x") | {"operation_id": str(number), "batch_id": None} | changes
    return tuple(fields[name] for name in FIELDS)


def chain(length: int) -> list[Link]:
    links: list[Link] = []
    before = NOTHING_BEFORE
    for position in range(1, length + 1):
        fields = operation(position * 10)
        own = operation_hash(position, before, fields)
        links.append(Link(position, position * 10, 1, before, own, fields))
        before = own
    return links


def problems(links: list[Link], *witnesses: Witness) -> list[tuple[int | None, str]]:
    return [(finding.position, finding.problem) for finding in verify(links, witnesses)]


def test_the_form_is_the_one_that_the_manual_describes() -> None:
    text = f"21:ledger_assets audit 11:164:{'00' * 32}1:5~2:é"
    assert operation_hash(1, NOTHING_BEFORE, ["5", None, "é"]) == hashlib.sha256(text.encode()).digest()


def test_fields_cannot_be_shifted_into_one_another() -> None:
    hashes = {
        operation_hash(1, NOTHING_BEFORE, fields)
        for fields in (["ab", "c"], ["a", "bc"], ["abc"], ["", "abc"], [None, "abc"])
    }
    assert len(hashes) == 5


def test_a_whole_chain_has_no_finding() -> None:
    assert problems([]) == problems(chain(5)) == []


@pytest.mark.parametrize("field", range(len(FIELDS)))
def test_an_edited_field_is_found(field: int) -> None:
    links = chain(3)
    fields = list(links[1].fields or ())
    fields[field] = "edited"
    links[1] = links[1]._replace(fields=tuple(fields))
    assert problems(links) == [(2, "its operation is not what was hashed")]


def test_a_hash_made_to_fit_breaks_the_next_link() -> None:
    links = chain(3)
    fields = operation(20, performed_by="somebody else")
    links[1] = links[1]._replace(fields=fields, hash=operation_hash(2, links[0].hash or b"", fields))
    assert problems(links) == [(3, "it does not continue the link before it")]


def test_what_is_missing_is_found() -> None:
    links = chain(4)
    assert problems(links[:1] + links[2:]) == [
        (3, "links 2 to 2 are missing"),
        (3, "it does not continue the link before it"),
    ]
    assert problems(links[1:])[0] == (2, "links 1 to 1 are missing")
    assert problems([links[0], links[1]._replace(fields=None), *links[2:]]) == [(2, "its operation is missing")]
    assert problems([*links, Link(None, 99, None, None, None, operation(99))]) == [(None, "the operation has no link")]


def test_swapped_operations_are_found() -> None:
    links = chain(3)
    first, second = (link.fields for link in links[:2])
    links[0], links[1] = links[0]._replace(fields=second), links[1]._replace(fields=first)
    assert [position for position, _ in problems(links)] == [1, 2]


def test_a_cut_end_is_seen_by_a_witness_only() -> None:
    links = chain(3)
    noted = Witness(3, links[2].hash or b"")
    assert problems(links, noted) == problems(links[:2]) == []
    assert problems(links[:2], noted) == [(3, "it was noted outside, and is missing")]


def test_a_chain_made_anew_is_seen_by_a_witness() -> None:
    links = chain(3)
    assert problems(links, Witness(2, bytes(32))) == [(2, "its hash is not the one that was noted outside")]


def test_an_unknown_version_is_said_not_guessed() -> None:
    links = chain(2)
    assert problems([links[0], links[1]._replace(version=2)]) == [(2, "its form is version 2, which is not known here")]


def test_each_hash_continues_the_one_before() -> None:
    for earlier, later in pairwise(chain(4)):
        assert later.previous_hash == earlier.hash
