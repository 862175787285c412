"""What the rules find: problems with a stable name and the place of the value that they are about."""

from collections.abc import Iterable, Mapping

from pipeyard.definition.places import Keys, Places
from pipeyard.errors import Problem

RULES: Mapping[str, str] = {
    "action-count": "A stage has 1 to 50 actions, a pipeline 1000 at most.",
    "artifact-count": "Each provider takes and gives a certain number of artifacts.",
    "artifact-name": "Artifact names are letters, digits, - and _, 100 characters at most.",
    "artifact-not-produced": "An input artifact is the output of an action that ended before.",
    "artifact-store-choice": "A pipeline has artifactStore or artifactStores, not both.",
    "artifact-store-missing": "The service needs an artifact store; nothing here does.",
    "artifact-unread": "An output artifact that no action reads is made for nothing.",
    "blocker": "A blocker has a name and the type Schedule.",
    "condition": "Conditions have a result of their kind and at most five rules.",
    "condition-rule": "A condition's rule is of a known type with its own configuration keys.",
    "configuration-key": "A provider knows certain configuration keys only.",
    "configuration-missing": "A provider needs certain configuration keys.",
    "configuration-size": "A configuration key has 1 to 50 characters, a value 1 to 1000.",
    "configuration-value": "Some configuration keys take certain values only.",
    "duplicate-artifact": "An output artifact's name is unique in its pipeline.",
    "duplicate-name": "Pipelines, stages, actions of a stage, rules and variables have unique names.",
    "duplicate-namespace": "A namespace belongs to one action.",
    "environment-variables": "Environment variables have proper names and one of the types.",
    "execution-mode": "The execution mode is QUEUED, SUPERSEDED or PARALLEL.",
    "commands": "A Commands action has 1 to 50 commands, and other actions have none.",
    "invalid-reference": "A reference has the form #{Namespace.Variable}.",
    "invalid-tag": "An image tag is letters, digits, _, . and -, 128 characters at most.",
    "latest-only": "An image that is only tagged latest cannot be told from the next one.",
    "name": "Names are made of the characters, and as long, as the service allows.",
    "namespace": "A namespace is letters, digits, @, - and _, and is not reserved.",
    "output-variables": "Output variables are declared by Commands actions, 15 at most.",
    "pipeline-type": "The pipeline type is V1 or V2.",
    "provider-not-implemented": "The service knows the provider, but it cannot be carried out here.",
    "region": "An action in another region needs an artifact store there.",
    "role-missing": "The service needs a role; nothing here does.",
    "run-order": "Run order is 1 to 999.",
    "secret-in-plain-text": "A secret belongs into Secrets Manager or Parameter Store.",
    "source-stage": "The first stage has source actions only, and no other stage has one.",
    "stage-count": "A pipeline has 2 to 50 stages.",
    "tag-may-be-invalid": "A variable that may hold other characters stands in an image tag.",
    "timeout": "A timeout is 5 to 86400 minutes.",
    "transition": "A disabled transition leads into a stage that exists.",
    "trigger": "A trigger starts a connection's source action and has consistent filters.",
    "unknown-provider": "An action's type is one that exists.",
    "undefined-variable": "A reference names a variable that an action before it puts out.",
    "v2-only": "Triggers, variables, modes, conditions and some providers need type V2.",
    "variable": "Pipeline variables have proper names and values, 50 at most.",
    "variable-not-allowed": "References stand in configuration, commands and environment variables only.",
}
"""Every rule of `validate` by its stable name, with its sentence."""


class Findings:
    """Collects problems of one pipeline; `at` gives the keys of a value within it."""

    def __init__(self, places: Places, root: Keys) -> None:
        self.places = places
        self.root = root
        self.problems: list[Problem] = []

    def is_written(self, keys: Keys) -> bool:
        """Whether the pipeline's text has the value, known or not."""
        return (*self.root, *keys) in self.places

    def error(self, rule: str, keys: Keys, message: str, *, hint: str = "") -> None:
        self.problems.append(Problem("error", message, self.places[(*self.root, *keys)], hint, rule))

    def warning(self, rule: str, keys: Keys, message: str, *, hint: str = "") -> None:
        self.problems.append(Problem("warning", message, self.places[(*self.root, *keys)], hint, rule))


def listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def joined_hint(suggested: str, known: str) -> str:
    """A suggestion and then what there is, as sentences; either may be empty."""
    if not suggested:
        return known
    if suggested.endswith("?"):
        return f"{suggested} {known[:1].upper()}{known[1:]}"
    return f"{suggested}; {known}"
