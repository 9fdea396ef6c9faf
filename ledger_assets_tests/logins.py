"""Whose rights a test uses: the engine's, with which the product runs, or those of the superuser.

The URLs that the fixtures give (`ledger_url`, `staged_url`, `closed_url`, `ledger`) have the engine's rights. Whoever
tampers, looks behind, or makes something in the database takes `superuser(url)`; `scenario.execute`, `rows_of`,
`value_of` and `fingerprint` do so by themselves.
"""

from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ledger_assets.storage.server_site import SUPERUSER

_ENGINE = "ledger_engine"


def superuser(url: str) -> str:
    """The same database with the rights of the superuser, however the URL gave them up: by its user, or by a role that
    its options take on.
    """
    parts = urlsplit(url)
    login, at, server = parts.netloc.rpartition("@")
    name, colon, password = login.partition(":")
    if unquote(name) == _ENGINE:
        name = SUPERUSER
    options = [(key, value) for key, value in parse_qsl(parts.query) if key != "options"]
    return parts._replace(netloc=f"{name}{colon}{password}{at}{server}", query=_query(options)).geturl()


def engine(url: str) -> str:
    """The same database with the engine's rights: by its own login on the embedded server, else as a role taken on."""
    parts = urlsplit(url)
    if parts.netloc == f"{SUPERUSER}@":
        return parts._replace(netloc=f"{_ENGINE}@").geturl()
    options = [*parse_qsl(parts.query), ("options", f"-c role={_ENGINE}")]
    return parts._replace(query=_query(options)).geturl()


def batch_admin(url: str) -> str:
    """The same database with the rights of batch_admin, who corrects the books."""
    return f"{superuser(url)}&{_query([('options', '-c role=batch_admin')])}"


def _query(options: list[tuple[str, str]]) -> str:
    return urlencode(options, quote_via=quote, safe="/")
