"""The document that an inventory becomes."""

import re

import pytest

from pipeyard.scan import Distribution, Package, Sbom, Subject, spdx_document
from pipeyard.scan.licenses import is_expression
from pipeyard.scan.purl import package_url

_SUBJECT = Subject(name="app", digest="sha256:" + "1" * 64, created_s=1_700_000_000, tool="pipeyard-1")
_PACKAGE = Package(
    kind="pypi",
    name="a_b",
    version="1",
    purl="pkg:pypi/a-b@1",
    source="Python package metadata",
    path="x/METADATA",
    layer="sha256:" + "2" * 64,
    license="MIT AND (BSD-3-Clause OR Apache-2.0)",
    supplier="Jane <jane@example.com>",
)


def test_a_document_describes_the_image_and_relates_all_packages_to_it() -> None:
    document = spdx_document(Sbom(packages=(_PACKAGE,), distribution=Distribution("debian", "12")), _SUBJECT)
    assert document["spdxVersion"] == "SPDX-2.3"
    assert document["creationInfo"] == {"created": "2023-11-14T22:13:20Z", "creators": ["Tool: pipeyard-1"]}
    identities = [package["SPDXID"] for package in document["packages"]]
    assert len(identities) == len(set(identities)) == 3
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", identity) for identity in identities)
    related = [(one["relationshipType"], one["relatedSpdxElement"]) for one in document["relationships"]]
    assert related == [("DESCRIBES", identities[0]), ("CONTAINS", identities[1]), ("CONTAINS", identities[2])]
    package = document["packages"][2]
    assert package["externalRefs"][0]["referenceLocator"] == "pkg:pypi/a-b@1"
    assert package["licenseDeclared"] == _PACKAGE.license
    assert package["supplier"] == "Person: Jane <jane@example.com>"
    assert package["comment"] == f"layerID: {_PACKAGE.layer}"


def test_documents_of_different_content_have_different_namespaces_and_equal_ones_the_same() -> None:
    names = {
        spdx_document(Sbom(packages=packages), _SUBJECT)["documentNamespace"]
        for packages in ((), (_PACKAGE,), (_PACKAGE,))
    }
    assert len(names) == 2


@pytest.mark.parametrize("text", ["MIT", "GPL-2.0-only WITH Classpath-exception-2.0", "(MIT OR ISC) AND Zlib"])
def test_expressions_of_known_licenses_are_declared(text: str) -> None:
    assert is_expression(text)


@pytest.mark.parametrize(
    "text", ["", "MIT License", "MIT OR", "(MIT", "MIT)", "BSD", "WITH", "MIT WITH MIT", "AND MIT"]
)
def test_other_words_are_no_expression(text: str) -> None:
    assert not is_expression(text)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("npm", "@angular", "core", "1.0"), "pkg:npm/%40angular/core@1.0"),
        (("deb", "Debian", "g++", "4:1.0-1+b1"), "pkg:deb/debian/g%2B%2B@4:1.0-1%2Bb1"),
        (("pypi", "", "Foo_Bar", "1"), "pkg:pypi/foo-bar@1"),
        (("golang", "github.com/A/b", "c", "v1"), "pkg:golang/github.com/a/b/c@v1"),
        (("maven", "org.example", "a b", ""), "pkg:maven/org.example/a%20b"),
    ],
)
def test_package_urls_are_written_as_the_specification_says(parts: tuple[str, str, str, str], text: str) -> None:
    assert package_url(*parts) == text
