"""A pipeline whose source is an object of S3: in a bucket, in a folder for it, or told on the command line."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.yard import Yard
from tests.service.moto_server import KEYS, clients_of, moto_server

FILES = {"Dockerfile": "FROM scratch\nCOPY hello.txt /\n", "hello.txt": "hello\n"}


def zipped(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    return path.read_bytes()


def pipeline(yard: Yard) -> Path:
    kinds = {"Source": "S3", "Build": "ECRBuildAndPublish"}
    types = {
        category: {"category": category, "owner": "AWS", "provider": provider, "version": "1"}
        for category, provider in kinds.items()
    }
    source = {
        "name": "Object",
        "actionTypeId": types["Source"],
        "configuration": {"S3Bucket": "sources", "S3ObjectKey": "team/app.zip", "PollForSourceChanges": "false"},
        "outputArtifacts": [{"name": "Code"}],
        "namespace": "Code",
    }
    build = {
        "name": "Build",
        "actionTypeId": types["Build"],
        "configuration": {"ECRRepositoryName": "built", "ImageTags": "#{Code.ETag}"},
        "inputArtifacts": [{"name": "Code"}],
    }
    stages = [{"name": "Source", "actions": [source]}, {"name": "Build", "actions": [build]}]
    path = yard.folder / "pipeline.json"
    path.write_text(json.dumps({"pipeline": {"name": "p", "pipelineType": "V2", "stages": stages}}))
    return path


def run(yard: Yard, *arguments: str, code: int = 0, settings: dict[str, str] | None = None) -> dict[str, Any]:
    """The outcome of the source action."""
    outcome = yard.command("run", pipeline(yard), *arguments, "--json", code=code, **(settings or {})).json()
    found: dict[str, Any] = outcome["stages"][0]["actions"][0]
    return found


def test_an_object_of_s3_is_fetched_in_its_newest_version(yard: Yard) -> None:
    data = zipped(yard.folder / "app.zip")
    with moto_server() as url:
        s3 = clients_of(url)("s3", "")
        s3.create_bucket(Bucket="sources")
        s3.put_bucket_versioning(Bucket="sources", VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket="sources", Key="team/app.zip", Body=b"old")
        newest = s3.put_object(Bucket="sources", Key="team/app.zip", Body=data)
        variables = run(yard, settings={**KEYS, "AWS_ENDPOINT_URL": url})["output_variables"]
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert variables == {
        "BucketName": "sources",
        "ObjectKey": "team/app.zip",
        "ETag": etag,
        "VersionId": newest["VersionId"],
    }
    assert yard.tags("built") == [etag]


@pytest.mark.parametrize("how", ["a bucket's folder", "a file", "a folder"])
def test_a_folder_or_file_may_stand_for_it(yard: Yard, how: str) -> None:
    data = zipped(yard.folder / "bucket/team/app.zip")
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
    told: tuple[str, ...] = ()
    if how == "a bucket's folder":
        (yard.folder / "pipeyard.toml").write_text('[connections]\n"sources" = "bucket"\n')
    elif how == "a file":
        told = ("--source", "Object=bucket/team/app.zip")
    else:
        (yard.folder / "code").mkdir()
        for name, text in FILES.items():
            (yard.folder / "code" / name).write_text(text)
        told = ("--source", "Object=code")
    variables = run(yard, *told)["output_variables"]
    assert variables["VersionId"] == "null"
    assert how == "a folder" or variables["ETag"] == etag
    assert yard.tags("built") == [variables["ETag"]]


def test_what_is_missing_is_said_with_what_could_stand_for_it(yard: Yard) -> None:
    (yard.folder / "bucket").mkdir()
    (yard.folder / "pipeyard.toml").write_text('[connections]\n"sources" = "bucket"\n')
    assert "there is no" in run(yard, code=1)["error"]["message"]
    refused = yard.command("run", pipeline(yard), "--source", "Object=nowhere", code=2)
    assert "there is no" in refused.err
    (yard.folder / "pipeyard.toml").unlink()
    error = run(yard, code=1, settings={"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1"})["error"]
    assert "cannot read s3://sources/team/app.zip" in error["message"]
    assert 'connections."sources"' in error["hint"]
    assert "--source Object=FILE" in error["hint"]


def test_an_object_that_is_no_zip_is_a_file_of_its_own_and_a_zip_stays_in_its_folder(yard: Yard) -> None:
    (yard.folder / "notes.txt").write_text("notes")
    failed = yard.command("run", pipeline(yard), "--source", "Object=notes.txt", "--json", code=1).json()
    assert failed["stages"][0]["status"] == "Succeeded"
    assert [path.name for path in yard.home.glob("artifacts/*/Code/*")] == ["notes.txt"]
    with zipfile.ZipFile(yard.folder / "evil.zip", "w") as archive:
        archive.writestr("../../outside", "x")
    assert "leads out" in run(yard, "--source", "Object=evil.zip", code=1)["error"]["message"]
    assert not list(yard.folder.rglob("outside"))
