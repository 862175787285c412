"""Filesystem functions, confined to the configuration's folders."""

import base64
import hashlib
import posixpath
import re
from collections.abc import Callable

from pipeyard.definition.terraform.conversion import normalised
from pipeyard.definition.terraform.effort import Effort, ReferenceFault
from pipeyard.definition.terraform.evaluation import evaluate
from pipeyard.definition.terraform.expressions import parse_template
from pipeyard.definition.terraform.functions.signature import (
    Function,
    FunctionCall,
    FunctionFault,
    Parameter,
    Table,
    string,
)
from pipeyard.definition.terraform.names import Locals, Scope
from pipeyard.definition.terraform.syntax import Source, Span
from pipeyard.definition.terraform.values import BOOL, STRING, SetType, Value, boolean, is_mapping, set_of, text

MAX_TEMPLATES = 100


def _read_text(context: FunctionCall, path: Value) -> str:
    try:
        return context.folders.read(path.raw).decode()
    except UnicodeDecodeError:
        raise FunctionFault(f"{path.raw} is not UTF-8 text", hint="filebase64 reads any bytes") from None


def _file(context: FunctionCall, path: Value) -> Value:
    return normalised(_read_text(context, path))


def _file_base64(context: FunctionCall, path: Value) -> Value:
    return text(base64.b64encode(context.folders.read(path.raw)).decode())


def _file_exists(context: FunctionCall, path: Value) -> Value:
    return boolean(context.folders.exists(path.raw))


def _file_hash(algorithm: str, *, in_base64: bool = False) -> Function:
    def body(context: FunctionCall, path: Value) -> Value:
        digest = hashlib.new(algorithm, context.folders.read(path.raw), usedforsecurity=False)
        return text(base64.b64encode(digest.digest()).decode() if in_base64 else digest.hexdigest())

    return Function(body, (string("path"),), returns=STRING, contextual=True)


def _file_set(context: FunctionCall, path: Value, pattern: Value) -> Value:
    matches = compile_glob(pattern.raw)
    return set_of([text(name) for name in context.folders.beneath(path.raw) if matches(name)], STRING)


def compile_glob(pattern: str) -> Callable[[str], bool]:
    """`*`, `**`, `?`, `[a-z]` and `{a,b}` over paths with slashes. Raises FunctionFault for a pattern that is none."""
    out: list[str] = []
    at = 0
    braces = 0
    while at < len(pattern):
        rest = pattern[at:]
        if rest.startswith("**/"):
            out.append("(?>(?:[^/]++/)*)")
            at += 3
        elif rest.startswith("**"):
            out.append(".*+")
            at += 2
        elif rest[0] == "*":
            out.append("[^/]*")
            at += 1
        elif rest[0] == "?":
            out.append("[^/]")
            at += 1
        elif found := re.match(r"\[([!^]?)((?:[^\]\\]|\\.)+)\]", rest):
            out.append(f"[{'^' if found[1] else ''}{found[2]}]")
            at += found.end()
        elif rest[0] == "{":
            out.append("(?:")
            braces += 1
            at += 1
        elif rest[0] == "}" and braces:
            out.append(")")
            braces -= 1
            at += 1
        elif rest[0] == "," and braces:
            out.append("|")
            at += 1
        elif rest[0] == "\\" and len(rest) > 1:
            out.append(re.escape(rest[1]))
            at += 2
        else:
            out.append(re.escape(rest[0]))
            at += 1
    try:
        compiled = re.compile("".join(out), re.DOTALL)
    except re.error:
        raise FunctionFault(f"{pattern!r} is no pattern of file names") from None
    return lambda name: compiled.fullmatch(name) is not None


def _template_file(context: FunctionCall, path: Value, variables: Value) -> Value:
    return render_template(context, str(path.raw), _read_text(context, path), variables)


class _TemplateScope:
    """A template sees its own variables alone, and the functions."""

    def __init__(self, outer: FunctionCall, depth: int) -> None:
        self.outer = outer
        self.depth = depth

    @property
    def effort(self) -> Effort:
        return self.outer.scope.effort

    def reference(self, root: str, names: list[str], span: Span) -> tuple[Value, int]:
        raise ReferenceFault(
            f"the template uses {root}, which is not among the variables given to it", place=span.place
        )

    def call(self, name: str, arguments: list[Value], span: Span) -> Value:
        from pipeyard.definition.terraform.functions import call_function

        if name in ("templatefile", "templatestring") and self.depth > 0:
            raise FunctionFault(f"a template cannot call {name}")
        return call_function(name, arguments, FunctionCall(self.outer.folders, self))


def render_template(context: FunctionCall, name: str, template: str, variables: Value) -> Value:
    """A template with the entries of a map or object as its variables."""
    if not is_mapping(variables.type) or variables.is_null:
        raise FunctionFault("the variables of a template are a map or an object")
    for key in variables.entries:
        if not re.fullmatch(r"[^\W\d][\w-]*", key):
            raise FunctionFault(f"{key!r} is no name of a variable")
    if isinstance(context.scope, _TemplateScope) and context.scope.depth > MAX_TEMPLATES:
        raise FunctionFault("templates call each other too deeply")
    scope: Scope = _TemplateScope(context, 1)
    return evaluate(parse_template(Source(name, template)), scope, Locals(dict(variables.entries)))


def _absolute(context: FunctionCall, path: Value) -> Value:
    return text(posixpath.normpath(posixpath.join(context.folders.root.as_posix(), path.raw)))


def _base_name(path: Value) -> Value:
    if path.raw == "":
        return text(".")
    stripped = path.raw.rstrip("/")
    return text(posixpath.basename(stripped) if stripped else "/")


def _folder_name(path: Value) -> Value:
    head = path.raw.rpartition("/")
    folder = head[0] + head[1]
    return text(posixpath.normpath(folder) if folder else ".")


def _expand(path: Value) -> Value:
    if path.raw.startswith("~"):
        raise FunctionFault("home folders are not known here")
    return path


FUNCTIONS: Table = {
    "abspath": Function(_absolute, (string("path"),), returns=STRING, contextual=True),
    "basename": Function(_base_name, (string("path"),), returns=STRING),
    "dirname": Function(_folder_name, (string("path"),), returns=STRING),
    "file": Function(_file, (string("path"),), returns=STRING, contextual=True),
    "filebase64": Function(_file_base64, (string("path"),), returns=STRING, contextual=True),
    "filebase64sha256": _file_hash("sha256", in_base64=True),
    "filebase64sha512": _file_hash("sha512", in_base64=True),
    "fileexists": Function(_file_exists, (string("path"),), returns=BOOL, contextual=True),
    "filemd5": _file_hash("md5"),
    "fileset": Function(_file_set, (string("path"), string("pattern")), returns=SetType(STRING), contextual=True),
    "filesha1": _file_hash("sha1"),
    "filesha256": _file_hash("sha256"),
    "filesha512": _file_hash("sha512"),
    "pathexpand": Function(_expand, (string("path"),), returns=STRING),
    "templatefile": Function(_template_file, (string("path"), Parameter("vars")), partial=True, contextual=True),
}
