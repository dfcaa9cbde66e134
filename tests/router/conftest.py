from __future__ import annotations

import pytest

from edgeproxy.router import country_table
from edgeproxy.router.country_table import Countries


@pytest.fixture(scope="session")
def countries() -> Countries:
    return country_table.embedded()
