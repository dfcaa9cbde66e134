from hypothesis import given
from hypothesis import strategies as st

from edgeproxy.upstream.retry_budget import RetryBudget


def test_what_was_put_aside_may_be_spent_and_no_more() -> None:
    budget = RetryBudget.full(share=0.1, per_second=0.0, most=2)
    for _ in range(2):
        spent = budget.withdrawn(0.0)
        assert spent is not None
        budget = spent
    assert budget.withdrawn(0.0) is None
    for _ in range(11):  # a tenth of each
        budget = budget.deposited(0.0)
    spent = budget.withdrawn(0.0)
    assert spent is not None
    assert spent.withdrawn(0.0) is None


def test_time_alone_fills_it_too() -> None:
    budget = RetryBudget(share=0.0, per_second=10.0, most=5, left=0.0)
    assert budget.withdrawn(0.05) is None
    assert budget.withdrawn(0.1) is not None
    assert budget.deposited(100.0).left == 5


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=200))
def test_retries_never_exceed_the_share_the_time_and_the_store(steps: list[tuple[bool, float]]) -> None:
    budget = RetryBudget.full(share=0.2, per_second=1.0, most=3)
    now, requests, retries = 0.0, 0, 0
    for is_request, wait in steps:
        now += wait
        if is_request:
            budget, requests = budget.deposited(now), requests + 1
        elif (spent := budget.withdrawn(now)) is not None:
            budget, retries = spent, retries + 1
        assert 0 <= budget.left <= 3
    assert retries <= 3 + 0.2 * requests + now + 1e-6
