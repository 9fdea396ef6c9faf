"""The environment as the one input of Settings."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ledger_assets.accounting.rule_files import SHIPPED_RULES
from ledger_assets.settings import Settings, SettingsError

PROJECT = Path(__file__).resolve().parent.parent


def test_an_empty_environment_gives_the_embedded_server_in_the_project():
    settings = Settings.from_environment({"LEDGER_HOME": "", "LEDGER_CURRENCY": " "})
    assert settings == Settings(None, PROJECT / ".ledger", "2024-01", SHIPPED_RULES, "combined", None, None)
    assert settings.project_root == PROJECT


def test_archives_lie_in_the_home_or_where_they_are_wanted(tmp_path: Path):
    home = {"LEDGER_HOME": "/srv/ledger"}
    assert Settings.from_environment(home).archive == Path("/srv/ledger/archive")
    assert Settings.from_environment(home | {"LEDGER_ARCHIVE": str(tmp_path)}).archive == tmp_path
    assert Settings.from_environment({"LEDGER_ARCHIVE": "old"}).archive == PROJECT / "old"


def test_every_variable_is_read(tmp_path: Path):
    settings = Settings.from_environment({
        "LEDGER_DATABASE_URL": "postgresql://u:secret@db:5433/books",
        "LEDGER_HOME": "/srv/ledger",
        "LEDGER_FIRST_PERIOD": "1993-01",
        "LEDGER_RULES": str(tmp_path),
        "LEDGER_RULE_SET": "three_entries",
        "LEDGER_CURRENCY": "IDR",
        "LEDGER_SIGNING_KEY": base64.b64encode(b"s" * 32).decode(),
    })  # fmt: skip
    url = "postgresql://u:secret@db:5433/books"
    assert settings == Settings(url, Path("/srv/ledger"), "1993-01", tmp_path, "three_entries", "IDR", b"s" * 32)
    assert "secret" not in repr(settings)
    assert "ssss" not in repr(settings)


def test_a_relative_home_does_not_depend_on_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment({"LEDGER_HOME": "var/books"}).home == PROJECT / "var/books"


@pytest.mark.parametrize(
    ("variable", "value", "fix"),
    [
        ("LEDGER_FIRST_PERIOD", "2024-13", "YYYY-MM"),
        ("LEDGER_FIRST_PERIOD", "2024-1", "YYYY-MM"),
        ("LEDGER_CURRENCY", "Rupiah", "ISO 4217"),
        ("LEDGER_RULES", "/nowhere/rules", "name a directory"),
        ("LEDGER_DATABASE_URL", "mysql://db/books", "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("LEDGER_DATABASE_URL", "postgresql://db:5432", "names no database"),
    ],
)
def test_an_error_names_the_variable_the_value_and_the_fix(variable: str, value: str, fix: str):
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({variable: value})
    assert all(part in str(caught.value) for part in (variable, value, fix))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@db:5432",
        "mysql://u:secret@db/x",
        "host=db password=secret",
        "mysql://db/?password=secret",
    ],
)
def test_an_error_never_shows_a_password(url: str):
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"LEDGER_DATABASE_URL": url})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["c2VjcmV0", "secret!", base64.b64encode(b"secret" * 6).decode()])
def test_an_error_never_shows_a_key(key: str):
    with pytest.raises(SettingsError, match="32 random bytes") as caught:
        Settings.from_environment({"LEDGER_SIGNING_KEY": key})
    assert key not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.args}"


@pytest.mark.parametrize(("given", "kept"), [(None, "dirty_decay_ms:30000"), ("dirty_decay_ms:1", "dirty_decay_ms:1")])
def test_polars_is_told_to_keep_memory_before_it_is_imported(given: str | None, kept: str):
    environment = {name: text for name, text in os.environ.items() if name != "_RJEM_MALLOC_CONF"}
    environment |= {"_RJEM_MALLOC_CONF": given} if given else {}
    # Polars puts its own wishes before what it finds, and the last of several counts.
    program = "import os, ledger_assets.accounting.posting; print(os.environ['_RJEM_MALLOC_CONF'])"
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.strip().startswith("dirty_decay_ms:500,")
    assert ended.stdout.strip().endswith("," + kept)
