from edgeproxy.serving.http2_guard import PERIOD_SECONDS, Budget


def test_a_budget_is_spent_and_fills_again_with_time() -> None:
    budget = Budget(10, 0.0)
    assert all(budget.spend(0.0) for _ in range(10))
    assert not budget.spend(0.0)
    assert budget.spend(PERIOD_SECONDS / 5)
    assert not budget.spend(PERIOD_SECONDS / 5)


def test_it_never_holds_more_than_its_most() -> None:
    budget = Budget(10, 0.0)
    budget.earn(1000)
    assert all(budget.spend(1000.0) for _ in range(10))
    assert not budget.spend(1000.0)


def test_work_that_was_done_allows_more() -> None:
    budget = Budget(10, 0.0)
    for _ in range(1000):
        budget.earn(2)
        assert budget.spend(0.0, 2)
