"""The limits of the shared queue fit into each other, whatever was set."""

from hypothesis import given
from hypothesis import strategies as st

from swarm.runtime.dbos_queues import fitted
from swarm.runtime.engine import Lanes

LIMITS = st.none() | st.integers(1, 40)


@given(st.integers(1, 100), LIMITS, LIMITS)
def test_no_limit_is_wider_than_the_one_that_holds_it_and_what_was_set_holds(
    most: int, per_lane: int | None, in_all: int | None
) -> None:
    limits = fitted(most, Lanes(per_lane=per_lane, in_all=in_all))
    assert 1 <= limits.of_lane <= limits.of_worker <= most
    assert limits.in_all == in_all
    if in_all is not None:
        assert limits.of_worker <= in_all
    assert (limits.per_lane is None) is (per_lane is None)
    if limits.per_lane is not None and per_lane is not None:
        assert limits.of_lane <= limits.per_lane <= min(per_lane, in_all or per_lane)
