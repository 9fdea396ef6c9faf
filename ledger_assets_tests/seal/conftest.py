"""Books of three months, so that a batch can be taken out of their middle."""

from collections.abc import Iterator

import pytest

from ledger_assets.storage.database import database_name
from ledger_assets_tests.conftest import cloned
from ledger_assets_tests.scenario import close_directly, deliver

THIRD_PERIOD = "2024-03"


@pytest.fixture(scope="session")
def sealed_database(
    test_server_url: str, closed_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with cloned(test_server_url, closed_database) as url:
        deliver(url, THIRD_PERIOD, folder=tmp_path_factory.mktemp("delivery"))
        close_directly(url, THIRD_PERIOD)
        yield database_name(url)


@pytest.fixture
def sealed_url(test_server_url: str, sealed_database: str) -> Iterator[str]:
    """The URL of a database of this test's own in which three months are closed."""
    with cloned(test_server_url, sealed_database) as url:
        yield url
