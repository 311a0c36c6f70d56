"""Parts that are loaded on first use, by name."""

from importlib.util import find_spec

from swarm.core.errors import ConfigError
from swarm.core.registry import Registry

ENGINES = Registry("engine", {"dbos": "swarm.runtime.dbos_engine:DbosEngine"})
PARTS = Registry(
    "part",
    {
        "web": "swarm.tools.http:WebClient",
        "skills": "swarm.tools.skill_lock:open_shelf",
        "mcp": "swarm.tools.mcp:McpServers",
        "sandbox": "swarm.sandbox.choose:choose",
        "baselines": "swarm.ledger.baseline.frozen:BaselineBook",
        "desks": "swarm.runtime.turn:Desks",
        "front": "swarm.runtime.front:Front",
        "transcriber": "swarm.channels.voice.apart:WhisperApart",
        "paid transcriber": "swarm.runtime.transcribing:PaidTranscriber",
        "transcriptions": "swarm.llm.transcription:Transcriptions",
        "unplaced book": "swarm.ledger.unplaced:UnplacedBook",
        "metered voice": "swarm.ledger.unplaced:MeteredVoice",
        "shelter": "swarm.runtime.shelter:Shelter",
        "sheltered station": "swarm.runtime.shelter_station:ShelteredStation",
        "station": "swarm.runtime.station:DatabaseStation",
        "menu": "swarm.runtime.commands:menu",
        "customers menu": "swarm.runtime.customers_desk:menu",
        "knowledge": "swarm.memory.knowledge:Knowledge",
        "quiet": "swarm.runtime.quiet_desk:QuietDesk",
        "digest text": "swarm.runtime.digest_text:DigestText",
        "worker": "swarm.runtime.worker:Worker",
        "doorman": "swarm.runtime.doorman:Doorman",
        "deaths": "swarm.runtime.doorman_deaths:Deaths",
        "is quiet": "swarm.runtime.bell:is_quiet",
        "home seat": "swarm.runtime.seat:HomeSeat",
        "lent seat": "swarm.runtime.seat:LentSeat",
        "cluster seat": "swarm.runtime.cluster_seat:ClusterSeat",
        "at work": "swarm.runtime.cluster_seat:at_work",
        "claim home": "swarm.runtime.shared_home:claim",
        "reaper": "swarm.runtime.reaper:Reaper",
        "reaped": "swarm.runtime.recoveries:actions",
        "worker health": "swarm.runtime.watched:WorkerHealth",
        "shelter health": "swarm.runtime.watched:ShelterHealth",
        "monitor": "swarm.runtime.monitoring:Monitor",
        "vitals": "swarm.runtime.vitals:Vitals",
    },
)
"""What only a worker needs, loaded on first use."""

PACKAGES = {"slack": "slack_bolt", "whatsapp": "pywa"}
"""What a channel's extra brings in; asked for at the start, and imported on first use."""


def check_package(platform: str) -> None:
    """Refuse a channel whose package is not installed.

    Raises:
        ConfigError: With the command that installs it.
    """
    package = PACKAGES.get(platform)
    if package is not None and find_spec(package) is None:
        raise ConfigError(
            f"{platform} needs the package {package!r}: pip install 'swarm[{platform}]'"
        )
