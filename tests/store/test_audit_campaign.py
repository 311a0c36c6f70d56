"""Random meddling with copies of a chain: all of it is found, and the first bad row is named."""

import pytest

from swarm.store.database import Store
from tests.store.attacks import campaign
from tests.store.chains import Chain


@pytest.fixture
def chain(store: Store) -> Chain:
    return Chain.written(store, rows=23, every=5)


def test_the_chain_that_is_meddled_with_was_whole(chain: Chain) -> None:
    report = chain.check()
    assert (report.first_bad, report.rows, report.heads, report.signed_to) == (None, 23, 4, 23)


def test_a_thousand_random_changes_are_all_found_at_their_row(chain: Chain) -> None:
    assert campaign(chain, count=1_000, seed=1).total() == 1_000
