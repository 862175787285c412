"""The options of `pipeyard image build`, and those with which every command reaches registries."""

from pipeyard.cli.option_table import Option

PROGRESS = {"auto": "auto", "plain": "plain", "json": "json", "quiet": "quiet", "tty": "auto", "rawjson": "json"}
"""What can be asked for, in buildx's words too, and what it means."""

REGISTRY_OPTIONS = (
    Option("--registry-mirror", "mirrors", "HOST=URL", "Ask this mirror of a registry first.", many=True),
    Option("--insecure-registry", "insecure", "HOST", "Speak plain HTTP, or TLS unverified.", many=True),
)

BUILD_OPTIONS = (
    Option("-f --file", "dockerfile", "FILE", "The Dockerfile (default CONTEXT/Dockerfile)."),
    Option("-t --tag", "tags", "REF", "Name of the result, [HOST/]REPOSITORY[:TAG].", many=True),
    Option("--target", "target", "STAGE", "Build this stage.", default=""),
    Option("--build-arg", "arguments", "NAME[=VALUE]", "Value of an ARG.", many=True),
    Option("--build-context", "contexts", "NAME=PATH", "A named context.", many=True),
    Option("--secret", "secrets", "id=ID,src=FILE|env=NAME", "A secret for RUN --mount.", many=True),
    Option("--ssh", "ssh", "ID[=SOCKET|KEYFILE[,...]]", "An ssh agent.", many=True),
    Option("--platform", "platforms", "OS/ARCH[,...]", "Platform of the result.", many=True),
    Option("--label", "labels", "NAME=VALUE", "A label of the image.", many=True),
    Option("--annotation", "annotations", "NAME=VALUE", "An annotation.", many=True),
    Option("--no-cache", "no_cache", help="Run every step again.", is_flag=True),
    Option("--no-cache-filter", "no_cache_filter", "STAGE", "Run these stages again.", many=True),
    Option("--pull", "pull", "[=true|false]", "Base images from their registries alone.", default="", bare="true"),
    Option("--push", "push", help="Push the result under its names.", is_flag=True),
    Option("--load", "load", help="Keep the result in the embedded registry, too.", is_flag=True),
    Option("-o --output", "outputs", "type=TYPE,dest=PATH", "Where the result goes.", many=True),
    Option("--compression", "compression", help="Of the layers.", choices=("gzip", "zstd"), default="gzip"),
    Option("--network", "network", help="Network of RUN.", choices=("default", "host", "none"), default="default"),
    Option("--add-host", "hosts", "NAME:ADDRESS", "A line of /etc/hosts for RUN.", many=True),
    Option("--allow", "allow", "ENTITLEMENT", "What RUN may ask for: network.host, security.insecure.", many=True),
    Option("-m --memory", "memory", "BYTES", "Most memory of a RUN (such as 512m).", default=""),
    Option("--shm-size", "shm_size", "BYTES", "Size of /dev/shm in a RUN (such as 64m).", default=""),
    Option("--ulimit", "ulimits", "NAME=SOFT[:HARD]", "A limit of a RUN's processes.", many=True),
    Option("--cache-from", "caches_from", "REF|type=local,src=FOLDER", "Use a cache.", many=True),
    Option("--cache-to", "caches_to", "REF|type=TYPE,...", "Share the cache.", many=True),
    Option("--provenance", "provenance", "[=mode=min|max]", "Attest how the image was made.", bare="true"),
    Option("--sbom", "sbom", "[=true|false]", "Attest what is in the image.", bare="true"),
    Option("--attest", "attests", "type=provenance|sbom[,...]", "The same as the two above.", many=True),
    Option("--check", "check_only", help="Check the Dockerfile and build nothing.", is_flag=True),
    Option("--call", "call", help="The same with `check`.", choices=("build", "check"), default="build"),
    Option("--progress", "progress", help="On stderr.", choices=tuple(PROGRESS), default="auto"),
    Option("-q --quiet", "quiet", help="No progress, and of the result the digest alone.", is_flag=True),
    Option("--metadata-file", "metadata_file", "FILE", "Write what was built, as JSON."),
    Option("--iidfile", "iidfile", "FILE", "Write the image's id."),
    *REGISTRY_OPTIONS,
)
