"""The rights that the roles have in a database, and those that docs/access.md says they have, in the same form.

Here: reading both. Not here: that they agree, and that PostgreSQL acts on them (test_access).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ledger_assets_tests.scenario import rows_of

ROLES: Final = ("ledger_engine", "batch_admin", "batch_operator", "finance_viewer", "auditor")
PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "access.md"

Rights = dict[str, tuple[str, ...]]
"""An object's name -> what each of ROLES may do with it."""

_OURS = (
    "ARRAY['source', 'acct', 'staging', 'ledger', 'control', 'audit', 'quarantine', 'interest', 'legacy', 'monitoring']"
)
_LETTERS = {"SELECT": "read", "INSERT": "insert", "UPDATE": "update", "DELETE": "delete", "TRUNCATE": "truncate",
            "REFERENCES": "references", "TRIGGER": "trigger"}  # fmt: skip
_RANK = [*_LETTERS.values(), *(f"{word} some" for word in _LETTERS.values())].index


def on_tables(url: str) -> Rights:
    """Tables and views, but for the leaves: `read`, or `read some` for some columns, and so on; `-` is nothing."""
    return _on_relations(
        url, "NOT c.relispartition AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid) "
        "AND n.nspname <> 'quarantine'",
    )  # fmt: skip


def on_leaves(url: str) -> Rights:
    """The tables that hold the rows of a load or of a worker, the months above them, and what is kept aside."""
    return _on_relations(
        url, "(c.relispartition OR EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid) OR n.nspname = 'quarantine')"
    )


def _on_relations(url: str, which: str) -> Rights:
    found = rows_of(
        url,
        "SELECT n.nspname || '.' || c.relname AS name, r.rolname AS role, p.name AS privilege, "
        "has_table_privilege(r.oid, c.oid, p.name) AS whole, "
        "CASE WHEN p.name IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') "
        "THEN has_any_column_privilege(r.oid, c.oid, p.name) ELSE false END AS some "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_roles r, unnest(%s::text[]) AS p (name) "
        f"WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname = ANY ({_OURS}) AND r.rolname = ANY (%s) "
        f"AND {which}",
        list(_LETTERS),
        list(ROLES),
    )
    rights: dict[str, dict[str, list[str]]] = {}
    for row in found:
        held = rights.setdefault(row["name"], {role: [] for role in ROLES})[row["role"]]
        if row["whole"] or row["some"]:
            held.append(_LETTERS[row["privilege"]] + ("" if row["whole"] else " some"))
    return {name: tuple(", ".join(sorted(held[role], key=_RANK)) or "-" for role in ROLES)
            for name, held in sorted(rights.items())}  # fmt: skip


def on_functions(url: str) -> Rights:
    """Functions that do more than compute: `call` or `-`."""
    found = rows_of(
        url,
        "SELECT n.nspname || '.' || f.proname AS name, r.rolname AS role, "
        "bool_or(has_function_privilege(r.oid, f.oid, 'EXECUTE')) AS may "
        f"FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace, pg_roles r WHERE n.nspname = ANY ({_OURS}) "
        "AND r.rolname = ANY (%s) AND f.provolatile <> 'i' GROUP BY 1, 2",
        list(ROLES),
    )
    may = {(row["name"], row["role"]): row["may"] for row in found}
    names = sorted({name for name, _ in may})
    return {name: tuple("call" if may[name, role] else "-" for role in ROLES) for name in names}


def stated(heading: str) -> Rights:
    """What the page says under a heading: a table with a column for each role, and names alone in the text after it
    that nobody but the owner has a right to.
    """
    section = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return dict(_rows(section))


def _rows(section: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for line in section.splitlines():
        if line.startswith("| `"):
            names, *rights = (cell.strip() for cell in line.strip("|").split("|"))
            for name in re.findall(r"`([^`]+)`", names):
                yield name, tuple(rights)
        elif line.startswith("- `"):
            for name in re.findall(r"`([a-z_]+\.[a-z_]+)`", line):
                yield name, ("-",) * len(ROLES)


def as_page_lines(rights: Rights) -> str:
    """Lines for the page, to be put in by whoever adds an object and knows who needs it."""
    return "\n".join(f"| `{name}` | {' | '.join(held)} |" for name, held in rights.items())
