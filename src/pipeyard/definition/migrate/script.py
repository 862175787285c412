"""What a buildspec's commands do, as far as it is logging in, building, tagging and pushing one image.

A small reading of shell, not a shell: variables, `export`, `cd`, `&&`, `;`, pipes into `docker login`. Whatever it does
not know by heart is a reason why the build cannot be carried over, never a guess.
"""

import posixpath
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

_ECR_HOST = re.compile(r"[^/]*\.dkr\.ecr(?:-fips)?\.[^/]+\.amazonaws\.com(?:\.cn)?")
_PUBLIC = "public.ecr.aws"
_HARMLESS = frozenset({"echo", "true", ":", "date", "pwd", "ls", "env", "printenv", "set"})
_HARMLESS_DOCKER = frozenset({"login", "logout", "images", "info", "version", "pull", "ps", "inspect", "image ls"})
_UNKNOWN = "\0"
_VALUED = frozenset(
    {"-t", "--tag", "-f", "--file", "--progress", "--cache-from", "--cache-to", "--builder", "-o", "--output"}
    | {"--provenance", "--sbom"}
)
_SWITCHES = frozenset({"--push", "--load", "--pull", "--no-cache", "--rm", "--force-rm", "-q", "--quiet", "--compress"})
COMMIT = "\1"
"""Stands for the whole commit id, until the source action's namespace is known."""


class Pushed(Struct, frozen=True, kw_only=True):
    """The image that a script publishes. `repository_variable`: the variable that is exactly its name, or empty."""

    repository: str
    tags: tuple[str, ...]
    dockerfile: str  # as DockerFilePath has it: a folder, or a file
    repository_variable: str = ""


class Understood(Struct, frozen=True):
    """`pushed` is None when there are reasons."""

    pushed: Pushed | None
    reasons: tuple[str, ...]


def understand(commands: Iterable[str], variables: Mapping[str, str]) -> Understood:
    """Reads all commands of all phases in order. `variables` are those of the project, the action and the buildspec."""
    reader = _Reader(variables)
    for command in commands:
        for line in command.replace("\\\n", " ").splitlines():
            reader.line(line.strip())
    return reader.understood()


class _Reader:
    def __init__(self, variables: Mapping[str, str]) -> None:
        self.values = {
            "CODEBUILD_RESOLVED_SOURCE_VERSION": COMMIT,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            **variables,
        }
        self.declared = dict(variables)
        self.folder = "."
        self.reasons: list[str] = []
        self.built: dict[str, str] = {}  # local name -> DockerFilePath
        self.pushes: list[tuple[str, str]] = []  # name, DockerFilePath

    def line(self, text: str) -> None:
        if not text or text.startswith("#"):
            return
        if re.fullmatch(r"(eval )?[\"']?(\$\(|`)\s*aws ecr get-login\b.*", text):
            return
        for part in re.split(r"\s*(?:&&|;)\s*", text):
            if part:
                self.command(part)

    def command(self, text: str) -> None:
        if "|" in text:
            first, _, second = text.partition("|")
            if re.match(r"\s*aws ecr(-public)? get-login-password\b", first) and re.match(r"\s*docker login\b", second):
                return
            if re.fullmatch(r"\s*aws ecr get-login\b.*\|\s*(sh|bash)\s*", text):
                return
            if not re.match(r"\s*(export\s+)?[A-Za-z_]\w*=", text):
                self.refuse(text, "runs besides the image's build")
                return
        assignment = re.fullmatch(r"(?:export\s+)?([A-Za-z_]\w*)=(.*)", text, re.DOTALL)
        if assignment:
            self.assign(assignment[1], assignment[2])
            return
        try:
            words = [self.expanded(word) for word in shlex.split(text)]
        except ValueError:
            self.refuse(text, "is no simple command")
            return
        match words:
            case ["cd", folder]:
                self.folder = self.path(folder)
            case (
                ["docker", "build", *rest] | ["docker", "buildx", "build", *rest] | ["docker", "image", "build", *rest]
            ):
                self.build(rest, text)
            case ["docker", "tag", source, target] | ["docker", "image", "tag", source, target]:
                if source in self.built:
                    self.built[target] = self.built[source]
                else:
                    self.refuse(text, "tags an image that the buildspec does not build")
            case ["docker", "push", *rest] | ["docker", "image", "push", *rest]:
                self.push(rest, text)
            case ["docker", "buildx", "create" | "use" | "inspect" | "ls" | "version", *_]:
                return
            case ["docker", name, *_] if name in _HARMLESS_DOCKER:
                return
            case ["aws", "sts", "get-caller-identity", *_] | ["aws", "--version"]:
                return
            case [name, *_] if name in _HARMLESS and ">" not in text:
                return
            case _:
                self.refuse(text, "runs besides the image's build")

    def assign(self, name: str, raw: str) -> None:
        if re.fullmatch(r"[\"']?(\$\(|`)\s*aws sts get-caller-identity\b.*", raw, re.DOTALL):
            self.values[name] = "123456789012"  # of an ECR host's account nothing is read
            return
        self.declared.pop(name, None)
        if "$(" in raw or "`" in raw:
            self.values[name] = _UNKNOWN
            return
        try:
            words = shlex.split(raw)
        except ValueError:
            words = [_UNKNOWN]
        self.values[name] = self.expanded(words[0] if words else "")

    def expanded(self, word: str) -> str:
        def value(found: re.Match[str]) -> str:
            name = found[1] or found[3]
            default = found[2]
            if default and not re.fullmatch(r":?[-=].*", default):
                return _UNKNOWN  # a part of a value: no expression of a pipeline can say that
            known = self.values.get(name, "")
            if not known and default:
                return default.lstrip(":")[1:]
            return known if known or name in self.values else _UNKNOWN

        if "$(" in word or "`" in word:
            return _UNKNOWN
        return re.sub(r"\$\{(\w+)([^}]*)\}|\$(\w+)", value, word)

    def path(self, text: str) -> str:
        text = text.replace("\0", "?").removeprefix("/codebuild/output/src1/src/")
        return posixpath.normpath(posixpath.join(self.folder, text))

    def build(self, words: Sequence[str], text: str) -> None:
        todo, tags, file, contexts, push = list(words), [], "", [], False
        while todo:
            word = todo.pop(0)
            name, equals, value = word.partition("=")
            if name in ("--build-arg", "--target", "--platform", "--secret", "--ssh", "--label", "--build-context"):
                self.refuse(text, f"{name} has no counterpart in ECRBuildAndPublish")
                return
            if name in _VALUED:
                value = value if equals else (todo.pop(0) if todo else "")
                if name in ("-t", "--tag"):
                    tags.append(value)
                elif name in ("-f", "--file"):
                    file = value
            elif name in _SWITCHES:
                push = push or name == "--push"
            elif word.startswith("-") and word != "-":
                self.refuse(text, f"{name} has no counterpart in ECRBuildAndPublish")
                return
            else:
                contexts.append(word)
        if len(contexts) != 1 or contexts[0] == "-" or "://" in contexts[0]:
            self.refuse(text, "has no folder of the source as its context")
            return
        context = self.path(contexts[0])
        place = self.path(file) if file else posixpath.join(context, "Dockerfile")
        if posixpath.normpath(posixpath.dirname(place) or ".") != context:
            self.refuse(
                text, f"the Dockerfile {place} lies outside of the context {context}, its folder would be taken"
            )
            return
        if context.startswith("..") or _UNKNOWN in context or "?" in context:
            self.refuse(text, "the context is not known before the build")
            return
        path = context if posixpath.basename(place) == "Dockerfile" else posixpath.normpath(place)
        for tag in tags:
            self.built[tag] = path
            if push:
                self.pushes.append((tag, path))

    def push(self, words: Sequence[str], text: str) -> None:
        every = any(word in ("-a", "--all-tags") for word in words)
        names = [word for word in words if not word.startswith("-")]
        if len(names) != 1:
            self.refuse(text, "pushes more than one name")
            return
        if every:
            found = [name for name in self.built if name.rpartition(":")[0] == names[0]]
        else:
            found = [
                name
                for name in self.built
                if name in (names[0], f"{names[0]}:latest", names[0].removesuffix(":latest"))
            ]
        if not found:
            self.refuse(text, "pushes an image that the buildspec does not build")
        self.pushes += [(names[0] if not every else name, self.built[name]) for name in found[: None if every else 1]]

    def refuse(self, text: str, why: str) -> None:
        self.reasons.append(f"`{text.strip()}`: {why}")

    def understood(self) -> Understood:
        if not self.pushes and not self.reasons:
            self.reasons.append("the buildspec pushes no image")
        repositories, tags, files = [], [], []
        for name, file in self.pushes:
            host, _, rest = name.partition("/")
            if host == _PUBLIC:
                self.reasons.append(f"{name}: public registries are to be chosen by hand (RegistryType: public)")
                continue
            if not _ECR_HOST.fullmatch(host.replace(_UNKNOWN, "x")):
                self.reasons.append(f"{_shown(name)} is pushed to no ECR registry that can be told before the build")
                continue
            repository, _, tag = rest.partition(":")
            repositories.append(repository)
            tags.append(tag or "latest")
            files.append(file)
        for what, found in (("repository", set(repositories)), ("Dockerfile", set(files))):
            if len(found) > 1:
                told = ", ".join(sorted(map(_shown, found)))
                self.reasons.append(f"several images are pushed ({what}: {told}); each needs an action of its own")
        for text in (*repositories, *tags):
            if _UNKNOWN in text:
                self.reasons.append(f"{_shown(text)} is computed while the build runs")
        if self.reasons:
            return Understood(None, tuple(dict.fromkeys(self.reasons)))
        named = [name for name, value in self.declared.items() if value == repositories[0]]
        return Understood(
            Pushed(
                repository=repositories[0],
                tags=tuple(dict.fromkeys(tags)),
                dockerfile=files[0],
                repository_variable=named[0] if named else "",
            ),
            (),
        )


def _shown(text: str) -> str:
    return text.replace(_UNKNOWN, "?").replace(COMMIT, "the commit id")
