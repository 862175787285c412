"""Every intrinsic function gives what a deployment would give, or says why nobody can know."""

import json
from typing import Any

import pytest

from pipeyard.definition.cloudformation import open_template, parse_template
from pipeyard.definition.cloudformation.evaluate import Evaluator
from pipeyard.definition.declaration import Notes
from pipeyard.definition.documents import Unknown, plain
from pipeyard.definition.places import Inputs
from pipeyard.errors import InputError

TEMPLATE = """
Parameters:
  Stage: {Type: String, Default: test}
  Names: {Type: CommaDelimitedList, Default: "one, two,three"}
  Count: {Type: Number, Default: 3}
  Wanted: {Type: String}
  Version: {Type: "AWS::SSM::Parameter::Value<String>", Default: /web/version}
  Ports: {Type: "AWS::SSM::Parameter::Value<List<String>>", Default: /web/ports}
Mappings:
  Branches:
    test: {Branch: develop, Regions: [eu-west-1, us-east-1]}
    prod: {Branch: main}
  "No": {Norway: {Code: "47"}}
Conditions:
  IsTest: !Equals [!Ref Stage, test]
  IsProd: !Not [!Condition IsTest]
  Both: !And [!Condition IsTest, !Equals ["1", 1]]
  Either: !Or [!Condition IsProd, !Equals [a, b]]
  Open: !Equals [!Ref Wanted, x]
  Decided: !Or [!Condition IsTest, !Condition Open]
Resources:
  Bucket: {Type: AWS::S3::Bucket}
  Named: {Type: AWS::S3::Bucket, Properties: {BucketName: !Sub "${Stage}-files"}}
  Repository: {Type: AWS::ECR::Repository, Properties: {RepositoryName: web}}
  Role: {Type: AWS::IAM::Role, Properties: {RoleName: builder, Path: /ci/}}
  Topic: {Type: AWS::SNS::Topic, Properties: {TopicName: news}}
  Project: {Type: AWS::CodeBuild::Project, Properties: {Name: tests}}
  Service: {Type: AWS::ECS::Service, Properties: {ServiceName: api, Cluster: main}}
  Setting: {Type: AWS::SSM::Parameter, Properties: {Name: /a, Type: String, Value: !Ref Stage}}
  Strange: {Type: Custom::Thing}
  Waiting: {Type: AWS::ECR::Repository, Properties: {RepositoryName: !Ref Wanted}}
  Loop: {Type: AWS::S3::Bucket, Properties: {BucketName: !Ref Pool}}
  Pool: {Type: AWS::S3::Bucket, Properties: {BucketName: !Sub "${Loop}-x"}}
"""


def evaluator(**inputs: Any) -> Evaluator:
    notes = Notes()
    given = Inputs(stack_name="web", **inputs)
    found = open_template(parse_template(TEMPLATE, "t.yaml"), "t.yaml", given, notes)
    assert notes.problems == []
    return found


def value(text: str, **inputs: Any) -> Any:
    return plain(evaluator(**inputs).evaluate(parse_template(text, "v.yaml")))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!Ref Stage", "test"),
        ("!Ref Names", ["one", "two", "three"]),
        ("!Ref AWS::Region", "us-east-1"),
        ("!Ref AWS::AccountId", "123456789012"),
        ("!Ref AWS::Partition", "aws"),
        ("!Ref AWS::StackName", "web"),
        ("!Ref AWS::URLSuffix", "amazonaws.com"),
        ("!Ref AWS::NotificationARNs", []),
        ("{a: !Ref AWS::NoValue, b: [1, !Ref AWS::NoValue]}", {"b": [1]}),
        ("!Sub '${Stage}-${AWS::Region}'", "test-us-east-1"),
        ("!Sub 'arn:${AWS::Partition}:s3:::${Named}/*'", "arn:aws:s3:::test-files/*"),
        ("!Sub ['${Own}/${Stage}', {Own: !Ref Count}]", "3/test"),
        ("!Sub '${!Literal} #{Ns.Var}'", "${Literal} #{Ns.Var}"),
        ("!Sub '${Role.Arn}'", "arn:aws:iam::123456789012:role/ci/builder"),
        ("Fn::Sub: '${Stage}'", "test"),
        ("!GetAtt Role.Arn", "arn:aws:iam::123456789012:role/ci/builder"),
        ("!GetAtt [Project, Arn]", "arn:aws:codebuild:us-east-1:123456789012:project/tests"),
        ("!GetAtt Repository.RepositoryUri", "123456789012.dkr.ecr.us-east-1.amazonaws.com/web"),
        ("!Ref Topic", "arn:aws:sns:us-east-1:123456789012:news"),
        ("!Ref Service", "arn:aws:ecs:us-east-1:123456789012:service/main/api"),
        ("!GetAtt Service.Name", "api"),
        ("!GetAtt Setting.Value", "test"),
        ("!GetAtt Named.RegionalDomainName", "test-files.s3.us-east-1.amazonaws.com"),
        ("!Join ['-', [a, !Ref Stage, 1]]", "a-test-1"),
        ("!Join [',', !Ref Names]", "one,two,three"),
        ("!Select [1, !Ref Names]", "two"),
        ("!Select ['0', [x, y]]", "x"),
        ("!Select [1, !Split ['/', example/web]]", "web"),
        ("!Split ['|', 'a||b']", ["a", "", "b"]),
        ("!FindInMap [Branches, !Ref Stage, Branch]", "develop"),
        ("!FindInMap [Branches, test, Regions]", ["eu-west-1", "us-east-1"]),
        ("!FindInMap [Branches, nowhere, Branch, {DefaultValue: !Ref Stage}]", "test"),
        ("!FindInMap ['No', Norway, Code]", "47"),
        ("!If [IsTest, a, b]", "a"),
        ("!If [IsProd, a, !Ref AWS::NoValue]", None),
        ("!If [Both, a, b]", "a"),
        ("!If [Either, a, b]", "b"),
        ("!If [Decided, a, b]", "a"),
        ("!Base64 hello", "aGVsbG8="),
        ("Fn::Base64: !Sub '${Stage}'", "dGVzdA=="),
        ("!Cidr [10.0.0.0/16, 3, 8]", ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]),
        ("!Select [2, !Cidr ['192.168.0.0/24', 6, 5]]", "192.168.0.64/27"),
        ("!GetAZs ''", ["us-east-1a", "us-east-1b", "us-east-1c"]),
        ("!GetAZs eu-west-1", ["eu-west-1a", "eu-west-1b", "eu-west-1c"]),
        ("Fn::Length: !Ref Names", 3),
        ("Fn::Length: [a, b]", 2),
        ("Fn::ToJsonString: {a: !Ref Stage, b: [1, true]}", '{"a":"test","b":[1,true]}'),
        (
            "{'Fn::ForEach::X': [N, !Ref Names, {'Key${N}': !Sub 'v-${N}'}]}",
            {"Keyone": "v-one", "Keytwo": "v-two", "Keythree": "v-three"},
        ),
        ("{'Fn::ForEach::X': [N, [a.b], {'Key&{N}': {Ref: N}}]}", {"Keyab": "a.b"}),
        (
            "{'Fn::ForEach::A': [X, [1, 2], {'Fn::ForEach::B': [Y, [a], {'${X}${Y}': '${Y}${X}'}]}]}",
            {"1a": "a1", "2a": "a2"},
        ),
        ("'{{resolve:secretsmanager:token}}'", "{{resolve:secretsmanager:token}}"),
    ],
)
def test_a_function_gives_what_a_deployment_gives(text: str, expected: object) -> None:
    assert value(text) == expected


def test_the_inputs_decide_account_region_and_partition() -> None:
    given = {"account_id": "111122223333", "region": "cn-north-1", "partition": "aws-cn"}
    assert value("!GetAtt Repository.RepositoryUri", **given) == "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/web"
    assert value("!GetAtt Named.Arn", **given) == "arn:aws-cn:s3:::test-files"


def test_names_that_a_deployment_would_generate_are_the_same_each_time() -> None:
    name = value("!Ref Bucket")
    assert name == value("!Ref Bucket")
    assert name.startswith("web-bucket-")
    assert name == name.lower()
    assert len(name) <= 63


def test_parameter_store_and_imports_come_from_the_inputs() -> None:
    store = {"/web/version": "1.2", "/web/ports": "80,443", "name": "n"}
    assert value("!Ref Version", ssm=store) == "1.2"
    assert value("!Ref Ports", ssm=store) == ["80", "443"]
    assert value("'{{resolve:ssm:name}}-x'", ssm=store) == "n-x"
    assert value("'{{resolve:ssm:name:3}}-x'", ssm=store) == "n-x"
    assert value("'{{resolve:ssm:other:3}}-x'", ssm=store) == "{{resolve:ssm:other:3}}-x"
    assert value("!ImportValue net", imports={"net": "vpc-1"}) == "vpc-1"
    assert value("!ImportValue {'Fn::Sub': '${Stage}-net'}", imports={"test-net": "vpc-2"}) == "vpc-2"


@pytest.mark.parametrize(
    ("text", "chain"),
    [
        ("!Ref Wanted", ("Ref Wanted", "parameter Wanted has no default and no value was given")),
        ("!Ref Version", ("Ref Version", "parameter Version is the value of the Parameter Store's /web/version")),
        ("!GetAtt Strange.Answer", ("Fn::GetAtt Strange.Answer", "Custom::Thing tells it only when it is deployed")),
        ("!ImportValue net", ("Fn::ImportValue net is the output of another stack",)),
        (
            "!Sub 'x-${Waiting}'",
            (
                "Fn::Sub ${Waiting}",
                "Ref Waiting",
                "Ref Wanted",
                "parameter Wanted has no default and no value was given",
            ),
        ),
        (
            "!Join ['', [a, !Ref Strange]]",
            ("Fn::Join", "Ref Strange", "Custom::Thing tells it only when it is deployed"),
        ),
        (
            "!If [Open, a, b]",
            ("Fn::If", "condition Open", "Ref Wanted", "parameter Wanted has no default and no value was given"),
        ),
        ("{'Fn::Transform': {Name: AWS::Include}}", ("Fn::Transform AWS::Include is computed by the service",)),
    ],
)
def test_what_only_a_deployment_knows_tells_the_chain_of_references(text: str, chain: tuple[str, ...]) -> None:
    found = evaluator().evaluate(parse_template(text, "v.yaml"))
    assert isinstance(found, Unknown)
    assert found.chain == chain


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("!Ref Stagr", "Ref Stagr: there is no such parameter or resource", "did you mean Stage?"),
        ("!Ref AWS::Regio", "there is no pseudo parameter AWS::Regio", "did you mean AWS::Region?"),
        ("!Sub '${Buckt}'", "Ref Buckt: there is no such parameter or resource", "did you mean Bucket?"),
        ("!GetAtt Rol.Arn", "Fn::GetAtt Rol.Arn: there is no resource 'Rol'", "did you mean Role?"),
        ("!FindInMap [Branches, prod, Brnch]", "Fn::FindInMap finds no Branches.prod.Brnch", "did you mean Branch?"),
        ("!If [IsTst, a, b]", "there is no condition 'IsTst'", "did you mean IsTest?"),
        ("!Select [3, !Ref Names]", "Fn::Select: there is no value 3 in a list of 3", ""),
        ("!Join [',', x]", "the second argument of Fn::Join must be a list", ""),
        ("!Split [',']", "Fn::Split needs a list of 2 values", ""),
        ("!Select [\u00b2, !Ref Names]", "Fn::Select needs [index, list]", ""),
        ("!Cidr [10.0.0.0/24, 300, 4]", "Fn::Cidr makes 1 to 256 blocks, not 300", ""),
        ("{'Fn::Subb': x}", "there is no function Fn::Subb", "did you mean Fn::Sub?"),
        ("!Ref Loop", "refers to itself: resource Loop -> resource Pool -> resource Loop", ""),
    ],
)
def test_a_function_used_wrongly_is_an_error_with_a_place(text: str, said: str, hint: str) -> None:
    with pytest.raises(InputError) as wrong:
        evaluator().evaluate(parse_template(text, "v.yaml"))
    assert wrong.value.message == said
    assert wrong.value.hint == hint
    assert wrong.value.place is not None


def test_loops_that_explode_are_refused() -> None:
    inner: Any = {"k": "v"}
    for level in range(4):
        inner = {f"Fn::ForEach::L{level}": [f"V{level}", [str(n) for n in range(200)], {f"${{V{level}}}": inner}]}
    with pytest.raises(InputError, match=r"loops make more than|too large"):
        evaluator().evaluate(parse_template(json.dumps(inner), "v.yaml"))
