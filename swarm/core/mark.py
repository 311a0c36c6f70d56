"""What a task has read so far: the reason why the policy trusts it less.

A mark only grows. It goes with the task's files, memories, hand-overs and with the tasks that
build on its result.
"""

from pydantic import BaseModel, ConfigDict

from swarm.core.origin import Origin

_WORST_FIRST = (Origin.WEB, Origin.TOOL, Origin.CUSTOMER)


class Mark(BaseModel):
    """Whose words a task has read besides the founder's, and whether it knows something private."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origins: tuple[Origin, ...] = ()
    """Untrusted origins, each once, sorted."""
    is_private: bool = False
    """True once the task has read what only the company, or one customer, may know."""

    @property
    def is_marked(self) -> bool:
        """True once words were read that are not the founder's or the team's."""
        return bool(self.origins)

    @property
    def is_clean(self) -> bool:
        """True while nothing untrusted and nothing private was read."""
        return not self.origins and not self.is_private

    @property
    def origin(self) -> Origin:
        """Return the origin of what the task writes: the least trusted of what it read."""
        return next((o for o in _WORST_FIRST if o in self.origins), Origin.TEAM)

    def after(self, origin: Origin, *, is_private: bool = False) -> "Mark":
        """Return the mark after reading words of an origin."""
        known = set(self.origins) if origin.is_trusted else {*self.origins, origin}
        return Mark(origins=tuple(sorted(known)), is_private=self.is_private or is_private)

    def joined(self, other: "Mark") -> "Mark":
        """Return the mark of who has read what both have read."""
        return Mark(
            origins=tuple(sorted({*self.origins, *other.origins})),
            is_private=self.is_private or other.is_private,
        )


CLEAN = Mark()
