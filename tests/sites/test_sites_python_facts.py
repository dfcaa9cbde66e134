from __future__ import annotations

import dataclasses

from edgeproxy.sites.python_facts import (
    ALIASES_MAX,
    REMOVED_MAX,
    WITHOUT_SIDECAR_MAX,
    Facts,
    FileFacts,
    NoSidecar,
    PageFacts,
    Removed,
    file_key,
)
from edgeproxy.upstream.upstream import Origin

FILES = Origin("https", "files.example", 443)
PATH = "/p/thing-1.0-py3-none-any.whl"


def listing(project: str, path: str = PATH) -> PageFacts:
    return PageFacts(project, {file_key(FILES, path): FileFacts(size=3)})


def test_facts_are_bounded_and_replaced_page_by_page() -> None:
    facts = Facts(files_max=3)
    for number in range(5):
        files = {bytes([number, i]): FileFacts() for i in range(2)}
        facts.learn(PageFacts(f"p{number}", files))
    assert facts.page("p4") is not None
    assert facts.page("p3") is None
    facts.learn(dataclasses.replace(facts.page("p4") or PageFacts(""), files={}))
    facts.learn(PageFacts("p5", {b"x": FileFacts()}))
    assert facts.page("p4") is not None


def test_a_file_is_found_on_the_page_of_its_name_or_of_an_alias() -> None:
    facts = Facts()
    assert facts.find(FILES, PATH) is None
    facts.learn(dataclasses.replace(listing("other"), aliases=frozenset({"thing"})))
    assert facts.find(FILES, PATH) == ("other", FileFacts(size=3))
    facts.learn(listing("thing"))
    assert facts.find(FILES, PATH) == ("thing", FileFacts(size=3))
    assert facts.find(Origin("https", "elsewhere.example", 443), PATH) is None


def test_a_project_is_removed_until_its_page_is_seen_again() -> None:
    facts = Facts()
    facts.learn(Removed("thing"))
    assert facts.is_removed("thing")
    facts.learn(PageFacts("other"))
    assert facts.is_removed("thing")
    facts.learn(PageFacts("thing"))
    assert not facts.is_removed("thing")


def test_files_without_sidecar_are_told_by_project() -> None:
    facts = Facts()
    facts.learn(NoSidecar("thing", b"1"))
    facts.learn(NoSidecar("other", b"2"))
    assert facts.without_sidecar("thing") == {b"1"}
    assert facts.without_sidecar("none") == frozenset()


def test_the_serial_is_that_of_the_page_seen_last() -> None:
    facts = Facts()
    assert facts.serial("thing") is None
    for serial in (7, 9, None):
        facts.learn(PageFacts("thing", serial=serial))
        assert facts.serial("thing") == serial


def test_every_table_forgets_the_oldest_first() -> None:
    facts = Facts()
    aliases = [f"a{n}" for n in range(ALIASES_MAX + 1)]
    for alias in aliases:
        facts.learn(dataclasses.replace(listing("thing", f"/p/{alias}-1.zip"), aliases=frozenset({alias})))
    assert facts.find(FILES, f"/p/{aliases[-1]}-1.zip") is not None
    for number in range(REMOVED_MAX + 1):
        facts.learn(Removed(f"p{number}"))
    assert not facts.is_removed("p0")
    assert facts.is_removed("p1")
    for number in range(WITHOUT_SIDECAR_MAX + 1):
        facts.learn(NoSidecar("thing", b"%d" % number))
    assert len(facts.without_sidecar("thing")) == WITHOUT_SIDECAR_MAX
