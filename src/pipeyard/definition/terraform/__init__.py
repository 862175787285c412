"""Reader of Terraform configuration and of the plans that `terraform show -json` prints.

The language is implemented here, from its specification: nothing is run, fetched or written, and no file is read but
those beneath the configuration's folder and its local modules.
"""

from pathlib import Path

from pipeyard.definition.places import NO_INPUTS, Inputs, Reading
from pipeyard.definition.terraform.values import Value
from pipeyard.errors import InputError

__all__ = ["TerraformReader", "evaluate_in"]


class TerraformReader:
    """A folder with `.tf` or `.tf.json` files, one such file (which stands for its folder), or a plan in JSON."""

    def recognises(self, path: Path) -> bool:
        if path.is_dir():
            return any(entry.name.endswith((".tf", ".tf.json")) for entry in path.iterdir() if entry.is_file())
        if path.name.endswith((".tf", ".tf.json")):
            return path.is_file()
        from pipeyard.definition.terraform.plans import is_plan_file

        return is_plan_file(path)

    def read(self, path: Path, inputs: Inputs = NO_INPUTS) -> Reading:
        """Raises InputError when the path cannot be read; what the files say wrongly is among the problems."""
        if not path.exists():
            raise InputError(f"there is no {path}")
        if path.is_file() and not path.name.endswith((".tf", ".tf.json")):
            from pipeyard.definition.terraform.plans import read_plan

            return read_plan(path, inputs)
        from pipeyard.definition.terraform.reader import read_folder

        return read_folder(path if path.is_dir() else path.parent, inputs)


def evaluate_in(folder: Path, expression: str, inputs: Inputs = NO_INPUTS) -> Value:
    """The value of an expression in the root module of a folder, as `terraform console` gives it. Raises InputError."""
    from pipeyard.definition.terraform.expressions import parse_expression
    from pipeyard.definition.terraform.reader import open_module
    from pipeyard.definition.terraform.syntax import Source

    root = open_module(folder, inputs, [])
    return root.evaluate(parse_expression(Source("expression", expression)))
