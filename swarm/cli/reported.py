"""Make a report of the books and show it, print it or draw it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from sqlalchemy.engine import Connection

from swarm.cli.lazy import load
from swarm.cli.report_view import report_lines, reprice_lines, shock_lines
from swarm.cli.terminal import is_lively, say, show_json, tell
from swarm.core.clock import SystemClock
from swarm.core.errors import ConfigError, InvalidInput
from swarm.ledger.reports import sums
from swarm.ledger.reports.build import Setting
from swarm.ledger.reports.build import report as build
from swarm.ledger.reports.document import (
    FarmDocument,
    MarginDocument,
    ReportDocument,
    RepricedDocument,
    ShockDocument,
    as_json,
)
from swarm.ledger.reports.others import founder_part, has_farm, hosting_part
from swarm.ledger.reports.period import Period, chosen
from swarm.ledger.reports.shock import parse, shocked
from swarm.settings import Environment, Settings
from swarm.settings import load as read_settings
from swarm.store import schema
from swarm.store.database import Store, sqlite_url

_MACHINE = "swarm.cli.farm_opened:machine"


def report(
    *,
    is_week: bool,
    is_month: bool,
    first: str | None,
    last: str | None,
    shock: str | None,
    reprice: Path | None,
    beside: Sequence[Path],
    limit: int,
    html: Path | None,
    svg: Path | None,
    as_json: bool,
) -> None:
    """Report a period.

    Raises:
        InvalidInput, ConfigError: A word of the command is off, or there is no company here.
    """
    now = SystemClock().now()
    period = chosen(is_week=is_week, is_month=is_month, first=first, last=last, today=now.date())
    if (shock is not None or reprice is not None) and (html or svg or beside):
        raise InvalidInput("Other prices stand alone: leave --html, --svg and --beside out.")
    if shock is not None and reprice is not None:
        raise InvalidInput("Say one of --price-shock and --reprice.")
    environment = read_settings()
    with books(environment) as store:
        if shock is not None:
            _shock(store, environment, period, shock, limit=limit, is_json=as_json)
            return
        if reprice is not None:
            _reprice(store, environment, period, reprice, limit=limit, is_json=as_json)
            return
        document = store.read(lambda c: _built(c, environment, period))
    document = _beside(document, environment, period, beside)
    _write(document, html=html, svg=svg)
    _show(document, is_json=as_json, is_quiet=html is not None or svg is not None)


@contextmanager
def books(environment: Environment) -> Iterator[Store]:
    """Open the company's database to read it, without the parts that only work needs.

    Raises:
        ConfigError: There is no company here, or its schema is another version's.
    """
    url = environment.database_url
    if environment.settings.database_url is None and not (environment.home / "swarm.db").exists():
        raise ConfigError(f"There is no company in {environment.home} yet: run `swarm init`.")
    store = Store(url, company=environment.settings.company)
    try:
        schema.check(store)
        yield store
    finally:
        store.close()


def _built(connection: Connection, environment: Environment, period: Period) -> ReportDocument:
    sums.one_view(connection)
    return build(connection, period, _setting(connection, environment, period))


def _setting(connection: Connection, environment: Environment, period: Period) -> Setting:
    settings = environment.settings
    return Setting(
        company=settings.name,
        currency=settings.currency,
        config=settings.report,
        rates=settings.rates,
        founder=founder_part(
            connection, period, config=settings.founder_time, currency=settings.currency
        ),
        hosting=hosting_part(connection, period, now=SystemClock().now()),
        farm=_farm(connection, settings, period),
    )


def _farm(connection: Connection, settings: Settings, period: Period) -> FarmDocument | None:
    """Return the costs of this home's farm; its bills and prices are imported for one alone."""
    if not has_farm(connection):
        return None
    farm_part, machine = load("swarm.ledger.reports.farm:farm_part"), load(_MACHINE)
    found: FarmDocument | None = farm_part(
        connection, period, now=SystemClock().now(), machine=machine(settings)
    )
    return found


def _shock(
    store: Store, environment: Environment, period: Period, text: str, *, limit: int, is_json: bool
) -> None:
    asked = store.read(lambda c: {line.name for line in sums.charged(c, period).by_model})
    factors = parse(text, providers={sums.provider_of(model) for model in asked})

    def work(connection: Connection) -> ShockDocument:
        sums.one_view(connection)
        setting = _setting(connection, environment, period)
        return shocked(connection, period, setting, factors, limit=limit)

    found = store.read(work)
    if is_json:
        show_json(as_json(found))
    else:
        say("\n".join(shock_lines(found)))


def _reprice(
    store: Store, environment: Environment, period: Period, path: Path, *, limit: int, is_json: bool
) -> None:
    # The pricing of calls is imported for this alone.
    read_book = load("swarm.ledger.prices:PriceBook").load
    book = read_book(path, overrides=environment.settings.prices)
    price = load("swarm.ledger.reports.reprice:repriced")
    found: RepricedDocument = store.read(lambda c: price(c, period, book, limit=limit))
    if is_json:
        show_json(as_json(found))
    else:
        say("\n".join(reprice_lines(found)))


def _beside(
    document: ReportDocument, environment: Environment, period: Period, homes: Sequence[Path]
) -> ReportDocument:
    """Add the margins of other instances, each read from its own home."""
    if not homes:
        return document
    if environment.settings.report.price_per_month is None:
        raise InvalidInput("--beside compares margins: set report.price_per_month first.")
    margins: list[MarginDocument] = [*document.margins]
    for home in homes:
        other = replace_home(environment, home)
        with books(other) as store:
            found = store.read(partial(_built, environment=other, period=period))
        margins += [replace(line, instance=str(home)) for line in found.margins]
    return replace(document, margins=margins)


def replace_home(environment: Environment, home: Path) -> Environment:
    """Return the same settings for another instance's folder, whose database is a file in it."""
    if not (home / "swarm.db").is_file():
        raise InvalidInput(f"--beside {home}: there is no company in this folder.")
    settings = environment.settings.model_copy(
        update={"database_url": sqlite_url(home / "swarm.db")}
    )
    return environment.model_copy(update={"home": home, "settings": settings})


def _write(document: ReportDocument, *, html: Path | None, svg: Path | None) -> None:
    if html is None and svg is None:
        return
    drawn = load("swarm.ledger.charts:plots")(document)
    if html is not None:
        _put(html, load("swarm.ledger.charts:page")(document, drawn))
    if svg is not None:
        try:
            svg.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{svg} cannot be created: {error.strerror}.") from error
        for plot in drawn:
            _put(svg / f"{plot.name}.svg", load("swarm.ledger.charts.svg:alone")(plot.drawing))
        if not drawn:
            tell("Nothing was charged in this period, so there is nothing to draw.")


def _put(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
    tell(f"Written: {path}")


def _show(document: ReportDocument, *, is_json: bool, is_quiet: bool) -> None:
    if is_json:
        show_json(as_json(document))
    elif not is_quiet:
        say("\n".join(report_lines(document)))
        if is_lively() and not document.is_empty:
            load("swarm.cli.bars:draw")(load("swarm.ledger.charts:plots")(document))
