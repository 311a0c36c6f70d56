"""What can be set of voice notes."""

from pydantic import BaseModel, ConfigDict, Field


class VoiceConfig(BaseModel):
    """Whether voice notes are heard. Environment: `SWARM_VOICE__<FIELD>`."""

    model_config = ConfigDict(extra="forbid")

    model: str = ""
    """Folder of a Whisper model in CTranslate2's form, or a size such as `small`, which is downloaded
    once into the home's `cache`. Empty hears no voice notes, and says so to who sends one."""
    language: str = Field(default="", pattern="^([a-z]{2})?$")
    """ISO 639-1 code of what is spoken; empty lets the engine find out."""
    longest_s: int = Field(default=300, ge=1, le=3600)
    """Longest note that is heard, in seconds. A longer one is refused before it fills the memory."""
    threads: int = Field(default=2, ge=1, le=64)
    """Processor threads of the engine."""
