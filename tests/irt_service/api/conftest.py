"""A small site: its database, three tokens, and the service on a real socket."""

from collections.abc import Iterator

import pytest

from tests.conftest import DatabaseFactory
from tests.irt_service.api.site import Site, open_site


@pytest.fixture(scope="session")
def site(new_database: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests that leave it as it is, or add to it only."""
    site = open_site(new_database(), tmp_path_factory.mktemp("site"))
    yield site
    site.service.stop()
