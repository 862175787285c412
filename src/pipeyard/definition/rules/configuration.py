"""An action's type, and what its provider demands of its configuration, commands and variables."""

import re
from collections.abc import Collection, Mapping

from pipeyard.definition.declaration import suggestion
from pipeyard.definition.model import ActionDeclaration, ActionTypeId, PipelineDeclaration
from pipeyard.definition.places import Keys
from pipeyard.definition.rules.findings import Findings, joined_hint, listed
from pipeyard.definition.rules.flow import steps
from pipeyard.definition.rules.provider import Setting
from pipeyard.definition.rules.providers import PROVIDERS, provider_of

MAX_VALUE = 1000
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z0-9_]{1,128}")


def check_configuration(
    pipeline: PipelineDeclaration, implemented: Collection[ActionTypeId] | None, findings: Findings
) -> None:
    for step in steps(pipeline):
        _type(step.action, step.keys, implemented, findings)
        _settings(step.action, step.keys, findings)
        _commands(step.action, step.keys, findings)
        _environment(step.action, step.keys, findings)


def _type(
    action: ActionDeclaration, keys: Keys, implemented: Collection[ActionTypeId] | None, findings: Findings
) -> None:
    type_id = action.action_type_id
    if implemented is not None and type_id in implemented:
        return
    keys = (*keys, "actionTypeId")
    # Custom types are an account's own: whether the service would know one cannot be told here.
    if provider_of(type_id) is None and type_id.owner != "Custom":
        message, hint = _unknown(type_id, implemented)
        findings.error("unknown-provider", (*keys, "provider"), f"action {action.name} has {message}", hint=hint)
    elif implemented is not None:
        # A provider of another version, or one that only the cloud can carry out: the definition is fine for the
        # service, so plan and validate go on; a run fails when it comes to this action.
        names = sorted({known.provider for known in implemented if known.category == type_id.category})
        findings.warning(
            "provider-not-implemented",
            (*keys, "provider"),
            f"action {action.name} has the type {type_id}, which cannot be carried out here",
            hint=f"{type_id.category} providers that can be: {listed(names)}" if names else "",
        )
    elif type_id.version != "1" and type_id.owner != "Custom":
        findings.error(
            "unknown-provider", (*keys, "version"), f"{type_id.provider} has no version {type_id.version!r}", hint="1"
        )


def _unknown(type_id: ActionTypeId, implemented: Collection[ActionTypeId] | None) -> tuple[str, str]:
    known = [(known.category, known.owner, known.provider) for known in implemented or ()] or list(PROVIDERS)
    same = [entry for entry in PROVIDERS if entry[2] == type_id.provider]
    if same:
        types = [f"category {category}, owner {owner}" for category, owner, _ in same]
        return (
            f"the provider {type_id.provider} with category {type_id.category} and owner {type_id.owner}",
            f"{type_id.provider} has {' or '.join(types)}",
        )
    names = sorted({provider for category, _, provider in known if category == type_id.category})
    every = sorted({provider for _, _, provider in known})
    closest = suggestion(type_id.provider, every)
    there = f"there are {listed(names)}" if names else f"there are {listed(every)}"
    return f"the unknown provider {type_id.provider}", joined_hint(closest, there)


def _settings(action: ActionDeclaration, keys: Keys, findings: Findings) -> None:
    here = (*keys, "configuration")
    for key, value in action.configuration.items():
        if not 1 <= len(key) <= 50:
            findings.error("configuration-size", (*here, key), f"configuration key {key!r} has not 1 to 50 characters")
        if not 1 <= len(value) <= MAX_VALUE:
            findings.error(
                "configuration-size",
                (*here, key),
                f"{key} of action {action.name} has {len(value)} characters, not 1 to {MAX_VALUE}",
                hint="" if value else "leave the key out instead",
            )
    provider = provider_of(action.action_type_id)
    if provider is None or provider.settings is None:
        return
    for key, value in action.configuration.items():
        setting = provider.settings.get(key)
        if setting is None:
            findings.error(
                "configuration-key",
                (*here, key),
                f"{provider.provider} has no configuration key {key!r}",
                hint=suggestion(key, provider.settings) or f"it has {listed(provider.settings)}",
            )
        elif "#{" not in value:
            complaint = value_complaint(setting, value)
            if complaint:
                findings.error("configuration-value", (*here, key), f"{key} is {value!r}; {complaint}")
    mode = action.configuration.get("ActionMode", "")
    changes = provider.provider == "CloudFormation" and mode not in ("", "CHANGE_SET_EXECUTE")
    if changes and "RoleArn" not in action.configuration:
        # The guide asks for it, and the service takes a pipeline without it all the same.
        findings.warning(
            "configuration-missing",
            here,
            f"action {action.name} has no RoleArn in its configuration; the stack's operations would have no role",
        )
    for key in _missing(action, provider.settings):
        findings.error(
            "configuration-missing",
            here,
            f"action {action.name} needs {key} in its configuration ({provider.provider})",
        )


def _missing(action: ActionDeclaration, settings: Mapping[str, Setting]) -> list[str]:
    configuration = action.configuration
    needed = [key for key, setting in settings.items() if setting.required]
    match action.action_type_id.provider:
        case "InspectorScan" if configuration.get("InspectorRunMode") == "ECRImageScan":
            needed.append("ECRRepositoryName")
        case "S3" if configuration.get("Extract") == "false":
            needed.append("ObjectKey")
        case "ServiceCatalog" if "ConfigurationFilePath" not in configuration:
            needed += ["TemplateFilePath", "ProductVersionName", "ProductType"]
        case "EC2" if "DeploySpec" not in configuration:
            needed += ["TargetDirectory", "PostScript"]
        case "Lambda" if action.action_type_id.category == "Deploy" and not action.input_artifacts:
            needed.append("PublishedTargetVersion")
        case "EKS" if "ManifestFiles" not in configuration:
            needed += ["HelmReleaseName", "HelmChartLocation"]
        case "CloudFormation":
            mode = configuration.get("ActionMode", "")
            if mode.startswith("CHANGE_SET"):
                needed.append("ChangeSetName")
            if mode in ("CREATE_UPDATE", "REPLACE_ON_FAILURE", "CHANGE_SET_REPLACE"):
                needed.append("TemplatePath")
    return [key for key in needed if key not in configuration]


def value_complaint(setting: Setting, value: str) -> str:
    """What is wrong with a configuration value, as the end of a sentence; empty when nothing is."""
    if setting.values and value not in setting.values:
        closest = suggestion(value, setting.values)
        return f"it takes {listed(setting.values)}" + (f" ({closest})" if closest.startswith("names are") else "")
    if setting.numbers is not None:
        least, most = setting.numbers
        if not re.fullmatch("[0-9]{1,12}", value) or not least <= int(value) <= most:
            return f"it takes a whole number from {least} to {most}"
    return ""


def _commands(action: ActionDeclaration, keys: Keys, findings: Findings) -> None:
    if action.action_type_id.provider != "Commands":
        for key, found in (("commands", action.commands), ("outputVariables", action.output_variables)):
            if found:
                rule = "commands" if key == "commands" else "output-variables"
                findings.error(
                    rule, (*keys, key), f"action {action.name} has {key}, which only the provider Commands takes"
                )
        return
    if not 1 <= len(action.commands) <= 50:
        findings.error(
            "commands",
            (*keys, "commands"),
            f"action {action.name} has {len(action.commands)} commands; a Commands action has 1 to 50",
        )
    for index, command in enumerate(action.commands):
        if not 1 <= len(command) <= 1000:
            findings.error(
                "commands", (*keys, "commands", index), f"a command has 1 to 1000 characters, not {len(command)}"
            )
        if "\n" in command.strip():
            findings.warning(
                "commands",
                (*keys, "commands", index),
                "a command of several lines; the service takes one line for each",
                hint="write each line as a command of its own: they run in one shell",
            )
    names = action.output_variables
    if len(names) > 15 or any(not 1 <= len(name) <= 128 for name in names):
        findings.error(
            "output-variables",
            (*keys, "outputVariables"),
            "a Commands action puts out at most 15 variables with names of 1 to 128 characters",
        )


def _environment(action: ActionDeclaration, keys: Keys, findings: Findings) -> None:
    here = (*keys, "environmentVariables")
    if len(action.environment_variables) > 10:
        findings.error("environment-variables", here, "an action has at most 10 environment variables")
    seen: set[str] = set()
    for index, variable in enumerate(action.environment_variables):
        place = (*here, index)
        if not _ENVIRONMENT_NAME.fullmatch(variable.name):
            findings.error(
                "environment-variables",
                (*place, "name"),
                f"{variable.name!r} is no name for an environment variable: 1 to 128 letters, digits and _",
            )
        if variable.name in seen:
            findings.error("environment-variables", place, f"environment variable {variable.name} is there twice")
        seen.add(variable.name)
        if not 1 <= len(variable.value) <= 2000:
            findings.error(
                "environment-variables",
                (*place, "value"),
                f"the value of {variable.name} has {len(variable.value)} characters, not 1 to 2000",
            )
        if variable.type not in ("PLAINTEXT", "SECRETS_MANAGER"):
            findings.error(
                "environment-variables",
                (*place, "type"),
                f"{variable.name} has the type {variable.type!r}; there are PLAINTEXT, SECRETS_MANAGER",
            )
