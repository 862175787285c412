"""How long an action may take when its declaration does not say. Source: CodePipeline User Guide, "Quotas"."""

from pipeyard.definition.model import ActionDeclaration

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

DEFAULT_MS = HOUR_MS
BY_CATEGORY_MS = {"Approval": 7 * DAY_MS}
BY_PROVIDER_MS = {
    "CloudFormation": 3 * DAY_MS,
    "CloudFormationStackSet": 3 * DAY_MS,
    "CodeBuild": 36 * HOUR_MS,
    "CodeDeploy": 5 * DAY_MS,
    "CodeDeployToECS": 5 * DAY_MS,
    "Jenkins": 4 * DAY_MS,
    "Lambda": DAY_MS,
    "S3": 90 * MINUTE_MS,
    "StepFunctions": 7 * DAY_MS,
}


def timeout_ms(action: ActionDeclaration) -> int:
    if action.timeout_in_minutes:
        return action.timeout_in_minutes * MINUTE_MS
    by_category = BY_CATEGORY_MS.get(action.action_type_id.category, DEFAULT_MS)
    return BY_PROVIDER_MS.get(action.action_type_id.provider, by_category)
