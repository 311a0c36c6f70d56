"""The company's own skills in a cassette: what a person had approved, and nothing else."""

import json
from pathlib import Path

from swarm.app import App
from swarm.evals.manifest import Manifest, SkillFileFacts
from swarm.evals.packing import content_of, packed
from swarm.tools.skill_lock import FILE
from swarm.tools.skills import SkillSource, digest_of

FOLDER = "skills"
MAX_BYTES = 8 * 1024 * 1024
"""Most that skills may take in a cassette; with more of them the largest are left out."""

Shelf = dict[str, dict[str, SkillFileFacts]]


def own_skills(app: App) -> Shelf:
    """Return the files of the company's skills that roles may load, by name and path."""
    kept: Shelf = {}
    sizes: dict[str, int] = {}
    for entry in app.skills.list():
        if entry.source is not SkillSource.COMPANY or not entry.is_ready:
            continue
        files = app.skills.look(entry.name).files
        kept[entry.name] = {path: SkillFileFacts(**packed(data)) for path, data in files.items()}
        sizes[entry.name] = sum(map(len, files.values()))
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if sum(sizes.values()) <= MAX_BYTES:
            break
        del kept[name], sizes[name]
    return kept


def put_skills(home: Path, manifest: Manifest) -> None:
    """Put recorded skills where a company has its own, approved as they are.

    The paths were checked when the cassette was read.
    """
    approvals = {}
    for name, files in manifest.skills.items():
        folder = home / FOLDER / name
        contents = {path: content_of(file.model_dump()) or b"" for path, file in files.items()}
        if folder.exists():
            continue
        for path, data in contents.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        approvals[name] = {
            "sha256": digest_of(contents),
            "approved_by": "recorded",
            "approved_by_id": "0",
            "approved_at": manifest.recorded_at,
        }
    if approvals:
        document = {"version": 1, "skills": approvals}
        (home / FILE).write_text(json.dumps(document), encoding="utf-8")
