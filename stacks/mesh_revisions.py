"""The mesh's revisions as the arguments of its component."""

from __future__ import annotations

from components.istio_mesh import RevisionArgs
from stacks.settings.mesh import MeshSettings


def istiods_of(mesh: MeshSettings) -> dict[str, RevisionArgs]:
    """Return the istiods by revision."""
    return {
        name: RevisionArgs(
            version=one.version or mesh.version,
            charts=one.charts or mesh.charts,
            hub=one.hub or mesh.hub,
            values=one.values,
        )
        for name, one in mesh.all_revisions.items()
    }
