"""What a reader takes for one character: Terraform measures, cuts and reverses text by these.

Source: Unicode Standard Annex 29, "Grapheme Cluster Boundaries", with the properties that the standard library knows.
"""

import unicodedata

_ZERO_WIDTH_JOINER = "\u200d"


def graphemes(text: str) -> list[str]:
    """The text in pieces that must stay together."""
    if text.isascii() and "\r" not in text:
        return list(text)
    clusters: list[str] = []
    flags = 0  # regional indicators in a row at the end of the last cluster
    for character in text:
        if clusters and _joins(clusters[-1], character, flags):
            clusters[-1] += character
        else:
            clusters.append(character)
        flags = flags + 1 if _is_regional(character) else 0
    return clusters


def _joins(cluster: str, character: str, flags: int) -> bool:
    before = cluster[-1]
    if before == "\r":
        return character == "\n"
    if _is_control(before) or _is_control(character):
        return False
    if _extends(character) or unicodedata.category(character) == "Mc":
        return True
    if before == _ZERO_WIDTH_JOINER and _is_pictograph(character):
        return any(_is_pictograph(each) for each in cluster)
    if _is_regional(before) and _is_regional(character):
        return flags % 2 == 1
    return _joins_hangul(before, character)


def _is_control(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind in ("Cc", "Zl", "Zp") or (kind == "Cf" and character not in "\u200c\u200d" and not _is_tag(character))


def _extends(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Mn", "Me")
        or character in "\u200c\u200d"
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
        or _is_tag(character)
    )


def _is_tag(character: str) -> bool:
    return "\U000e0020" <= character <= "\U000e007f"


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _is_pictograph(character: str) -> bool:
    return unicodedata.category(character) == "So" or "\U0001f000" <= character <= "\U0001faff"


def _joins_hangul(before: str, character: str) -> bool:
    def kind(letter: str) -> str:
        if "\u1100" <= letter <= "\u115f":
            return "L"
        if "\u1160" <= letter <= "\u11a7":
            return "V"
        if "\u11a8" <= letter <= "\u11ff":
            return "T"
        if "\uac00" <= letter <= "\ud7a3":
            return "LV" if (ord(letter) - 0xAC00) % 28 == 0 else "LVT"
        return ""

    pair = (kind(before), kind(character))
    return pair[0] != "" and pair in {
        ("L", "L"),
        ("L", "V"),
        ("L", "LV"),
        ("L", "LVT"),
        ("LV", "V"),
        ("LV", "T"),
        ("V", "V"),
        ("V", "T"),
        ("LVT", "T"),
        ("T", "T"),
    }
