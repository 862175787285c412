"""A small web service in a git repository, and a CloudFormation template of its pipeline beside it."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

BASE_REPOSITORY = "demo/base"

_DOCKERFILE = """\
FROM {account}.dkr.ecr.{region}.amazonaws.com/{base}:1
WORKDIR /app
COPY words.txt sort_words.py ./
RUN python3 sort_words.py < words.txt > sorted.txt && wc -l sorted.txt
COPY service.py ./
USER service
EXPOSE 8080
ENTRYPOINT ["python3", "/app/service.py"]
"""

_SERVICE = '''\
"""Answers every request with a greeting and how many words it knows."""

import http.server
import os

GREETING = "Hello from pipeyard"


class Greeter(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        words = open("/app/sorted.txt").read().split()
        body = f"{GREETING}: I know {len(words)} words.\\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


http.server.HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Greeter).serve_forever()
'''

_SORT = """\
import sys

print("\\n".join(sorted(set(sys.stdin.read().split()))))
"""

_WORDS = "source build publish image layer digest registry stage action artifact pipeline commit tag\n"

_TEMPLATE = """\
AWSTemplateFormatVersion: '2010-09-09'
Description: Builds the greeter service and publishes it under its commit and as latest.
Parameters:
  ServiceName:
    Type: String
    Default: greeter
  Branch:
    Type: String
    Default: main
  ConnectionArn:
    Type: String
    Default: arn:aws:codeconnections:{region}:{account}:connection/5c1f4e5e-0000-4000-8000-000000000000
Resources:
  Pipeline:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Name: !Sub '${{ServiceName}}-pipeline'
      PipelineType: V2
      Stages:
        - Name: Source
          Actions:
            - Name: Checkout
              ActionTypeId: {{Category: Source, Owner: AWS, Provider: CodeStarSourceConnection, Version: '1'}}
              Configuration:
                ConnectionArn: !Ref ConnectionArn
                FullRepositoryId: !Sub 'example/${{ServiceName}}'
                BranchName: !Ref Branch
              Namespace: SourceVars
              OutputArtifacts:
                - Name: SourceOutput
        - Name: Build
          Actions:
            - Name: Image
              ActionTypeId: {{Category: Build, Owner: AWS, Provider: ECRBuildAndPublish, Version: '1'}}
              Configuration:
                ECRRepositoryName: !Sub 'demo/${{ServiceName}}'
                ImageTags: '#{{SourceVars.CommitId}},latest'
              Namespace: BuildVars
              InputArtifacts:
                - Name: SourceOutput
"""


class DemoProject(Struct, frozen=True):
    """The demonstration's files: a git repository, and the template that names it."""

    repository: Path
    template: Path

    def change_greeting(self, greeting: str, at_s: int) -> str:
        """Edits one line of the service and commits it; gives the commit's id."""
        service = self.repository / "service.py"
        lines = service.read_text().splitlines(keepends=True)
        service.write_text("".join(f'GREETING = "{greeting}"\n' if "GREETING =" in line else line for line in lines))
        return _commit(self.repository, "Greet differently", at_s)


def make_project(
    folder: Path,
    account: str,
    region: str,
    at_s: int,
    *,
    template: str = "",
    more: Mapping[str, str] = MappingProxyType({}),
) -> DemoProject:
    """Writes the service's repository and the template under `folder` and makes the first commit at `at_s`.

    `template` is another one than the usual, `more` are further files of the repository.
    """
    import pygit2

    repository = folder / "greeter"
    repository.mkdir(parents=True)
    base = _DOCKERFILE.format(account=account, region=region, base=BASE_REPOSITORY)
    (repository / "Dockerfile").write_text(base)
    (repository / "service.py").write_text(_SERVICE)
    (repository / "words.txt").write_text(_WORDS)
    (repository / "sort_words.py").write_text(_SORT)
    for name, text in more.items():
        (repository / name).write_text(text)
    definition = folder / "pipeline.yaml"
    definition.write_text(template or _TEMPLATE.format(account=account, region=region))
    pygit2.init_repository(str(repository), initial_head="main")
    _commit(repository, "A greeter", at_s)
    return DemoProject(repository, definition)


def _commit(folder: Path, message: str, at_s: int) -> str:
    import pygit2

    repository = pygit2.Repository(str(folder))
    repository.index.add_all()
    repository.index.write()
    author = pygit2.Signature("Demo", "demo@example.com", at_s, 0)
    parents = [] if repository.head_is_unborn else [repository.head.target]
    tree = repository.index.write_tree()
    return str(repository.create_commit("refs/heads/main", author, author, message, tree, parents))
