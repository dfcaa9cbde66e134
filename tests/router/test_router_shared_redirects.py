from dataclasses import replace

from router_world import NOW, client_at, node

from edgeproxy.message import Response
from edgeproxy.router.decide import decide
from edgeproxy.router.file_facts import FileFacts
from edgeproxy.router.shared_redirects import Shared, SharedRedirects
from edgeproxy.router.snapshot import Snapshot

FACTS = FileFacts(5)
DECISION = decide(client_at("berlin"), None, Snapshot((node("paris"),)), NOW)
SHARED = Shared(FACTS, DECISION, Response(302))


def test_a_redirect_is_for_one_kind_one_file_and_the_facts_it_tells() -> None:
    table = SharedRedirects()
    table.put("kind", "/a", SHARED)
    assert table.get("kind", "/a", FACTS) is SHARED
    assert table.get("other", "/a", FACTS) is None
    assert table.get("kind", "/b", FACTS) is None
    assert table.get("kind", "/a", FileFacts(5)) is None  # learned anew: they may differ


def test_what_is_one_clients_or_tells_an_age_is_not_kept() -> None:
    table = SharedRedirects()
    table.put(None, "/a", SHARED)
    table.put("kind", "/a", replace(SHARED, decision=replace(DECISION, is_old=True)))
    assert len(table) == 0
    assert table.get(None, "/a", FACTS) is None


def test_it_is_bounded_and_forgets_all_for_another_map() -> None:
    table = SharedRedirects(2)
    for target in ("/a", "/b", "/c"):
        table.put("kind", target, SHARED)
    assert len(table) == 1
    table.clear()
    assert len(table) == 0
