"""What every memory keeps to."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.core.ids import RandomIds
from swarm.core.origin import Origin
from swarm.memory.base import INTERNAL, Detail, Memory, MemoryItem, MemoryKind, Scope, Viewer
from swarm.memory.fake import FakeMemory
from swarm.memory.sql import SqlMemory
from swarm.store import schema
from swarm.store.database import Store, sqlite_url
from tests.memory.clock import START, HandClock
from tests.servers.postgres import missing, server

Companies = Callable[[], Memory]
_numbers = itertools.count()


class Postgres:
    """A server with a database for each company of a test, emptied before the next test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._made: list[Store] = []
        self._used = 0

    def company(self) -> Store:
        """Return the empty store of one more company."""
        if self._used == len(self._made):
            self._made.append(self._new(f"company_{self._used}"))
        store = self._made[self._used]
        self._used += 1
        store.write(lambda c: c.exec_driver_sql("TRUNCATE memories, memory_vectors"))
        return store

    def _new(self, name: str) -> Store:
        admin = sa.create_engine(self.url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        admin.dispose()
        store = Store(self.url.replace("/postgres?", f"/{name}?"))
        schema.upgrade(store)
        return store

    def end_test(self) -> None:
        """Let the next test have the databases."""
        self._used = 0

    def close(self) -> None:
        """Let go of the server."""
        for store in self._made:
            store.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    if reason := missing():
        pytest.skip(reason)
    with server() as url:
        found = Postgres(url)
        yield found
        found.close()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated database: copying it is ten times faster than another migration."""
    path = tmp_path_factory.mktemp("migrated") / "swarm.db"
    store = Store(sqlite_url(path))
    schema.upgrade(store)
    store.close()
    return path


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["sqlite", "postgres", "fake"])
def companies(
    request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock
) -> Iterator[Companies]:
    """Return what opens one more company's memory, empty."""
    with ExitStack() as stack:

        def open_one() -> Memory:
            if request.param == "fake":
                return FakeMemory(clock=clock)
            if request.param == "postgres":
                site: Postgres = request.getfixturevalue("postgres")
                stack.callback(site.end_test)
                store = site.company()
            else:
                path = tmp_path / f"{next(_numbers)}.db"
                shutil.copyfile(request.getfixturevalue("migrated"), path)
                store = Store(sqlite_url(path))
                stack.callback(store.close)
            return SqlMemory(store=store, clock=clock, ids=RandomIds())

        yield open_one


@pytest.fixture
def memory(companies: Companies) -> Memory:
    return companies()


def remember(memory: Memory, text: str, key: str | None = None, **detail: Any) -> str:
    """Remember a fact of the founder and return its id."""
    item = memory.remember(
        text, kind=MemoryKind.FACT, origin=Origin.FOUNDER, key=key, detail=Detail(**detail)
    )
    return item.id


def heard(memory: Memory, text: str, **options: Any) -> MemoryItem:
    """Remember what came from the web."""
    return memory.remember(text, kind=MemoryKind.FACT, origin=Origin.WEB, **options)


def about(memory: Memory, subject: str, text: str, **options: Any) -> MemoryItem:
    """Remember a fact with a subject."""
    values = {"kind": MemoryKind.FACT, "origin": Origin.TEAM, **options}
    return memory.remember(text, subject=subject, **values)


def texts(items: list[Any]) -> list[str]:
    return [item.text for item in items]


def test_what_shares_most_words_with_the_question_comes_first(memory: Memory) -> None:
    remember(memory, "the bakery opens monday")
    nearest = remember(memory, "the bakery sells bread and croissants")
    remember(memory, "servers moved to another host")
    found = memory.recall("which bread does the bakery sell")
    assert found[0].id == nearest
    assert all("bakery" in item.text for item in found)


@pytest.mark.parametrize("query", ["?! a 1", "", "what is it", "qu'est-ce que c'est"])
def test_a_question_without_words_recalls_nothing(memory: Memory, query: str) -> None:
    remember(memory, "the bakery opens monday, what is it")
    assert memory.recall(query) == []


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("L'été, l'offre de la boulangerie change.", "offre"),
        ("Les offres d'été sont prêtes.", "quelle est l\u2019offre pour l'ete ?"),
        ("Nous livrons aux boulangeries.", "la boulangerie"),
        ("Deux journaux en parlent.", "un journal"),
        ("Le cœur de la clientèle", "COEUR"),
        ("She bakes bread.", "baking"),
        ("The parties were booked.", "party"),
        ("東京の天気は晴れ", "天気"),
    ],
)
def test_accents_elisions_plurals_and_other_scripts_are_no_obstacle(
    memory: Memory, text: str, query: str
) -> None:
    remember(memory, "Something else altogether, rien à voir.")
    wanted = remember(memory, text)
    assert [item.id for item in memory.recall(query)] == [wanted]


@pytest.mark.parametrize(
    "query",
    ['bakery" OR words:*', "NEAR(bakery host)", "reach : companyown", "^bakery*", "' | 'host & !x",
     "bakery') --", "a\\b \x00 bakery", "-bakery +host", "(((", "%_|bakery"],
)  # fmt: skip
def test_the_syntax_of_a_search_engine_is_only_words(memory: Memory, query: str) -> None:
    kept = remember(memory, "the bakery opens monday")
    remember(memory, "nothing of that kind")
    assert {item.id for item in memory.recall(query)} <= {kept}


def test_the_same_key_is_remembered_once(memory: Memory) -> None:
    first = remember(memory, "one text", key="k")
    assert remember(memory, "another text", key="k") == first
    assert texts(memory.list()) == ["one text"]


def test_the_newest_memory_is_listed_first_with_its_source(memory: Memory) -> None:
    remember(memory, "older memory")
    remember(memory, "newer memory", source="message 42")
    assert texts(memory.list(limit=1)) == ["newer memory"]
    assert memory.list()[0].origin is Origin.FOUNDER
    assert memory.list()[0].source == "message 42"


def test_signs_that_no_database_carries_are_left_out(memory: Memory) -> None:
    remember(memory, "a\x00b \ud800 bakery")
    assert texts(memory.recall("bakery")) == ["ab \ufffd bakery"]


def test_what_is_forgotten_is_gone_and_cannot_be_forgotten_again(memory: Memory) -> None:
    gone = remember(memory, "the secret recipe")
    memory.forget(gone)
    assert memory.list(is_all=True) == []
    assert memory.recall("secret recipe") == []
    with pytest.raises(NotFound):
        memory.forget(gone)


def test_forgetting_takes_the_older_wordings_along(memory: Memory) -> None:
    first = remember(memory, "the recipe has salt")
    second = memory.revise(first, "the recipe has sugar", by="ada")
    third = memory.revise(second.id, "the recipe has honey", by="ada")
    kept = remember(memory, "the bakery opens monday")
    assert set(memory.forget(third.id)) == {first, second.id, third.id}
    assert [item.id for item in memory.list(is_all=True)] == [kept]


def test_a_fresh_view_from_the_field_beats_stock_and_a_stale_one_does_not(
    memory: Memory, clock: HandClock
) -> None:
    stock = remember(memory, "the shop in Pantin queues at noon")
    seen = remember(
        memory,
        "the shop in Pantin queues at eight",
        observed_at=START,
        observed_by="ada",
        is_flow=True,
    )
    fresh = memory.recall("when does the shop in Pantin queue", viewer=Viewer("ceo", person="ada"))
    clock.forward(days=60)
    stale = memory.recall("when does the shop in Pantin queue", viewer=Viewer("ceo", person="bob"))
    assert [item.id for item in fresh] == [seen, stock]
    assert [item.id for item in stale] == [stock, seen]


def test_the_age_says_who_saw_it_in_the_language_of_the_question(
    memory: Memory, clock: HandClock
) -> None:
    remember(memory, "Pantin bakery queue", observed_at=START, observed_by="ada", is_flow=True)
    clock.forward(days=3)
    for person, language, said in (
        ("ada", "en", "seen 3 days ago by you"),
        ("bob", "en", "seen 3 days ago by ada"),
        ("ada", "fr", "vu il y a 3 jours par vous"),
    ):
        viewer = Viewer("ceo", person=person)
        assert memory.recall("Pantin", viewer=viewer, language=language)[0].age == said
    asked = memory.recall("quelle est la queue de la boulangerie à Pantin")
    assert asked[0].age.startswith("vu il y a 3 jours")


def test_what_has_expired_is_listed_only_on_demand(memory: Memory, clock: HandClock) -> None:
    remember(memory, "the offer is open", valid_until=START + timedelta(days=2))
    assert memory.recall("offer")
    clock.forward(days=2)
    assert memory.recall("offer") == []
    assert memory.list() == []
    assert texts(memory.list(is_all=True)) == ["the offer is open"]


def test_what_ages_gives_way_to_what_does_not(memory: Memory, clock: HandClock) -> None:
    ages = remember(memory, "rent in Pantin", half_life_days=10)
    lasts = remember(memory, "rent in Paris")
    clock.forward(days=30)
    assert [item.id for item in memory.recall("rent")] == [lasts, ages]


@pytest.mark.parametrize("trait", ["importance", "confidence"])
def test_what_matters_more_and_what_is_surer_comes_first(memory: Memory, trait: str) -> None:
    traits: list[dict[str, Any]] = [{trait: 1.0}, {trait: 0.2}]
    high, _ = (remember(memory, "rent in Pantin", **values) for values in traits)
    assert memory.recall("rent")[0].id == high


def test_nothing_can_be_seen_in_the_future(memory: Memory) -> None:
    with pytest.raises(InvalidInput, match="future"):
        remember(memory, "tomorrow", observed_at=START + timedelta(days=3))


def test_only_so_many_tokens_come_back(memory: Memory) -> None:
    remember(memory, "bread " * 400)
    for _ in range(3):
        remember(memory, "bread and butter")
    assert len(memory.recall("bread", max_tokens=100)) == 2
    assert memory.recall("bread", max_tokens=20) == []
    assert len(memory.recall("bread", limit=4)) == 4


def test_the_newer_memory_of_a_subject_counts_and_the_older_one_points_to_it(
    memory: Memory,
) -> None:
    old = about(memory, "Opening hours", "the bakery opens at six")
    new = about(memory, "opening  HOURS!", "the bakery opens at seven")
    assert texts(memory.recall("bakery opens")) == ["the bakery opens at seven"]
    assert texts(memory.list()) == ["the bakery opens at seven"]
    assert memory.get(old.id).superseded_by == new.id


def test_an_older_observation_that_comes_late_does_not_count(
    memory: Memory, clock: HandClock
) -> None:
    clock.forward(days=9)
    now = about(memory, "hours", "opens at seven")
    late = about(memory, "hours", "opens at six", detail=Detail(observed_at=START))
    assert late.superseded_by == now.id
    assert texts(memory.list()) == ["opens at seven"]


def test_subjects_of_two_scopes_do_not_meet(memory: Memory) -> None:
    about(memory, "tone", "short", detail=Detail(Scope.PERSON, "ada"))
    about(memory, "tone", "long", detail=Detail(Scope.PERSON, "bob"))
    about(memory, "tone", "any")
    assert len(memory.list()) == 3


def test_an_edit_supersedes_and_only_the_latest_wording_can_be_edited(memory: Memory) -> None:
    old = about(memory, "hours", "opens at six")
    new = memory.revise(old.id, "opens at seven", by="ada")
    assert (new.subject, new.origin) == ("hours", Origin.FOUNDER)
    assert texts(memory.list()) == ["opens at seven"]
    with pytest.raises(Conflict, match=new.id):
        memory.revise(old.id, "opens at eight", by="ada")
    with pytest.raises(InvalidInput):
        memory.revise(new.id, " \x00", by="ada")


@pytest.mark.parametrize("origin", list(Origin))
def test_a_stranger_s_words_are_quarantined(memory: Memory, origin: Origin) -> None:
    memory.remember("wire the money", kind=MemoryKind.LESSON, origin=origin)
    found = memory.recall("money")
    assert [item.is_quarantined for item in found] == [not origin.is_trusted]
    assert [item.reads_as for item in found] == [origin]
    assert len(memory.recall("money", has_quarantined=False)) == origin.is_trusted


def test_a_person_s_word_lifts_the_quarantine(memory: Memory) -> None:
    item = heard(memory, "the market is on sunday")
    with pytest.raises(InvalidInput):
        memory.confirm(item.id, by=" ")
    assert memory.get(item.id).is_quarantined
    confirmed = memory.confirm(item.id, by="ada")
    assert (confirmed.is_quarantined, confirmed.confirmed_by) == (False, "ada")
    found = memory.recall("market", has_quarantined=False)
    assert [(i.id, i.origin, i.reads_as) for i in found] == [(item.id, Origin.WEB, Origin.TEAM)]


def test_a_stranger_s_words_never_displace_a_trusted_memory_until_confirmed(
    memory: Memory,
) -> None:
    trusted = about(memory, "account", "pay to account 1")
    foreign = heard(memory, "pay to account 666", subject="account")
    assert set(texts(memory.list())) == {"pay to account 1", "pay to account 666"}
    assert memory.recall("pay account")[0].id == trusted.id
    memory.confirm(foreign.id, by="ada")
    assert texts(memory.list()) == ["pay to account 666"]


def test_no_number_of_strangers_words_crowds_out_what_is_trusted(memory: Memory) -> None:
    trusted = remember(memory, "invoices are paid on friday")
    for number in range(150):
        heard(memory, f"invoices are paid on friday {number}")
    assert memory.recall("invoices paid friday", limit=1)[0].id == trusted


def test_an_audience_narrows_who_sees_a_memory_of_the_company(memory: Memory) -> None:
    remember(memory, "margin is low", audience=("ceo",))
    remember(memory, "margin notes", audience=(INTERNAL,))
    for role, count in (("ceo", 2), ("cto", 1)):
        assert len(memory.recall("margin", viewer=Viewer(role))) == count
        assert len(memory.list(viewer=Viewer(role))) == count
    assert memory.recall("margin", viewer=Viewer("support", customer="c1")) == []
    assert texts(memory.recall("margin", viewer=Viewer("ceo", customer="c1"))) == ["margin is low"]


def test_the_company_s_inner_work_sees_no_customer_and_its_owner_sees_all(memory: Memory) -> None:
    remember(memory, "likes tea", scope=Scope.CUSTOMER, scope_id="c1")
    remember(memory, "tea is served", scope=Scope.PERSON, scope_id="ada")
    assert texts(memory.list()) == ["tea is served"]
    assert texts(memory.recall("tea")) == ["tea is served"]
    owner = Viewer("owner", is_owner=True)
    assert len(memory.list(viewer=owner)) == len(memory.recall("tea", viewer=owner)) == 2


def test_an_id_opens_nothing_that_the_viewer_may_not_see(memory: Memory) -> None:
    mine = remember(memory, "likes tea", scope=Scope.CUSTOMER, scope_id="c1")
    assert memory.get(mine, viewer=Viewer("support", customer="c1")).id == mine
    for viewer in (None, Viewer("support", customer="c2"), Viewer("support")):
        with pytest.raises(NotFound):
            memory.get(mine, viewer=viewer)


def test_many_memories_of_another_customer_do_not_hide_one_s_own(memory: Memory) -> None:
    mine = remember(memory, "delivery on monday", scope=Scope.CUSTOMER, scope_id="c1")
    for _ in range(120):
        remember(memory, "delivery on monday", scope=Scope.CUSTOMER, scope_id="c2")
    found = memory.recall("delivery", viewer=Viewer("support", customer="c1"), limit=50)
    assert [item.id for item in found] == [mine]


NAMES = ("c1", "c2", "c", "c%", "C1", "ada", "cto", "ceo")
owners = st.one_of(
    st.just((Scope.COMPANY, None)),
    st.tuples(st.sampled_from([Scope.ROLE, Scope.PERSON, Scope.CUSTOMER]), st.sampled_from(NAMES)),
)
audiences = st.lists(st.sampled_from(["ceo", "cto", "c", INTERNAL]), max_size=2).map(tuple)
viewers = st.builds(
    Viewer,
    role=st.sampled_from(["ceo", "cto", "ce", "c", "c%"]),
    person=st.none() | st.sampled_from(NAMES),
    customer=st.none() | st.sampled_from(NAMES),
)
stored = st.lists(st.tuples(owners, audiences, st.sampled_from(Origin)), min_size=1, max_size=6)


def is_foreign(item: MemoryItem, viewer: Viewer) -> bool:
    """Say, in words of its own, whether a viewer should never have got an item."""
    own = {Scope.ROLE: viewer.role, Scope.PERSON: viewer.person, Scope.CUSTOMER: viewer.customer}
    if item.scope is not Scope.COMPANY and item.scope_id != own[item.scope]:
        return True
    if viewer.customer is not None and INTERNAL in item.audience:
        return True
    roles = [name for name in item.audience if name != INTERNAL]
    return bool(roles) and viewer.role not in roles


@given(rows=stored, viewer=viewers)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_query_shows_a_foreign_row_and_every_query_shows_one_s_own(
    memory: Memory, rows: list[Any], viewer: Viewer
) -> None:
    for item in memory.list(viewer=Viewer("owner", is_owner=True), is_all=True):
        memory.forget(item.id)
    made = [
        memory.remember(
            "shared words here",
            kind=MemoryKind.FACT,
            origin=origin,
            detail=Detail(scope, name, audience),
        )
        for (scope, name), audience, origin in rows
    ]
    own = {item.id for item in made if not is_foreign(item, viewer)}
    assert {item.id for item in memory.list(viewer=viewer)} == own
    assert {item.id for item in memory.list(viewer=viewer, is_all=True)} == own
    assert {item.id for item in memory.recall("shared words", viewer=viewer, limit=50)} == own
    for item in made:
        if item.id not in own:
            with pytest.raises(NotFound):
                memory.get(item.id, viewer=viewer)


def test_two_companies_share_nothing(companies: Companies) -> None:
    one, two = companies(), companies()
    mine = remember(one, "the recipe has honey", key="k", scope=Scope.CUSTOMER, scope_id="c1")
    owner = Viewer("owner", is_owner=True)
    same = Viewer("support", customer="c1")
    for viewer in (None, owner, same):
        assert two.list(viewer=viewer, is_all=True) == []
        assert two.recall("recipe honey", viewer=viewer) == []
    with pytest.raises(NotFound):
        two.forget(mine)
    remember(two, "another recipe", key="k")
    assert texts(one.recall("recipe", viewer=same)) == ["the recipe has honey"]


def test_what_is_restored_elsewhere_is_the_same_and_restoring_it_again_changes_nothing(
    companies: Companies,
) -> None:
    one, two = companies(), companies()
    owner = Viewer("owner", is_owner=True)
    old = about(one, "hours", "opens at six")
    about(one, "hours", "opens at seven", detail=Detail(audience=("cto", "ceo")))
    heard(one, "opens never", subject="hours")
    remember(one, "likes tea", key="k", scope=Scope.CUSTOMER, scope_id="c1", half_life_days=3)
    everything = one.list(viewer=owner, is_all=True)
    assert set(two.restore(everything).added) == {item.id for item in everything}
    assert two.list(viewer=owner, is_all=True) == everything
    assert two.get(old.id).superseded_by is not None
    again = two.restore(everything)
    assert (again.added, set(again.known)) == ((), {item.id for item in everything})
    assert two.list(viewer=owner, is_all=True) == everything
    assert [i.id for i in two.recall("opens")] == [i.id for i in one.recall("opens")]


def test_a_foreign_id_a_taken_key_and_a_pointer_to_nowhere_are_seen(companies: Companies) -> None:
    one, two = companies(), companies()
    kept = two.get(remember(two, "kept words", key="k"))
    old = one.get(remember(one, "old words"))
    brought = [
        replace(old, id=kept.id),
        replace(old, id="mx", key="k"),
        replace(old, id="my", superseded_by="nowhere"),
    ]
    result = two.restore(brought)
    assert set(result.refused) == {0, 1}
    assert result.added == ("my",)
    assert texts(two.recall("words")) == ["old words", "kept words"]


@pytest.mark.parametrize(
    "detail",
    [
        {"scope": Scope.CUSTOMER},
        {"scope": Scope.CUSTOMER, "scope_id": " "},
        {"scope_id": "c1"},
        {"audience": ("ceo|cto",)},
        {"confidence": 1.5},
        {"importance": float("nan")},
        {"half_life_days": 0},
        {"is_flow": True},
        {"valid_until": START.replace(tzinfo=None)},
    ],
)
def test_a_detail_that_makes_no_sense_is_refused(detail: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Detail(**detail)
