"""Which packages are found where package managers and linkers leave their records."""

import sqlite3
from pathlib import Path

import pytest

from tests.scan.files import archive, go_program, purls, rpm_header, scanned

_DEBIAN = b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
_ALPINE = b"ID=alpine\nVERSION_ID=3.20.1\n"


def test_installed_packages_of_dpkg_are_found_and_removed_ones_are_not() -> None:
    status = (
        b"Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl (3.0.1-1)\n"
        b"Version: 3.0.1-1+b2\nDescription: TLS\n Package: not-one\n\n"
        b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n"
    )
    sbom = scanned({"etc/os-release": _DEBIAN, "var/lib/dpkg/status": status})
    assert purls(sbom) == ["pkg:deb/debian/libssl3@3.0.1-1%2Bb2?arch=amd64&distro=debian-12&upstream=openssl%403.0.1-1"]
    assert sbom.distribution is not None
    assert sbom.distribution.name == "Debian GNU/Linux 12 (bookworm)"


def test_images_without_a_package_manager_keep_a_paragraph_for_each_package() -> None:
    sbom = scanned(
        {
            "usr/lib/os-release": _DEBIAN,
            "var/lib/dpkg/status.d/base": b"Package: base-files\nVersion: 12\nArchitecture: amd64\n",
            "var/lib/dpkg/status.d/base.md5sums": b"Package: no\nVersion: 1\n",
        }
    )
    assert purls(sbom) == ["pkg:deb/debian/base-files@12?arch=amd64&distro=debian-12"]


@pytest.mark.parametrize("path", ["lib/apk/db/installed", "usr/lib/apk/db/installed"])
def test_packages_of_apk_are_found(path: str) -> None:
    record = b"C:Q1=\nP:libcrypto3\nV:3.3.1-r0\nA:x86_64\nL:Apache-2.0\no:openssl\nF:etc\nR:x\n\n"
    (package,) = scanned({"etc/os-release": _ALPINE, path: record}).packages
    assert package.purl == ("pkg:apk/alpine/libcrypto3@3.3.1-r0?arch=x86_64&distro=alpine-3.20.1&upstream=openssl")
    assert package.license == "Apache-2.0"


def test_packages_of_rpm_are_found_in_its_sqlite_database(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "db")
    database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
    blobs = [
        rpm_header(name="bash", version="5.2.15", release="3.fc39", epoch=1, arch="x86_64", license="GPL-3.0-or-later"),
        rpm_header(name="gpg-pubkey", version="1", release="1"),
        b"damaged",
        b"\xff" * 64,
    ]
    database.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,) for blob in blobs])
    database.commit()
    database.close()
    data = (tmp_path / "db").read_bytes()
    sbom = scanned({"etc/os-release": b"ID=fedora\nVERSION_ID=39\n", "usr/lib/sysimage/rpm/rpmdb.sqlite": data})
    assert purls(sbom) == ["pkg:rpm/fedora/bash@5.2.15-3.fc39?arch=x86_64&distro=fedora-39&epoch=1"]


def test_a_database_that_cannot_be_read_is_told_and_the_rest_is_found() -> None:
    sbom = scanned(
        {
            "var/lib/rpm/rpmdb.sqlite": b"no database at all, but longer than a header of sqlite" * 10,
            "var/lib/rpm/Packages": b"x",
            "app/node_modules/left-pad/package.json": b'{"name":"left-pad","version":"1.3.0"}',
        }
    )
    assert purls(sbom) == ["pkg:npm/left-pad@1.3.0"]
    assert len(sbom.notes) == 2


@pytest.mark.timeout(60)
def test_a_hostile_database_that_never_ends_is_given_up(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "db")
    database.execute(
        "CREATE VIEW Packages AS WITH RECURSIVE n(blob) AS"
        " (SELECT 1 UNION ALL SELECT blob + 1 FROM n) SELECT blob FROM n"
    )
    database.commit()
    database.close()
    sbom = scanned({"var/lib/rpm/rpmdb.sqlite": (tmp_path / "db").read_bytes()})
    assert sbom.packages == ()
    assert "interrupted" in sbom.notes[0]


def test_projects_of_python_are_found_under_their_normal_name() -> None:
    sbom = scanned(
        {
            "usr/lib/python3/dist-packages/Flask_Login-0.6.3.dist-info/METADATA": (
                b"Metadata-Version: 2.1\nName: Flask_Login\nVersion: 0.6.3\nLicense: MIT\n\nVersion: 9\n"
            ),
            "opt/x/six.egg-info/PKG-INFO": b"Name: six\nVersion: 1.16.0\n",
            "opt/y/old-1.egg-info": b"Name: old\nVersion: 1\n",
        }
    )
    assert purls(sbom) == ["pkg:pypi/flask-login@0.6.3", "pkg:pypi/old@1", "pkg:pypi/six@1.16.0"]


def test_packages_of_npm_are_those_installed_and_those_locked_for_run_time() -> None:
    lock = b"""{"lockfileVersion": 3, "packages": {"": {"name": "app", "version": "1.0.0"},
        "node_modules/@a/b": {"version": "1.2.3"}, "node_modules/@a/b/node_modules/c": {"version": "2.0.0"},
        "node_modules/jest": {"version": "29.0.0", "dev": true}}}"""
    old = b"""{"lockfileVersion": 1,
        "dependencies": {"d": {"version": "1.0.0", "dependencies": {"e": {"version": "2.0.0"}}}}}"""
    sbom = scanned(
        {
            "app/package.json": b'{"name":"app","version":"1.0.0"}',
            "app/package-lock.json": lock,
            "old/package-lock.json": old,
            "app/node_modules/@x/y/package.json": b'{"name":"@x/y","version":"0.1.0","license":"ISC"}',
            "app/node_modules/@x/y/lib/package.json": b'{"name":"fixture","version":"0.1.0"}',
        }
    )
    assert purls(sbom) == [
        "pkg:npm/%40a/b@1.2.3",
        "pkg:npm/%40x/y@0.1.0",
        "pkg:npm/c@2.0.0",
        "pkg:npm/d@1.0.0",
        "pkg:npm/e@2.0.0",
    ]


def test_modules_of_a_go_program_are_found_with_their_replacements() -> None:
    modules = (
        "path\texample.com/cmd\nmod\texample.com/cmd\t(devel)\t\n"
        "dep\tgithub.com/a/b\tv1.0.0\th1:x=\n=>\tgithub.com/fork/b\tv1.0.1\th1:y=\n"
        "dep\tgolang.org/x/sys\tv0.1.0\th1:z=\nbuild\t-compiler=gc\n"
    )
    sbom = scanned({}, {"usr/bin/tool": go_program("go1.22.1", modules), "usr/bin/other": b"\x7fELF" + bytes(200_000)})
    assert purls(sbom) == [
        "pkg:golang/example.com/cmd",
        "pkg:golang/github.com/fork/b@v1.0.1",
        "pkg:golang/golang.org/x/sys@v0.1.0",
        "pkg:golang/stdlib@1.22.1",
    ]


@pytest.mark.parametrize("lead", range((1 << 20) - 30, (1 << 20) + 4, 5))
def test_build_information_is_found_across_pieces(lead: int) -> None:
    assert purls(scanned({}, {"a": go_program("go1.22.1", "", lead)})) == ["pkg:golang/stdlib@1.22.1"]


def test_a_program_of_nothing_but_marks_is_given_up() -> None:
    assert scanned({}, {"a": b"\x7fELF" + b"\xff Go buildinf:\x08\x02" * 500_000}).packages == ()


def test_gems_are_found_without_running_their_specifications() -> None:
    path = "usr/lib/ruby/gems/3.1.0/specifications"
    sbom = scanned(
        {
            f"{path}/rake-13.0.6.gemspec": b'# stub: rake 13.0.6 ruby lib\n s.licenses = ["MIT".freeze]',
            f"{path}/default/json.gemspec": b'Specification.new do |s|\n s.name = "json"\n s.version = "2.6.1"\nend',
            f"{path}/ffi.gemspec": b"# stub: ffi 1.16.3 x86_64-linux lib\n",
        }
    )
    assert purls(sbom) == ["pkg:gem/ffi@1.16.3?platform=x86_64-linux", "pkg:gem/json@2.6.1", "pkg:gem/rake@13.0.6"]


def test_java_archives_are_found_within_each_other() -> None:
    properties = b"#Generated\ngroupId=org.example\nartifactId=lib\nversion=2.1\n"
    inner = archive({"META-INF/maven/org.example/lib/pom.properties": properties})
    bundle = archive({"META-INF/MANIFEST.MF": b"Bundle-SymbolicName: org.osgi.thing;x=1\r\nBundle-Version: 4.2\r\n"})
    outer = archive(
        {
            "META-INF/MANIFEST.MF": b"Implementation-Version: 1.0\r\nImplementation-Vendor-Id: com.exam\r\n ple\r\n",
            "BOOT-INF/lib/lib-2.1.jar": inner,
            "BOOT-INF/lib/thing-4.2.jar": bundle,
        }
    )
    assert purls(scanned({"opt/app-1.0.jar": outer})) == [
        "pkg:maven/com.example/app@1.0",
        "pkg:maven/org.example/lib@2.1",
        "pkg:maven/org.osgi/thing@4.2",
    ]


def test_an_archive_that_unpacks_without_end_is_not_unpacked() -> None:
    bomb = archive({f"{n}.jar": bytes(40 << 20) for n in range(5)})
    assert scanned({"opt/bomb.jar": bomb}).packages == ()


def test_equal_files_give_an_equal_answer_in_any_order() -> None:
    files = {f"app/node_modules/p{n}/package.json": b'{"name":"p%d","version":"1"}' % n for n in range(20)}
    assert scanned(files) == scanned(dict(reversed(files.items())))
