"""Values of a buildspec's tree with every complaint kept at its place, so that one reading tells all of them."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from pipeyard.definition.documents import Items, Leaf, Node, Table
from pipeyard.errors import Place, Problem


class Complaints:
    """Collects problems while a tree is read; what is wrong reads as empty."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def error(self, message: str, place: Place, *, hint: str = "", rule: str = "") -> None:
        self.problems.append(Problem("error", message, place, hint, rule))

    def warning(self, message: str, place: Place, *, hint: str = "", rule: str = "") -> None:
        self.problems.append(Problem("warning", message, place, hint, rule))

    def table(self, node: Node | None, what: str) -> Table | None:
        """None for an absent or empty one."""
        if node is None or (isinstance(node, Leaf) and node.value is None):
            return None
        if isinstance(node, Table):
            return node
        self.error(f"{what} must be a mapping", node.place)
        return None

    def known(self, table: Table, what: str, keys: Iterable[str]) -> None:
        """Warns of keys that the service does not know: it ignores them."""
        names = tuple(keys)
        for key in table.entries:
            if key not in names:
                close = get_close_matches(key, names, 1)
                hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"
                self.warning(f"{key!r} is no key of {what}, and is ignored", table.key_place(key), hint=hint)

    def text(self, table: Table, key: str) -> str:
        node = table.get(key)
        if node is None:
            return ""
        if isinstance(node, Leaf):
            return node.text
        self.error(f"{key} must be text", node.place)
        return ""

    def truth(self, table: Table, key: str, default: bool = False) -> bool:
        node = table.get(key)
        if node is None or (isinstance(node, Leaf) and node.value is None):
            return default
        told = node.text.lower() if isinstance(node, Leaf) else ""
        if told in ("yes", "true", "1", "on"):
            return True
        if told not in ("no", "false", "0", "off"):
            self.error(f"{key} must be yes or no", node.place)
        return False

    def texts(self, table: Table, key: str) -> tuple[str, ...]:
        """A list of texts; one text alone counts as a list of one."""
        node = table.get(key)
        if node is None or (isinstance(node, Leaf) and node.value is None):
            return ()
        if isinstance(node, Leaf):
            return (node.text,)
        out = []
        for item in node.nodes if isinstance(node, Items) else ():
            if isinstance(item, Leaf) and item.value is not None:
                out.append(item.text)
            else:
                self.error(f"{key} must be a list of texts", item.place)
        if not isinstance(node, Items):
            self.error(f"{key} must be a list of texts", node.place)
        return tuple(out)

    def variables(self, node: Node | None, what: str) -> dict[str, str]:
        """Names and texts. Raises a complaint for a name that no shell can have."""
        table = self.table(node, what)
        found = {}
        for name, value in table.entries.items() if table else ():
            if table is not None and not _VARIABLE.fullmatch(name):
                self.error(f"{name!r} cannot name a variable", table.key_place(name))
            elif not isinstance(value, Leaf):
                self.error(f"the value of {name} in {what} must be text", value.place)
            else:
                found[name] = value.text
        return found


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
