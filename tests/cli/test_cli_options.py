import pytest

from edgeproxy.cli.options import admin_settings
from edgeproxy.config import Admin, Config
from edgeproxy.errors import ConfigurationError


def test_the_address_told_wins_and_the_token_stays() -> None:
    config = Config(admin=Admin(listen="127.0.0.1:1", token="t"))
    assert admin_settings(config, None) == config.admin
    assert admin_settings(config, "127.0.0.1:2") == Admin(listen="127.0.0.1:2", token="t")
    assert admin_settings(config, "http://127.0.0.1:2/") == Admin(listen="127.0.0.1:2", token="t")


@pytest.mark.parametrize(("listen", "told"), [("", None), ("127.0.0.1:0", None), ("127.0.0.1:1", "nowhere")])
def test_without_a_usable_address_nothing_is_asked(listen: str, told: str | None) -> None:
    with pytest.raises(ConfigurationError):
        admin_settings(Config(admin=Admin(listen=listen)), told)
