"""Databases to start from, and everything that a reader sees of the books, to be compared with an undisturbed run."""

import contextlib
import os
import re
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from ledger_assets.storage.audit import verify_trail
from ledger_assets.storage.database import connect, create_database, with_database
from ledger_assets.storage.migrations import migrate
from ledger_assets_tests import disturbances, scenario
from ledger_assets_tests.logins import engine, superuser
from ledger_assets_tests.torture import children, client
from ledger_assets_tests.torture.operations import AT_ONCE, GIVEN, OPERATIONS, Action

Account = dict[str, Any]
"""What a reader sees, by what he looks at."""

OUR_SCHEMAS = ("source", "acct", "staging", "ledger", "control", "audit", "quarantine")


class Books:
    """The books on one server: templates to start from, and what undisturbed runs make of them; each made once."""

    def __init__(self, server: str, folder: Path, template: str | None = None) -> None:
        self.server, self.folder = server, folder
        self._templates = {} if template is None else {"": template}
        self._made: list[str] = []
        self._expected: dict[str, Account] = {}
        self._exchanges: dict[str, list[str]] = {}
        self._one_at_a_time = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._made:
            disturbances.drop_database(self.server, name)

    @contextlib.contextmanager
    def copy(self, given: str) -> Iterator[str]:
        """The URL of books of one's own."""
        with disturbances.cloned(self.server, self.template(given)) as url:
            yield url

    def template(self, given: str) -> str:
        """The name of a database to which nobody is connected. "" = migrated, and empty."""
        with self._one_at_a_time:
            if given not in self._templates:
                self._templates[given] = self._make(given)
            return self._templates[given]

    def _make(self, given: str) -> str:
        name = f"torture_{os.getpid()}_{len(self._templates)}_{secrets.token_hex(3)}"
        url = engine(with_database(self.server, name))
        self._made.append(name)
        if given == "":
            with connect(self.server, autocommit=True) as connection:
                create_database(connection, name)
            migrate(superuser(url))
            return name
        disturbances.clone_database(self.server, self.template(""), name)
        scenario.store_rules(url)
        for action in GIVEN[given]:
            action(url, self.folder)
        return name

    def expected(self, name: str) -> Account:
        """What the books say when an operation, or several one after the other, were not disturbed."""
        with self._one_at_a_time:
            self._run_undisturbed(name)
            return self._expected[name]

    def expected_before(self, given: str) -> Account:
        """What the books say that an operation starts from."""
        with self._one_at_a_time:
            if (key := f"before: {given}") not in self._expected:
                with self.copy(given) as url:
                    self._expected[key] = account_of(url)
            return self._expected[key]

    def exchanges(self, name: str) -> list[str]:
        """What a client exchanges with the server on the way there."""
        with self._one_at_a_time:
            self._run_undisturbed(name)
            return self._exchanges[name]

    def _run_undisturbed(self, name: str) -> None:
        if name in self._expected:
            return
        given, actions = given_and_actions(name)
        with self.copy(given) as url:
            words, code = children.run(client.note, actions, url, self.folder)
            assert code == 0, f"{name}, undisturbed, ended with {code}"
            (self._exchanges[name],) = words
            assert words[0], f"{name}: nothing was noted of what it exchanges with the server"
            self._expected[name] = account_of(url)


def given_and_actions(name: str) -> tuple[str, tuple[Action, ...]]:
    """Of an operation, or of several at once."""
    if name in AT_ONCE:
        return AT_ONCE[name]
    return OPERATIONS[name].given, (OPERATIONS[name].act,)


def account_of(url: str) -> Account:
    """Everything that a reader sees: the posted entries, balances, numbers, seals; loads and refused rows; what lies
    in staging; every table there is. Without times, and without the numbers of attempts.
    """
    account: Account = dict(disturbances.facts(url))
    with connect(superuser(url)) as connection:

        def rows(query: str) -> list[tuple[Any, ...]]:
            return connection.execute(query.encode()).fetchall()

        account["loads"] = rows(
            "SELECT l.file_sha256, l.period, l.status, l.row_count, l.accepted_count, l.checksum, count(t.txn_id), "
            "sum(source.txn_hash(t)) FROM source.load l FULL JOIN source.txn_source t USING (load_id) "
            "GROUP BY l.load_id, l.file_sha256 ORDER BY 1, 2"
        )
        account["load totals"] = rows("SELECT count(*), sum(row_count) FROM source.load_total")
        account["refused rows"] = rows("SELECT l.period, r.txn_id, r.status, r.reasons FROM source.rejected_row r "
                                       "JOIN source.load l USING (load_id) ORDER BY 1, 2, 3")  # fmt: skip
        account["states"] = rows(
            r"SELECT DISTINCT regexp_replace(batch_id, '(DRYRUN).*', '\1'), kind, state FROM control.batch "
            "WHERE failure_reason IS DISTINCT FROM 'begun again' ORDER BY 1"
        )
        account["periods"] = rows("SELECT period, status FROM control.period ORDER BY 1")
        account["certificates"] = rows("SELECT period, close_number FROM ledger.close_certificate ORDER BY 1, 2")
        account["tables"] = sorted(
            re.sub(r"_a\d+_w", "_a?_w", re.sub(r"load_\d+", "load_?", name))
            for (name,) in rows(
                "SELECT format('%s.%s', relnamespace::regnamespace, relname) FROM pg_class WHERE relkind IN ('r', 'p') "
                f"AND relnamespace::regnamespace::text IN {OUR_SCHEMAS}"
            )
        )
        account["staged"] = scenario.staged_tables(url)
        account["seals"] = _seals(rows)
        account["implausible"] = [*_breaks_in_the_trail(rows), *map(str, verify_trail(connection))]
    return {name: [_begun_once(row) for row in rows] for name, rows in account.items()}


def _begun_once(row: Any) -> Any:
    """A row without the number that a reversal gets when it is begun again."""
    if isinstance(row, tuple):
        return tuple(_begun_once(value) for value in row)
    return re.sub(r"(reversal)[-_]\d\d", r"\1", row, flags=re.IGNORECASE) if isinstance(row, str) else row


def _seals(rows: Any) -> list[tuple[Any, ...]]:
    """The roots of the seals, which know neither times nor attempts; those of its workers of a reversal, which gets
    another number when it is begun again.
    """
    return [
        *rows("SELECT batch_id, encode(root, 'hex') FROM ledger.batch_seal JOIN control.batch USING (batch_id) "
              "WHERE kind <> 'REVERSAL' ORDER BY 1"),
        *rows("SELECT reverses_batch_id, worker_number, encode(s.root, 'hex') FROM control.worker_seal s "
              "JOIN control.batch USING (batch_id) WHERE kind = 'REVERSAL' AND state = 'COMMITTED' ORDER BY 1, 2"),
    ]  # fmt: skip


def _breaks_in_the_trail(rows: Any) -> list[str]:
    """Where the trail of a batch does not go on from the state that it had come to."""
    state: dict[str, str | None] = {}
    breaks = []
    for batch_id, operation, before, after in rows(
        "SELECT batch_id, operation, state_before, state_after FROM audit.batch_operation "
        "WHERE operation IN ('INITIATE', 'RESTAGE', 'RESUME', 'RESTART_WORKER', 'STATE') AND state_after IS NOT NULL "
        "ORDER BY operation_id"
    ):
        if state.get(batch_id) != before:
            breaks.append(f"{batch_id} {operation}: from {before}, but it was {state.get(batch_id)}")
        state[batch_id] = after
    now = dict(rows("SELECT batch_id, state FROM control.batch"))
    return breaks + [f"{batch_id} ends at {last}, but is {now[batch_id]}" for batch_id, last in state.items()
                     if batch_id in now and now[batch_id] != last]  # fmt: skip


def differences(found: Account, expected: Account) -> str:
    """Where two accounts differ; empty when they do not."""
    parts = []
    for name in expected:
        if found[name] != expected[name]:
            more = [row for row in found[name] if row not in expected[name]]
            less = [row for row in expected[name] if row not in found[name]]
            parts.append(f"{name}: {str(more)[:300]} instead of {str(less)[:300]}")
    return "; ".join(parts)
