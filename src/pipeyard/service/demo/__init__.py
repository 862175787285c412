"""The demonstration: a base image from this machine, a small service with its pipeline, and a change to it."""

from pipeyard.service.demo.base_image import assemble_root
from pipeyard.service.demo.project import BASE_REPOSITORY, DemoProject, make_project

__all__ = ["BASE_REPOSITORY", "DemoProject", "assemble_root", "make_project"]
