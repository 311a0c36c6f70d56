"""With one guard taken out, a test of the guards goes red: none of them is a test that cannot fail."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from swarm.agents.hands import Hands
from swarm.core.mark import CLEAN, Mark
from swarm.ledger import approvals
from swarm.ledger.effects import EffectBook
from swarm.ledger.labels import LabelBook
from swarm.store.tables import approvals as approval_rows
from swarm.tools.policy import Decision, Verdict
from tests.agents import test_signatures as guarded
from tests.agents.test_hands import Bench, bench, store
from tests.agents.test_signatures import Desk, desk, letter

__all__ = ["bench", "desk", "store"]

Test = Callable[..., Awaitable[None]]
SHOWN = (
    '{"tool":"post","effect":"message","arguments":{},"inputs":{},"order":"o1","task":"t1",'
    '"role":"cto","node":"n","seq":0,"position":0}'
)


def unbound(patch: pytest.MonkeyPatch) -> None:
    """Let a signature cover whatever is called."""
    patch.setattr(Hands, "_action", lambda *_: SHOWN)


def unlimited(patch: pytest.MonkeyPatch) -> None:
    """Let a signature be used without a look at its state, its digest and its end."""

    def use(connection: Any, approval_id: str, digest: str, *, now: Any) -> str:
        row = approval_rows.c.id == approval_id
        connection.execute(sa.update(approval_rows).where(row).values(state="used"))
        return "somebody"

    patch.setattr(approvals, "use", use)


def unsettled(patch: pytest.MonkeyPatch) -> None:
    """Take a late word for a word in time."""
    real = approvals.settle

    def settle(*args: Any, is_signed: bool, **more: Any) -> str:
        late = args[1].__class__(**{**_fields(args[1]), "expires_at": "9999"})
        return real(args[0], late, is_signed=is_signed, **more)

    patch.setattr(approvals, "settle", settle)


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def unmarked(patch: pytest.MonkeyPatch) -> None:
    """Forget what was read."""
    patch.setattr(Mark, "after", lambda self, *_, **__: self)


def unjoined(patch: pytest.MonkeyPatch) -> None:
    """Forget what a colleague has read."""
    patch.setattr(Mark, "joined", lambda self, _: self)


def unlabelled(patch: pytest.MonkeyPatch) -> None:
    """Forget whose words a file holds."""

    async def of(*_: Any) -> Mark:
        return CLEAN

    patch.setattr(LabelBook, "of", of)


def ungated(patch: pytest.MonkeyPatch) -> None:
    """Allow everything."""
    free = Verdict(Decision.ALLOW, "mutant")
    patch.setattr("swarm.agents.hands.decide", lambda *_, **__: free)


def unremembered(patch: pytest.MonkeyPatch) -> None:
    """Store nothing before an effect happens."""

    async def begin(*_: Any, **__: Any) -> None:
        return None

    patch.setattr(EffectBook, "begin", begin)


def uncounted(patch: pytest.MonkeyPatch) -> None:
    """Count no hand-overs."""

    async def begin_handoff(*_: Any, **__: Any) -> bool:
        return True

    patch.setattr(EffectBook, "begin_handoff", begin_handoff)


def uncut(patch: pytest.MonkeyPatch) -> None:
    """Show what was written as it was written."""
    patch.setattr("swarm.tools.action.visible", lambda text: text)


async def other_letter(bench: Bench, desk: Desk) -> None:
    changed = letter(to="eve@example.net")
    await guarded.test_what_was_not_shown_does_not_run_on_a_signature_for_something_else(
        bench, desk, changed
    )


MUTANTS: list[tuple[Callable[[pytest.MonkeyPatch], None], Test]] = [
    (unbound, other_letter),
    (unbound, guarded.test_a_file_changed_after_the_signature_is_not_sent),
    (unlimited, guarded.test_a_signature_that_ran_out_opens_nothing),
    (unsettled, guarded.test_a_word_that_comes_too_late_signs_nothing),
    (unmarked, guarded.test_reading_strangers_words_closes_what_the_company_allows),
    (unjoined, guarded.test_a_colleagues_reading_marks_whoever_asked),
    (unlabelled, guarded.test_a_file_that_a_marked_task_wrote_marks_its_reader),
    (unlabelled, guarded.test_a_command_reads_and_writes_whatever_lies_there),
    (ungated, guarded.test_nobody_signs_for_the_founder_where_nobody_may_be_asked),
    (unremembered, guarded.test_an_effect_found_begun_after_a_crash_is_not_tried_again),
    (uncounted, guarded.test_hand_overs_of_an_order_are_counted_across_its_tasks),
    (uncut, guarded.test_a_request_shows_all_of_it_and_hides_no_sign),
]


@pytest.mark.parametrize(
    ("mutant", "test"), MUTANTS, ids=lambda found: getattr(found, "__name__", "")
)
async def test_a_removed_guard_is_noticed(
    mutant: Callable[[pytest.MonkeyPatch], None],
    test: Test,
    bench: Bench,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = test.__code__.co_varnames[: test.__code__.co_argcount]
    given = {name: value for name, value in {"bench": bench, "desk": desk}.items() if name in names}
    mutant(monkeypatch)
    with pytest.raises((AssertionError, ValueError, KeyError, RuntimeError, IndexError)):
        await test(**given)
