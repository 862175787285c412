"""No file of an image stops the scan."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeyard.scan import Subject, encode_spdx, spdx_document
from pipeyard.scan.licenses import is_expression
from tests.scan.files import archive, go_program, rpm_header, scanned

_PATHS = st.sampled_from(
    (
        *("var/lib/dpkg/status", "var/lib/dpkg/status.d/x", "lib/apk/db/installed", "a.egg-info", "x.jar"),
        *("a.dist-info/METADATA", "node_modules/a/package.json", "package-lock.json", "specifications/a.gemspec"),
        *("var/lib/rpm/rpmdb.sqlite", "etc/os-release", "bin/tool"),
    )
)
_SEEDS = st.sampled_from(
    (
        *(b"Package: a\nVersion: 1\n\n", b"P:a\nV:1\n\n", b"Name: a\nVersion: 1\n", b'{"name":"a","version":"1"}'),
        *(b'{"packages":{"node_modules/a":{"version":"1"}}}', b"# stub: a 1 ruby lib\n", b"ID=x\nVERSION_ID=1\n"),
        *(archive({"META-INF/MANIFEST.MF": b"Bundle-Version: 1\n"}), rpm_header(name="a", version="1")),
        *(go_program("go1.22", "dep\ta\tv1\th\n"), b"SQLite format 3\x00" + bytes(84), b"[" * 5000),
    )
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Something that a reader knows, with bytes changed, or anything at all."""
    data = bytearray(draw(_SEEDS | st.binary(max_size=200)))
    for _ in range(draw(st.integers(0, 4))):
        if data:
            at = draw(st.integers(0, len(data) - 1))
            data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(data)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(_PATHS, damaged(), max_size=4))
def test_any_files_are_read_or_noted(files: dict[str, bytes]) -> None:
    sbom = scanned(files, files)
    subject = Subject(name="image", digest="sha256:" + "0" * 64, created_s=0)
    assert encode_spdx(spdx_document(sbom, subject)) == encode_spdx(spdx_document(scanned(files, files), subject))


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["MIT", "GPL-2.0-only", "AND", "OR", "WITH", "(", ")", "x", "Classpath-exception-2.0"]))
)
def test_license_expressions_are_balanced(words: list[str]) -> None:
    text = " ".join(words)
    if is_expression(text):
        assert text.count("(") == text.count(")")
        assert words[-1] in ("MIT", "GPL-2.0-only", ")", "Classpath-exception-2.0")
        assert "x" not in words
