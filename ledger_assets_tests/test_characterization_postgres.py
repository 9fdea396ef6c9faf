"""What PostgreSQL does, as far as staging, posting and reading rely on it: one test for each fact.

Most of it on small tables of the test's own, shaped like ours: `month` is partitioned by number, `leaf` is to become a
partition of it, `parent` is an inheritance parent like those in `staging`. All of it also holds for PostgreSQL 15.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Final, LiteralString

import psycopg
import pytest

from ledger_assets.storage.database import connect
from ledger_assets_tests import scenario
from ledger_assets_tests.logins import superuser

MONTH: Final[LiteralString] = (
    "CREATE TABLE month (number integer NOT NULL, amount bigint NOT NULL) PARTITION BY RANGE (number)"
)
LEAF: Final[LiteralString] = (
    "CREATE TABLE leaf (number integer PRIMARY KEY, amount bigint NOT NULL, CHECK (number >= 1 AND number <= 10))"
)
ATTACH: Final[LiteralString] = "ALTER TABLE month ATTACH PARTITION leaf FOR VALUES FROM (1) TO (11)"


def one(connection: psycopg.Connection, query: LiteralString, *parameters: Any) -> Any:
    """The only column of the only row."""
    ((value,),) = connection.execute(query, parameters).fetchall()
    return value


def committed(connection: psycopg.Connection, *statements: LiteralString) -> None:
    for statement in statements:
        connection.execute(statement)
    connection.commit()


@pytest.fixture
def trial(by_hand: psycopg.Connection) -> psycopg.Connection:
    """A connection whose tables go into a schema of their own, not into the one named like the user."""
    committed(by_hand, "CREATE SCHEMA trial", "SET search_path = trial")
    return by_hand


@pytest.fixture
def other(trial: psycopg.Connection, ledger_url: str) -> Iterator[psycopg.Connection]:
    """A second session in the same schema, which does not wait for locks."""
    assert not trial.closed
    with contextlib.closing(connect(superuser(ledger_url))) as connection:
        committed(connection, "SET search_path = trial", "SET lock_timeout = '1ms'")
        yield connection


# ------------------------------------------------------------------------------------------------ ATTACH


def files(connection: psycopg.Connection, name: str) -> list[tuple[Any, ...]]:
    """A table and its indexes: identity, and the file that each lies in."""
    return connection.execute(
        "SELECT c.oid, pg_relation_filenode(c.oid) FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid "
        "WHERE c.oid = %(name)s::regclass OR i.indrelid = %(name)s::regclass ORDER BY 1",
        {"name": name},
    ).fetchall()


def test_attach_takes_table_and_primary_key_as_they_are(trial: psycopg.Connection):
    committed(trial, MONTH, "ALTER TABLE month ADD PRIMARY KEY (number)", LEAF, "INSERT INTO leaf VALUES (1, 5)")
    before = files(trial, "leaf")
    trial.execute(ATTACH)
    assert files(trial, "leaf") == before
    assert len(before) == 2
    assert one(trial, "SELECT amount FROM month WHERE number = 1") == 5


def scans_of_attach(connection: psycopg.Connection, leaf: LiteralString) -> int:
    """How often ATTACH reads the leaf from its first row to its last."""
    committed(connection, MONTH, leaf, "INSERT INTO leaf VALUES (1, 5)")
    scans: LiteralString = "SELECT pg_stat_get_xact_numscans('leaf'::regclass)"
    before = one(connection, scans)
    connection.execute(ATTACH)
    return one(connection, scans) - before


def test_attach_reads_no_row_of_a_leaf_whose_check_says_what_the_partition_says(trial: psycopg.Connection):
    assert scans_of_attach(trial, LEAF) == 0


def test_attach_reads_all_rows_of_a_leaf_without_the_check(trial: psycopg.Connection):
    assert scans_of_attach(trial, "CREATE TABLE leaf (number integer PRIMARY KEY, amount bigint NOT NULL)") == 1


def test_attach_reads_all_rows_when_the_check_says_less_than_the_partition(trial: psycopg.Connection):
    leaf: LiteralString = "CREATE TABLE leaf (number integer NOT NULL, amount bigint NOT NULL, CHECK (number >= 1))"
    assert scans_of_attach(trial, leaf) == 1


def test_attach_builds_the_index_that_a_leaf_lacks(trial: psycopg.Connection):
    leaf: LiteralString = (
        "CREATE TABLE leaf (number integer NOT NULL, amount bigint NOT NULL, CHECK (number >= 1 AND number <= 10))"
    )
    committed(trial, MONTH, "ALTER TABLE month ADD PRIMARY KEY (number)", leaf)
    assert len(files(trial, "leaf")) == 1
    trial.execute(ATTACH)
    assert len(files(trial, "leaf")) == 2


# ------------------------------------------------------------------------------------------------ locks


def locks(connection: psycopg.Connection, name: str) -> set[str]:
    """The locks that the connection's transaction holds on a table."""
    rows = connection.execute(
        "SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = %s::regclass", [name]
    ).fetchall()
    return {mode for (mode,) in rows}


def test_attach_locks_the_parent_against_changes_of_the_schema_only(trial: psycopg.Connection):
    committed(trial, MONTH, LEAF)
    trial.execute(ATTACH)
    assert locks(trial, "month") == {"ShareUpdateExclusiveLock"}


def test_attach_locks_the_leaf_against_everybody(trial: psycopg.Connection):
    committed(trial, MONTH, LEAF)
    trial.execute(ATTACH)
    assert "AccessExclusiveLock" in locks(trial, "leaf")


def test_attach_leaves_the_parent_of_the_parent_alone(trial: psycopg.Connection):
    root: LiteralString = "CREATE TABLE root (number integer NOT NULL, amount bigint) PARTITION BY RANGE (number)"
    committed(trial, root, MONTH, LEAF, "ALTER TABLE root ATTACH PARTITION month FOR VALUES FROM (1) TO (100)")
    trial.execute(ATTACH)
    assert locks(trial, "root") <= {"AccessShareLock"}


def test_create_partition_of_locks_the_parent_against_everybody(trial: psycopg.Connection):
    committed(trial, MONTH)
    trial.execute("CREATE TABLE leaf PARTITION OF month FOR VALUES FROM (1) TO (11)")
    assert "AccessExclusiveLock" in locks(trial, "month")


def test_detach_locks_the_parent_against_everybody(trial: psycopg.Connection):
    committed(trial, MONTH, LEAF, ATTACH)
    trial.execute("ALTER TABLE month DETACH PARTITION leaf")
    assert "AccessExclusiveLock" in locks(trial, "month")


INHERITED: Final[LiteralString] = "CREATE TABLE parent (number integer NOT NULL, amount bigint NOT NULL)"
LEAVE: Final[LiteralString] = "ALTER TABLE leaf NO INHERIT parent"


@pytest.fixture
def inherited(trial: psycopg.Connection) -> psycopg.Connection:
    """Into a database in which `leaf`, with one row, inherits from `parent`."""
    committed(trial, INHERITED, LEAF, "ALTER TABLE leaf INHERIT parent", "INSERT INTO leaf VALUES (1, 5)")
    return trial


def test_no_inherit_does_not_lock_the_parent_against_readers(inherited: psycopg.Connection, other: psycopg.Connection):
    inherited.execute(LEAVE)
    assert "AccessExclusiveLock" not in locks(inherited, "parent")
    assert one(other, "SELECT count(*) FROM ONLY parent") == 0


def test_no_inherit_locks_the_leaf_so_a_reader_of_all_staged_rows_waits(
    inherited: psycopg.Connection, other: psycopg.Connection
):
    inherited.execute(LEAVE)
    with pytest.raises(psycopg.errors.LockNotAvailable):
        other.execute("SELECT count(*) FROM parent")


# ------------------------------------------------------------------------------------------------ the posting's moves


def move(connection: psycopg.Connection) -> None:
    """What ledger.attach_leaf does."""
    connection.execute(LEAVE)
    connection.execute("ALTER TABLE leaf SET SCHEMA ledger")
    connection.execute("ALTER TABLE month ATTACH PARTITION ledger.leaf FOR VALUES FROM (1) TO (11)")


CATALOG: Final[LiteralString] = (
    "SELECT c.oid, relname, relnamespace::regnamespace, relispartition, pg_get_expr(relpartbound, c.oid), inhparent, "
    "(SELECT array_agg(conname::text ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid), "
    "pg_relation_filenode(c.oid) FROM pg_class c LEFT JOIN pg_inherits ON inhrelid = c.oid "
    "WHERE relname IN ('parent', 'month', 'leaf', 'leaf_pkey', 'month_pkey') ORDER BY 1"
)


@pytest.fixture
def movable(inherited: psycopg.Connection) -> psycopg.Connection:
    committed(inherited, MONTH, "ALTER TABLE month ADD PRIMARY KEY (number)")
    return inherited


def test_a_leaf_moves_from_inheritance_to_a_partition_in_one_transaction(movable: psycopg.Connection):
    before = files(movable, "leaf")
    move(movable)
    movable.commit()
    counts = "SELECT (SELECT count(*) FROM parent) || ' staged, ' || (SELECT count(*) FROM month) || ' posted'"
    assert one(movable, counts) == "0 staged, 1 posted"
    assert files(movable, "ledger.leaf") == before


def test_a_move_that_is_rolled_back_leaves_no_trace(movable: psycopg.Connection):
    before = movable.execute(CATALOG).fetchall()
    movable.commit()
    move(movable)
    assert movable.execute(CATALOG).fetchall() != before
    movable.rollback()
    assert movable.execute(CATALOG).fetchall() == before
    assert one(movable, "SELECT count(*) FROM parent") == 1


def test_nobody_else_sees_a_leaf_anywhere_else_before_the_commit(
    movable: psycopg.Connection, other: psycopg.Connection
):
    move(movable)
    assert one(other, "SELECT count(*) FROM month") == 0
    movable.commit()
    assert one(other, "SELECT count(*) FROM month") == 1


# ------------------------------------------------------------------------------------------------ COPY FREEZE


def copy_frozen(connection: psycopg.Connection) -> None:
    with connection.cursor().copy("COPY leaf FROM STDIN (FREEZE)") as copy:
        copy.write_row((1, 5))


def test_copy_freeze_needs_a_table_made_in_the_same_transaction(trial: psycopg.Connection):
    trial.execute(LEAF)
    copy_frozen(trial)
    trial.rollback()
    committed(trial, LEAF)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="COPY FREEZE"):
        copy_frozen(trial)


@contextlib.contextmanager
def older_snapshot(url: str) -> Iterator[psycopg.Connection]:
    """A reader who has looked already and sees the database as it was then."""
    with contextlib.closing(connect(superuser(url))) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT count(*) FROM control.batch")
        yield reader


@pytest.mark.parametrize(("is_frozen", "seen"), [(True, 1), (False, 0)])
def test_frozen_rows_are_visible_to_an_older_snapshot(
    trial: psycopg.Connection, ledger_url: str, is_frozen: bool, seen: int
):
    committed(trial, MONTH)
    with older_snapshot(ledger_url) as reader:
        trial.execute(LEAF)
        if is_frozen:
            copy_frozen(trial)
        else:
            trial.execute("INSERT INTO leaf VALUES (1, 5)")
        trial.execute(ATTACH)
        trial.commit()
        assert one(reader, "SELECT count(*) FROM trial.month") == seen


def test_an_older_snapshot_sees_posted_rows_in_the_table_and_not_through_our_view(staged_url: str):
    with connect(staged_url) as connection:
        batch = scenario.latest_batch(connection, scenario.FIRST_PERIOD)
    assert batch is not None
    assert not scenario.failing_gates(staged_url, batch)
    with older_snapshot(staged_url) as reader:
        assert scenario.post(staged_url, batch)
        assert one(reader, "SELECT count(*) FROM ledger.je_line") > 0
        assert one(reader, "SELECT count(*) FROM ledger.ledger_entry_line") == 0
        reader.rollback()
        assert one(reader, "SELECT count(*) FROM ledger.ledger_entry_line") > 0


# ------------------------------------------------------------------------------------------------ triggers

NOTE: Final[LiteralString] = """
    CREATE TABLE fired (place text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO fired VALUES (TG_LEVEL || ' ' || TG_TABLE_NAME);
        RETURN CASE WHEN TG_LEVEL = 'STATEMENT' THEN NULL WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END $$
"""


@pytest.fixture
def watched(trial: psycopg.Connection) -> psycopg.Connection:
    """Into a database in which `parent` has the child `leaf`, `month` the partition `posted`, and each has triggers."""
    posted: LiteralString = "CREATE TABLE posted PARTITION OF month FOR VALUES FROM (1) TO (11)"
    committed(trial, INHERITED, LEAF, "ALTER TABLE leaf INHERIT parent", MONTH, posted, NOTE)
    trial.execute("INSERT INTO leaf VALUES (1, 5)")
    trial.execute("INSERT INTO posted VALUES (1, 5)")
    for table in ("parent", "leaf", "month", "posted"):
        trial.execute(
            f"CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} EXECUTE FUNCTION note()"
        )
    for table in ("leaf", "posted"):
        trial.execute(
            f"CREATE TRIGGER noted_row BEFORE INSERT OR UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION note()"
        )
    trial.commit()
    return trial


@pytest.mark.parametrize(
    ("statement", "fired"),
    [
        ("UPDATE parent SET amount = 6", {"STATEMENT parent", "ROW leaf"}),
        ("UPDATE leaf SET amount = 6", {"STATEMENT leaf", "ROW leaf"}),
        ("DELETE FROM parent", {"STATEMENT parent", "ROW leaf"}),
        ("INSERT INTO parent VALUES (2, 5)", {"STATEMENT parent"}),
        ("UPDATE month SET amount = 6", {"STATEMENT month", "ROW posted"}),
        ("UPDATE posted SET amount = 6", {"STATEMENT posted", "ROW posted"}),
        ("DELETE FROM month", {"STATEMENT month", "ROW posted"}),
        ("INSERT INTO month VALUES (2, 5)", {"STATEMENT month", "ROW posted"}),
    ],
)
def test_statement_triggers_fire_for_the_table_named_and_row_triggers_for_the_leaf(
    watched: psycopg.Connection, statement: LiteralString, fired: set[str]
):
    watched.execute(statement)
    assert {place for (place,) in watched.execute("SELECT place FROM fired").fetchall()} == fired


@pytest.mark.parametrize(("root", "leaf"), [("parent", "leaf"), ("month", "posted")])
def test_truncate_fires_the_statement_triggers_of_the_leaves_too(watched: psycopg.Connection, root: str, leaf: str):
    watched.execute(f"TRUNCATE {root}")
    assert watched.execute("SELECT place FROM fired ORDER BY 1").fetchall() == sorted(
        [(f"STATEMENT {root}",), (f"STATEMENT {leaf}",)]
    )


def test_a_leaf_keeps_its_triggers_when_it_is_attached(movable: psycopg.Connection):
    committed(movable, NOTE, "CREATE TRIGGER noted_row BEFORE UPDATE ON leaf FOR EACH ROW EXECUTE FUNCTION note()")
    move(movable)
    movable.execute("UPDATE month SET amount = 6")
    assert one(movable, "SELECT place FROM fired") == "ROW leaf"


def test_attach_gives_a_leaf_the_row_triggers_of_its_parent_and_not_the_statement_triggers(trial: psycopg.Connection):
    committed(trial, MONTH, LEAF, NOTE)
    trial.execute("CREATE TRIGGER of_rows AFTER UPDATE ON month FOR EACH ROW EXECUTE FUNCTION note()")
    trial.execute("CREATE TRIGGER of_statements AFTER UPDATE ON month EXECUTE FUNCTION note()")
    trial.execute(ATTACH)
    assert one(trial, "SELECT tgname FROM pg_trigger WHERE tgrelid = 'leaf'::regclass") == "of_rows"


# ------------------------------------------------------------------------------------------------ names and numbers


def test_tableoid_joins_a_column_of_regclass(inherited: psycopg.Connection):
    inherited.execute("CREATE TABLE worker (leaf regclass UNIQUE, batch text)")
    inherited.execute("INSERT INTO worker VALUES ('leaf', 'one'), ('parent', 'another')")
    assert one(inherited, "SELECT batch FROM parent JOIN worker ON worker.leaf = parent.tableoid") == "one"


def test_a_regclass_follows_its_table_into_another_schema(inherited: psycopg.Connection):
    inherited.execute("CREATE TABLE worker AS SELECT 'leaf'::regclass AS leaf")
    committed(inherited, LEAVE, "ALTER TABLE leaf SET SCHEMA ledger")
    assert one(inherited, "SELECT leaf::text FROM worker") == "ledger.leaf"
    assert one(inherited, "SELECT leaf = 'ledger.leaf'::regclass FROM worker")


def test_a_sum_of_bigint_is_numeric_and_does_not_overflow(trial: psycopg.Connection):
    (row,) = trial.execute(
        "SELECT pg_typeof(sum(x))::text, sum(x) FROM unnest(ARRAY[9223372036854775807, 9223372036854775807]) AS x"
    ).fetchall()
    assert row == ("numeric", 2 * (2**63 - 1))


def test_adding_bigints_overflows_with_an_error(trial: psycopg.Connection):
    with pytest.raises(psycopg.errors.NumericValueOutOfRange):
        trial.execute("SELECT 9223372036854775807 + 1::bigint")


def test_minor_units_times_a_hundredth_are_exact(trial: psycopg.Connection):
    (row,) = trial.execute(
        "SELECT pg_typeof(x)::text, x::text FROM (SELECT 9223372036854775807 * 0.01) AS t (x)"
    ).fetchall()
    assert row == ("numeric", "92233720368547758.07")


@pytest.mark.parametrize(("value", "is_same"), [("1.50", True), ("1.500000", True), ("1.51", False)])
def test_the_hash_of_a_record_does_not_mind_trailing_zeros(trial: psycopg.Connection, value: str, is_same: bool):
    query: LiteralString = (
        "SELECT hash_record_extended(ROW('a'::text, 1.5::numeric), 0) "
        "= hash_record_extended(ROW('a'::text, %s::numeric), 0)"
    )
    assert one(trial, query, value) is is_same


def test_the_hash_of_a_record_tells_where_one_text_ends_and_the_next_begins(trial: psycopg.Connection):
    assert not one(
        trial,
        "SELECT hash_record_extended(ROW('ab'::text, 'c'::text), 0) "
        "= hash_record_extended(ROW('a'::text, 'bc'::text), 0)",
    )
