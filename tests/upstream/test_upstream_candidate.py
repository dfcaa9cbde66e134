import pytest

from edgeproxy.upstream.candidate import ORIGIN, Candidate, Role


@pytest.mark.parametrize(
    ("sites", "site", "is_served"),
    [
        (("*",), "anything", True),
        (("py*",), "pypi", True),
        (("py*", "hf"), "hf", True),
        (("hf",), "hf2", False),
        (("HF",), "hf", False),
    ],
)
def test_a_candidate_serves_the_sites_its_patterns_fit(
    sites: tuple[str, ...], site: str, is_served: bool
) -> None:
    assert Candidate("up", Role.PARENT, sites).serves(site) is is_served


def test_the_origin_serves_every_site() -> None:
    assert ORIGIN.serves("files")
