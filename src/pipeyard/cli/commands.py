"""The table of commands, and what click makes of a command line."""

import importlib
from collections.abc import Mapping, Sequence

import click

from pipeyard import __version__

COMMANDS: Mapping[str, tuple[str, str]] = {
    # name: (module with a click command called `command`, or module:command; short help)
    "migrate": ("pipeyard.cli.migrate", "Propose ECRBuildAndPublish for CodeBuild projects that build an image."),
    "build": ("pipeyard.cli.build", "Run a buildspec alone, without CodeBuild or Docker."),
    "validate": ("pipeyard.cli.validate", "Check a definition as the service would, and further."),
    "run": ("pipeyard.cli.run", "Run the pipeline that a definition declares."),
    "pipelines": ("pipeyard.cli.pipelines", "List the pipelines that have run here."),
    "executions": ("pipeyard.cli.executions", "List what ran of a pipeline."),
    "show": ("pipeyard.cli.show", "Show what happened in an execution, with its logs."),
    "logs": ("pipeyard.cli.logs", "Print the logs of an execution."),
    "approve": ("pipeyard.cli.answers:approve", "Approve a manual approval that waits."),
    "reject": ("pipeyard.cli.answers:reject", "Reject a manual approval that waits."),
    "retry": ("pipeyard.cli.retry", "Resume a failed or stopped execution."),
    "stop": ("pipeyard.cli.answers:stop", "Stop an execution."),
    "serve": ("pipeyard.cli.serve", "Serve the published images, and AWS clients, over HTTP."),
    "demo": ("pipeyard.cli.demo", "See the main job on the embedded defaults, offline, from nothing."),
}

IMAGE_COMMANDS: Mapping[str, tuple[str, str]] = {
    # `pipeyard image NAME`: likewise
    "build": ("pipeyard.cli.image_build_click", "Build an image from a Dockerfile."),
    "push": ("pipeyard.cli.image_push", "Push an image of the embedded registry to another."),
    "pull": ("pipeyard.cli.image_pull", "Pull an image into the embedded registry."),
    "copy": ("pipeyard.cli.image_copy", "Copy an image from any registry to any other."),
    "inspect": ("pipeyard.cli.image_inspect", "Show an image's manifest, configuration and platforms."),
    "ls": ("pipeyard.cli.image_ls", "List images, or the tags of another registry's repository."),
    "tag": ("pipeyard.cli.image_tag", "Give an image further tags."),
    "rm": ("pipeyard.cli.image_rm", "Remove tags and images."),
    "prune": ("pipeyard.cli.image_prune", "Give back the disk space of the build cache."),
    "sbom": ("pipeyard.cli.image_sbom", "List the packages in an image, as an SPDX document."),
}

REGISTRY_COMMANDS: Mapping[str, tuple[str, str]] = {
    # `pipeyard registry NAME`: likewise
    "collect": ("pipeyard.cli.registry_collect", "Remove blobs that no published image needs."),
    "create": ("pipeyard.cli.registry_repositories:create", "Create a repository."),
    "immutable": ("pipeyard.cli.registry_repositories:immutable", "Fix the tags of a repository."),
    "lifecycle": ("pipeyard.cli.registry_repositories:lifecycle", "Set, preview or carry out a lifecycle policy."),
    "serve": ("pipeyard.cli.registry_serve", "Serve the images under PIPEYARD_HOME over HTTP."),
}


class LazyGroup(click.Group):
    """Knows its commands' names and help; imports a command only when it is called."""

    def __init__(
        self, name: str | None, table: Mapping[str, tuple[str, str]], help_text: str, **attributes: object
    ) -> None:
        super().__init__(name, help=help_text, **attributes)  # type: ignore[arg-type]
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.table, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.table:
            module, _, name = self.table[cmd_name][0].partition(":")
            command: click.Command = getattr(importlib.import_module(module), name or "command")
            return command
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, text) for name, (_, text) in self.table.items()]
        rows += [(name, found.get_short_help_str(limit=100)) for name, found in self.commands.items()]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


root = LazyGroup("pipeyard", COMMANDS, "AWS CodePipeline V2, anywhere: from a commit to a published image.")
click.version_option(__version__, message="%(prog)s %(version)s")(root)
root.add_command(LazyGroup("image", IMAGE_COMMANDS, "Build images and move them between registries."))
root.add_command(LazyGroup("registry", REGISTRY_COMMANDS, "The embedded OCI registry."))


def through_click(arguments: Sequence[str]) -> int:
    """Runs one command and gives its exit code; errors that are not about the words themselves pass."""
    try:
        result = root.main(list(arguments), prog_name="pipeyard", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_shown:
        click.echo(help_shown.format_message(), err=True)
        return 2
    except click.ClickException as wrong:
        wrong.show()
        return 2
    except click.Abort:
        click.echo("pipeyard: stopped", err=True)
        return 1
    return result if isinstance(result, int) else 0
