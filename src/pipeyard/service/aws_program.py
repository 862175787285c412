"""A minimal `aws` for builds: what the classic buildspec asks before it pushes, where nobody else can answer it."""

_PROGRAM = """\
#!/bin/sh
# What builds ask before they push an image; everything else goes to the AWS CLI of the environment.
all="$*"
account={account} region=${{AWS_REGION:-${{AWS_DEFAULT_REGION:-{region}}}}}
previous= names= query= output=
for a; do
  case $previous in
    --region) region=$a;;
    --query) query=$a;;
    --output) output=$a;;
    --repository-name|--repository-names) names="$names $a";;
  esac
  case $a in
    --region=*) region=${{a#--region=}};;
    --query=*) query=${{a#--query=}};;
    --output=*) output=${{a#--output=}};;
    --repository-name=*|--repository-names=*) names="$names ${{a#*=}}";;
  esac
  case $a in -*) previous=$a;; *) case $previous in --repository-names) ;; *) previous=;; esac;; esac
done
host=$account.dkr.ecr.$region.amazonaws.com
# A repository as ECR describes it: it is made by the first push, so it is always there.
repository() {{
  printf '%s{{\n%s    "repositoryArn": "arn:aws:ecr:%s:%s:repository/%s",\n' "$2" "$2" "$region" "$account" "$1"
  printf '%s    "registryId": "%s",\n%s    "repositoryName": "%s",\n' "$2" "$account" "$2" "$1"
  printf '%s    "repositoryUri": "%s"\n%s}}' "$2" "$host/$1" "$2"
}}
one() {{ if [ "$output" = text ]; then echo "$1"; else echo "\"$1\""; fi; }}
case " $all " in
  *" ecr get-login-password "*|*" ecr-public get-login-password "*) echo {token}; exit 0;;
  *" ecr get-login "*)
    echo "docker login -u AWS -p {token} https://$host"; exit 0;;
  *" sts get-caller-identity "*)
    case " $all " in
      *"--query Account "*|*"--query=Account "*)
        case " $all " in *" text "*|*"=text "*) echo "$account";; *) echo "\\"$account\\"";; esac;;
      *"--query Arn "*) echo "arn:aws:sts::$account:assumed-role/pipeyard/build";;
      *) printf '{{\\n    "UserId": "AROAEXAMPLE:build",\\n    "Account": "%s",\\n' "$account"
         printf '    "Arn": "arn:aws:sts::%s:assumed-role/pipeyard/build"\\n}}\\n' "$account";;
    esac; exit 0;;
  *" --version "*) echo "aws-cli/2.0.0 pipeyard"; exit 0;;
  *" ecr describe-repositories "*|*" ecr create-repository "*)
    set -- $names
    case $query in
      *repositoryUri*) one "$host/$1"; exit 0;;
      *repositoryName*) one "$1"; exit 0;;
      *repositoryArn*) one "arn:aws:ecr:$region:$account:repository/$1"; exit 0;;
      *registryId*) one "$account"; exit 0;;
    esac
    case " $all " in
      *" create-repository "*) echo "{{"; printf '    "repository": '; repository "$1" "    "; printf '\n}}\n';;
      *) printf '{{\n    "repositories": ['
         comma=
         for name; do printf '%s\n' "$comma"; repository "$name" "        "; comma=,; done
         printf '\n    ]\n}}\n';;
    esac
    exit 0;;
esac
here=$(dirname "$0")
IFS=:
for folder in $PATH; do
  if [ "$folder" != "$here" ] && [ -x "$folder/aws" ]; then unset IFS; exec "$folder/aws" "$@"; fi
done
echo "aws: pipeyard's own answers logins, get-caller-identity and questions for repositories alone: $all" >&2
echo "aws: start pipeyard serve, set AWS_ENDPOINT_URL, and install the AWS CLI for more" >&2
exit 252
"""


def aws_program(account: str, region: str, token: str) -> str:
    """The shell script; `token` is what it gives as the password of the account's registry."""
    return _PROGRAM.format(account=account, region=region, token=token)
