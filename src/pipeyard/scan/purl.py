"""Package URLs. Source: package-url/purl-spec, PURL-SPECIFICATION.rst and PURL-TYPES.rst."""

from collections.abc import Mapping
from urllib.parse import quote


def package_url(
    kind: str, namespace: str, name: str, version: str = "", qualifiers: Mapping[str, str] | None = None
) -> str:
    """`pkg:deb/debian/curl@7.88.1?arch=amd64`; names are brought into the form that the type asks for."""
    if kind == "pypi":
        name = name.replace("_", "-").lower()
    if kind in ("deb", "apk", "rpm", "golang") and namespace:
        namespace = namespace.lower()
    if kind in ("deb", "apk"):
        name = name.lower()
    text = f"pkg:{kind}/"
    if namespace := "/".join(_quoted(part) for part in namespace.split("/") if part):
        text += f"{namespace}/"
    text += _quoted(name)
    if version:
        text += f"@{_quoted(version)}"
    given = [f"{key}={_quoted(value)}" for key, value in sorted((qualifiers or {}).items()) if value]
    return f"{text}?{'&'.join(given)}" if given else text


def _quoted(text: str) -> str:
    """The colon stays: it separates nothing behind the scheme."""
    return quote(text, safe="-._~:", errors="replace")
