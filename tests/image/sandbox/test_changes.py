"""Changes that hide: each is in the layer, whichever way the sandbox finds out what changed."""

import pytest

from tests.image.sandbox.conftest import Machine

PREPARED = (
    "mkdir /w /w/d /w/e; cd /w; printf 11 > a; printf 22 > b; printf xx > d/f; ln a hard; ln -s a link;"
    "touch -t 200101010000 a b d/f; touch -h -t 200101010000 link 2>/dev/null; touch -t 200101010000 d e ."
)
HIDDEN = {
    "same size, time put back": ("printf 33 > a; touch -t 200101010000 a", {"w/a"}),
    "one byte within, time put back": (
        "printf 9 | dd of=a conv=notrunc bs=1 seek=1 2>/dev/null; touch -r b a",
        {"w/a"},
    ),
    "mode alone": ("chmod 600 b", {"w/b"}),
    "mode of a folder, time put back": ("chmod 700 e; touch -t 200101010000 e", {"w/e"}),
    "another file of the same kind in its place": ("printf 44 > n; touch -r b n; mv n b", {"w/b"}),
    "swapped": ("mv a t; mv b a; mv t b; touch -t 200101010000 .", {"w/a", "w/b"}),
    "link to elsewhere": ("rm link; ln -s b link; touch -h -t 200101010000 link; touch -t 200101010000 .", {"w/link"}),
    "owner": ("chown 1000:1000 b; touch -t 200101010000 b", {"w/b"}),
    "within a folder whose time is put back": ("printf yy > d/f; touch -t 200101010000 d/f d", {"w/d/f"}),
    "added to a folder whose time is put back": ("printf n > d/n; touch -t 200101010000 d", {"w/d/n"}),
    "removed from a folder whose time is put back": ("rm d/f; touch -t 200101010000 d", {"w/d/.wh.f"}),
    "a folder in the place of a file": ("rm b; mkdir b", {"w/b"}),
    "a file in the place of a folder": ("rm -r d; printf x > d", {"w/d"}),
    "time alone": ("touch -t 200202020000 b", {"w/b"}),
}


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.usefixtures("many_ids")
def test_no_change_is_missed(machine: Machine, name: str) -> None:
    script, expected = HIDDEN[name]
    below = machine.run(PREPARED)
    assert below.exit.status == 0, below.text
    ran = machine.run(f"cd /w; {script}", above=(below.upper,))
    assert ran.exit.status == 0, ran.text
    assert expected & set(ran.paths) == expected, ran.paths
    seen = machine.run("cd /w; ls -lnR . ; cat a b hard d/f 2>/dev/null", above=(below.upper, ran.upper))
    again = machine.run("cd /w; ls -lnR . ; cat a b hard d/f 2>/dev/null", above=(below.upper, ran.upper))
    assert seen.text == again.text


@pytest.mark.parametrize(
    "script",
    [
        "cat a d/f; ls -R",
        "rm b; printf 22 > b; chmod 644 b; touch -t 200101010000 b .",
        "rm -r d; mkdir d; printf xx > d/f; touch -t 200101010000 d/f d .",
    ],
)
def test_what_is_as_it_was_is_no_change(machine: Machine, script: str) -> None:
    below = machine.run(PREPARED)
    assert machine.run(f"cd /w; {script}", above=(below.upper,)).changes == []
