"""ECR's lifecycle policies: which images of a repository expire, as a pure function of policy, images and time.

Source: Amazon ECR User Guide, "Lifecycle policy properties" and "How lifecycle policies work":
- An image is claimed by the first rule (lowest priority number) whose tagging requirements it meets; no later rule
  may expire it, but later rules still count it.
- All prefixes (or patterns) of a list must be met, each by some tag of the image.
- An image that an index holds stays as long as the index; an artifact (signature, SBOM) goes with its subject.
- Counting and expiry go by the time of the push, newest first.
"""

import logging
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from pipeyard.errors import InputError, PipeyardError
from pipeyard.files import replace_file
from pipeyard.oci import Digest
from pipeyard.registry.images import ImageRecord
from pipeyard.registry.store import ContentStore
from pipeyard.registry.wildcards import fits

_log = logging.getLogger(__name__)

DAY_MS = 24 * 3600 * 1000
_LAST_RUN = "lifecycle-last-run"  # milliseconds, in the store's folder
_MAX_RULES = 50
_MAX_WILDCARDS = 4

CountType = Literal["imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"]


class Selection(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    tag_status: Literal["tagged", "untagged", "any"]
    tag_prefix_list: list[str] = []
    tag_pattern_list: list[str] = []
    storage_class: Literal["standard", "archive"] = "standard"
    count_type: CountType
    count_unit: Literal["days"] | None = None
    count_number: int


class RuleAction(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    type: Literal["expire", "transition"]
    target_storage_class: Literal["archive"] | None = None


class Rule(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    rule_priority: int
    description: str = ""
    selection: Selection
    action: RuleAction


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    rules: list[Rule]


class Expiry(Struct, frozen=True, kw_only=True):
    """What a rule does to an image."""

    image: ImageRecord
    rule_priority: int
    action: Literal["expire", "transition"]


def parse_policy(text: str | bytes) -> Policy:
    """Raises InputError for a document that ECR would refuse."""
    try:
        policy = msgspec.json.decode(text, type=Policy)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a lifecycle policy: {error}") from error
    complaints = [*_document_complaints(policy), *(each for rule in policy.rules for each in _rule_complaints(rule))]
    if complaints:
        raise InputError(f"the lifecycle policy is wrong: {complaints[0]}", hint="; ".join(complaints[1:]))
    return policy


def preview(policy: Policy, images: Sequence[ImageRecord], now_ms: int) -> tuple[Expiry, ...]:
    """What enforcement would do, in the order of the rules and then oldest first."""
    claimed: set[Digest] = set()
    out: list[Expiry] = []
    present = {image.digest for image in images}
    images = [image for image in images if image.subject not in present]
    for rule in sorted(policy.rules, key=lambda rule: rule.rule_priority):
        if rule.selection.storage_class == "archive":
            continue  # nothing here was ever archived: it selects no image, and keeps none from later rules
        matching = [image for image in images if _has_the_tags(rule.selection, image)]
        newest_first = sorted(matching, key=lambda image: (-image.pushed_ms, image.digest))
        due = [image for image in _over(rule.selection, newest_first, now_ms) if not image.parents]
        out += [
            Expiry(image=image, rule_priority=rule.rule_priority, action=rule.action.type)
            for image in reversed(due)
            if image.digest not in claimed
        ]
        claimed.update(image.digest for image in matching)
    return tuple(out)


def enforce(store: ContentStore, repository: str) -> tuple[Expiry, ...]:
    """Deletes what the repository's policy expires; gives what was done. Nothing without a policy.

    Raises RegistryError (NAME_UNKNOWN). A storage class does not exist here: transitions are told and not done.
    """
    record = store.catalog.repository(repository)
    if record is None or not record.lifecycle:
        return ()
    images = store.catalog.images(repository)
    due = preview(parse_policy(record.lifecycle), images, store.now_ms())
    expired = [each.image.digest for each in due if each.action == "expire"]
    store.catalog.delete_manifests(repository, [*expired, *_artifacts(images, expired)])
    return due


def enforce_all(store: ContentStore) -> int:
    """Carries out every repository's policy; gives how many images expired. One that fails does not keep the others."""
    count = 0
    for record in store.catalog.repositories():
        if record.lifecycle:
            try:
                count += sum(each.action == "expire" for each in enforce(store, record.name))
            except PipeyardError as error:
                _log.warning("the lifecycle policy of %s: %s", record.name, error)
    with replace_file(store.root / _LAST_RUN, durable=False) as out:
        out.write(b"%d" % store.now_ms())
    return count


def last_run_ms(store: ContentStore) -> int:
    """When `enforce_all` last went through the policies of a store; 0: never."""
    try:
        return int((store.root / _LAST_RUN).read_bytes())
    except (FileNotFoundError, ValueError):
        return 0


def _artifacts(images: Sequence[ImageRecord], subjects: Sequence[Digest]) -> list[Digest]:
    """What refers to them, also over several steps: the signature of an SBOM."""
    gone = set(subjects)
    found: list[Digest] = []
    while more := [image.digest for image in images if image.subject in gone and image.digest not in gone]:
        found += more
        gone.update(more)
    return found


def _has_the_tags(selection: Selection, image: ImageRecord) -> bool:
    match selection.tag_status:
        case "any":
            return True
        case "untagged":
            return not image.tags
    if not image.tags:
        return False
    return all(any(tag.startswith(prefix) for tag in image.tags) for prefix in selection.tag_prefix_list) and all(
        any(fits(pattern, tag) for tag in image.tags) for pattern in selection.tag_pattern_list
    )


def _over(selection: Selection, newest_first: Sequence[ImageRecord], now_ms: int) -> Sequence[ImageRecord]:
    before_ms = now_ms - selection.count_number * DAY_MS
    match selection.count_type:
        case "imageCountMoreThan":
            return newest_first[selection.count_number :]
        case "sinceImagePushed":
            return [image for image in newest_first if image.pushed_ms < before_ms]
        case "sinceImagePulled":
            return [image for image in newest_first if max(image.pulled_ms, image.pushed_ms) < before_ms]
        case "sinceImageTransitioned":
            return ()


def _document_complaints(policy: Policy) -> list[str]:
    out = []
    priorities = [rule.rule_priority for rule in policy.rules]
    if not 1 <= len(policy.rules) <= _MAX_RULES:
        out.append(f"a policy has 1 to {_MAX_RULES} rules")
    if len(set(priorities)) != len(priorities):
        out.append("each rulePriority must be used once")
    for status in ("any", "untagged"):
        chosen = [
            rule
            for rule in policy.rules
            if rule.selection.tag_status == status and rule.selection.storage_class == "standard"
        ]
        if len([rule for rule in chosen if rule.action.type == "expire"]) > 1:
            out.append(f"only one rule may select {status} images")
        if status == "any" and any(rule.rule_priority != max(priorities) for rule in chosen):
            out.append("the rule for any images must have the highest rulePriority")
    return out


def _rule_complaints(rule: Rule) -> list[str]:
    chosen, name = rule.selection, f"rule {rule.rule_priority}"
    out = []
    if rule.rule_priority < 1:
        out.append(f"{name}: rulePriority begins at 1")
    if chosen.count_number < 1:
        out.append(f"{name}: countNumber begins at 1")
    if (chosen.count_type == "imageCountMoreThan") != (chosen.count_unit is None):
        out.append(f"{name}: countUnit days belongs to the count types that begin with since, and to no other")
    archived = chosen.count_type == "sinceImageTransitioned"
    if archived != (chosen.storage_class == "archive"):
        out.append(f"{name}: storageClass archive belongs to the count type sinceImageTransitioned, and to no other")
    if archived and rule.action.type == "transition":
        out.append(f"{name}: an archived image can only expire")
    lists = bool(chosen.tag_prefix_list) + bool(chosen.tag_pattern_list)
    if chosen.tag_status == "tagged" and lists != 1:
        out.append(f"{name}: tagStatus tagged needs either tagPrefixList or tagPatternList")
    if chosen.tag_status != "tagged" and lists:
        out.append(f"{name}: only tagStatus tagged has tagPrefixList or tagPatternList")
    if any(pattern.count("*") > _MAX_WILDCARDS for pattern in chosen.tag_pattern_list):
        out.append(f"{name}: a pattern has at most {_MAX_WILDCARDS} wildcards")
    if (rule.action.type == "transition") != (rule.action.target_storage_class is not None):
        out.append(f"{name}: targetStorageClass belongs to a transition, and to no other action")
    return out
