"""With a model for vectors, memories are found by what they mean, on the order's account."""

from decimal import Decimal

from swarm.core.money import CostStatus
from swarm.core.origin import Origin
from swarm.memory.base import PLAIN, Detail, MemoryKind, Scope
from tests.acceptance.at_work import AtWork, prompt_of, provider_of
from tests.acceptance.conftest import Open
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Body, Reply

EMBEDDER = "openai/embedder-1"
ORDER = "Prepare a hot beverage corner."
TEA = "Visitors in our lobby always get jasmine tea."
DRINKS = ("tea", "coffee", "beverage")


def with_vectors(provider: ScriptedProvider, *, fails: bool = False) -> ScriptedProvider:
    """Let a provider of chat completions answer requests for vectors too: of two senses."""
    talk = provider.script

    def answer(request: Body) -> Body | Reply:
        if "input" not in request:
            return talk(request)
        if fails:
            return Reply({"error": {"message": "no such model"}}, status=404)
        data = [
            {"object": "embedding", "index": place, "embedding": sense_of(text)}
            for place, text in enumerate(request["input"])
        ]
        usage = {"prompt_tokens": 9, "total_tokens": 9}
        return {"object": "list", "data": data, "model": request["model"], "usage": usage}

    provider.script = answer
    return provider


def sense_of(text: str) -> list[float]:
    return [2.0, 0.1] if any(drink in text for drink in DRINKS) else [0.1, 2.0]


def remember(company: AtWork, text: str, detail: Detail = PLAIN) -> None:
    memory = company.app.memory
    memory.remember(text, kind=MemoryKind.FACT, origin=Origin.FOUNDER, detail=detail)


async def test_an_order_finds_a_memory_that_shares_no_word_with_it_and_pays_for_that(
    opened: Open,
) -> None:
    provider = with_vectors(provider_of())
    async with opened(provider, memory__embedding_model=EMBEDDER) as company:
        remember(company, TEA)
        remember(company, "coffee only black", Detail(Scope.CUSTOMER, "c1"))
        done = await company.deliver(ORDER)
        lines = [row for row in company.ledger(done.id) if row["model"] == EMBEDDER]
        assert TEA in prompt_of(company.asked("frame")[0])
        asked = [text for body in provider.bodies for text in body.get("input", [])]
        assert TEA in asked
        assert "coffee only black" not in asked
        assert all(row["input_tokens"] == 9 for row in lines)
        assert {row["cost_status"] for row in lines} == {CostStatus.UNPRICED.value}
        assert len(lines) == len([body for body in provider.bodies if "input" in body])
        assert done.receipt.calls == len(company.ledger(done.id))


async def test_a_model_for_vectors_that_fails_leaves_recall_by_words(opened: Open) -> None:
    provider = with_vectors(provider_of(), fails=True)
    async with opened(provider, memory__embedding_model=EMBEDDER) as company:
        remember(company, "The corner has a hot plate.")
        done = await company.deliver(ORDER)
        assert "The corner has a hot plate." in prompt_of(company.asked("frame")[0])
        assert done.receipt.model_cost.amount > Decimal(0)


async def test_at_the_company_s_own_door_nobody_is_asked_for_vectors(opened: Open) -> None:
    provider = with_vectors(provider_of())
    async with opened(provider, memory__embedding_model=EMBEDDER) as company:
        remember(company, TEA)
        assert [item.text for item in company.app.memory.recall("jasmine")] == [TEA]
        assert provider.bodies == []
