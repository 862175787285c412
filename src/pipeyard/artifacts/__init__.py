"""The artifact store: what one action of a pipeline hands to the next."""

from pipeyard.artifacts.folders import FolderArtifacts, StoredArtifact

__all__ = ["FolderArtifacts", "StoredArtifact"]
