"""Where concrete classes meet: one company, opened from its home."""

from swarm.app.app import App, build
from swarm.app.parts import ENGINES, PARTS
from swarm.app.stage import Stage

__all__ = ["ENGINES", "PARTS", "App", "Stage", "build"]
