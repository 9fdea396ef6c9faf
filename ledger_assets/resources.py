"""What the assets are given: the ledger's database, and who is asking.

Belongs here: configuration that runs share. Not here: what a step does with it.
"""

import getpass
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from dagster import ConfigurableResource
from pydantic import Field

from ledger_assets.settings import Settings
from ledger_assets.storage.database import (
    T,
    administrator_url,
    as_role,
    connect,
    in_transaction,
    ledger_url,
    require_role,
)
from ledger_assets.storage.preflight import data_directory

if TYPE_CHECKING:
    from ledger_assets.storage.archiving import Place


class LedgerResource(ConfigurableResource):  # type: ignore[type-arg]
    """The books: the embedded server, or the one that LEDGER_DATABASE_URL names. Leave its fields empty."""

    url: str = Field(
        default="",
        description="Another database than that of the environment (tests give each test its own). No password here: "
        "Dagster stores what is typed.",
    )
    first_period: str = Field(default="", description="Another first month than LEDGER_FIRST_PERIOD.")
    rule_set: str = Field(default="", description="Another rule set than LEDGER_RULE_SET.")
    performed_by: str = Field(
        default="",
        description="The name that batches and the audit trail bear; empty = the operating system's user.",
    )
    administrator_url: str = Field(
        default="",
        description="The same database with the rights of batch_admin, for what drops rows; empty = as the "
        "environment's login may take them on. No password here either.",
    )

    @cached_property
    def settings(self) -> Settings:
        return Settings.from_environment()

    @cached_property
    def database_url(self) -> str:
        return self.url or ledger_url(self.settings)

    @property
    def the_first_period(self) -> str:
        return self.first_period or self.settings.first_period

    @property
    def the_rule_set(self) -> str:
        return self.rule_set or self.settings.rule_set

    @property
    def actor(self) -> str:
        return self.performed_by or getpass.getuser()

    @property
    def data_directory(self) -> Path | None:
        """Where the server's data lies; None for a server that is not on our disk."""
        return data_directory(self.settings, self.url)

    @property
    def the_settings(self) -> Settings:
        """The environment's, with what this resource decides otherwise."""
        return replace(self.settings, first_period=self.the_first_period, rule_set=self.the_rule_set)

    def url_as(self, role: str) -> str:
        """The URL of the ledger with the rights of another role; of the own login where it has not got it."""
        return as_role(self.url, role) if self.url else ledger_url(self.settings, role)

    @property
    def owner_url(self) -> str:
        """The URL of the ledger with the rights of its owner. Raises DatabaseError for a login without them."""
        require_role(administrator_url(self.settings), "ledger_owner")
        return ledger_url(self.settings, "ledger_owner")

    @property
    def archive_place(self) -> "Place":
        """Where months are archived, and by whom. Raises DatabaseError for a login that may not be batch_admin."""
        from ledger_assets.storage.archiving import Place  # noqa: PLC0415 (the close does without it)

        administrator = self.administrator_url
        if not administrator:
            require_role(administrator_url(self.settings), "batch_admin")
            administrator = ledger_url(self.settings, "batch_admin")
        return Place(self.database_url, administrator, self.settings.archive)

    def connect(self) -> psycopg.Connection:
        """A connection to the ledger; to be used as a context manager, which commits or rolls back, and closes."""
        return connect(self.database_url)

    def in_transaction(self, work: Callable[[psycopg.Connection], T]) -> T:
        """Do the work on a connection of its own, commit, and do it as a whole again when the connection is lost."""
        return in_transaction(self.database_url, work)
