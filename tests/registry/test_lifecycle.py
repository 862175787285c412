"""Lifecycle policies against images that exist only as records."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeyard.errors import InputError
from pipeyard.oci import Digest, digest_of
from pipeyard.registry.images import ImageRecord
from pipeyard.registry.lifecycle import DAY_MS, enforce, parse_policy, preview
from pipeyard.registry.store import ContentStore
from tests.registry.running import OCI_MANIFEST, open_registry

NOW_MS = 1_000 * DAY_MS
ARCHIVE = {"targetStorageClass": "archive"}


def image(name: str, *tags: str, days: float = 0, pulled: float | None = None, **more: Any) -> ImageRecord:
    """Pushed `days` ago."""
    return ImageRecord(
        digest=digest_of(name.encode()),
        media_type=OCI_MANIFEST,
        artifact_type="",
        tags=tags,
        image_bytes=1,
        pushed_ms=NOW_MS - int(days * DAY_MS),
        pulled_ms=0 if pulled is None else NOW_MS - int(pulled * DAY_MS),
        **{"subject": None, **more},
    )


def rule(priority: int, status: str, count_type: str, count: int, **more: Any) -> dict[str, Any]:
    unit = {} if count_type == "imageCountMoreThan" else {"countUnit": "days"}
    selection = {"tagStatus": status, "countType": count_type, "countNumber": count, **unit, **more}
    return {"rulePriority": priority, "selection": selection, "action": {"type": "expire"}}


def expired(images: list[ImageRecord], *rules: dict[str, Any]) -> set[Digest]:
    policy = parse_policy(json.dumps({"rules": list(rules)}))
    return {each.image.digest for each in preview(policy, images, NOW_MS)}


def names(*texts: str) -> set[Digest]:
    return {digest_of(text.encode()) for text in texts}


def test_untagged_images_expire_by_age() -> None:
    images = [image("old", days=15), image("edge", days=14), image("tagged", "v1", days=99)]
    assert expired(images, rule(1, "untagged", "sinceImagePushed", 14)) == names("old")


def test_the_newest_images_of_a_prefix_stay() -> None:
    images = [image(f"p{days}", f"prod-{days}", days=days) for days in range(5)] + [image("dev", "dev-1", days=50)]
    assert expired(images, rule(1, "tagged", "imageCountMoreThan", 2, tagPrefixList=["prod"])) == names(
        "p2", "p3", "p4"
    )


def test_all_prefixes_and_all_patterns_of_a_list_must_be_met() -> None:
    both, one = image("both", "alpha-1", "beta-1", days=9), image("one", "alpha-2", days=9)
    prefixes = rule(1, "tagged", "sinceImagePushed", 1, tagPrefixList=["alpha", "beta"])
    assert expired([both, one], prefixes) == names("both")
    patterns = rule(1, "tagged", "sinceImagePushed", 1, tagPatternList=["al*-1", "*eta*"])
    assert expired([both, one], patterns) == names("both")
    literal = rule(1, "tagged", "sinceImagePushed", 1, tagPatternList=["alpha-?"])
    assert expired([both, one], literal) == set()


def test_an_image_that_an_earlier_rule_claims_is_not_expired_by_a_later_one_but_is_counted() -> None:
    images = [image("p0", "prod-0", days=0), image("p1", "prod-1", days=1), image("d2", "dev", days=2)]
    keep_two_prod = rule(1, "tagged", "imageCountMoreThan", 2, tagPrefixList=["prod"])
    keep_one = rule(2, "any", "imageCountMoreThan", 1)
    assert expired(images, keep_two_prod, keep_one) == names("d2")
    keep_three = rule(2, "any", "imageCountMoreThan", 3)
    assert expired([*images, image("u", days=3)], keep_two_prod, keep_three) == names("u")


def test_an_image_that_is_pulled_stays() -> None:
    images = [
        image("unused", "a", days=40),
        image("used", "b", days=40, pulled=2),
        image("new", "c", days=2),
    ]
    assert expired(images, rule(1, "any", "sinceImagePulled", 30)) == names("unused")


def test_members_of_an_index_and_artifacts_of_an_image_stay_with_it() -> None:
    index = image("index", "v1", days=1)
    member = image("member", days=99, parents=(index.digest,))
    signature = image("signature", days=99, subject=index.digest)
    orphan = image("orphan", days=99, subject=digest_of(b"gone"))
    images = [index, member, signature, orphan]
    assert expired(images, rule(1, "untagged", "sinceImagePushed", 14)) == names("orphan")


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("no json", "not a lifecycle policy"),
        ({"rules": []}, "1 to 50 rules"),
        ({"rules": [{**rule(1, "any", "imageCountMoreThan", 1), "extra": 1}]}, "extra"),
        ({"rules": [rule(0, "any", "imageCountMoreThan", 1)]}, "rulePriority begins at 1"),
        ({"rules": [rule(1, "any", "imageCountMoreThan", 0)]}, "countNumber begins at 1"),
        ({"rules": [rule(1, "tagged", "imageCountMoreThan", 1)]}, "either tagPrefixList or tagPatternList"),
        (
            {"rules": [rule(1, "tagged", "imageCountMoreThan", 1, tagPrefixList=["a"], tagPatternList=["b"])]},
            "either tagPrefixList or tagPatternList",
        ),
        ({"rules": [rule(1, "any", "imageCountMoreThan", 1, tagPrefixList=["a"])]}, "only tagStatus tagged"),
        ({"rules": [rule(1, "any", "imageCountMoreThan", 1, countUnit="days")]}, "countUnit"),
        ({"rules": [rule(1, "tagged", "imageCountMoreThan", 1, tagPatternList=["*a*b*c*d*"])]}, "wildcards"),
        ({"rules": [rule(1, "any", "imageCountMoreThan", 1), rule(1, "untagged", "imageCountMoreThan", 1)]}, "once"),
        (
            {"rules": [rule(1, "any", "imageCountMoreThan", 1), rule(2, "untagged", "imageCountMoreThan", 1)]},
            "highest rulePriority",
        ),
        (
            {"rules": [rule(1, "untagged", "imageCountMoreThan", 1), rule(2, "untagged", "sinceImagePushed", 1)]},
            "only one rule",
        ),
        ({"rules": [rule(1, "any", "sinceImageTransitioned", 1)]}, "storageClass archive belongs"),
        ({"rules": [rule(1, "any", "sinceImagePushed", 1, storageClass="archive")]}, "storageClass archive belongs"),
        (
            {"rules": [{**rule(1, "any", "imageCountMoreThan", 1), "action": {"type": "transition"}}]},
            "targetStorageClass belongs",
        ),
        (
            {"rules": [{**rule(1, "any", "imageCountMoreThan", 1), "action": {"type": "expire", **ARCHIVE}}]},
            "targetStorageClass belongs",
        ),
    ],
)
def test_a_policy_that_ecr_would_refuse_is_refused(document: Any, complaint: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_policy(document if isinstance(document, str) else json.dumps(document))
    assert complaint in f"{refused.value} {refused.value.hint}"


def test_a_rule_for_archived_images_selects_none_and_keeps_none_from_later_rules() -> None:
    images = [image("old", "v1", days=400), image("new", "v2", days=1)]
    archived = rule(1, "tagged", "sinceImageTransitioned", 365, tagPatternList=["*"], storageClass="archive")
    assert expired(images, archived, rule(2, "any", "sinceImagePushed", 30)) == names("old")


def test_a_transition_is_told_with_its_rule_and_nothing_is_deleted() -> None:
    images = [image("old", "v1", days=100), image("new", "v2", days=1)]
    moving = {**rule(1, "any", "sinceImagePulled", 90), "action": {"type": "transition", **ARCHIVE}}
    (told,) = preview(parse_policy(json.dumps({"rules": [moving]})), images, NOW_MS)
    assert (told.image, told.action, told.rule_priority) == (images[0], "transition", 1)


_IMAGES = st.lists(
    st.tuples(st.sampled_from(["prod-1", "prod-2", "dev", ""]), st.integers(min_value=0, max_value=60)), max_size=12
).map(lambda pairs: [image(f"{i}", *([tag] if tag else []), days=days) for i, (tag, days) in enumerate(pairs)])


@given(images=_IMAGES, keep=st.integers(min_value=1, max_value=5))
def test_counting_keeps_exactly_the_newest(images: list[ImageRecord], keep: int) -> None:
    gone = expired(images, rule(1, "any", "imageCountMoreThan", keep))
    assert len(images) - len(gone) == min(keep, len(images))
    kept_times = [found.pushed_ms for found in images if found.digest not in gone]
    gone_times = [found.pushed_ms for found in images if found.digest in gone]
    assert not gone or max(gone_times) <= min(kept_times)


def test_enforcement_deletes_what_the_preview_shows_with_its_artifacts(store: ContentStore) -> None:
    policy = json.dumps({"rules": [rule(1, "any", "imageCountMoreThan", 1)]})
    with open_registry(store) as client:
        client.push_image("team/app", "kept", b"new")
        assert enforce(store, "team/app") == ()
        store.catalog.configure("team/app", lifecycle=policy)
        assert enforce(store, "team/app") == ()
        old_store = ContentStore(store.root, now_ms=lambda: 1000)
        with open_registry(old_store) as earlier:
            digest, data = earlier.push_image("team/app", "old", b"old")
            subject = {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(data)}
            earlier.push_image("team/app", "signature", subject=subject)
        old_store.close()
        assert [each.image.digest for each in enforce(store, "team/app")] == [digest]
        assert client("GET", "/v2/team/app/tags/list").json["tags"] == ["kept"]
