"""AWS CodePipeline's operations over the home's engine. Source: AWS CodePipeline API Reference."""

from pipeyard.aws.codepipeline.executions import (
    disable_stage_transition,
    enable_stage_transition,
    get_pipeline_execution,
    get_pipeline_state,
    list_action_executions,
    list_pipeline_executions,
    override_stage_condition,
    put_approval_result,
    retry_stage_execution,
    rollback_stage,
    start_pipeline_execution,
    stop_pipeline_execution,
)
from pipeyard.aws.codepipeline.pipelines import (
    create_pipeline,
    delete_pipeline,
    get_pipeline,
    list_pipelines,
    list_tags_for_resource,
    tag_resource,
    untag_resource,
    update_pipeline,
)

__all__ = [
    "create_pipeline",
    "delete_pipeline",
    "disable_stage_transition",
    "enable_stage_transition",
    "get_pipeline",
    "get_pipeline_execution",
    "get_pipeline_state",
    "list_action_executions",
    "list_pipeline_executions",
    "list_pipelines",
    "list_tags_for_resource",
    "override_stage_condition",
    "put_approval_result",
    "retry_stage_execution",
    "rollback_stage",
    "start_pipeline_execution",
    "stop_pipeline_execution",
    "tag_resource",
    "untag_resource",
    "update_pipeline",
]
