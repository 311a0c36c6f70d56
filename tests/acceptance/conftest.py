"""Companies at work for the tests of whole orders."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from swarm.app import App
from swarm.settings import load
from tests.acceptance.at_work import AtWork, at_work, provider_of, settings_of
from tests.chaos.cluster import Cluster, cluster
from tests.servers import postgres

Open = Callable[..., AbstractAsyncContextManager[AtWork]]

POSTGRES = "postgres"
ON_BOTH = {
    "budgets",
    "cancel",
    "late_signatures",
    "long_requests",
    "provider_faults",
    "questions_and_signatures",
    "real_work",
    "reviews_and_handovers",
    "signed_calls",
    "what_is_remembered",
    "whole_orders",
}
"""What is tried on Postgres as well, by module: nearly all of it in the long form only."""
ALWAYS = {
    "test_a_cancelled_order_stops_before_its_next_step_and_late_answers_are_charged",
    "test_a_look_at_the_web_waits_for_a_signature_and_then_happens_once",
    "test_a_role_works_with_what_is_remembered_and_the_books_say_with_what",
    "test_an_order_s_budget_too_small_parks_it_before_any_call_and_raising_it_goes_on",
    "test_of_a_signature_and_its_end_at_one_moment_one_counts",
    "test_the_answer_resumes_the_task_and_repeats_no_model_call",
    "test_the_receipt_is_the_sum_of_the_ledger_and_of_what_the_provider_counted",
    "test_twenty_orders_side_by_side_never_pass_the_company_s_budget",
    "test_work_sent_back_is_done_again_with_the_reasons",
}
"""What is tried there in the short form: one for each thing that a database does otherwise."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the transcript of the day on the phone be written anew."""
    parser.addoption("--write-transcript", action="store_true", default=False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try each of these on both databases."""
    module = metafunc.module.__name__.rpartition(".test_")[2]
    if "opened" in metafunc.fixturenames and module in ON_BOTH:
        is_always = metafunc.function.__name__ in ALWAYS
        marks = () if is_always else (pytest.mark.chaos,)
        both = ["sqlite", pytest.param(POSTGRES, marks=marks)]
        metafunc.parametrize("opened", both, indirect=True)


@pytest.fixture(scope="session")
def postgres_company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a Postgres with an empty company to copy."""
    if reason := postgres.missing():
        pytest.skip(reason)
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(scope="session")
def fresh_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home just set up; tests copy it, since setting up takes half a second."""
    home = tmp_path_factory.mktemp("fresh") / "home"
    app = App(load(settings_of(home, "http://127.0.0.1:9/v1")))
    app.initialise()
    app.close()
    return home


@pytest.fixture
def home(request: pytest.FixtureRequest, fresh_home: Path, tmp_path: Path) -> Path:
    """Return a company's folder of one's own."""
    if _is_on_postgres(request):
        fresh_home = request.getfixturevalue("postgres_company").home
    return Path(shutil.copytree(fresh_home, tmp_path / "home"))


@pytest.fixture
def opened(request: pytest.FixtureRequest, home: Path) -> Open:
    """Return what opens the company of `home` with a provider and settings."""
    where: dict[str, Any] = {}
    if _is_on_postgres(request):
        url = request.getfixturevalue("postgres_company").settings()["SWARM_DATABASE_URL"]
        where["database_url"] = url

    def start(provider: Any = None, **options: Any) -> AbstractAsyncContextManager[AtWork]:
        made = provider if provider is not None else provider_of()
        return at_work(home, made, **where, **options)

    return start


def _is_on_postgres(request: pytest.FixtureRequest) -> bool:
    spec = getattr(request.node, "callspec", None)
    return spec is not None and spec.params.get("opened") == POSTGRES


@pytest.fixture
async def company(opened: Open) -> AsyncIterator[AtWork]:
    """Return a company at work whose provider plays one task for one role."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(opened())
