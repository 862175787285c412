"""Values of the root module's variables, by Terraform's order of precedence.

Source: Terraform language, "Variable Definition Precedence": environment, terraform.tfvars, terraform.tfvars.json,
*.auto.tfvars in order of their names, then what the command line gives, in its order.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from pipeyard.definition.places import Inputs
from pipeyard.definition.terraform.constraints import Constraint
from pipeyard.definition.terraform.evaluation import evaluate
from pipeyard.definition.terraform.expressions import parse_expression
from pipeyard.definition.terraform.names import NO_LOCALS, NoScope
from pipeyard.definition.terraform.syntax import Attribute, Source
from pipeyard.definition.terraform.values import Dynamic, Primitive, Value, text
from pipeyard.errors import InputError, Place, Problem

Given = Callable[[str, Constraint], Value | None]


def root_values(
    folder: Path, inputs: Inputs, declared: frozenset[str], shown: Callable[[Path], str], problems: list[Problem]
) -> Given:
    """Looks up the value of a root variable; None when nobody gives one.

    Raises InputError for an unreadable file, and for `--var` of what is not declared.
    """
    from pipeyard.definition.declaration import suggestion

    chosen: dict[str, Attribute | str] = {}
    for one in (*_files(folder), *inputs.variables):
        if isinstance(one, Path):
            for name, attribute in _read(one, shown(one)).items():
                if name in declared:
                    chosen[name] = attribute
                    continue
                message, hint = f"variable {name} is not declared", suggestion(name, declared)
                problems.append(Problem("warning", message, attribute.span.place, hint, "undeclared-variable"))
            continue
        name, written = one
        if name not in declared:
            known = ", ".join(sorted(declared))
            hint = suggestion(name, declared) or (f"the variables are {known}" if known else "it declares no variables")
            raise InputError(f"the configuration has no variable {name}", place=Place("--var"), hint=hint)
        chosen[name] = written

    def given(name: str, constraint: Constraint) -> Value | None:
        found = chosen.get(name)
        if isinstance(found, Attribute):
            return evaluate(found.value, NoScope(), NO_LOCALS)
        if found is not None:
            return _from_text(found, constraint, Place("--var"), name)
        named = inputs.environment.get(f"TF_VAR_{name}")
        return None if named is None else _from_text(named, constraint, Place("environment"), f"TF_VAR_{name}")

    return given


def _files(folder: Path) -> list[Path]:
    """Files that are read without being asked for, in rising precedence."""
    automatic = sorted(path for path in folder.iterdir() if path.name.endswith((".auto.tfvars", ".auto.tfvars.json")))
    found = [path for name in ("terraform.tfvars", "terraform.tfvars.json") if (path := folder / name).is_file()]
    return [*found, *automatic]


def _read(path: Path, file: str) -> Mapping[str, Attribute]:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {file}: {error}") from error
    if path.name.endswith(".json"):
        from pipeyard.definition.terraform.json_syntax import parse_json_body

        return parse_json_body(content, file, "values").attributes
    from pipeyard.definition.terraform.bodies import parse_body

    body = parse_body(content, file)
    for block in body.blocks:
        raise InputError(f"{block.type} is a block; a file of values has only arguments", place=block.span.place)
    return body.attributes


def _from_text(given: str, constraint: Constraint, place: Place, name: str) -> Value:
    """A value in one string: as it is for a simple type, otherwise an expression of constants."""
    if isinstance(constraint.type, Primitive) or (isinstance(constraint.type, Dynamic) and not constraint.written):
        return text(given)
    source = Source(str(place), given)
    try:
        return evaluate(parse_expression(source), NoScope(), NO_LOCALS)
    except InputError as error:
        raise InputError(f"{name} is no value: {error.message}", place=error.place, hint=error.hint) from None
