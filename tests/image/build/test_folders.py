"""What is looked at of a base image before something is put on it."""

import random
import shutil

import pytest
from msgspec import structs

from pipeyard.image.build.folders import SMALL_BASE, may_hold
from pipeyard.oci import ImageConfig, digest_of
from pipeyard.oci.documents import History, RootFs
from tests.image.build.conftest import Yard, entries_of


@pytest.mark.parametrize("told", ['ENTRYPOINT ["/svc/start"]', "LABEL layout=/svc"])
def test_a_large_base_that_tells_of_a_folder_is_looked_at_before_a_copy_into_it(yard: Yard, told: str) -> None:
    noise = random.Random(1).randbytes(SMALL_BASE + 1)
    yard.write({"root/big": noise, "root/svc/start": "old"})
    (yard.context / "root" / "svc").chmod(0o700)
    yard.build(f"FROM scratch\nCOPY root /\n{told}\n", name="large", tags=("latest",))
    shutil.rmtree(yard.cache)
    built = yard.build("FROM example.com/large\nCOPY f /svc/f\n", {"f": "new"})
    assert {entry.path: entry.mode for entry in entries_of(built)} == {"svc": 0o700, "svc/f": 0o644}


def test_a_large_base_with_a_layer_that_its_history_leaves_outmay_hold_any_folder() -> None:
    layers = RootFs(diff_ids=[digest_of(b"1"), digest_of(b"2")])
    explained = ImageConfig(architecture="amd64", os="linux", rootfs=layers, history=[History(created_by="a")] * 2)
    assert not may_hold(explained, "svc")
    assert may_hold(structs.replace(explained, history=[History(created_by="a")]), "svc")
    assert may_hold(structs.replace(explained, history=[History(created_by="a"), History()]), "svc")
