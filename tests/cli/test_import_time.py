"""A start imports what it needs at once, and that takes no longer than it may."""

import sys

import pytest

from tests.bench.imports import MOST_S, measure


@pytest.mark.chaos
def test_all_that_a_worker_begins_with_is_imported_within_its_time() -> None:
    numbers = measure()
    sys.stdout.write(f"{numbers}\n")
    # By processor time: what else the machine does takes little of it.
    assert numbers["import_worker_cpu_s"] < MOST_S
    assert numbers["import_command_cpu_s"] < numbers["import_doorman_cpu_s"]
    assert numbers["import_doorman_cpu_s"] < numbers["import_worker_cpu_s"]
