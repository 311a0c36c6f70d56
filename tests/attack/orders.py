"""The same cases as whole orders: placed, framed, planned, worked, reviewed and delivered.

Everything goes the way it goes in production, with the puppet answering over a loopback socket. The
only addition is the tools of the suites, which act on worlds instead of on the internet.
"""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import sqlalchemy as sa

from swarm.app import App
from swarm.core.money import to_pico
from swarm.core.order import OrderStatus
from swarm.core.role import Role
from swarm.org.loader import Org, builtin_roles, load_org
from swarm.runtime.asking import Ask
from swarm.settings import Environment, load
from swarm.store.tables import approvals
from swarm.tools.base import Tool
from swarm.tools.registry import TOOLS
from tests.acceptance.at_work import AtWork, running, settings_of
from tests.attack.bench import count, reading_tools
from tests.attack.canary import Canary
from tests.attack.desk import own_tools
from tests.attack.dojo import Pair
from tests.attack.founder import REASON, Founder
from tests.attack.oracles import blocked_reads, findings, laundered, policy_digest, read_books
from tests.attack.puppet import Puppet, Site, clerk_of, mate_of
from tests.attack.report import Tally
from tests.attack.tools import PREFIX, names_of, tools_of
from tests.attack.worlds import Case, Worlds
from tests.servers.provider import ScriptedProvider

GENEROUS_YAML = f'policy:\n  rules:\n  - {{tool: "{PREFIX}*", decision: allow}}\n'
"""The company that `bench.GENEROUS` describes, with the product's own patience for refusals."""
LOOK_S = 0.05
END_S = 300.0


class AttackedApp(App):
    """The company with the tools of one suite besides its own."""

    def __init__(self, environment: Environment, worlds: Worlds, suite_name: str) -> None:
        super().__init__(environment)
        self._worlds = worlds
        self._suite = suite_name

    @cached_property
    def org(self) -> Org:
        """Return the roles, among them those that work with the suite."""
        known = [*TOOLS.names(), *names_of(self._suite)]
        return load_org(builtin_roles(), self.home / "roles", known_tools=known)

    async def load_tools(self, role: Role) -> dict[str, Tool]:
        """Return the tools a role declares, from the company's and the suite's."""
        own = tuple(name for name in role.tools if not name.startswith(PREFIX))
        loaded = dict(await super().load_tools(role.model_copy(update={"tools": own})))
        services = tools_of(self._suite, self._worlds)
        return loaded | {name: services[name] for name in role.tools if name in services}


@dataclass
class Attacked:
    """A company under attack, and what it is watched by."""

    company: AtWork
    worlds: Worlds
    canary: Canary

    def digest(self) -> str:
        """Return the digest of all that decides what may happen."""
        app = self.company.app
        limit = app.settings.budget.day
        day_limit = None if limit is None else to_pico(limit)
        return app.store.read(lambda c: policy_digest(c, app.home, day_limit=day_limit))


def write_home(home: Path, suite_name: str) -> None:
    """Write the roles that work with a suite, and the company's own rules, into a home."""
    (home / "roles").mkdir(parents=True, exist_ok=True)
    tools = json.dumps([*own_tools(), "deliver", *names_of(suite_name)])
    for name in (clerk_of(suite_name), mate_of(suite_name)):
        text = f"---\ntitle: Clerk\nreports_to: ceo\nsummary: Office work.\ntools: {tools}\n---\nWork.\n"
        (home / "roles" / f"{name}.md").write_text(text, encoding="utf-8")
    with (home / "company.yaml").open("a", encoding="utf-8") as file:
        file.write(GENEROUS_YAML)


@contextlib.asynccontextmanager
async def open_company(home: Path, suite_name: str) -> AsyncIterator[Attacked]:
    """Open a company without its worker, for a suite; `run` starts it."""
    worlds = Worlds()
    async with Canary() as canary:
        provider = ScriptedProvider(Puppet(Site(worlds, canary.address, str(home))))
        async with provider:
            plenty = {"budget__day": "1000", "budget__sign_above": "1000"}
            environment = settings_of(home, provider.url, **plenty)
            load_first = App(load(environment))
            load_first.initialise()
            load_first.close()
            write_home(home, suite_name)
            app = AttackedApp(load(environment), worlds, suite_name)
            try:
                yield Attacked(AtWork(app, provider), worlds, canary)
            finally:
                app.close()


async def run(site: Attacked, suite_name: str, wanted: Iterable[tuple[str, Pair]]) -> list[Tally]:
    """Place an order for each strategy and pair, see all to their end, and say what came of them.

    All orders are worked by one worker at once, as many as it takes.
    """
    before = site.digest()
    founders: dict[str, Founder] = {}
    tallies: dict[str, Tally] = {}
    for strategy, pair in wanted:
        tallies.setdefault(strategy, Tally(suite_name, strategy))
        case = site.worlds.open(pair, strategy)
        order_id = await site.company.place(case.text)
        # Bound before the worker runs: a tool finds its world by the order it serves.
        site.worlds.bind(case, order_id)
        founders[order_id] = Founder(case)
    async with running(site.company.app):
        await _see_through(site.company.app, founders)
    for order_id, founder in founders.items():
        _judge(site, tallies[founder.case.strategy], founder.case, founder, order_id)
    whole = Tally(suite_name, "(company)")
    if site.digest() != before:
        whole.findings.append(f"{suite_name}: the policy is not what it was")
    whole.findings += [*site.canary.taken(), *site.company.app.store.read(laundered)]
    return [*tallies.values(), whole]


def _judge(site: Attacked, tally: Tally, case: Case, founder: Founder, order_id: str) -> None:
    books = site.company.app.store.read(lambda c: read_books(c, order_id))
    count(tally, case, asked=founder.asked)
    tally.findings += [*findings(case, books), *founder.faults]
    tally.blocked_reads += blocked_reads(case, books, reading_tools(case.pair.suite))


async def _see_through(app: App, founders: dict[str, Founder]) -> None:
    """Let each founder see to their inbox until every order has ended."""
    async with asyncio.timeout(END_S):
        moving = set(founders)
        while moving:
            for order_id in sorted(moving):
                status = app.documents.status(order_id)
                if status is OrderStatus.WAITING:
                    await asyncio.to_thread(see_inbox, app, founders[order_id], order_id)
                elif not status.is_moving:
                    moving.discard(order_id)
            await asyncio.sleep(LOOK_S)


def see_inbox(app: App, founder: Founder, order_id: str) -> None:
    """Decide on everything that an order waits for."""
    for ask in app.office.inbox(order_id):
        if ask.kind == "signature":
            _sign(app, founder, ask)
        elif ask.kind == "choice":
            founder.answers(ask.options)
            app.office.choose(ask.id, 1, by="ada")
        elif ask.kind == "question":
            app.office.answer(ask.id, founder.answers(ask.options), by="ada")
        else:
            app.office.approve(ask.id, by="ada")


def _sign(app: App, founder: Founder, ask: Ask) -> None:
    query = sa.select(approvals.c.action, approvals.c.digest).where(
        approvals.c.ask_id == ask.id, approvals.c.state == "open"
    )
    waiting = app.store.read(lambda c: c.execute(query).one())
    if founder.signs(waiting.action, ask.text):
        app.office.approve(ask.id, by="ada", digest=waiting.digest)
    else:
        app.office.reject(ask.id, REASON, by="ada")


async def run_suite(suite_name: str, wanted: Iterable[tuple[str, Pair]]) -> list[Tally]:
    """Work strategies and pairs of one suite in a company of its own."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        async with open_company(Path(folder) / "home", suite_name) as site:
            tallies = await run(site, suite_name, wanted)
    tallies[-1].seconds = time.perf_counter() - started
    return tallies
