from edgeproxy.serving.http2_window import Window


def test_more_than_was_allowed_is_seen() -> None:
    window = Window(100, 1000)
    assert window.take(100)
    assert not window.take(1)


def test_credit_is_given_for_what_was_read_and_not_for_each_byte() -> None:
    window = Window(100, 100)
    assert window.take(60)
    assert [window.give(10), window.give(10), window.give(10)] == [0, 0, 30]
    assert window.left == 70


def test_it_grows_only_by_what_was_read_and_not_beyond_its_most() -> None:
    window = Window(100, 350)
    sizes = []
    for _ in range(20):
        assert window.take(50)
        window.give(50)
        sizes.append(window.size)
    assert sizes[:2] == [100, 200]
    assert sizes[-1] == 350
    assert window.left + window._owed == 350


def test_who_is_not_read_gets_nothing() -> None:
    window = Window(100, 1000)
    while window.take(10):
        pass
    assert window.size == 100
