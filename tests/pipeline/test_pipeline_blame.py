from pipeline_house import NOW

from edgeproxy.pipeline.blame import NAMES_MAX, SECONDS, Blame, is_avoidable


def test_an_origin_cannot_be_avoided() -> None:
    assert [is_avoidable(source) for source in ("", "origin", "up")] == [False, False, True]
    blame = Blame(lambda: NOW)
    assert not blame.add({"origin", ""}, "key")
    assert blame.of("key") == frozenset()


def test_asking_again_promises_something_once_for_each_source() -> None:
    blame = Blame(lambda: NOW)
    assert blame.add({"up", "origin"}, "key", "digest", "")
    assert not blame.add({"up"}, "key")
    assert blame.add({"up", "far"}, "key")
    assert blame.of("key") == {"up", "far"}
    assert blame.of("digest", "other") == {"up"}
    assert blame.of("") == frozenset()


def test_it_is_forgotten_and_bounded() -> None:
    now = [NOW]
    blame = Blame(lambda: now[0])
    for number in range(NAMES_MAX + 10):
        blame.add({"up"}, f"{number}")
    assert blame.of("0") == frozenset()
    assert blame.of(f"{NAMES_MAX}") == {"up"}
    now[0] += SECONDS
    assert blame.of(f"{NAMES_MAX}") == frozenset()
