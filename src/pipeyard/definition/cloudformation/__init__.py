"""CloudFormation templates: parsing, evaluation as a deployment would, and the pipelines that come out."""

from pipeyard.definition.cloudformation.reader import CloudFormationReader, open_template, read_template
from pipeyard.definition.cloudformation.tags import is_template, parse_template

__all__ = ["CloudFormationReader", "is_template", "open_template", "parse_template", "read_template"]
