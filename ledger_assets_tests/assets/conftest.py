"""One month closed through Dagster, for all the tests that look at what its assets show."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from dagster import ExecuteInProcessResult

from ledger_assets_tests.conftest import cloned
from ledger_assets_tests.scenario import FIRST_PERIOD, run_month_close


class ClosedMonth(NamedTuple):
    """The run that closed it, the run after that, which found nothing to do, and where they ran."""

    first: ExecuteInProcessResult
    again: ExecuteInProcessResult
    url: str
    home: Path


@pytest.fixture(scope="session")
def closed_month(
    test_server_url: str, staged_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClosedMonth]:
    """January, staged before by hand, closed twice."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as environment, cloned(test_server_url, staged_database) as url:
        environment.setenv("LEDGER_HOME", str(home))
        yield ClosedMonth(run_month_close(url, FIRST_PERIOD), run_month_close(url, FIRST_PERIOD), url, home)
