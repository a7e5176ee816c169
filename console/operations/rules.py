"""What a task submitted from this machine may refer to."""

from __future__ import annotations

from pathlib import Path

from console.operations.connections import Connections
from console.operations.known_models import known_models
from console.operations.submission import Rules


def rules_of(connections: Connections, *, base: Path | None = None) -> Rules:
    """The files, backends and models of a deployment; ``base`` is the current directory."""
    settings = connections.settings
    return Rules(
        base=base or Path.cwd(),
        file_roots=(*settings.roots_for_submitting, settings.upload_directory),
        backends=tuple(spec.name for spec in settings.backends),
        models=lambda: known_models(connections),
    )
