"""The `docker` program that a build finds in its PATH.

It has to run in any image with a shell, so it is a shell script and speaks through files and named pipes of the folder
that the build shares with us: its arguments, folder, environment and, where a command reads it, standard input go
there; output comes back while it is written, then the exit status.
"""

from pipeyard.buildspec.shell import CONTROL

FOLDER = f"{CONTROL}/docker"
"""The folder of requests, as the build sees it."""

COMPOSE = '#!/bin/sh\nexec docker compose "$@"\n'
"""The `docker-compose` program that a build finds in its PATH."""

PROGRAM = f"""\
#!/bin/sh
d={FOLDER}
r=r.$$
mkdir "$d/$r" 2>/dev/null || {{ rm -rf "$d/$r"; mkdir "$d/$r" || exit 125; }}
trap 'rm -rf "$d/$r"' 0
trap 'exit 130' 2
trap 'exit 143' 15
pwd -P >"$d/$r/cwd"
if [ $# -gt 0 ]; then printf '%s\\0' "$@" >"$d/$r/args"; else : >"$d/$r/args"; fi
cat /proc/$$/environ >"$d/$r/env" 2>/dev/null || env -0 >"$d/$r/env" 2>/dev/null || :
for a; do
  case $a in --password-stdin|-|-i|-it|load) cat >"$d/$r/stdin"; break;; esac
done
mkfifo "$d/$r/out" "$d/$r/err" "$d/$r/end" || exit 125
printf '%s\\n' "$r" >"$d/requests"
cat "$d/$r/err" >&2 &
cat "$d/$r/out"
wait
IFS= read -r s <"$d/$r/end"
exit "${{s:-125}}"
"""
