"""A module as its files declare it, before anything is evaluated.

Source: Terraform language, "Files and Directories".
"""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, structs

from pipeyard.definition.terraform.bodies import parse_body
from pipeyard.definition.terraform.files import Folders
from pipeyard.definition.terraform.syntax import Attribute, Block, Body
from pipeyard.errors import InputError, Place


class Configuration(Struct, frozen=True):
    """Blocks of a module by what they declare; `resources` and `data` by type and name."""

    variables: dict[str, Block]
    locals: dict[str, Attribute]
    outputs: dict[str, Block]
    resources: dict[tuple[str, str], Block]
    data: dict[tuple[str, str], Block]
    modules: dict[str, Block]
    providers: tuple[Block, ...]


IGNORED = frozenset({"terraform", "moved", "import", "check", "removed", "ephemeral", "action"})
_LABELS = {"variable": 1, "output": 1, "module": 1, "provider": 1, "resource": 2, "data": 2, "locals": 0}


def configuration_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of a module in the order in which they are read, and its override files."""
    plain: list[Path] = []
    overrides: list[Path] = []
    for path in sorted(folder.iterdir()):
        name = path.name
        if name.startswith((".", "#")) or name.endswith(("~", "#")) or not name.endswith((".tf", ".tf.json")):
            continue
        if not path.is_file():
            continue
        stem = name.removesuffix(".json").removesuffix(".tf")
        (overrides if stem == "override" or stem.endswith("_override") else plain).append(path)
    return plain, overrides


def load_configuration(folder: Path, shown: Callable[[Path], str], folders: Folders) -> Configuration:
    """Raises InputError at a syntax error, or at a thing that is declared twice."""
    plain, overrides = configuration_files(folder)
    if not plain and not overrides:
        raise InputError(f"{shown(folder)} has no .tf or .tf.json files")
    found = Configuration({}, {}, {}, {}, {}, {}, ())
    for path in plain:
        for block in _blocks(path, shown(path), folders):
            found = _add(found, block, overrides=False)
    for path in overrides:
        for block in _blocks(path, shown(path), folders):
            found = _add(found, block, overrides=True)
    return found


def parse_file(path: Path, file: str) -> Body:
    """A `.tf`, `.tfvars` or `.json` file that may be read. Raises InputError."""
    try:
        text = path.read_bytes().decode()  # as it is: the lines of a heredoc keep their ends
    except UnicodeDecodeError as error:
        raise InputError("the file is not UTF-8 text", place=Place(file)) from error
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error
    if path.name.endswith(".json"):
        from pipeyard.definition.terraform.json_syntax import parse_json_body

        return parse_json_body(text, file, "configuration")
    return parse_body(text, file)


def _blocks(path: Path, file: str, folders: Folders) -> tuple[Block, ...]:
    folders.path(str(path))  # a link must not lead out of the configuration
    body = parse_file(path, file)
    for attribute in body.attributes.values():
        raise InputError(f"{attribute.name} is no block of a configuration", place=attribute.span.place)
    return body.blocks


def _add(found: Configuration, block: Block, *, overrides: bool) -> Configuration:
    wanted = _LABELS.get(block.type)
    if wanted is None:
        if block.type in IGNORED:
            return found
        from pipeyard.definition.declaration import suggestion

        raise InputError(
            f"there are no blocks of type {block.type}",
            place=block.span.place,
            hint=suggestion(block.type, [*_LABELS, *IGNORED]),
        )
    if len(block.labels) != wanted:
        labels = ("no labels", "one label, its name", "two labels, type and name")[wanted]
        raise InputError(f"a {block.type} block has {labels}", place=block.span.place)
    if block.type == "locals":
        for name, attribute in block.body.attributes.items():
            if name in found.locals and not overrides:
                raise _twice(f"local.{name}", attribute.span.place, found.locals[name].span.place)
            found.locals[name] = attribute
        return found
    if block.type == "provider":
        return structs.replace(found, providers=(*found.providers, block))
    if block.type in ("resource", "data"):
        pairs = found.resources if block.type == "resource" else found.data
        kind, name = block.labels
        before = pairs.get((kind, name))
        pairs[kind, name] = _merged(block, before, f"{kind}.{name}", overrides)
    else:
        named = {"variable": found.variables, "output": found.outputs, "module": found.modules}[block.type]
        name = block.labels[0]
        named[name] = _merged(block, named.get(name), f"{block.type} {name}", overrides)
    return found


def _merged(block: Block, before: Block | None, name: str, overrides: bool) -> Block:
    if before is None:
        return block
    if not overrides:
        raise _twice(name, block.span.place, before.span.place)
    # Override files: arguments replace arguments, and blocks of a type replace all blocks of that type.
    replaced = {inner.type for inner in block.body.blocks}
    kept = tuple(inner for inner in before.body.blocks if inner.type not in replaced)
    body = Body({**before.body.attributes, **block.body.attributes}, (*kept, *block.body.blocks), before.body.span)
    return Block(before.type, before.labels, body, before.span)


def _twice(name: str, place: Place, first: Place) -> InputError:
    return InputError(f"{name} is declared a second time here", place=place, hint=f"it is declared at {first}")
