"""What surrounds a template's pipelines and is used by them: repositories, projects, buckets, connections, services."""

import re

import msgspec

from pipeyard.definition.cloudformation.evaluate import Evaluator
from pipeyard.definition.declaration import Notes
from pipeyard.definition.documents import Items, Leaf, Node, Table, Unknown, first_unknown, plain
from pipeyard.definition.model import (
    CodeBuildProject,
    Connection,
    Definition,
    DisabledTransition,
    EcrRepository,
    EcsService,
    EnvironmentVariable,
)
from pipeyard.errors import InputError

_CONNECTIONS = ("AWS::CodeStarConnections::Connection", "AWS::CodeConnections::Connection")


def surroundings(
    evaluator: Evaluator,
    transitions: tuple[DisabledTransition, ...],
    hidden: tuple[str, ...],
    notes: Notes,
) -> Definition:
    """A definition of the neighbours alone; what is unknown in one of them is left at its default."""
    view = _View(evaluator, notes)
    return Definition(
        transitions=transitions,
        hidden=hidden,
        repositories=tuple(view.repository(name) for name in view.of_type("AWS::ECR::Repository")),
        projects=tuple(view.project(name) for name in view.of_type("AWS::CodeBuild::Project")),
        buckets=tuple(view.name(name) for name in view.of_type("AWS::S3::Bucket")),
        connections=tuple(view.connection(name) for kind in _CONNECTIONS for name in view.of_type(kind)),
        services=tuple(view.service(name) for name in view.of_type("AWS::ECS::Service")),
    )


class _View:
    """Properties of a template's resources as plain text, with a default for what is absent or unknown."""

    def __init__(self, evaluator: Evaluator, notes: Notes) -> None:
        self.evaluator = evaluator
        self.notes = notes

    def of_type(self, type_name: str) -> list[str]:
        evaluator = self.evaluator
        names = []
        for logical_id, resource in evaluator.resources.entries.items():
            if isinstance(resource, Table) and evaluator.resource_type(resource) == type_name:
                try:
                    wanted = evaluator.is_wanted(logical_id)
                    known = not isinstance(evaluator.physical_name(logical_id), Unknown)
                except InputError:
                    continue
                if wanted is True and known:
                    names.append(logical_id)
        return names

    def name(self, logical_id: str) -> str:
        found = self.evaluator.physical_name(logical_id)
        return found.text if isinstance(found, Leaf) else logical_id

    def node(self, logical_id: str, *path: str) -> Node | None:
        """A property's value; None when it is absent, unknown or computed wrongly: nothing here depends on it."""
        found: Node | None = self.evaluator.properties(logical_id)
        try:
            for key in path:
                if found is None:
                    return None
                if isinstance(found, Table) and any(name == "Ref" or name.startswith("Fn::") for name in found.entries):
                    found = self.evaluator.evaluate(found)
                found = found.get(key) if isinstance(found, Table) else None
            value = self.evaluator.evaluate(found) if found is not None else None
        except InputError:
            return None
        return None if value is None or isinstance(value, Unknown) else value

    def text(self, logical_id: str, *path: str, default: str = "") -> str:
        found = self.node(logical_id, *path)
        return found.text if isinstance(found, Leaf) and found.value is not None else default

    def truth(self, logical_id: str, *path: str) -> bool:
        return self.text(logical_id, *path).lower() == "true"

    def repository(self, logical_id: str) -> EcrRepository:
        policy = self.node(logical_id, "LifecyclePolicy", "LifecyclePolicyText")
        text = None
        if isinstance(policy, Leaf):
            text = policy.text or None
        elif policy is not None and first_unknown(policy) is None:
            text = msgspec.json.encode(plain(policy)).decode()
        return EcrRepository(
            name=self.name(logical_id),
            image_tag_mutability=self.text(logical_id, "ImageTagMutability", default="MUTABLE"),
            lifecycle_policy_text=text,
            scan_on_push=self.truth(logical_id, "ImageScanningConfiguration", "ScanOnPush"),
        )

    def project(self, logical_id: str) -> CodeBuildProject:
        timeout = self.text(logical_id, "TimeoutInMinutes")
        paths = self.node(logical_id, "Cache", "Modes")
        return CodeBuildProject(
            name=self.name(logical_id),
            image=self.text(logical_id, "Environment", "Image"),
            compute_type=self.text(logical_id, "Environment", "ComputeType"),
            environment_type=self.text(logical_id, "Environment", "Type", default="LINUX_CONTAINER"),
            privileged_mode=self.truth(logical_id, "Environment", "PrivilegedMode"),
            environment_variables=self.environment(logical_id),
            buildspec=self.buildspec(logical_id),
            timeout_in_minutes=int(timeout) if re.fullmatch("[0-9]{1,9}", timeout) else None,
            cache_paths=[item.text for item in paths.nodes if isinstance(item, Leaf)]
            if isinstance(paths, Items)
            else [],
        )

    def buildspec(self, logical_id: str) -> str | None:
        found = self.node(logical_id, "Source", "BuildSpec")
        if isinstance(found, Leaf):
            return found.text or None
        if found is None or first_unknown(found) is not None:
            return None
        return msgspec.json.encode(plain(found)).decode()  # CodeBuild reads a buildspec in JSON as well

    def environment(self, logical_id: str) -> list[EnvironmentVariable]:
        found = self.node(logical_id, "Environment", "EnvironmentVariables")
        out = []
        for entry in found.nodes if isinstance(found, Items) else ():
            if not isinstance(entry, Table):
                continue
            name, value, kind = entry.get("Name"), entry.get("Value"), entry.get("Type")
            if isinstance(name, Leaf) and isinstance(value, Leaf):
                shown = kind.text if isinstance(kind, Leaf) else "PLAINTEXT"
                out.append(EnvironmentVariable(name=name.text, value=value.text, type=shown))
            elif isinstance(name, Leaf) and isinstance(value, Unknown):
                self.notes.warning(
                    f"variable {name.text} of CodeBuild project {self.name(logical_id)} is left out: "
                    f"{'; '.join(value.chain)}",
                    value.place,
                    rule="unknown-value",
                    hint=value.hint,
                )
        return out

    def connection(self, logical_id: str) -> Connection:
        place = self.evaluator.resources.key_place(logical_id)
        arn = self.evaluator.attribute(logical_id, "ConnectionArn", place)
        return Connection(
            name=self.text(logical_id, "ConnectionName", default=logical_id),
            arn=arn.text if isinstance(arn, Leaf) else "",
            provider_type=self.text(logical_id, "ProviderType"),
        )

    def service(self, logical_id: str) -> EcsService:
        return EcsService(name=self.name(logical_id), cluster=self.text(logical_id, "Cluster", default="default"))
