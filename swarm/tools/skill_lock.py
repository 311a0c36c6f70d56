"""Which of a company's own skills a person has approved, as `skills.lock` says it."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from swarm.core.clock import Clock, iso
from swarm.core.errors import ConfigError
from swarm.tools.skills import Skill, SkillShelf

FILE = "skills.lock"


class SkillApproval(BaseModel):
    """Who let a skill in, and exactly which bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    approved_by: str
    approved_by_id: str
    """The operating system's id of who did it: names can be set, ids less so."""
    approved_at: str


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int = Field(1, ge=1, le=1)
    skills: dict[str, SkillApproval] = Field(default_factory=dict)


class SkillLock:
    """Read and write a company's approvals. No tool does: only a person at a terminal."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.path = home / FILE

    def is_approved(self, name: str, digest: str) -> bool:
        """Return whether a person approved exactly this.

        Raises:
            ConfigError: The file cannot be read; nothing counts as approved then.
        """
        known = self._read().skills.get(name)
        return known is not None and known.sha256 == digest

    def was_approved(self, name: str) -> bool:
        """Return whether a person approved a skill of this name, whatever it held.

        Raises:
            ConfigError: The file cannot be read.
        """
        return name in self._read().skills

    def approvals(self) -> dict[str, SkillApproval]:
        """Return all approvals by the skills' names.

        Raises:
            ConfigError: The file cannot be read.
        """
        return self._read().skills

    def approve(self, skill: Skill, *, by: str, by_id: str, clock: Clock) -> SkillApproval:
        """Store that a person let in exactly what `skill` holds.

        Raises:
            ConfigError: The file cannot be read or written; nothing was changed.
        """
        approval = SkillApproval(
            sha256=skill.digest,
            approved_by=by,
            approved_by_id=by_id,
            approved_at=iso(clock.now()),
        )
        self._change(lambda skills: skills.update({skill.name: approval}))
        return approval

    def revoke(self, name: str) -> bool:
        """Take an approval back; False where there was none.

        Raises:
            ConfigError: The file cannot be read or written; nothing was changed.
        """
        removed: list[SkillApproval | None] = []
        self._change(lambda skills: removed.append(skills.pop(name, None)))
        return removed != [None]

    def _read(self) -> _Document:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return _Document()
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {error.strerror}.") from error
        with os.fdopen(descriptor, "rb") as file:
            try:
                return _Document.model_validate_json(file.read())
            except ValidationError as error:
                raise ConfigError(
                    f"{self.path} is damaged, so no skill of the company can be used: delete it, "
                    "and approve them again."
                ) from error

    def _change(self, change: Callable[[dict[str, SkillApproval]], object]) -> None:
        with self._alone():
            document = self._read()
            change(document.skills)
            text = json.dumps(document.model_dump(), indent=2, sort_keys=True) + "\n"
            try:
                self._write(text)
            except OSError as error:
                raise ConfigError(f"{self.path} cannot be written: {error.strerror}.") from error

    def _write(self, text: str) -> None:
        """Put the text in place in one step, so that a reader sees the old file or the new one."""
        draft = self.path.with_suffix(f".{os.getpid()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(draft, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one change at a time happen: each is a reading and a writing of the whole."""
        try:
            descriptor = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(f"{self._home} cannot be opened: {error.strerror}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def builtin_skills() -> Path:
    """Return the folder of the skills that come with the program."""
    return Path(__file__).parent.parent / "skills"


def open_shelf(home: Path) -> SkillShelf:
    """Return the skills of a company: the shipped ones, and those in `skills/` of its home."""
    lock = SkillLock(home)
    return SkillShelf(
        builtin_skills(), home / "skills", lock.is_approved, was_approved=lock.was_approved
    )
