"""A farm in memory: instances that cost nothing and vanish with the process."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from swarm.core.errors import Conflict, InvalidInput, NotFound
from swarm.core.money import Money
from swarm.farm.base import Instance, InstanceSpec, InstanceState


@dataclass(slots=True)
class _Kept:
    spec: InstanceSpec
    instance: Instance
    lines: list[str] = field(default_factory=list)


class FakeDriver:
    """Do what a driver does, on a dictionary."""

    name = "fake"

    def __init__(self, prices: Mapping[int, Money]) -> None:
        """`prices` holds the price of an hour by size in MiB of memory."""
        self._prices = dict(prices)
        self._kept: dict[str, _Kept] = {}

    async def price(self, spec: InstanceSpec) -> Money:
        """Return the hourly price of the smallest size that holds the instance.

        Raises:
            InvalidInput: No size is large enough.
        """
        fitting = [size for size in self._prices if size >= spec.memory_mib]
        if not fitting:
            largest = max(self._prices, default=0)
            raise InvalidInput(
                f"no size with {spec.memory_mib} MiB of memory; the largest has {largest}"
            )
        return self._prices[min(fitting)]

    async def create(self, spec: InstanceSpec) -> Instance:
        """Create and start it; an existing one of that name and owner is returned as it is.

        Raises:
            Conflict: The name belongs to another owner.
            InvalidInput: No size is large enough.
        """
        kept = self._kept.get(spec.name)
        if kept is None:
            await self.price(spec)
            kept = _Kept(spec, Instance(spec.name, spec.owner, InstanceState.RUNNING))
            self._kept[spec.name] = kept
            kept.lines.append(f"started {spec.image}")
        if kept.spec.owner != spec.owner:
            raise Conflict(f"the name {spec.name!r} belongs to somebody else; choose another")
        return kept.instance

    async def start(self, name: str) -> None:
        """Start it. Raises NotFound."""
        self._set(name, InstanceState.RUNNING, "started")

    async def stop(self, name: str) -> None:
        """Stop it, keeping its lines. Raises NotFound."""
        self._set(name, InstanceState.STOPPED, "stopped")

    async def logs(self, name: str, *, lines: int = 100) -> str:
        """Return the last lines it wrote. Raises NotFound."""
        return "\n".join(self._find(name).lines[-lines:] if lines > 0 else [])

    async def destroy(self, name: str) -> None:
        """Remove it and its lines; an unknown name is already destroyed."""
        self._kept.pop(name, None)

    def write(self, name: str, line: str) -> None:
        """Let an instance write a line to its log. Raises NotFound."""
        self._find(name).lines.append(line)

    # Last, because inside this class the word means the method from here on.
    async def list(self) -> list[Instance]:
        """Return all instances this farm made, by name."""
        return [self._kept[name].instance for name in sorted(self._kept)]

    def _find(self, name: str) -> _Kept:
        if name not in self._kept:
            raise NotFound(f"no instance {name!r} in this farm")
        return self._kept[name]

    def _set(self, name: str, state: InstanceState, word: str) -> None:
        kept = self._find(name)
        # Said again, a verb changes nothing, not even the log.
        if kept.instance.state is not state:
            kept.instance = replace(kept.instance, state=state)
            kept.lines.append(f"{word} {kept.spec.image}")
