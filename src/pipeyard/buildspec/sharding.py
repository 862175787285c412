"""The programs with which a build of a fan-out runs its share of the tests: codebuild-tests-run, codebuild-glob-search.

Shell scripts, since they have to run in any image.
Source: CodeBuild User Guide, "Use the codebuild-tests-run CLI command", "Use the codebuild-glob-search CLI command",
"About test splitting".
"""

_TESTS_RUN = """\
#!/bin/sh
shard={shard} shards={shards}
search= command= strategy=equal-distribution
while [ $# -gt 0 ]; do
  case $1 in
    --files-search|--test-command|--sharding-strategy)
      if [ $# -lt 2 ]; then echo "codebuild-tests-run: $1 needs a value" >&2; exit 2; fi
      both="$1=$2"; shift 2; set -- "$both" "$@";;
  esac
  case $1 in
    --files-search=*) search=${{1#*=}};;
    --test-command=*) command=${{1#*=}};;
    --sharding-strategy=*) strategy=${{1#*=}};;
    *) echo "codebuild-tests-run: unknown argument $1" >&2; exit 2;;
  esac
  shift
done
if [ -z "$search" ] || [ -z "$command" ]; then
  echo "codebuild-tests-run: --files-search and --test-command are needed" >&2; exit 2
fi
files=$(sh -c "$search") || exit
files=$(printf '%s\\n' "$files" | sed '/^$/d' | sort)
count=$(printf '%s\\n' "$files" | sed '/^$/d' | wc -l)
case $strategy in
  equal-distribution)
    first=$((shard * count / shards + 1)) last=$(((shard + 1) * count / shards))
    mine=
    if [ "$last" -ge "$first" ]; then mine=$(printf '%s\\n' "$files" | sed -n "${{first}},${{last}}p"); fi;;
  stability)
    # The shard with the highest number for a name: another number of shards moves as few files as it can.
    mine=$(printf '%s\\n' "$files" | while IFS= read -r file; do
      best=-1 owner=0 number=0
      while [ $number -lt $shards ]; do
        sum=$(printf '%s %s' "$number" "$file" | cksum); sum=${{sum%% *}}
        if [ "$sum" -gt "$best" ]; then best=$sum owner=$number; fi
        number=$((number + 1))
      done
      if [ -n "$file" ] && [ $owner -eq $shard ]; then printf '%s\\n' "$file"; fi
    done);;
  *) echo "codebuild-tests-run: --sharding-strategy is equal-distribution or stability" >&2; exit 2;;
esac
if [ -z "$mine" ]; then echo "No test files for shard $((shard + 1)) of $shards"; exit 0; fi
CODEBUILD_CURRENT_SHARD_FILES=$mine
export CODEBUILD_CURRENT_SHARD_FILES
case $command in
  *CODEBUILD_CURRENT_SHARD_FILES*) ;;
  *) command="$command $(printf '%s\\n' "$mine" | sed "s/'/'\\\\\\\\''/g; s/^/'/; s/\\$/'/" | tr '\\n' ' ')";;
esac
exec sh -c "$command"
"""

_GLOB_SEARCH = """\
#!/bin/sh
# Names of files below this folder that fit a pattern: ** is any number of folders, {{a,b}} are alternatives.
for pattern; do
  pattern=$(printf '%s' "${{pattern#./}}" | sed \\
    -e 's/[.+^$()|]/\\\\&/g' -e 's/[{{]/(/g' -e 's/[}}]/)/g' -e '/(/s/,/|/g' -e 's/?/[^\\/]/g' \\
    -e 's#\\*\\*/#\x01#g' -e 's/\\*\\*/\x02/g' -e 's#\\*#[^/]*#g' -e 's#\x01#(.*/)?#g' -e 's/\x02/.*/g')
  find . -type f | sed 's#^\\./##' | grep -E "^$pattern\\$"
done | sort -u
"""


def sharding_programs(shard: int, shards: int) -> dict[str, str]:
    """By name. `shard` counts from 0; a build that is in no fan-out is the first of one."""
    return {
        "codebuild-tests-run": _TESTS_RUN.format(shard=shard, shards=shards),
        "codebuild-glob-search": _GLOB_SEARCH.format(),
    }
