"""The linter's rules as a table, and which of them a Dockerfile silences.

Names, and what each is about, are BuildKit's, so that its documentation and everybody's `check=skip=` hold here too.
Source: BuildKit, frontend/dockerfile/linter/ruleset.go and linter.go.
"""

from collections.abc import Iterable

from msgspec import Struct

from pipeyard.errors import DockerfileError, located
from pipeyard.image.dockerfile.directives import directive_in_comment
from pipeyard.image.dockerfile.instructions import Directive
from pipeyard.image.dockerfile.quantities import parse_bool

_LINKS = "https://docs.docker.com/go/dockerfile/rule/"


class Rule(Struct, frozen=True):
    """`sentence` says what good Dockerfiles do. An experimental rule speaks only when asked for.

    `slug` is the name of the rule's page in Docker's documentation; empty when it has none.
    """

    name: str
    sentence: str
    slug: str
    experimental: bool = False

    @property
    def link(self) -> str:
        return f"{_LINKS}{self.slug}/" if self.slug else ""


RULES = {
    rule.name: rule
    for rule in (
        Rule("StageNameCasing", "Names of stages are in lower case", "stage-name-casing"),
        Rule("FromAsCasing", "FROM and AS are in the same case", "from-as-casing"),
        Rule("NoEmptyContinuation", "No empty line interrupts an instruction", "no-empty-continuation"),
        Rule("ConsistentInstructionCasing", "All keywords are in the same case", "consistent-instruction-casing"),
        Rule("DuplicateStageName", "Each stage has a name of its own", "duplicate-stage-name"),
        Rule("ReservedStageName", "No stage is called scratch or context", "reserved-stage-name"),
        Rule(
            "JSONArgsRecommended",
            "CMD and ENTRYPOINT are in JSON form, so that signals reach the program and not a shell",
            "json-args-recommended",
        ),
        Rule("MaintainerDeprecated", "The author is a label, not a MAINTAINER", "maintainer-deprecated"),
        Rule("UndefinedArgInFrom", "FROM uses declared arguments only", "undefined-arg-in-from"),
        Rule(
            "WorkdirRelativePath",
            "The first WORKDIR is absolute and so does not depend on the base image",
            "workdir-relative-path",
        ),
        Rule("UndefinedVar", "A variable is defined before it is used", "undefined-var"),
        Rule(
            "MultipleInstructionsDisallowed",
            "An instruction of which only the last one counts comes once in a stage",
            "multiple-instructions-disallowed",
        ),
        Rule("LegacyKeyValueFormat", "Names and values are joined by =", "legacy-key-value-format"),
        Rule(
            "InvalidBaseImagePlatform",
            "The base image is for the platform that is built",
            "",
        ),
        Rule(
            "RedundantTargetPlatform",
            "FROM does not ask for the platform that it gets anyway",
            "redundant-target-platform",
        ),
        Rule("SecretsUsedInArgOrEnv", "Secrets are mounted, not put into ARG or ENV", "secrets-used-in-arg-or-env"),
        Rule(
            "InvalidDefaultArgInFrom",
            "The defaults of global arguments make a valid image name",
            "invalid-default-arg-in-from",
        ),
        Rule(
            "FromPlatformFlagConstDisallowed",
            "FROM --platform follows an argument",
            "from-platform-flag-const-disallowed",
        ),
        Rule("CopyIgnoredFile", "What is copied is not kept out by .dockerignore", "copy-ignored-file"),
        Rule(
            "InvalidDefinitionDescription",
            "A comment above a stage or argument begins with its name",
            "invalid-definition-description",
            experimental=True,
        ),
        Rule("ExposeProtoCasing", "Protocols of EXPOSE are in lower case", "expose-proto-casing"),
        Rule("ExposeInvalidFormat", "EXPOSE names ports, without address and host port", "expose-invalid-format"),
    )
}


class Choice(Struct, frozen=True):
    """Which rules speak, and whether what they say fails the build."""

    skip: frozenset[str] = frozenset()
    skip_all: bool = False
    experimental: frozenset[str] = frozenset()
    experimental_all: bool = False
    as_error: bool = False

    def includes(self, rule: Rule) -> bool:
        if rule.experimental:
            return self.experimental_all or rule.name in self.experimental
        return not self.skip_all and rule.name not in self.skip

    def within(self, comments: Iterable[str]) -> "Choice":
        """With what a `# check=` among the comments above an instruction adds for it; a wrong one adds nothing."""
        for comment in comments:
            named = directive_in_comment(comment)
            if named is None or named[0] != "check":
                continue
            try:
                other = read_choice(named[1].partition(" ")[0])
            except DockerfileError:
                return self
            return Choice(
                skip=self.skip | other.skip,
                skip_all=self.skip_all or other.skip_all,
                experimental=self.experimental | other.experimental,
                experimental_all=self.experimental_all or other.experimental_all,
                as_error=self.as_error,
            )
        return self


def choice_of(directive: Directive | None) -> Choice:
    """What the file's own `# check=` says. Raises DockerfileError, placed, for an option that does not exist."""
    if directive is None:
        return Choice()
    with located(directive.place):
        return read_choice(directive.value.partition(" ")[0])


def read_choice(text: str) -> Choice:
    """`skip=A,B;error=true;experimental=all`. Raises DockerfileError."""
    names: dict[str, frozenset[str]] = {"skip": frozenset(), "experimental": frozenset()}
    as_error = False
    for option in text.strip().split(";", 2) if text.strip() else ():
        name, equals, value = (part.strip() for part in option.partition("="))
        if name == "error" and equals:
            wanted = parse_bool(value)
            if wanted is None:
                raise DockerfileError(f"invalid check option {option!r}", hint="error is true or false")
            as_error = wanted
        elif name in names and equals:
            names[name] = frozenset(rule.strip() for rule in value.split(","))
        else:
            raise DockerfileError(
                f"invalid check option {option!r}", hint="skip=, error= and experimental= are known, joined by ;"
            )
    return Choice(
        skip=names["skip"] - {"all"},
        skip_all=names["skip"] == {"all"},
        experimental=names["experimental"] - {"all"},
        experimental_all=names["experimental"] == {"all"},
        as_error=as_error,
    )
