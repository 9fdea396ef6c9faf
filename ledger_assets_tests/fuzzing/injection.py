"""Payloads of injection, and how one sees that none of them did anything.

A sequence is the canary: nextval is not undone by a rollback, so that an injected statement is seen even when the
statement around it failed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from ledger_assets_tests.scenario import execute, rows_of, value_of

_SING: Final = "SELECT nextval('public.canary')"

CANARY: Final = "CREATE SEQUENCE IF NOT EXISTS public.canary; GRANT ALL ON SEQUENCE public.canary TO PUBLIC"
"""Everybody can make it sing: the engine, and the owner, with whose rights the functions run."""

SQL: Final = (
    f"x'; {_SING}; --",
    f'x"; {_SING}; --',
    f"x; {_SING}; --",
    f"x'); {_SING}; --",
    f"' || ({_SING})::text || '",
    f"$$; {_SING}; $$",
    f"$q$; {_SING}; $q$",
    f"\\'; {_SING}; --",
    f"staging.je_header ADD COLUMN pwned int; {_SING}; --",
    "%s %I %L %1$s %%",
    "%(period)s %(batch_id)s %s %b",
    "{leaf} {} {0} {{",
    "../../../etc/passwd",
)
"""Each leaves another context: a literal, a name, a dollar-quoted body, a format string, a parameter, a path."""

OUTPUT: Final = (
    "\x1b[31m\x1b]8;;https://evil.example\x07x\x1b\\",
    "[red]x[/red] [link=https://evil.example]y[/link] [/nothing]",
    "<script>alert(1)</script>\"' onmouseover='alert(1)",
    "![x](https://evil.example/x.png) | a | b |",
    "=cmd|' /C calc'!A1",
)
"""What would do something where it is shown."""

CONTROL: Final = frozenset(map(chr, [*range(9), *range(11, 32), *range(127, 160)]))
"""What a terminal may obey."""

_CATALOG: Final = {
    "columns": "SELECT attrelid::regclass::text AS name, string_agg(attname, ',' ORDER BY attnum) AS is "
    "FROM pg_attribute "
    "JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace::regnamespace::text = ANY (%s) AND attnum > 0 "
    "AND relkind IN ('r', 'p', 'v', 'S') AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = attrelid) "
    "GROUP BY 1",
    "functions": "SELECT oid::text AS name, md5(pg_get_functiondef(oid)) AS is FROM pg_proc "
    "WHERE pronamespace::regnamespace::text = ANY (%s) AND prokind = 'f'",
    "roles": "SELECT rolname AS name, rolsuper::text AS is FROM pg_roles WHERE cardinality(%s::text[]) > 0",
}
SCHEMAS: Final = ["source", "acct", "staging", "ledger", "control", "audit", "quarantine", "public"]


@contextmanager
def nothing_injected(ledger_url: str) -> Iterator[None]:
    """Afterwards the canary is silent, and every table, function and role that was there is there as it was."""
    execute(ledger_url, f"{CANARY}; SELECT setval('public.canary', 1, false)")
    before = catalog(ledger_url)
    yield
    assert not value_of(ledger_url, "SELECT is_called FROM public.canary"), "injected SQL was run"
    after = catalog(ledger_url)
    for kind, things in before.items():
        changed = {name for name, what in things.items() if after[kind].get(name) != what}
        assert not changed, f"{kind} gone or changed: {changed}"


def catalog(ledger_url: str) -> dict[str, dict[str, Any]]:
    """What the database consists of, by kind and name; leaves of batches and loads come and go and are left out."""
    found = {kind: rows_of(ledger_url, query, SCHEMAS) for kind, query in _CATALOG.items()}
    return {kind: {thing["name"]: thing["is"] for thing in things} for kind, things in found.items()}
