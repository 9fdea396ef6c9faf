"""Dagster's instance, kept by nobody, and the books of a test as Dagster's resource."""

from collections.abc import Iterator

import pytest
from dagster import DagsterInstance

from ledger_assets.resources import LedgerResource
from ledger_assets_tests.scenario import ACTOR, FIRST_PERIOD


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def resource(ledger_url: str) -> LedgerResource:
    return LedgerResource(url=ledger_url, first_period=FIRST_PERIOD, performed_by=ACTOR)
