"""Where the rooms' config classes join. The only reader of the environment and of company.yaml."""

import os
import re
import stat
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from swarm.channels.slack.config import SlackConfig
from swarm.channels.telegram.config import TelegramConfig
from swarm.channels.voice.config import VoiceConfig
from swarm.channels.whatsapp.config import WhatsAppConfig
from swarm.core.errors import ConfigError
from swarm.core.registry import nearest
from swarm.farm.config import FarmConfig
from swarm.ledger.attention import FounderTimeConfig
from swarm.ledger.baseline.config import BaselineConfig
from swarm.ledger.budget import BudgetConfig
from swarm.ledger.hosting.terms import HostingConfig
from swarm.ledger.prices import PriceSetting
from swarm.ledger.reports.config import ReportConfig
from swarm.llm.base import LLMConfig
from swarm.llm.choose import provider_keys
from swarm.memory.base import MemoryConfig
from swarm.runtime.company import LimitsConfig
from swarm.runtime.customers_config import CustomersConfig, same_account
from swarm.runtime.monitoring_config import MonitoringConfig
from swarm.runtime.quiet import QuietConfig
from swarm.runtime.worker_config import WorkerConfig
from swarm.store.companies import MAIN, checked
from swarm.store.database import sqlite_url
from swarm.store.postgres import password_of, same_database
from swarm.tools.http import WebConfig
from swarm.tools.mcp.config import McpConfig
from swarm.tools.policy import PolicyConfig

PREFIX = "SWARM_"
FROM_FILE = "_FILE"
MAX_SECRET_BYTES = 64 * 1024
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
FILE = "company.yaml"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Settings(BaseModel):
    """All that can be set, by `company.yaml` and by the environment, which wins.

    `SWARM_LLM__MODEL` is `llm.model`: two underscores for each step down.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = "My company"
    founder: str = ""
    """Who signs when nobody is named; empty takes the operating system's user."""
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$")
    """Of budgets and receipts."""
    rates: dict[str, Decimal] = Field(default_factory=dict)
    """Price of one unit of another currency, in the company's."""
    prices: dict[str, PriceSetting] = Field(default_factory=dict)
    """Own prices by model; they win over the price book."""
    database_url: str | None = None
    """SQLAlchemy address; None is `swarm.db` in the home."""
    database_owner_url: str | None = None
    """The same Postgres by the role that owns the tables, for `swarm db upgrade`, `swarm db companies`
    and `swarm init`; None takes `database_url` for that too."""
    company: str = MAIN
    """Id of the company in a Postgres that holds several; a SQLite file holds one, whatever its id."""
    channels: tuple[str, ...] = ("console",)
    """Channels that `swarm up` listens to."""
    llm: LLMConfig = Field(default_factory=LLMConfig)
    budget: BudgetConfig = Field(default_factory=BudgetConfig)
    founder_time: FounderTimeConfig = Field(default_factory=FounderTimeConfig)
    baseline: BaselineConfig = Field(default_factory=BaselineConfig)
    hosting: HostingConfig = Field(default_factory=HostingConfig)
    report: ReportConfig = Field(default_factory=ReportConfig)
    telegram: TelegramConfig = Field(default_factory=TelegramConfig)
    slack: SlackConfig = Field(default_factory=SlackConfig)
    whatsapp: WhatsAppConfig = Field(default_factory=WhatsAppConfig)
    customers: CustomersConfig = Field(default_factory=CustomersConfig)
    voice: VoiceConfig = Field(default_factory=VoiceConfig)
    quiet_hours: QuietConfig = Field(default_factory=QuietConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    monitoring: MonitoringConfig = Field(default_factory=MonitoringConfig)
    worker: WorkerConfig = Field(default_factory=WorkerConfig)
    policy: PolicyConfig = Field(default_factory=PolicyConfig)
    web: WebConfig = Field(default_factory=WebConfig)
    memory: MemoryConfig = Field(default_factory=MemoryConfig)
    mcp: McpConfig = Field(default_factory=McpConfig)
    farm: FarmConfig = Field(default_factory=FarmConfig)

    @field_validator("company")
    @classmethod
    def _is_id(cls, value: str) -> str:
        try:
            return checked(value)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _owner(self) -> "Settings":
        """Refuse an owner of another database than the one that is worked on."""
        owner, worked_on = self.database_owner_url, self.database_url
        if owner and worked_on and not same_database(owner, worked_on):
            raise ValueError(
                "database_owner_url (SWARM_DATABASE_OWNER_URL) has to name the Postgres that "
                "database_url (SWARM_DATABASE_URL) names, by another user"
            )
        return self

    @model_validator(mode="after")
    def _accounts(self) -> "Settings":
        """Refuse customers on an account on which founders are known."""
        own = self.customers
        shared = same_account(
            telegram=(self.telegram, own.telegram),
            slack=(self.slack, own.slack),
            whatsapp=(self.whatsapp, own.whatsapp),
        )
        if shared:
            raise ValueError(shared)
        return self


class Environment(BaseModel):
    """What one process found around it."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    home: Path
    settings: Settings
    provider_keys: tuple[str, ...]
    """Names of the provider keys that are set; never their values."""
    user: str
    user_id: str

    @property
    def database_url(self) -> str:
        """Return the address of the company's database."""
        return self.settings.database_url or sqlite_url(self.home / "swarm.db")

    @property
    def owner_url(self) -> str:
        """Return its address by the role that may change tables."""
        settings = self.settings
        return (settings.database_url and settings.database_owner_url) or self.database_url


def load(environment: Mapping[str, str] | None = None) -> Environment:
    """Read the environment and the home's company.yaml.

    Raises:
        ConfigError: Unknown keys (the nearest known one is named) and wrong values, all at once.
    """
    env = os.environ if environment is None else environment  # noqa: TID251  # the one reader
    own = _own_variables(home_of(env) / OWN_FILE)
    # What stands in the company's own file holds wherever it is worked; the environment wins.
    env = {**own, **{name: value for name, value in env.items() if value or name not in own}}
    from_files = _from_files(env)
    if environment is None:
        _hand_on({name: own[name] for name in own if name in env and env[name] == own[name]})
        _hand_on(from_files)
    env = {name: value for name, value in env.items() if not _names_file(name)} | from_files
    home = home_of(env)
    written = _with_secrets(_read_file(home / FILE), env, home / FILE)
    document = _merge(written, _from_environment(env))
    settings = _validate(document, home / FILE)
    user = env.get("USER") or env.get("LOGNAME") or "founder"
    return Environment(
        home=home,
        settings=settings,
        provider_keys=tuple(name for name in provider_keys() if env.get(name)),
        user=settings.founder or user,
        user_id=str(os.getuid()),
    )


OWN_FILE = "company.env"
"""In a home: variables of this company alone, a `NAME=value` a line."""
OF_ONE = re.compile(
    r"SWARM_(TELEGRAM__(TOKEN|FOUNDERS|GROUPS|WEBHOOK.*)|SLACK__\w+|WHATSAPP__\w+|CUSTOMERS__\w+|"
    r"DATABASE_URL|COMPANY|NAME|FOUNDER|MONITORING__LISTEN)(_FILE)?"
)
"""Variables that can only be one company's."""


def of_company(home: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of one company of many: what all share, then its own `company.env`.

    Raises:
        ConfigError: The file cannot be read, or a variable that can only be one company's is shared.
    """
    shared = os.environ if environment is None else environment  # noqa: TID251  # the one reader
    misplaced = sorted(name for name in shared if OF_ONE.fullmatch(name) and shared[name])
    if misplaced:
        raise ConfigError(
            f"{misplaced[0]} is set for all companies, and can only be one's: put it into "
            f"{home / OWN_FILE}."
        )
    return {**shared, **_own_variables(home / OWN_FILE), "SWARM_HOME": str(home)}


def _own_variables(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, sign, value = line.strip().removeprefix("export ").partition("=")
        if not name or name.startswith("#"):
            continue
        if not sign or not _NAME.fullmatch(name):
            raise ConfigError(f"{path}:{number}: write NAME=value, or begin a remark with #.")
        quote = value[:1]
        if len(value) > 1 and quote in ("'", '"') and value.endswith(quote):
            value = value[1:-1]
        found[name] = value
    return found


def _from_files(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables whose values lie in files, as Docker and Kubernetes hand out secrets.

    `SWARM_TELEGRAM__TOKEN_FILE=/run/secrets/token` sets `SWARM_TELEGRAM__TOKEN`; the same goes for
    the providers' keys. Spaces and line ends around the value are not part of it.

    Raises:
        ConfigError: The file cannot be read or is empty, or the variable itself is set too.
    """
    found: dict[str, str] = {}
    for name in sorted(filter(_names_file, env)):
        target = name.removesuffix(FROM_FILE)
        # An empty variable is an unset one: compose files pass those on.
        if env[name] and env.get(target):
            raise ConfigError(f"{target} and {name} are both set; keep one of them.")
        if env[name]:
            found[target] = _secret(name, Path(env[name]))
    return found


def _names_file(name: str) -> bool:
    target = name.removesuffix(FROM_FILE)
    return target != name and (target.startswith(PREFIX) or target in provider_keys())


def _hand_on(secrets: Mapping[str, str]) -> None:
    """Put providers' keys into this process's environment, the one place where litellm looks.

    What is put there shows in no list of processes, and the sandbox's environment is its own.
    """
    for name in provider_keys().keys() & secrets.keys():
        os.environ[name] = secrets[name]  # noqa: TID251  # set, not read; see above
        # Read once: what is loaded later in this process finds the key itself.
        os.environ.pop(name + FROM_FILE, None)  # noqa: TID251  # see above


def _secret(name: str, path: Path) -> str:
    try:
        if path.stat().st_size > MAX_SECRET_BYTES:
            raise ConfigError(f"{name}: {path} is no secret: it is larger than 64 KiB.")
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"{name}: {path} cannot be read: {why}.") from error
    if not text:
        raise ConfigError(f"{name}: {path} is empty.")
    return text


def home_of(environment: Mapping[str, str] | None = None) -> Path:
    """Return the company's folder, which need not exist."""
    env = os.environ if environment is None else environment  # noqa: TID251  # the one reader
    home = Path(env.get("SWARM_HOME") or Path(env.get("HOME") or "~").expanduser() / ".swarm")
    return home.expanduser().absolute()


def secret_named(name: str, environment: Mapping[str, str] | None = None) -> SecretStr:
    """Return the value of one variable of the environment, to be handed to an instance.

    Raises:
        ConfigError: It is not set, here or by its `…_FILE`.
    """
    env = os.environ if environment is None else environment  # noqa: TID251  # the one reader
    if path := env.get(name + FROM_FILE):
        return SecretStr(_secret(name + FROM_FILE, Path(path)))
    if not env.get(name):
        raise ConfigError(
            f"{name} is not set in the environment, and neither is {name}{FROM_FILE}."
        )
    return SecretStr(env[name])


_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)


def secret_values(
    settings: Settings, environment: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """Return what must never be written down, by name: secret settings and variables."""
    env = os.environ if environment is None else environment  # noqa: TID251  # the one reader
    found = [(name, value) for name, value in env.items() if _SECRET_NAME.search(name)]
    for name in ("database_url", "database_owner_url"):
        address = getattr(settings, name)
        if address and (password := password_of(address)):
            found.append((name, password))
    return [*found, *_secret_settings(settings, "")]


def _secret_settings(model: BaseModel, path: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, SecretStr):
            found.append((f"{path}{name}", value.get_secret_value()))
        elif isinstance(value, BaseModel):
            found += _secret_settings(value, f"{path}{name}.")
    return found


def _read_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}"
        ) from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: write `key: value` lines, as `swarm init` did.")
    return document


def _with_secrets(document: dict[str, Any], env: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Fill in `${NAME}` in the environment of MCP servers, the one place where secrets are passed on.

    Raises:
        ConfigError: The variable is not set.
    """

    def filled(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        missing = [name for name in _VARIABLE.findall(value) if not env.get(name)]
        if missing:
            raise ConfigError(f"{path}: mcp: ${{{missing[0]}}} is not set in the environment.")
        return _VARIABLE.sub(lambda match: env[match[1]], value)

    for server in _tree(_tree(document.get("mcp")).get("servers")).values():
        for name, value in _tree(_tree(server).get("env")).items():
            server["env"][name] = filled(value)
    return document


def _tree(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name in sorted(env):
        # An empty variable is an unset one: compose files pass those on.
        if not name.startswith(PREFIX) or name == "SWARM_HOME" or not env[name]:
            continue
        if name.startswith(f"{PREFIX}MCP__"):
            # A variable is easily set by what runs in a workspace; a command to start is not left
            # to that.
            raise ConfigError(f"{name}: MCP servers are set in {FILE} alone.")
        *parents, key = name.removeprefix(PREFIX).lower().split("__")
        place = document
        for parent in parents:
            child = place.setdefault(parent, {})
            if not isinstance(child, dict):
                raise ConfigError(
                    f"{name}: {parent} is set as a single value too; keep one of them."
                )
            place = child
        place[key] = _value(env[name])
    return document


def _value(text: str) -> Any:
    """Read lists and mappings as YAML; all else stays text and is read by the field's type."""
    if text[:1] in ("[", "{"):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            return text
    return text


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = (
            _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


def _validate(document: dict[str, Any], path: Path) -> Settings:
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        faults = [_fault(item) for item in error.errors(include_url=False, include_input=False)]
        raise ConfigError(
            f"Settings ({path} and {PREFIX}… variables):\n  " + "\n  ".join(faults)
        ) from error


def _fault(item: Any) -> str:
    location = [str(part) for part in item["loc"]]
    if item["type"] != "extra_forbidden":
        # What is off between two sections has no place of its own.
        return ": ".join(filter(None, (".".join(location), str(item["msg"]))))
    variable = PREFIX + "__".join(location).upper()
    known = _fields(Settings, location[:-1])
    return f"{'.'.join(location)} ({variable}): unknown key{nearest(location[-1], known)}"


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the keys known at a place of the settings."""
    for part in path:
        field = model.model_fields.get(part)
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)


def make_home(home: Path) -> None:
    """Create the company's folder, for its owner's eyes only.

    Raises:
        ConfigError: It cannot be created or written.
    """
    remedy = (
        "Give it a folder of its own: in a container a volume, `-v NAME:/data`; elsewhere set "
        "SWARM_HOME."
    )
    try:
        home.mkdir(parents=True, exist_ok=True, mode=stat.S_IRWXU)
    except OSError as error:
        raise ConfigError(f"{home} cannot be created: {error.strerror}. {remedy}") from error
    if not os.access(home, os.W_OK | os.X_OK):
        raise ConfigError(f"{home} cannot be written by user id {os.getuid()}. {remedy}")
