"""What can be set of voice notes."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class VoiceConfig(BaseModel):
    """Whether voice notes are heard. Environment: `SWARM_VOICE__<FIELD>`."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    api_base: str = ""
    """Address of a server with `/audio/transcriptions`, up to and including `/v1`; notes are sent there.
    Empty hears them on this machine, with the extra `voice`."""
    api_key: SecretStr | None = None
    """Of that server."""
    model: str = ""
    """With `api_base`, a model of that server by its full name, such as `openai/whisper-1`. What a
    minute costs is in the book (`swarm prices list whisper`), or stands in `prices:` as
    `audio_per_minute`. Otherwise the folder of a Whisper model in CTranslate2's form, or a size such
    as `small`, which is downloaded once into the home's `cache`. Empty hears no voice notes, and says so to who sends one."""
    language: str = Field(default="", pattern="^([a-z]{2})?$")
    """ISO 639-1 code of what is spoken; empty lets the engine find out."""
    longest_s: int = Field(default=300, ge=1, le=3600)
    """Longest note that is heard, in seconds. A longer one is refused before it fills the memory."""
    threads: int = Field(default=2, ge=1, le=64)
    """Processor threads of the engine on this machine."""

    @field_validator("api_base")
    @classmethod
    def _address(cls, value: str) -> str:
        scheme, sign, rest = value.partition("://")
        if value and (not sign or scheme not in ("http", "https") or not rest.strip("/")):
            raise ValueError("api_base is an address, such as https://api.openai.com/v1")
        return value.rstrip("/")
