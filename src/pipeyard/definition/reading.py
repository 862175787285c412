"""The one entrance to every format: which reader a path is for is decided by its content."""

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pipeyard.definition import cdk, cloudformation, codepipeline
from pipeyard.definition.documents import Node, Table, read_text
from pipeyard.definition.places import NO_INPUTS, Inputs, Reading
from pipeyard.errors import InputError, Place

LOOKED_FOR = (
    "a CloudFormation template (`Resources`)",
    "the JSON or YAML of `aws codepipeline get-pipeline` (`pipeline` or `stages`)",
    "a folder of .tf or .tf.json files",
    "the JSON of `terraform show -json` (`planned_values` or `values`)",
    "a cdk.out folder (`manifest.json`)",
)

_MOST_NAMED = 5
_MOST_LOOKED_AT = 500
_DEEPEST = 4
_OF_OTHERS = frozenset({"node_modules", "venv", "vendor", "site-packages"})

_PARAMETERS = "give a template's parameters with --parameter NAME=VALUE"
_DOCUMENTS = (".yaml", ".yml", ".json", ".template")


def read(path: Path, inputs: Inputs = NO_INPUTS) -> Reading:
    """Reads what a file or folder declares, whatever its format.

    What the definition says wrongly is among the reading's problems. Raises InputError when the path is absent, holds
    no definition or more than one, or is not even well-formed, and for `strict` inputs that its format never takes.
    """
    if path.is_dir():
        return _read_folder(path, inputs)
    if not path.exists():
        raise InputError(f"{path} does not exist", place=Place(str(path)))
    if _is_terraform(path):
        return _read_terraform(path.parent, inputs)
    if path.name == "manifest.json" and cdk.is_assembly(path.parent):
        return _read_assembly(path.parent, inputs)
    document = cloudformation.parse_template(read_text(path), str(path))
    if _is_plan(document):
        return _read_terraform(path, inputs)
    if cloudformation.is_template(document):
        _refuse_variables(inputs, f"{path} is a CloudFormation template", _PARAMETERS)
        return cloudformation.read_template(document, str(path), inputs)
    if codepipeline.is_pipeline(document):
        hint = "a pipeline's own variables are given to a run with --variable NAME=VALUE"
        _refuse_variables(inputs, f"{path} is a pipeline's document", hint)
        _refuse_parameters(inputs, f"{path} is a pipeline's document", hint)
        return codepipeline.read_pipeline(document, str(path))
    raise InputError(
        f"{path} is no pipeline definition", place=document.place, hint=f"looked for {'; '.join(LOOKED_FOR)}"
    )


def _read_folder(folder: Path, inputs: Inputs) -> Reading:
    for assembly in (folder, folder / "cdk.out"):
        if cdk.is_assembly(assembly):
            return _read_assembly(assembly, inputs)
    found = [path for path in sorted(folder.iterdir()) if path.suffix in _DOCUMENTS and _declares(path)]
    terraform = [path for path in folder.iterdir() if path.is_file() and _is_terraform(path)]
    if terraform and not found:
        return _read_terraform(folder, inputs)
    if len(found) == 1 and not terraform:
        return read(found[0], inputs)
    if found:
        names = [path.name for path in (*found, *sorted(terraform)[:1])]
        raise InputError(
            f"{folder} holds {len(names)} definitions", place=Place(str(folder)), hint=f"name one: {', '.join(names)}"
        )
    hint = f"looked for {'; '.join(LOOKED_FOR)}"
    if (folder / "cdk.json").is_file():
        hint = "this is a CDK app: `cdk synth` leaves the cdk.out folder that can be read"
    elif beneath := list(islice(_beneath(folder), _MOST_NAMED)):
        hint = f"beneath it there are {', '.join(beneath)}" if len(beneath) > 1 else f"beneath it there is {beneath[0]}"
    raise InputError(f"{folder} holds no pipeline definition", place=Place(str(folder)), hint=hint)


def _beneath(folder: Path) -> Iterator[str]:
    """Definitions in the folders of a folder, by their path from it; looks at a limited number of files."""
    left = _MOST_LOOKED_AT
    for name, folders, files in os.walk(folder):
        here = Path(name)
        depth = len(here.relative_to(folder).parts)
        folders[:] = sorted(
            inner for inner in folders if depth < _DEEPEST and not inner.startswith(".") and inner not in _OF_OTHERS
        )
        if here != folder and cdk.is_assembly(here):
            folders.clear()
            yield str(here.relative_to(folder))
            continue
        modules = [here / file for file in files if _is_terraform(here / file)] if here != folder else []
        if left > 0 and modules and (left := left - len(modules)) and any(map(_tells_of_pipelines, modules)):
            yield str(here.relative_to(folder))
        for file in sorted(files):
            path = here / file
            if left <= 0:
                return
            if path.suffix in _DOCUMENTS and (left := left - 1) and _declares(path):
                yield str(path.relative_to(folder))


def _tells_of_pipelines(path: Path) -> bool:
    """Whether a file of Terraform has to do with pipelines: declares one, or calls a module that does by its name."""
    try:
        return b"pipeline" in path.read_bytes().lower()
    except OSError:
        return False


def _read_assembly(folder: Path, inputs: Inputs) -> Reading:
    _refuse_variables(inputs, f"{folder} holds CloudFormation templates", _PARAMETERS)
    return cdk.read_assembly(folder, inputs)


def _refuse_variables(inputs: Inputs, what: str, hint: str) -> None:
    """What nobody would look at is refused: a value that is given and not used gives another image than was meant."""
    if inputs.strict and inputs.variables:
        raise InputError(f"{what} and takes no variables of Terraform", place=Place("--var"), hint=hint)


def _refuse_parameters(inputs: Inputs, what: str, hint: str) -> None:
    if inputs.strict and inputs.parameters:
        raise InputError(f"{what} and takes no parameters of CloudFormation", place=Place("--parameter"), hint=hint)


def _read_terraform(path: Path, inputs: Inputs) -> Reading:
    from pipeyard.definition.terraform import TerraformReader

    _refuse_parameters(inputs, f"{path} is Terraform", "give its variables with --var NAME=VALUE")
    return TerraformReader().read(path, inputs)


def _is_terraform(path: Path) -> bool:
    return path.name.endswith((".tf", ".tf.json"))


def _is_plan(document: Node) -> bool:
    return (
        isinstance(document, Table)
        and "format_version" in document.entries
        and any(key in document.entries for key in ("planned_values", "values"))
    )


def _declares(path: Path) -> bool:
    """Whether a file among others is a definition: a cheap look first, since most files of a folder are not."""
    if not path.is_file() or path.name.endswith(".tf.json"):
        return False
    try:
        text = read_text(path)
        if not any(sign in text for sign in ("AWS::CodePipeline::Pipeline", "aws_codepipeline", "stages")):
            return False
        document = cloudformation.parse_template(text, str(path))
    except InputError:
        return False
    if cloudformation.is_template(document):
        return json.dumps("AWS::CodePipeline::Pipeline")[1:-1] in text
    return _is_plan(document) or codepipeline.has_actions(document)
