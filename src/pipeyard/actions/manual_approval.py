"""Manual: a person approves or rejects. The engine itself waits for the answer; here is only what may be configured.

Source: CodePipeline User Guide, "Manual approval action reference".
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from msgspec import Struct, field

from pipeyard.actions.configuration import check_keys
from pipeyard.actions.contract import ActionRequest, ActionResult, Tools
from pipeyard.definition.model import ActionTypeId
from pipeyard.errors import ActionFailed


class ManualApprovalConfiguration(Struct, frozen=True, kw_only=True):
    notification_arn: str = field(name="NotificationArn", default="")
    custom_data: str = field(name="CustomData", default="")
    external_entity_link: str = field(name="ExternalEntityLink", default="")


class ManualApproval:
    type_id: ClassVar[ActionTypeId] = ActionTypeId(category="Approval", owner="AWS", provider="Manual", version="1")

    def check(self, configuration: Mapping[str, str]) -> Iterable[str]:
        yield from check_keys(ManualApprovalConfiguration, configuration)

    def perform(self, request: ActionRequest, tools: Tools) -> ActionResult:
        raise ActionFailed("an approval is answered, not performed")
