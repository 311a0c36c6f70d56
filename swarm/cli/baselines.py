"""Show what was estimated before the work, and hold it against what came out."""

from typing import Any

from swarm.app import App
from swarm.cli import exits
from swarm.cli.opened import opened
from swarm.cli.predicting import fault_documents, read_bytes, tell_faults
from swarm.cli.terminal import say, show_json
from swarm.cli.wording import amount, cost, counted
from swarm.core.clock import iso
from swarm.core.document import OrderDocument
from swarm.core.errors import InvalidInput, NotFound
from swarm.core.money import plain
from swarm.core.order import CostBand, HoursBand
from swarm.ledger.baseline import actuals, columns
from swarm.ledger.baseline.actuals import Actual
from swarm.ledger.baseline.classes import ANY, find_class
from swarm.ledger.baseline.columns import Fault, read_table
from swarm.ledger.baseline.frozen import VIEW, StoredBaseline, in_force, stored
from swarm.runtime import records


def show(*, order_id: str, as_json: bool) -> None:
    """Show an order's baselines.

    Raises:
        NotFound: No such order.
    """
    with opened() as app:
        rows = _rows(app, order_id)
    if as_json:
        show_json({"order": order_id, "baselines": [_document(row) for row in rows]})
    elif rows:
        say("\n".join(line for row in rows for line in _lines(row)))
    else:
        say("No baseline yet: it is frozen when the plan is made.")


def revise(*, order_id: str, as_json: bool) -> None:
    """Estimate an order's plan again and store the view.

    Raises:
        NotFound: No such order, or nothing was frozen for it yet.
    """
    with opened() as app:
        book, user = app.baselines, app.environment.user

        def work(connection: Any) -> StoredBaseline:
            state = records.read_state(records.find(connection, order_id).state)
            last = in_force(stored(connection, order_id))
            if state.plan is None:
                raise NotFound("The order has no plan now: wait until it is planned again.")
            view = book.estimate(
                state.plan,
                author=user,
                at=app.clock.now(),
                kind=state.frame.kind if state.frame else "",
                history=book.history(connection),
            )
            book.freeze(
                connection,
                view,
                order_id=order_id,
                plan_revision=last.plan_revision,
                initiator=f"console:{app.environment.user_id}",
                kind=VIEW,
            )
            return stored(connection, order_id)[-1]

        row = app.store.write(work)
    if as_json:
        show_json({"order": order_id, **_document(row)})
    else:
        say("\n".join(_lines(row)))


def compare(*, order_id: str, as_json: bool) -> None:
    """Hold the frozen baseline against what people took, and what the order cost.

    Raises:
        NotFound: No such order, or it has no baseline yet.
    """
    with opened() as app:
        frozen = in_force(_rows(app, order_id))
        taken = app.store.read(lambda c: actuals.of_order(c, order_id))
        document = app.documents.order(order_id)
    if as_json:
        show_json(_comparison(frozen, taken, document))
        return
    say("\n".join([*_lines(frozen), *_taken_lines(frozen, taken), *_cost_lines(document)]))


def _rows(app: App, order_id: str) -> list[StoredBaseline]:
    def work(connection: Any) -> list[StoredBaseline]:
        records.find(connection, order_id)
        return stored(connection, order_id)

    return app.store.read(work)


def _document(row: StoredBaseline) -> dict[str, Any]:
    found = row.baseline
    return {
        "revision": row.revision,
        "kind": row.kind,
        "plan_revision": row.plan_revision,
        "hours": _band(found.hours),
        "elapsed": _band(found.elapsed) if found.elapsed else None,
        "rate": _money(found.rate) if found.rate else None,
        "cost": _money(found.cost),
        "method": found.method,
        "sources": list(found.sources),
        "reference_cases": found.reference_cases,
        "own_cases": found.own_cases,
        "calibration_id": found.calibration_id,
        "author": found.author,
        "frozen_at": iso(found.frozen_at) if found.frozen_at else None,
        "sha256": row.digest,
        "is_intact": row.is_intact,
    }


def _band(band: HoursBand) -> dict[str, str]:
    return {name: plain(getattr(band, name)) for name in ("p10", "p50", "p90")}


def _money(band: CostBand) -> dict[str, str]:
    names = {name: plain(getattr(band, name)) for name in ("p10", "p50", "p90")}
    return {**names, "currency": band.currency}


def _lines(row: StoredBaseline) -> list[str]:
    found = row.baseline
    when = iso(found.frozen_at) if found.frozen_at else "unknown"
    what = "Estimated again" if row.kind == VIEW else "Frozen before the work"
    lines = [
        f"{what}: {when}, by {found.author}, plan {row.plan_revision + 1}",
        f"  {_span(found.hours)} h of work",
    ]
    if found.elapsed is not None:
        lines.append(f"  {_span(found.elapsed)} h by the calendar")
    lines.append(f"  {_span(found.cost)} {found.cost.currency}")
    lines.append(f"  {found.method}")
    lines += [f"  {source}" for source in found.sources]
    if not row.is_intact:
        lines.append("  ALTERED: the text is not the one that was stored. `swarm audit verify`.")
    return lines


def _span(band: HoursBand | CostBand) -> str:
    return f"{plain(band.p10)} to {plain(band.p90)}, most likely {plain(band.p50)}"


def _comparison(
    frozen: StoredBaseline, taken: list[Actual], document: OrderDocument
) -> dict[str, Any]:
    receipt = document.receipt
    return {
        "order": document.id,
        "baseline": _document(frozen),
        "actuals": [_actual(row, frozen) for row in taken],
        "cost": (receipt.total or receipt.model_cost).model_dump(mode="json"),
        "ratio": receipt.ratio.model_dump(mode="json") if receipt.ratio else None,
        "ratio_note": receipt.ratio_note,
    }


def _actual(row: Actual, frozen: StoredBaseline) -> dict[str, Any]:
    return {
        "task": row.task_id,
        "class": row.work,
        "source": row.source,
        "hours": plain(row.hours),
        "estimate_hours": None if row.estimate_hours is None else plain(row.estimate_hours),
        "elapsed_hours": None if row.elapsed_hours is None else plain(row.elapsed_hours),
        "cost": None if row.cost is None else plain(row.cost),
        "currency": row.currency,
        "finished_at": row.finished_at,
        "is_inside_80": _is_inside(row, frozen),
    }


def _is_inside(row: Actual, frozen: StoredBaseline) -> bool | None:
    """Say whether the whole order's hours lie in the frozen band; None for a task of it."""
    if row.task_id is not None:
        return None
    hours = frozen.baseline.hours
    return hours.p10 <= row.hours <= hours.p90


def _taken_lines(frozen: StoredBaseline, taken: list[Actual]) -> list[str]:
    if not taken:
        return ["No people did it yet: `swarm baseline import CSV` takes in what they took."]
    lines = []
    for row in taken:
        who = row.source or "people"
        what = f"task {row.task_id}" if row.task_id else "the order"
        price = "" if row.cost is None else f", {amount(row.cost, row.currency or '')}"
        place = {True: ", inside the band", False: ", outside the band", None: ""}
        lines.append(
            f"{who} took {plain(row.hours)} h for {what}{price}{place[_is_inside(row, frozen)]}"
        )
    return lines


def _cost_lines(document: OrderDocument) -> list[str]:
    receipt = document.receipt
    spent = receipt.model_cost
    if receipt.total is not None:
        at_least = "at least " if receipt.total.is_at_least else ""
        lines = [
            f"The company took {at_least}{amount(receipt.total.amount, receipt.total.currency)}"
        ]
    else:
        lines = [f"The models took {cost(spent, calls=receipt.calls)}"]
    if receipt.ratio is not None:
        return [*lines, f"That is {receipt.ratio.words}."]
    return [*lines, receipt.ratio_note] if receipt.ratio_note else lines


def take_in(*, source: str, as_json: bool) -> int:
    """Store what people took; rows that make no sense are refused one by one.

    Raises:
        InvalidInput: No such table.
    """
    name = "standard input" if source == "-" else source
    table = read_table(read_bytes(source), needed=("actual",), name=name)
    with opened() as app:
        faults: list[Fault] = []

        def work(connection: Any) -> actuals.Stored:
            faults.clear()
            good = []
            for line, row in table.rows:
                try:
                    good.append(actuals.complete(connection, read_actual(row)))
                except (InvalidInput, NotFound) as error:
                    faults.append(Fault(line, str(error)))
            return actuals.store(connection, good, by=app.environment.user, at=app.clock.now())

        result = app.store.write(work)
        history = app.store.read(app.baselines.history)
    if as_json:
        show_json(
            {
                "added": result.added,
                "known": result.known,
                "refused": fault_documents(faults),
                "own_cases": history.count,
                "words": history.words,
            }
        )
    else:
        say(
            f"{counted(result.added, 'row')} added, {result.known} known already, "
            f"{counted(len(faults), 'row')} refused. Bands are now {history.words}."
        )
        tell_faults(faults)
    return exits.USAGE if faults else exits.DONE


def read_actual(row: Any) -> Actual:
    """Return what a row of a table says.

    Raises:
        InvalidInput: A cell that makes no sense.
    """
    currency = row.get("currency", "").upper()
    if currency and not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
        raise InvalidInput(
            f"currency: {currency[:40]!r} is none; write three letters, such as EUR."
        )
    if row.get("cost") and not currency:
        raise InvalidInput("cost: an amount needs its currency beside it; add a column `currency`.")
    if row.get("task") and not row.get("order"):
        raise InvalidInput("task: name the order it is of in a column `order`.")
    return Actual(
        hours=columns.hours(row["actual"], "actual"),
        work=find_class(row["class"]).measured if row.get("class") else ANY,
        estimate_hours=_hours(row, "estimate"),
        order_id=row.get("order") or None,
        task_id=row.get("task") or None,
        elapsed_hours=_hours(row, "elapsed"),
        cost=columns.amount(row["cost"], "cost") if row.get("cost") else None,
        currency=currency or None,
        source=row.get("source", ""),
        finished_at=columns.day(row["finished"]).isoformat() if row.get("finished") else None,
    )


def _hours(row: Any, name: str) -> Any:
    return columns.hours(row[name], name) if row.get(name) else None
