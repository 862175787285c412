"""`pipeyard demo`: offline, from nothing, and honest about what it shows."""

import re

from tests.journeys.yard import Yard


def test_the_classic_pipeline_and_the_migrated_one_publish_the_same_image(yard: Yard) -> None:
    said = yard.command("demo", "--classic", "--folder", yard.folder / "work", "--progress", "plain")
    before, after = re.findall(
        r"^  (?:before|after ) (sha256:[0-9a-f]{64})  5 layers  [0-9a-f]{40}, latest$", said.out, re.M
    )
    assert before == after
    assert said.out.endswith("the same image under the same tags\n")
    assert "-              ActionTypeId: {Category: Build, Owner: AWS, Provider: CodeBuild, Version: '1'}\n" in said.out
    template = (yard.folder / "work/pipeline.yaml").read_text()
    assert "ECRBuildAndPublish" in template
    assert "CodeBuild" not in template.partition("Resources:")[2]
    ran = said.err.partition("Build / Image  ECRBuildAndPublish")[2]
    assert "RUN python3 sort_words.py" in ran
    assert "CACHED" not in ran, "an image that comes from the cache proves nothing"
