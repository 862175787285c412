"""The environment of a build: the machine's, the service's own variables, the buildspec's, the project's.

Source: CodeBuild User Guide, "Environment variables in build environments".
"""

from collections.abc import Callable, Mapping

from pipeyard.buildspec.contract import Identity
from pipeyard.buildspec.model import Env
from pipeyard.errors import InputError

SOURCE_FOLDER = "/codebuild/output/src1/src"
SECONDARY_FOLDER = "/codebuild/output/src2"

Lookup = Callable[[str], str | None]
"""The value of a parameter or secret by its name; None when there is none."""


def service_variables(identity: Identity, image: str, secondary: tuple[str, ...]) -> dict[str, str]:
    """What the service sets in every build, as far as it is true here."""
    arn = f"arn:aws:codebuild:{identity.region}:{identity.account}:build/{identity.project}:{identity.build_id}"
    found = {
        "AWS_DEFAULT_REGION": identity.region,
        "AWS_REGION": identity.region,
        "CODEBUILD_BUILD_ARN": arn,
        "CODEBUILD_BUILD_ID": f"{identity.project}:{identity.build_id}",
        "CODEBUILD_BUILD_IMAGE": image,
        "CODEBUILD_BUILD_NUMBER": str(identity.number),
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_CI": "true",
        "CODEBUILD_INITIATOR": identity.initiator,
        "CODEBUILD_LOG_PATH": identity.build_id,
        "CODEBUILD_PROJECT_ARN": f"arn:aws:codebuild:{identity.region}:{identity.account}:project/{identity.project}",
        "CODEBUILD_RESOLVED_SOURCE_VERSION": identity.resolved_version or identity.source_version,
        "CODEBUILD_SOURCE_REPO_URL": identity.source_url,
        "CODEBUILD_SOURCE_VERSION": identity.source_version,
        "CODEBUILD_SRC_DIR": SOURCE_FOLDER,
        "CODEBUILD_START_TIME": str(identity.start_ms),
        **{f"CODEBUILD_SRC_DIR_{name}": f"{SECONDARY_FOLDER}/{name}" for name in secondary},
    }
    if identity.batch_identifier:
        found["CODEBUILD_BATCH_BUILD_IDENTIFIER"] = identity.batch_identifier
    return found


def declared_variables(env: Env, parameter: Lookup, secret: Lookup) -> tuple[dict[str, str], tuple[str, ...]]:
    """The buildspec's own variables, looked up, and which of their values are secret. Raises InputError."""
    found = dict(env.variables)
    secrets = []
    for name, where in env.parameter_store.items():
        value = parameter(where)
        if value is None:
            raise InputError(
                f"there is no parameter {where!r} for {name}",
                hint=f'set ssm_parameters."{where}" in pipeyard.toml, or give {name} as a variable',
            )
        found[name] = value
        secrets.append(value)
    for name, where in env.secrets_manager.items():
        found[name] = secret_value(where, secret, name)
        secrets.append(found[name])
    return found, tuple(secrets)


def secret_value(where: str, secret: Lookup, name: str) -> str:
    """`secret-id:json-key:version-stage:version-id`, where a secret's ARN has colons of its own. Raises InputError."""
    parts = where.split(":")
    count = 7 if where.startswith("arn:") else 1
    secret_id = ":".join(parts[:count])
    key = parts[count] if len(parts) > count else ""
    text = secret(secret_id)
    if text is None:
        raise InputError(
            f"there is no secret {secret_id!r} for {name}",
            hint=f'set secrets."{secret_id}" in pipeyard.toml, or give {name} as a variable',
        )
    if not key:
        return text
    import json

    try:
        document = json.loads(text)
    except ValueError as error:
        raise InputError(f"the secret {secret_id!r} is no JSON, and has no key {key!r}") from error
    if not isinstance(document, dict) or key not in document:
        raise InputError(f"the secret {secret_id!r} has no key {key!r}")
    value = document[key]
    return value if isinstance(value, str) else json.dumps(value)


def resolved(
    variables: Mapping[str, tuple[str, str]], parameter: Lookup, secret: Lookup
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Variables of a project or an action, NAME -> (type, value): PLAINTEXT, PARAMETER_STORE, SECRETS_MANAGER."""
    kinds = {"PARAMETER_STORE": "parameter_store", "SECRETS_MANAGER": "secrets_manager"}
    tables: dict[str, dict[str, str]] = {"variables": {}, "parameter_store": {}, "secrets_manager": {}}
    for name, (kind, value) in variables.items():
        if kind not in ("PLAINTEXT", *kinds):
            raise InputError(f"{kind} is no type of variable {name}", hint=f"PLAINTEXT, {', '.join(kinds)}")
        tables[kinds.get(kind, "variables")][name] = value
    return declared_variables(
        Env(
            variables=tables["variables"],
            parameter_store=tables["parameter_store"],
            secrets_manager=tables["secrets_manager"],
        ),
        parameter,
        secret,
    )
