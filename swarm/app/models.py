"""What roles think and act with: models, prices, tools, skills."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from swarm.app.ground import Ground
from swarm.app.parts import PARTS
from swarm.core.role import MCP_PREFIX, Role
from swarm.ledger.metered import ModelAccess
from swarm.ledger.prices import PriceBook
from swarm.llm import choose
from swarm.llm.registry import MODELS, adapter_name
from swarm.org.loader import Org, builtin_roles, load_org
from swarm.runtime.company import Kit
from swarm.sandbox.base import Sandbox
from swarm.tools.base import Tool
from swarm.tools.registry import TOOLS

if TYPE_CHECKING:
    from swarm.tools.mcp import McpServers
    from swarm.tools.skills import SkillShelf


class Models(Ground):
    """Models and tools of a company."""

    @cached_property
    def choice(self) -> choose.Choice:
        """Return which model serves, and why; may ask local servers."""
        return choose.choose(
            self.settings.llm,
            keys=self.environment.provider_keys,
            probe=choose.probe_server,
            has_local=choose.local_extra_installed(),
        )

    @property
    def model_sentence(self) -> str:
        """Say which model serves, as far as that is known without asking a server."""
        llm = self.settings.llm
        is_known = llm.model or llm.api_base or self.environment.provider_keys
        if is_known or "choice" in self.__dict__:
            return self.choice.sentence
        return "Model: looked for at the first order, since none is set and no key was found."

    def access(self, model: str) -> ModelAccess:
        """Return the adapter of a model, made on first use."""
        if self._stage is not None:
            own = self._stage.is_own_hardware(model)
            return ModelAccess(self._stage.llm, is_own_hardware=own)
        is_vectors = model == self.settings.memory.embedding_model
        name = "embedding" if is_vectors else adapter_name(model)
        if name not in self._llms:
            config = self.settings.llm.model_copy(update={"api_base": self.choice.api_base})
            extra: dict[str, Any] = {"cache": self.home / "cache"} if name == "local" else {}
            self._llms[name] = MODELS.load(name)(config, **extra)
        # An own server serves every model of its adapter: all of them go to its address.
        is_own = self.choice.is_own_hardware and adapter_name(model) == adapter_name(
            self.choice.model
        )
        return ModelAccess(self._llms[name], is_own_hardware=is_own)

    @cached_property
    def prices(self) -> PriceBook:
        """Return the price book with the company's own prices."""
        if self._stage is not None and self._stage.prices is not None:
            return self._stage.prices
        folder = self.home / "prices"
        return PriceBook.load(overrides=self.settings.prices, folder=folder)

    @cached_property
    def org(self) -> Org:
        """Return the roles; raises ConfigError with every mistake in them."""
        return load_org(
            builtin_roles(), self.home / "roles", known_tools=TOOLS.names(), known_model=None
        )

    @cached_property
    def skills(self) -> "SkillShelf":
        """Return the shipped skills and the company's own, which a person approved."""
        shelf: SkillShelf = PARTS.load("skills")(self.home)
        return shelf

    @cached_property
    def mcp(self) -> "McpServers":
        """Return the MCP servers; each starts when a role first needs it."""
        servers: McpServers = PARTS.load("mcp")(self.settings.mcp, self.home / "mcp.lock")
        return servers

    @cached_property
    def kit(self) -> Kit:
        """Return what tools work with."""
        return Kit(
            choose_sandbox=self._choose_sandbox,
            web=PARTS.load("web")(self.settings.web),
            skills=self.skills,
            clock=self.clock,
        )

    async def _choose_sandbox(self) -> Sandbox | None:
        if self._stage is not None and not self._stage.has_sandbox:
            return None
        choice = await PARTS.load("sandbox")()
        sandbox: Sandbox | None = choice.sandbox
        return sandbox

    async def load_tools(self, role: Role) -> dict[str, Tool]:
        """Return the tools a role declares, ready to use."""
        named = [name for name in role.tools if not name.startswith(MCP_PREFIX)]
        tools: dict[str, Tool] = {name: TOOLS.load(name)() for name in named}
        foreign = [name for name in role.tools if name.startswith(MCP_PREFIX)]
        if self._stage is not None:
            known = self.mcp.tools(foreign) if foreign and self.settings.mcp.servers else {}
            tools |= {n: tool for n, tool in known.items() if n in self._stage.mcp_tools}
            return {name: self._stage.wrap(tool) for name, tool in tools.items()}
        if foreign and self.settings.mcp.servers:
            tools |= await self.mcp.offered(foreign)
        return tools

    async def close_models(self) -> None:
        """Close every model adapter and MCP server that was used."""
        while self._llms:
            _, llm = self._llms.popitem()
            await llm.close()
        if "mcp" in self.__dict__:
            await self.mcp.close()
