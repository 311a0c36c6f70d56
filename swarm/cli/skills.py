"""What `swarm skills` takes. The work is in `skill_shelf`, imported when a command runs.

The docstrings are the help texts.
"""

from typing import Annotated

from typer import Argument, Option

from swarm.cli.lazy import load_last
from swarm.cli.running import plain_typer

Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]
Name = Annotated[str, Argument(metavar="NAME", help="The skill's name.")]
_WORK = "swarm.cli.skill_shelf"

skills = plain_typer(no_args_is_help=True, help="What the roles know how to do.")


@skills.command("list")
def skills_list(as_json: Json = False) -> int | None:
    """List the skills, shipped and your own, and which of them may be used."""
    result: int | None = load_last(f"{_WORK}:listed")(as_json=as_json)
    return result


@skills.command("show")
def skills_show(name: Name, as_json: Json = False) -> int | None:
    """Show a skill whole: every file, every hidden sign written out, and its digest."""
    result: int | None = load_last(f"{_WORK}:show")(name=name, as_json=as_json)
    return result


@skills.command("approve")
def skills_approve(
    name: Name,
    yes: Annotated[bool, Option("--yes", help="Do not ask; for what you have read.")] = False,
    digest: Annotated[
        str, Option("--digest", metavar="SHA256", help="Only if the skill still has this digest.")
    ] = "",
    as_json: Json = False,
) -> int | None:
    """Let your roles use a skill of the folder skills/ in the company's home.

    The whole content is shown first. What is approved is exactly that: one changed byte, and the
    skill is closed again.
    """
    result: int | None = load_last(f"{_WORK}:approve")(
        name=name, yes=yes, digest=digest, as_json=as_json
    )
    return result


@skills.command("revoke")
def skills_revoke(name: Name, as_json: Json = False) -> int | None:
    """Take an approval back; the files stay."""
    result: int | None = load_last(f"{_WORK}:revoke")(name=name, as_json=as_json)
    return result
