"""Sources: from a place that holds revisions to a folder with the files of one of them."""

from pipeyard.source.git import GitOrigin, GitRevision, export, parse_origin, resolve, uncommitted_changes

__all__ = ["GitOrigin", "GitRevision", "export", "parse_origin", "resolve", "uncommitted_changes"]
