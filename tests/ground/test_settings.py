"""Settings: flags over environment over the nearest pipeyard.toml over defaults, each with its origin."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeyard.errors import InputError
from pipeyard.settings import UserSettings, load


def test_a_flag_beats_the_environment_which_beats_the_nearest_file(tmp_path: Path) -> None:
    inner = tmp_path / "a/b"
    inner.mkdir(parents=True)
    (tmp_path / "pipeyard.toml").write_text(
        'region = "eu-west-1"\npublish = "one.example.com"\naccount_id = "111111111111"\n'
    )
    environ = {"PIPEYARD_PUBLISH": "two.example.com", "PIPEYARD_REGION": "us-west-2", "HOME": str(tmp_path)}
    settings = load({"publish": "three.example.com", "home": None}, environ, inner)
    assert (settings.account_id, settings.region, settings.publish) == (
        "111111111111",
        "us-west-2",
        "three.example.com",
    )
    assert settings.origins["account_id"] == f"{tmp_path / 'pipeyard.toml'}:3"
    assert settings.origins["region"] == "PIPEYARD_REGION in the environment"
    assert settings.origins["publish"] == "the command line"


def test_state_lies_in_the_data_folder_unless_told_otherwise(tmp_path: Path) -> None:
    assert load({}, {"HOME": "/home/ann"}, tmp_path).home == Path("/home/ann/.local/share/pipeyard")
    assert load({}, {"HOME": "/h", "XDG_DATA_HOME": "/data"}, tmp_path).home == Path("/data/pipeyard")
    assert load({}, {"HOME": "/h", "PIPEYARD_HOME": "/state"}, tmp_path).home == Path("/state")


def test_tables_and_lists_are_read_from_the_environment(tmp_path: Path) -> None:
    environ = {
        "PIPEYARD_REGISTRY_MIRRORS": "docker.io=http://localhost:5000, ghcr.io=http://localhost:5001",
        "PIPEYARD_INSECURE_REGISTRIES": "a.example.com, b.example.com",
        "PIPEYARD_ACCESS_KEYS": "AKIA1:s3=cret",
    }
    settings = load({}, environ, tmp_path)
    assert settings.registry_mirrors == {"docker.io": "http://localhost:5000", "ghcr.io": "http://localhost:5001"}
    assert settings.insecure_registries == ("a.example.com", "b.example.com")
    assert settings.access_keys == {"AKIA1": "s3=cret"}


def test_a_user_is_a_password_or_a_table_with_rights_and_an_end(tmp_path: Path) -> None:
    (tmp_path / "pipeyard.toml").write_text(
        '[users]\nann = "secret"\n[users.ci]\npassword = "x"\n'
        'rights = { "team/*" = ["pull", "push"] }\nexpires = 2030-01-31T00:00:00Z\n'
    )
    users = load({}, {}, tmp_path).users
    assert users["ann"] == UserSettings(password="secret")
    assert users["ci"].rights == {"team/*": ("pull", "push")}
    assert users["ci"].expires == datetime(2030, 1, 31, tzinfo=UTC)
    assert load({}, {"PIPEYARD_USERS": "bob:a:b"}, tmp_path).users == {"bob": UserSettings(password="a:b")}


@pytest.mark.parametrize(
    "told", ['rights = { "*" = ["read"] }', "expires = 2030-01-31", "expires = 2030-01-31T00:00:00"]
)
def test_a_user_with_a_wrong_right_or_an_end_without_time_zone_is_refused(tmp_path: Path, told: str) -> None:
    (tmp_path / "pipeyard.toml").write_text(f'[users.ci]\npassword = "x"\n{told}\n')
    with pytest.raises(InputError, match=r"users from .* has a wrong value"):
        load({}, {}, tmp_path)


def test_an_unknown_setting_is_refused_at_its_line(tmp_path: Path) -> None:
    (tmp_path / "pipeyard.toml").write_text('region = "eu-west-1"\n\nregoin = "x"\n')
    with pytest.raises(InputError, match="unknown setting 'regoin'") as caught:
        load({}, {}, tmp_path)
    assert caught.value.place is not None
    assert caught.value.place.line == 3


@pytest.mark.parametrize("text", ["region = ", 'region = "a\n', "= 1"])
def test_broken_toml_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "pipeyard.toml").write_text(text)
    with pytest.raises(InputError, match="not valid TOML") as caught:
        load({}, {}, tmp_path)
    assert caught.value.place is not None


def test_a_wrong_type_names_the_variable_that_it_came_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="PIPEYARD_CACHE_SIZE_MB in the environment"):
        load({}, {"PIPEYARD_CACHE_SIZE_MB": "many"}, tmp_path)


def test_a_connections_folder_counts_from_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "pipeyard.toml").write_text(
        '[connections]\n"team/app" = "../app"\n"team/far" = "git@git.example.com:team/far.git"\n'
    )
    settings = load({}, {}, tmp_path / "below")
    assert settings.connections == {
        "team/app": str(tmp_path / "../app"),
        "team/far": "git@git.example.com:team/far.git",
    }
