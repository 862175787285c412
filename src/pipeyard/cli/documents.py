"""Results as JSON on stdout, for programs."""

import click
import msgspec


def write_json(document: object) -> None:
    """Structs, dictionaries and lists, indented for whoever looks at them."""
    click.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
