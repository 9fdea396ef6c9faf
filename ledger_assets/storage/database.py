"""Where the databases are and how to get into them: URLs, connections, statements.

The ledger and Dagster's own storage are two databases on one server. On the embedded server they are
called `ledger` and `dagster`; on a user's own server the ledger lives in the database of his URL and
Dagster in `<that name>_dagster`.
"""

import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import local
from typing import Final, LiteralString, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from ledger_assets.settings import Settings
from ledger_assets.storage.discreet import DiscreetConnection
from ledger_assets.storage.server import EmbeddedServer
from ledger_assets.storage.unstorable_text import refuse_unstorable_text

OLDEST_SERVER: Final = 15
ENGINE: Final = "ledger_engine"
ROLES: Final[Mapping[str, str]] = {
    "ledger_owner": "NOLOGIN", ENGINE: "LOGIN", "batch_admin": "NOLOGIN", "batch_operator": "NOLOGIN",
    "finance_viewer": "NOLOGIN", "auditor": "NOLOGIN",
}  # fmt: skip
"""The roles of the ledger; sql/access/roles.sql makes them, sql/access/grants.sql gives them their rights."""
_STATEMENTS = Path(__file__).resolve().parents[2] / "sql"
_TAKEN_ON: Final[set[tuple[str, str]]] = set()  # URLs and the roles that their logins may take on
_CREATION_LOCK = 0x1ED6E5  # an advisory lock: any number that is always the same
_SERVER_GOES_AWAY = ("57P01", "57P02", "57P03", "57P05")  # shut down, crashed, starting or stopping, idle for too long
_this_thread = local()

T = TypeVar("T")


class DatabaseError(RuntimeError):
    """A database cannot be reached or prepared; the message says what to do about it."""


def server_url(settings: Settings) -> str:
    """The user's URL as given, or that of the embedded server, which is started if need be."""
    return settings.database_url or EmbeddedServer(settings.home).ensure_running()


def administrator_url(settings: Settings) -> str:
    """The URL of the database of the ledger for whoever sets it up: the superuser of the embedded server, or the user's
    login with all its rights.
    """
    return _ledger_database(settings, server_url(settings))


def ledger_url(settings: Settings, role: str = ENGINE) -> str:
    """The URL of the database of the ledger, with the rights of a role and no others (docs/access.md).

    On a user's own server a login that is not a member of the role keeps its own rights.
    """
    return _with_the_rights_of(role, administrator_url(settings), settings)


def dagster_url(settings: Settings) -> str:
    """The URL of the database that holds Dagster's runs, events and schedules."""
    return _with_the_rights_of(ENGINE, _dagster_database(settings, server_url(settings)), settings)


def _ledger_database(settings: Settings, server: str) -> str:
    return settings.database_url or with_database(server, "ledger")


def _dagster_database(settings: Settings, server: str) -> str:
    if settings.database_url:
        return with_database(settings.database_url, f"{database_name(settings.database_url)}_dagster")
    return with_database(server, "dagster")


def _with_the_rights_of(role: str, url: str, settings: Settings) -> str:
    if settings.database_url is None and role == ENGINE:  # which may log in there by itself
        return urlsplit(url)._replace(netloc=f"{ENGINE}@").geturl()
    return as_role(url, role)


def as_role(url: str, role: str) -> str:
    """The URL of connections that take on a role, and have no rights but its; as it is for a login that may not.

    A login without the role is left to PostgreSQL, which refuses what it has no right to.
    """
    return with_options(url, f"-c role={role}") if _may_take_on(url, role) else url


def require_role(url: str, role: str) -> None:
    """Raises DatabaseError, saying what to ask for, unless the login of a URL may take on a role."""
    if not _may_take_on(url, role):
        user = conninfo_to_dict(url).get("user", "the login of LEDGER_DATABASE_URL")
        raise DatabaseError(f'{user} does not have the role {role}: let an administrator run GRANT {role} TO "{user}"')


def refusal(fault: psycopg.errors.InsufficientPrivilege, url: str) -> str:
    """What PostgreSQL refused, and which roles of the ledger have the right."""
    said = fault.diag.message_primary or str(fault)
    found = re.search(r"permission denied for (?:function|table|view|schema|sequence) (\w+)", said)
    if not found:
        return said
    with connect(url) as connection:
        rows = connection.execute(statement("access/roles_with_right"), {"name": found[1], "roles": list(ROLES)})
        roles = ", ".join(role for (role,) in rows)
    user = conninfo_to_dict(url).get("user", "this login")
    return f"{user} may not do that ({said}): it takes the role {roles or 'of the owner'}; docs/access.md has the list"


def _may_take_on(url: str, role: str) -> bool:
    if (url, role) in _TAKEN_ON:
        return True
    with connect(url) as connection:
        right = "SET" if connection.info.server_version >= 160_000 else "MEMBER"
        row = connection.execute(
            "SELECT pg_has_role(session_user, oid, %s) FROM pg_roles WHERE rolname = %s", [right, role]
        ).fetchone()
    if row is None or not row[0]:  # asked again next time: it may be granted, and the role made, meanwhile
        return False
    _TAKEN_ON.add((url, role))
    return True


def ensure_databases(settings: Settings) -> None:
    """Create the two databases where they are missing; safe in any number of processes at once.

    Collation C on both kinds of server: the order of accounts is that of their codes everywhere, and
    text indexes build in two thirds of the time. The roles come into being too, and Dagster's database goes to the
    engine. Raises DatabaseError when the server is too old or the user may not create databases or roles.
    """
    server = server_url(settings)
    dagster = _dagster_database(settings, server)
    wanted = [database_name(url) for url in (_ledger_database(settings, server), dagster)]
    with _connect_to_any_database(server) as connection:
        release = connection.info.server_version // 10_000
        if release < OLDEST_SERVER:
            raise DatabaseError(
                f"LEDGER_DATABASE_URL leads to PostgreSQL {release}: version {OLDEST_SERVER} or newer is needed"
            )
        connection.execute("SELECT pg_advisory_lock(%s)", [_CREATION_LOCK])
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname = ANY(%s)", [wanted])
        present = {name for (name,) in rows}
        for name in wanted:
            if name not in present:
                create_database(connection, name)
        if not _have_all_roles(connection):
            ensure_roles(connection)
    _hand_over(dagster)


def create_database(connection: psycopg.Connection, name: str) -> None:
    """Create a database as ours have to be. Raises DatabaseError, with the statement, when the user may not."""
    create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'")
    try:
        connection.execute(create.format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege as fault:
        user = connection.info.user
        raise DatabaseError(
            f'user {user} may not create the database {name}: let an administrator run CREATE DATABASE "{name}" '
            f"OWNER \"{user}\" TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'"
        ) from fault
    except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
        pass  # made a moment ago by someone connected to another database, whom our lock does not hold


def ensure_roles(connection: psycopg.Connection) -> None:
    """Create the roles of the ledger where they are missing, and make the login a member of them.

    Raises DatabaseError, with the statements, when the login may not.
    """
    try:
        connection.execute(statement("access/roles"))
    except psycopg.errors.InsufficientPrivilege as fault:
        user = connection.info.user
        roles = ", ".join(ROLES)
        raise DatabaseError(
            f"user {user} may not create the roles of the ledger, or is not a member of them: let an administrator run "
            f"{' '.join(f'CREATE ROLE {role} {login};' for role, login in ROLES.items())} "
            f'GRANT {roles} TO "{user}"; (without those that exist already)'
        ) from fault


def _have_all_roles(connection: psycopg.Connection) -> bool:
    row = connection.execute("SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s)", [list(ROLES)]).fetchone()
    return row == (len(ROLES),)


def _hand_over(url: str) -> None:
    """Give Dagster's database, and what is in it, to the engine, if the login may; else it stays as it is."""
    with connect(url) as connection, suppress(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement("access/hand_over_dagster"))


def database_name(url: str) -> str:
    """The database that a URL leads to. Raises DatabaseError for a URL that libpq cannot read, or that names none."""
    try:
        return str(conninfo_to_dict(url)["dbname"])
    except (psycopg.ProgrammingError, KeyError, UnicodeError) as fault:
        raise DatabaseError(f"LEDGER_DATABASE_URL cannot be used: {fault}") from fault


def with_database(url: str, database: str) -> str:
    """The same server, user and options with another database; one given as ?dbname= goes."""
    parts = urlsplit(url)
    options = "&".join(option for option in parts.query.split("&") if not option.startswith("dbname="))
    return parts._replace(path=f"/{quote(database, safe='')}", query=options).geturl()


def with_options(url: str, options: str) -> str:
    """The same URL with options for the session, after those that it has."""
    parts = urlsplit(url)
    given = parse_qsl(parts.query)
    present = [value for key, value in given if key == "options"]
    others = [(key, value) for key, value in given if key != "options"]
    query = urlencode([*others, ("options", " ".join([*present, options]))], quote_via=quote, safe="/")
    return parts._replace(query=query).geturl()


def sqlalchemy_url(url: str) -> str:
    """The URL for SQLAlchemy, with the driver spelled out.

    SQLAlchemy 2.1 takes a bare postgresql:// for psycopg 3, with which dagster-postgres does not work.
    """
    return f"postgresql+psycopg2://{url.partition('://')[2]}"


def _may_pass(fault: BaseException) -> bool:
    """Whether trying again can help: the server could not be reached, or is starting, stopping or full.

    A refused connection carries no SQLSTATE, hence the texts: in a language not listed here a final
    refusal is merely tried again before it is raised.
    """
    final = ("does not exist", "authentication failed", "no pg_hba.conf entry", "permission denied", "not permitted")
    return isinstance(fault, psycopg.OperationalError) and not any(text in str(fault) for text in final)


@retry(
    retry=retry_if_exception(_may_pass),
    stop=stop_after_attempt(5),
    wait=wait_exponential_jitter(multiplier=0.2, max=5, jitter=0.2),
    reraise=True,
)
def connect(url: str, *, autocommit: bool = False, application_name: str | None = None) -> psycopg.Connection:
    """Open a connection; a server that is restarting or out of reach is tried five times, over some seconds.

    What the server refuses for good (the password, the database) is raised at once, as psycopg raises it. The audit
    trail keeps the application's name: our own says which process on which host it is. Errors quote no data
    (`discreet`).
    """
    return _connect(url, autocommit=autocommit, application_name=application_name)


def _connect(url: str, *, autocommit: bool = False, application_name: str | None = None) -> psycopg.Connection:
    connection = DiscreetConnection.connect(
        url, autocommit=autocommit, application_name=application_name or _agent(), connect_timeout=10
    )
    # Whatever the server's default is: control.require_read_committed says why.
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    refuse_unstorable_text(connection)
    return connection


def _agent() -> str:
    """This process, for the audit trail. PostgreSQL keeps 63 bytes of it."""
    return f"ledger-assets[{os.getpid()}]@{socket.gethostname()}"


def was_cut_off(fault: BaseException) -> bool:
    """Whether the fault says that the connection is gone, and nothing about what was asked of it.

    A lost connection is told by its SQLSTATE where the server still had a word (class 08, 57P01 to 57P03), and by the
    lack of one where it had not. A timeout, a full disk and a deadlock have one of their own: they are answers.
    """
    if not isinstance(fault, psycopg.OperationalError):
        return False
    if fault.sqlstate is None:
        return _may_pass(fault)
    return fault.sqlstate.startswith("08") or fault.sqlstate in _SERVER_GOES_AWAY


@retry(
    retry=retry_if_exception(was_cut_off),
    stop=stop_after_attempt(5),
    wait=wait_exponential_jitter(multiplier=0.25, exp_base=4, max=16, jitter=0.2),
    reraise=True,
)
def in_transaction(url: str, work: Callable[[psycopg.Connection], T]) -> T:
    """Do the work on a connection of its own, commit, and do it as a whole again when the connection is lost.

    Five tries, after pauses of 0.25, 1, 4 and 16 seconds: a server that is back within twenty is waited for. Any other
    fault is raised at once. Nobody but the server knows whether a commit whose answer got lost has happened, so the
    work has to be such that doing it again, after it was done, changes nothing and says the same.

    In a thread that keeps its connections (`kept_connections`) the next transaction finds it open.
    """
    kept: dict[str, psycopg.Connection] | None = getattr(_this_thread, "kept", None)
    if kept is None:
        with _connect(url) as connection:
            return work(connection)
    with ExitStack() as unless_committed:
        connection = unless_committed.enter_context(kept.pop(url) if url in kept else _connect(url))
        result = work(connection)
        connection.commit()
        unless_committed.pop_all()
    kept[url] = connection
    return result


@contextmanager
def kept_connections() -> Iterator[Callable[[], None]]:
    """For the threads of a pool: each that calls what it is given here keeps its connection for its next transaction.

    A backend that was just started has to look up the catalogs and to map the shared buffers anew, page by page, which
    took 0.8 of the 12 CPU seconds of a staging of 8 million lines. One whose transaction failed is not used again. The
    block has to end after the threads: then the connections are closed.
    """
    of_all_threads: list[dict[str, psycopg.Connection]] = []

    def keep() -> None:
        _this_thread.kept = {}
        of_all_threads.append(_this_thread.kept)

    try:
        yield keep
    finally:
        for kept in of_all_threads:
            for connection in kept.values():
                connection.close()


@cache
def statement(name: str) -> LiteralString:
    """The text of `sql/<name>.sql`, for example statement("ledger/post_batch").

    Literal, because the files are part of the program: nothing from outside gets into them.
    Raises FileNotFoundError naming the file and its neighbours.
    """
    path = _STATEMENTS / f"{name}.sql"
    if not path.is_file():
        neighbours = sorted(other.stem for other in path.parent.glob("*.sql"))
        raise FileNotFoundError(f"no statement {name!r}: {path} is missing; in its folder are {neighbours}")
    return path.read_text(encoding="utf-8")


def _connect_to_any_database(url: str) -> psycopg.Connection:
    """Into the database of the URL, or into `postgres` while that one does not exist yet."""
    try:
        try:
            return connect(url, autocommit=True)
        except psycopg.OperationalError as fault:
            if f'database "{database_name(url)}" does not exist' not in str(fault):
                raise
        return connect(with_database(url, "postgres"), autocommit=True)
    except psycopg.OperationalError as fault:
        said = " ".join(str(fault).split())
        fix = "Fix: start it, or correct LEDGER_DATABASE_URL"
        raise DatabaseError(f"no connection to the database server: {said} {fix}.") from fault
