"""What `swarm farm` takes. Nothing here works: that is imported when a command runs.

The docstrings are the help texts.
"""

from typing import Annotated, Any

from typer import Argument, Option

from swarm.cli.lazy import load_last
from swarm.cli.running import plain_typer

Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]
Yes = Annotated[bool, Option("--yes", help="Do not ask.")]
Name = Annotated[str, Argument(metavar="NAME", help="The instance.")]
Within = Annotated[
    float | None,
    Option("--within", metavar="SECONDS", min=1, help="How long it may take to get well."),
]

farm = plain_typer(
    no_args_is_help=True, help="Instances of the company: one for each member of a team."
)


def _work(function: str, /, **arguments: Any) -> int | None:
    result: int | None = load_last(f"swarm.cli.farm_work:{function}")(**arguments)
    return result


@farm.command("up")
def farm_up(
    name: Annotated[str, Argument(metavar="NAME", help="Small letters, digits and dashes.")],
    person: Annotated[str, Option("--for", metavar="PERSON", help="Whose instance it is.")],
    budget: Annotated[
        str | None,
        Option(
            "--budget", metavar="AMOUNT", help="The most it may spend: 20/month, 2/day, 5/order."
        ),
    ] = None,
    driver: Annotated[
        str | None, Option("--driver", metavar="PLACE", help="docker, hetzner or scaleway.")
    ] = None,
    image: Annotated[str | None, Option("--image", metavar="IMAGE", help="What runs.")] = None,
    memory: Annotated[
        int | None, Option("--memory", metavar="MIB", min=32, help="The most memory it may take.")
    ] = None,
    cpus: Annotated[
        str | None, Option("--cpus", metavar="N", help="The most processors, such as 0.5.")
    ] = None,
    port: Annotated[
        int | None,
        Option(
            "--port", metavar="PORT", help="Of this machine's loopback, where one is published."
        ),
    ] = None,
    secrets: Annotated[
        str | None,
        Option("--secrets", metavar="FILE|-", help="Lines NAME=value: the bot's token, keys."),
    ] = None,
    secret: Annotated[
        list[str] | None,
        Option("--secret", metavar="NAME", help="Hand on a variable of this environment."),
    ] = None,
    within_s: Within = None,
    as_json: Json = False,
) -> int | None:
    """Start an instance for a person, and wait until it is well.

    Without --secrets and --secret a terminal is asked for the bot's token and a key. They go to files
    that the instance alone can read. Said again after an interruption, it goes on where it stopped.
    """
    return _work(
        "up", name=name, person=person, budget=budget, driver=driver, image=image, memory_mib=memory,
        cpus=cpus, port=port, secrets=secrets, secret=secret or [], within_s=within_s, as_json=as_json,
    )  # fmt: skip


@farm.command("ls")
def farm_ls(as_json: Json = False) -> int | None:
    """List the instances: whose, how they are, what they cost a day, whether the image drifted."""
    return _work("listed", as_json=as_json)


@farm.command("status")
def farm_status(name: Name, as_json: Json = False) -> int | None:
    """Show one instance: state, image, limits, parts, backups, cost."""
    return _work("status", name=name, as_json=as_json)


@farm.command("logs")
def farm_logs(
    name: Name,
    lines: Annotated[int, Option("-n", "--lines", min=0, help="How many, from the end.")] = 100,
    as_json: Json = False,
) -> int | None:
    """Print what an instance wrote last."""
    return _work("logs", name=name, lines=lines, as_json=as_json)


@farm.command("stop")
def farm_stop(name: Name, as_json: Json = False) -> int | None:
    """Stop an instance; it keeps its data, and stays stopped until it is started."""
    return _work("stop", name=name, as_json=as_json)


@farm.command("start")
def farm_start(name: Name, as_json: Json = False) -> int | None:
    """Start a stopped instance, and wait until it is well."""
    return _work("start", name=name, as_json=as_json)


@farm.command("upgrade")
def farm_upgrade(
    name: Name,
    image: Annotated[
        str | None, Option("--image", metavar="IMAGE", help="What shall run; else the same name.")
    ] = None,
    within_s: Within = None,
    as_json: Json = False,
) -> int | None:
    """Run a newer image on the instance's home.

    A backup is taken before. Where the new one does not get well in time, the old one runs again.
    """
    return _work("upgrade", name=name, image=image, within_s=within_s, as_json=as_json)


@farm.command("backup")
def farm_backup(
    name: Name,
    output: Annotated[
        str | None, Option("--output", metavar="FILE", help="Where to; else in the farm's folder.")
    ] = None,
    as_json: Json = False,
) -> int | None:
    """Write an instance's home to one file, while it runs.

    It is checked when it is made, and sealed with age where farm.backup_recipient is set.
    """
    return _work("backup", name=name, output=output, as_json=as_json)


@farm.command("restore")
def farm_restore(
    name: Name,
    file: Annotated[str, Argument(metavar="FILE", help="A backup.")],
    identity: Annotated[
        str | None, Option("--identity", metavar="FILE", help="The age key of a sealed backup.")
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> int | None:
    """Put a backup in place of an instance's home.

    The file is checked before anything is touched, and what is there is backed up. Afterwards the
    record of who did what is verified.
    """
    return _work("restore", name=name, file=file, identity=identity, yes=yes, as_json=as_json)


@farm.command("rm")
def farm_rm(
    name: Name,
    no_backup: Annotated[
        bool, Option("--no-backup", help="Keep nothing: its data is gone for good.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> int | None:
    """Remove an instance with all its parts; a backup of its home is kept."""
    return _work("remove", name=name, keeps_backup=not no_backup, yes=yes, as_json=as_json)


@farm.command("cost")
def farm_cost(
    month: Annotated[
        str | None, Option("--month", metavar="YYYY-MM", help="One month; else all until now.")
    ] = None,
    events: Annotated[
        bool,
        Option("--events", help="Print the events instead, as `swarm hosting bill -` takes them."),
    ] = False,
    as_json: Json = False,
) -> int | None:
    """Show what the machines cost: each instance's bill, its cost per day, what stands idle."""
    return _work("cost", month=month, shows_events=events, as_json=as_json)


@farm.command("budget")
def farm_budget(
    name: Name,
    amount: Annotated[
        str | None, Argument(metavar="[AMOUNT|none]", help="Of a month, hosting included: 20.")
    ] = None,
    as_json: Json = False,
) -> int | None:
    """Show what an instance may spend in a month, or set it."""
    result: int | None = load_last("swarm.cli.farm_budgets:budget")(
        name=name, amount=amount, as_json=as_json
    )
    return result


@farm.command("check")
def farm_check(
    names: Annotated[
        list[str] | None, Argument(metavar="[NAME]...", help="Only these instances.")
    ] = None,
    as_json: Json = False,
) -> int | None:
    """Hold every instance to its budget of the month: its own hosting, and its company's models.

    Warns from 80 % on. What is over is stopped, never removed, and starts again next month or when its
    budget is raised. Made to be run every hour, by cron or a timer; it ends with 5 while one is over.
    """
    result: int | None = load_last("swarm.cli.farm_budgets:check")(
        names=names or [], as_json=as_json
    )
    return result


@farm.command("reconcile")
def farm_reconcile(
    driver: Annotated[
        list[str] | None, Option("--driver", metavar="PLACE", help="Only this; may be repeated.")
    ] = None,
    mend: Annotated[
        bool, Option("--mend", help="Adopt, close and delete what a dead run left.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> int | None:
    """Hold what there is against the books: what nobody knows of, and what it costs a day."""
    return _work("reconcile", drivers=driver or [], mends=mend, yes=yes, as_json=as_json)


@farm.command("render")
def farm_render(
    name: Annotated[str, Argument(metavar="NAME", help="Small letters, digits and dashes.")],
    person: Annotated[str, Option("--for", metavar="PERSON", help="Whose instance it is.")] = "",
    driver: Annotated[
        str, Option("--driver", metavar="PLACE", help="What the files are for: kubernetes.")
    ] = "kubernetes",
    flavor: Annotated[
        str | None, Option("--flavor", metavar="KIND", help="statefulset or sandbox.")
    ] = None,
    image: Annotated[str | None, Option("--image", metavar="IMAGE", help="What runs.")] = None,
    memory: Annotated[
        int | None, Option("--memory", metavar="MIB", min=32, help="The most memory it may take.")
    ] = None,
    cpus: Annotated[
        str | None, Option("--cpus", metavar="N", help="The most processors, such as 0.5.")
    ] = None,
    namespace: Annotated[
        str | None, Option("--namespace", metavar="NAME", help="Where it is to live there.")
    ] = None,
    output: Annotated[
        str | None, Option("--output", metavar="FOLDER", help="Write a file for each document.")
    ] = None,
    secrets: Annotated[
        str | None, Option("--secrets", metavar="FILE|-", help="Lines NAME=value.")
    ] = None,
    secret: Annotated[
        list[str] | None,
        Option("--secret", metavar="NAME", help="A variable of this environment."),
    ] = None,
    with_secrets: Annotated[
        bool, Option("--with-secrets", help="Write the values too; needs --output.")
    ] = False,
    as_json: Json = False,
) -> int | None:
    """Write the files with which a Kubernetes cluster runs an instance. Nothing is started.

    Secrets are referred to by name; their values are left out unless asked for.
    """
    result: int | None = load_last("swarm.cli.farm_render:rendered")(
        name=name, person=person, driver=driver, flavor=flavor, image=image, memory_mib=memory,
        cpus=cpus, namespace=namespace, output=output, secrets=secrets, secret=secret or [],
        with_values=with_secrets, as_json=as_json,
    )  # fmt: skip
    return result
