"""Which texts are license expressions that SPDX knows.

Source: SPDX 2.3, annex D ("SPDX license expressions"); of the license list, the identifiers in wide use.
"""

import re

_words = re.compile(r"[()]|[^\s()]+").findall
_MAX_WORDS = 60
_LICENSES = """0BSD AFL-2.1 AGPL-3.0-only AGPL-3.0-or-later Apache-1.1 Apache-2.0 Artistic-1.0 Artistic-1.0-Perl
    Artistic-2.0
    BSD-1-Clause BSD-2-Clause BSD-2-Clause-Patent BSD-3-Clause BSD-4-Clause BSL-1.0 BlueOak-1.0.0 CC-BY-3.0 CC-BY-4.0
    CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 CDDL-1.0 CDDL-1.1 CPL-1.0 ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1 EUPL-1.2 FSFAP FSFUL
    FSFULLR FTL GFDL-1.2-only GFDL-1.2-or-later GFDL-1.3-only GFDL-1.3-or-later GPL-1.0-only GPL-1.0-or-later
    GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later HPND ICU IJG ISC LGPL-2.0-only LGPL-2.0-or-later
    LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later LPL-1.02 Libpng MIT MIT-0 MIT-CMU MPL-1.1 MPL-2.0
    MS-PL NCSA NTP OFL-1.1 OLDAP-2.8 OpenSSL PHP-3.01 PSF-2.0 PostgreSQL Python-2.0 Python-2.0.1 Ruby SISSL Sleepycat
    SSPL-1.0 TCL UPL-1.0 Unicode-DFS-2016 Unicode-3.0 Unlicense Vim W3C WTFPL X11 Xnet ZPL-2.1 Zlib bzip2-1.0.6 curl
    libtiff blessing"""
_EXCEPTIONS_TO_THEM = """Autoconf-exception-3.0 Bison-exception-2.2 Classpath-exception-2.0 GCC-exception-3.1
    LLVM-exception
    Linux-syscall-note OpenSSL-exception openvpn-openssl-exception"""
_KNOWN = frozenset(_LICENSES.split())
_EXCEPTIONS = frozenset(_EXCEPTIONS_TO_THEM.split())


def is_expression(text: str) -> bool:
    """Whether `text` is a license expression of identifiers from SPDX's list, exactly as written there."""
    words = _words(text)
    if not words or len(words) > _MAX_WORDS:
        return False
    depth = 0
    wanted = True  # a license, or an open parenthesis
    at = 0
    while at < len(words):
        word = words[at]
        if wanted and word == "(":
            depth += 1
        elif wanted and word.removesuffix("+") in _KNOWN:
            wanted = False
            if words[at + 1 : at + 2] == ["WITH"]:
                if words[at + 2 : at + 3] == [] or words[at + 2] not in _EXCEPTIONS:
                    return False
                at += 2
        elif not wanted and word == ")" and depth:
            depth -= 1
        elif not wanted and word in ("AND", "OR"):
            wanted = True
        else:
            return False
        at += 1
    return not wanted and depth == 0
