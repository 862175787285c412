"""From the API's document of a build to what the service room is asked to build."""

import re
from typing import Any

from pipeyard.aws.parts import StartedBuild
from pipeyard.buildspec.contract import BuildWish
from pipeyard.errors import InputError, PipeyardError
from pipeyard.service.project_builds import KeptArtifact, ProjectBuild, ProjectSource
from pipeyard.settings import Settings

_IDENTIFIER = re.compile(r"[A-Za-z0-9_]{1,127}")  # Source: API reference, ProjectSource


def asked_build(started: StartedBuild, settings: Settings) -> ProjectBuild:
    """Raises InputError for what cannot be built here at all."""
    build, environment = started.build, started.build["environment"]
    if environment["type"].startswith("WINDOWS"):
        raise InputError("Windows environments cannot run here", hint="use LINUX_CONTAINER")
    for each in build.get("secondarySources", ()):  # they name folders
        if not _IDENTIFIER.fullmatch(each.get("sourceIdentifier", "")):
            raise InputError(
                f"{each.get('sourceIdentifier', '')!r} is no source identifier", hint="letters, digits and _ alone"
            )
    project, _, build_id = build["id"].partition(":")
    versions = {each["sourceIdentifier"]: each["sourceVersion"] for each in build.get("secondarySourceVersions", ())}
    secondary = {
        each["sourceIdentifier"]: _source(each, versions.get(each["sourceIdentifier"], ""))
        for each in build.get("secondarySources", ())
    }
    wish = BuildWish(
        project=project,
        source=settings.home,  # filled in when the source is there
        buildspec=build["source"].get("buildspec", ""),
        environment=environment["image"],
        privileged=environment.get("privilegedMode", False),
        variables={
            each["name"]: (each.get("type", "PLAINTEXT"), each["value"])
            for each in environment.get("environmentVariables", ())
        },
        publish=settings.publish,
        timeout_s=build["timeoutInMinutes"] * 60,
        build_id=build_id,
        number=build["buildNumber"],
        region=started.region,
        initiator=build["initiator"],
        batch_identifier=started.batch_identifier,
        shard=started.shard,
        caches=_keeps_cache(build.get("cache", {})),
    )
    return ProjectBuild(
        wish=wish,
        source=_source(build["source"], build.get("sourceVersion", "")),
        secondary_sources=secondary,
        artifacts=_artifacts(started.artifacts, project),
        secondary_artifacts={
            each["artifactIdentifier"]: found
            for each in started.secondary_artifacts
            if (found := _artifacts(each, project)) is not None
        },
    )


def refusal_of(error: PipeyardError) -> str:
    """An error in one line of a document: its place, what is wrong, and the hint."""
    place = f"{error.place}: " if error.place else ""
    return f"{place}{error.message}" + (f" ({error.hint})" if error.hint else "")


def _keeps_cache(cache: dict[str, Any]) -> bool:
    """Whether the buildspec's `cache` has a place. Layers of images are always kept here."""
    return cache.get("type") == "S3" or "LOCAL_CUSTOM_CACHE" in cache.get("modes", ())


def _source(declared: dict[str, Any], version: str) -> ProjectSource:
    return ProjectSource(type=declared["type"], location=declared.get("location", ""), version=version)


def _artifacts(declared: dict[str, Any], project: str) -> KeptArtifact | None:
    if declared["type"] != "S3":
        return None
    return KeptArtifact(
        bucket=declared["location"],
        path=declared.get("path", ""),
        name=declared.get("name") or project,
        build_id_in_path=declared.get("namespaceType") == "BUILD_ID",
        zipped=declared.get("packaging") == "ZIP",
        override_name=declared.get("overrideArtifactName", False),
    )
