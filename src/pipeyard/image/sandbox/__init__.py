"""Running a command of a build: isolated, on a stack of layer folders, with its changes as the next layer."""

from pipeyard.image.sandbox.bubblewrap import BubblewrapSandbox, find_program
from pipeyard.image.sandbox.choose import open_sandbox
from pipeyard.image.sandbox.contract import (
    DEFAULT_PATH,
    NO_LIMITS,
    Bind,
    Command,
    Exit,
    FileMount,
    HostBind,
    Limits,
    Mount,
    Output,
    Root,
    Sandbox,
    SandboxError,
    Tmpfs,
)
from pipeyard.image.sandbox.namespace import become_root

__all__ = [
    "DEFAULT_PATH",
    "NO_LIMITS",
    "Bind",
    "BubblewrapSandbox",
    "Command",
    "Exit",
    "FileMount",
    "HostBind",
    "Limits",
    "Mount",
    "Output",
    "Root",
    "Sandbox",
    "SandboxError",
    "Tmpfs",
    "become_root",
    "find_program",
    "open_sandbox",
]
