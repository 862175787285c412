"""The instructions of a Dockerfile as frozen values: what was written, and where.

Nothing here is expanded. `expansion.expand` answers a new node whose words know their `value`; a node never changes.
Source: Dockerfile reference (docs.docker.com/reference/dockerfile), frontend syntax docker/dockerfile:1.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

from pipeyard.errors import Place


class Word(Struct, frozen=True, gc=False):
    """One argument or flag value. `raw` still has its quotes, escapes and variables; `value` is what they stand for.

    `value` is None until `expand` answered the word. A field of type `str` is never expanded, by definition.
    """

    raw: str
    place: Place
    value: str | None = None

    @property
    def text(self) -> str:
        """The value where it is known, else the word as written."""
        return self.raw if self.value is None else self.value

    def __str__(self) -> str:
        return self.text


class Heredoc(Struct, frozen=True, gc=False, kw_only=True):
    """A here-document that an instruction opened, its body untouched (`content` ends with a newline or is empty)."""

    name: str  # the word that closes it, without quotes
    content: str
    expand: bool = True  # False when any part of the name was quoted
    chomp: bool = False  # `<<-`: leading tabs of each line do not count
    fd: int = 0
    place: Place

    @property
    def text(self) -> str:
        """The content, without the leading tabs of its lines where `<<-` asked for that."""
        if not self.chomp:
            return self.content
        return "\n".join(line.lstrip("\t") for line in self.content.split("\n"))


class Instruction(Struct, frozen=True, gc=False, kw_only=True, tag_field="instruction"):
    """What all instructions have in common.

    `source` is the instruction in one line: continuations joined, comments gone, heredoc bodies not included. It is
    what progress shows. `flags` are the words that began with `--`, quotes and escapes resolved. `comments` are those
    that stand directly above, for checks (`# check=skip=...`) and descriptions.
    """

    place: Place
    source: str
    end_line: int = 0  # the last line, heredoc bodies included
    keyword: str = ""  # as written: "run", "Run", "RUN"
    flags: tuple[str, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()


class Command(Struct, frozen=True, gc=False):
    """What is to be run: exec form (`arguments` as given) or shell form (one string, for `SHELL`; none when absent)."""

    arguments: tuple[str, ...]
    shell: bool


class Pair(Struct, frozen=True, gc=False):
    """`name=value` of ENV and LABEL; `legacy` when written with a space instead of `=`."""

    name: Word
    value: Word
    legacy: bool = False


class From(Instruction, frozen=True, gc=False, kw_only=True, tag="FROM"):
    image: Word  # an image, the name of an earlier stage, or `scratch`
    name: str | None = None  # AS, in lower case
    name_as_written: str = ""
    as_keyword: str = ""  # "AS", "as"
    platform: Word | None = None


# A mount's `target` may be relative or "": it is joined to the working directory, which only the builder knows.


class BindMount(Struct, frozen=True, gc=False, kw_only=True, tag="bind"):
    from_: str = ""  # stage name, stage number, named context or image; "" is the build context
    source: str = ""  # "" is its root
    target: str
    read_only: bool = True


class CacheMount(Struct, frozen=True, gc=False, kw_only=True, tag="cache"):
    target: str
    id: str = ""  # "" means: named after the target
    from_: str = ""  # what a new cache starts with
    source: str = ""
    read_only: bool = False
    sharing: Literal["shared", "private", "locked"] = "shared"
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


class TmpfsMount(Struct, frozen=True, gc=False, kw_only=True, tag="tmpfs"):
    target: str
    size: int = 0  # bytes; 0 is no limit
    read_only: bool = False


class SecretMount(Struct, frozen=True, gc=False, kw_only=True, tag="secret"):
    """`id` and `target` are worked out from each other as BuildKit does; `target` is "" for a variable only."""

    id: str
    target: str
    env: str | None = None  # name of the variable that holds it
    required: bool = False
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


class SshMount(Struct, frozen=True, gc=False, kw_only=True, tag="ssh"):
    id: str = "default"
    target: str = ""  # "" means: chosen by the builder, told in SSH_AUTH_SOCK
    required: bool = False
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


Mount: TypeAlias = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount


class MountRequest(Struct, frozen=True, gc=False):
    """One `--mount=`, unread: its values may hold variables. `from_` may not, so that the graph is known before."""

    word: Word
    from_: str = ""


class Device(Struct, frozen=True, gc=False):
    name: str
    required: bool = False


class Run(Instruction, frozen=True, gc=False, kw_only=True, tag="RUN"):
    """`mounts` are empty until `expand` reads `mount_requests`. Heredocs of the command are in `heredocs`."""

    command: Command
    mount_requests: tuple[MountRequest, ...] = ()
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    network: Literal["default", "none", "host"] = "default"
    security: Literal["sandbox", "insecure"] = "sandbox"


class InlineFile(Struct, frozen=True, gc=False, kw_only=True):
    """A heredoc as a source of COPY or ADD: `content` is what the file will hold, once `expand` was called."""

    name: str
    content: str
    expand: bool
    place: Place


class Copy(Instruction, frozen=True, gc=False, kw_only=True, tag="COPY"):
    sources: tuple[Word, ...]
    destination: Word
    files: tuple[InlineFile, ...] = ()
    from_: str | None = None  # stage name, stage number, named context or image
    chown: Word | None = None
    chmod: Word | None = None
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()
    exec_form: bool = False


class Add(Instruction, frozen=True, gc=False, kw_only=True, tag="ADD"):
    sources: tuple[Word, ...]
    destination: Word
    files: tuple[InlineFile, ...] = ()
    chown: Word | None = None
    chmod: Word | None = None
    checksum: Word | None = None
    link: bool = False
    keep_git_dir: bool | None = None
    unpack: bool | None = None
    exclude: tuple[str, ...] = ()
    exec_form: bool = False


class Env(Instruction, frozen=True, gc=False, kw_only=True, tag="ENV"):
    pairs: tuple[Pair, ...]


class Label(Instruction, frozen=True, gc=False, kw_only=True, tag="LABEL"):
    pairs: tuple[Pair, ...]


class ArgDefinition(Struct, frozen=True, gc=False):
    """`ARG name` or `ARG name=default`. Names are not expanded."""

    name: str
    default: Word | None
    place: Place
    description: str = ""


class Arg(Instruction, frozen=True, gc=False, kw_only=True, tag="ARG"):
    """Each default may use the definitions before it: expand them one after the other with `expand_word`."""

    definitions: tuple[ArgDefinition, ...]


class Workdir(Instruction, frozen=True, gc=False, kw_only=True, tag="WORKDIR"):
    path: Word


class User(Instruction, frozen=True, gc=False, kw_only=True, tag="USER"):
    user: Word


class Expose(Instruction, frozen=True, gc=False, kw_only=True, tag="EXPOSE"):
    """In the order as written; `expand` answers them sorted, and one word may have become several or none."""

    ports: tuple[Word, ...]


class Volume(Instruction, frozen=True, gc=False, kw_only=True, tag="VOLUME"):
    paths: tuple[Word, ...]
    exec_form: bool = False


class Cmd(Instruction, frozen=True, gc=False, kw_only=True, tag="CMD"):
    command: Command


class Entrypoint(Instruction, frozen=True, gc=False, kw_only=True, tag="ENTRYPOINT"):
    command: Command


class Healthcheck(Instruction, frozen=True, gc=False, kw_only=True, tag="HEALTHCHECK"):
    """Durations are nanoseconds, as in the image's configuration; 0 inherits. `command` is None for NONE."""

    command: Command | None
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0

    @property
    def test(self) -> tuple[str, ...]:
        """`Test` of the image's configuration."""
        if self.command is None:
            return ("NONE",)
        return ("CMD-SHELL" if self.command.shell else "CMD", *self.command.arguments)


class Stopsignal(Instruction, frozen=True, gc=False, kw_only=True, tag="STOPSIGNAL"):
    signal: Word


class Shell(Instruction, frozen=True, gc=False, kw_only=True, tag="SHELL"):
    shell: tuple[str, ...]


class Onbuild(Instruction, frozen=True, gc=False, kw_only=True, tag="ONBUILD"):
    """`trigger` is what the image's configuration records, heredoc bodies included; `parser.parse_trigger` reads it.

    Whether the trigger makes sense is found out when it fires, as in BuildKit.
    """

    trigger: str


class Maintainer(Instruction, frozen=True, gc=False, kw_only=True, tag="MAINTAINER"):
    name: str


StageInstruction: TypeAlias = (
    Add
    | Arg
    | Cmd
    | Copy
    | Entrypoint
    | Env
    | Expose
    | Healthcheck
    | Label
    | Maintainer
    | Onbuild
    | Run
    | Shell
    | Stopsignal
    | User
    | Volume
    | Workdir
)


class Stage(Struct, frozen=True, gc=False, kw_only=True):
    """One build stage: its FROM, and what follows."""

    from_: From
    instructions: tuple[StageInstruction, ...] = ()
    description: str = ""

    @property
    def name(self) -> str | None:
        return self.from_.name


class Directive(Struct, frozen=True, gc=False):
    """`# name=value` at the top of the file."""

    name: str
    value: str
    place: Place


class Dockerfile(Struct, frozen=True, gc=False, kw_only=True):
    """A whole file. `stages` may be empty: a file of global ARGs only parses, and has nothing to build."""

    file: str
    stages: tuple[Stage, ...]
    global_args: tuple[Arg, ...] = ()
    escape: str = "\\"
    syntax: Directive | None = None
    check: Directive | None = None
    empty_continuations: tuple[Place, ...] = ()  # instructions with an empty line within: see the linter
