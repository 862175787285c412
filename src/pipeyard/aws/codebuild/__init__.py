"""AWS CodeBuild's operations for projects and builds. Source: AWS CodeBuild API Reference."""

from pipeyard.aws.codebuild.batches import (
    batch_get_build_batches,
    delete_build_batch,
    list_build_batches,
    list_build_batches_for_project,
    retry_build_batch,
    start_build_batch,
    stop_build_batch,
)
from pipeyard.aws.codebuild.builds import (
    batch_delete_builds,
    batch_get_builds,
    list_builds,
    list_builds_for_project,
    retry_build,
    start_build,
    stop_build,
)
from pipeyard.aws.codebuild.projects import (
    batch_get_projects,
    create_project,
    delete_project,
    invalidate_project_cache,
    list_projects,
    update_project,
)

__all__ = [
    "batch_delete_builds",
    "batch_get_build_batches",
    "batch_get_builds",
    "batch_get_projects",
    "create_project",
    "delete_build_batch",
    "delete_project",
    "invalidate_project_cache",
    "list_build_batches",
    "list_build_batches_for_project",
    "list_builds",
    "list_builds_for_project",
    "list_projects",
    "retry_build",
    "retry_build_batch",
    "start_build",
    "start_build_batch",
    "stop_build",
    "stop_build_batch",
    "update_project",
]
