from operator import attrgetter

import msgspec
import pytest

from edgeproxy.config import Config, Listen, Section, Site, default_sites
from edgeproxy.configuration.source import sections
from edgeproxy.configuration.values import options

TABLES = [*sections().values(), Site]


@pytest.mark.parametrize("section", TABLES, ids=lambda section: section.__name__)
def test_every_option_has_one_line_of_meaning(section: type[Section]) -> None:
    missing = [name for name, option in options(section).items() if not option.description.strip()]
    assert missing == []
    assert all("\n" not in option.description for option in options(section).values())


@pytest.mark.parametrize("section", TABLES, ids=lambda section: section.__name__)
def test_every_section_says_what_it_is_about(section: type[Section]) -> None:
    assert section.__doc__
    assert section.__doc__ != Section.__doc__


@pytest.mark.parametrize("section", TABLES, ids=lambda section: section.__name__)
def test_every_default_is_a_value_its_own_type_accepts(section: type[Section]) -> None:
    values = default_sites()[0] if section is Site else section()
    for name, option in options(section).items():
        value = getattr(values, name)
        assert msgspec.convert(value, option.annotation, strict=True) == value


def test_every_section_but_the_lists_is_there_with_its_defaults() -> None:
    config = Config()
    assert {name: type(attrgetter(name)(config)) for name in sections()} == sections()
    outer = {name for name in sections() if "." not in name}
    assert outer | {"site", "parent"} == {field.name for field in msgspec.structs.fields(Config)}


def test_sections_cannot_be_changed_once_built() -> None:
    with pytest.raises(AttributeError):
        Config().cache.disk = 1  # type: ignore[misc]


def test_no_two_sections_share_a_list() -> None:
    assert Listen().http is not Listen().http
