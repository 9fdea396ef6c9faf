"""The file of LEDGER_ALERTS: what it says, and what is said of a mistake in it."""

import re
from pathlib import Path

import pytest

from ledger_assets.alerts.channels import AlertsFileError, Channel, problem_of, read_channels
from ledger_assets.settings import Settings, SettingsError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "alerts.toml"


def channels(file: Path, content: str) -> list[Channel]:
    file.write_text(content, encoding="utf-8")
    return read_channels(Settings(alerts=file), kinds=["GATE_FAILED", "RUN_FAILED"]) or []


def test_everything_that_a_channel_may_say(file: Path):
    finance, webhook = channels(
        file,
        '[channels.finance]\nurl = "mailtos://example.org"\nfrom_severity = "ERROR"\nkinds = ["GATE_FAILED"]\n'
        'resolved = false\n[channels.web-hook_2]\nurl = "${WHOLE_URL}"\n',
    )
    assert finance.plan() == {
        "channel": "finance", "from_severity": "ERROR", "kinds": ("GATE_FAILED",), "resolved": False,
    }  # fmt: skip
    assert webhook.plan() == {"channel": "web-hook_2", "from_severity": "WARNING", "kinds": None, "resolved": True}


def test_secrets_come_from_the_environment_when_they_are_used(file: Path, monkeypatch: pytest.MonkeyPatch):
    part, whole = channels(
        file,
        '[channels.a]\nurl = "mailtos://me:${SMTP_PASSWORD}@example.org"\n[channels.b]\nurl = "${WHOLE_URL}"\n',
    )
    monkeypatch.setenv("SMTP_PASSWORD", "p@ss/word")
    monkeypatch.setenv("WHOLE_URL", "json://h/p?a=b")
    assert part.address() == "mailtos://me:p%40ss%2Fword@example.org"
    assert whole.address() == "json://h/p?a=b"
    assert "example.org" not in repr(part)


@pytest.mark.parametrize(("content", "line", "rule"), [
    ("", None, "names no channel"),
    ("[channels]\n", None, "names no channel"),
    ("\n[channel.a]\n", 2, "channel means nothing here"),
    ("[channels.a]\n\nulr = 'json://x'\n", 3, "'ulr' means nothing"),
    ("[channels.a]\nfrom_severity = 'ERROR'\n", 1, "url is missing"),
    ("[channels.a]\nurl = 'hunter2'\n", 2, "is no address"),
    ("[channels.a]\nurl = 'json://x'\n[channels.b]\nurl = 'json://hunter2${'\n", 4, "names no variable"),
    ("[channels.a]\nurl = 'json://x'\nfrom_severity = 'LOUD'\n", 3, "from_severity is 'LOUD'"),
    ("[channels.a]\nurl = 'json://x'\nresolved = 'no'\n", 3, "resolved is 'no'"),
    ("[channels.a]\nurl = 'json://x'\nkinds = []\n", 3, "kinds is []"),
    ("[channels.a]\nurl = 'json://x'\nkinds = ['GATE']\n", 3, "there is no kind 'GATE'"),
    ("[channels.\"Big Name\"]\nurl = 'json://x'\n", 1, "no name for a channel"),
    ("[channels]\na = 3\n", None, "it is no table"),
])  # fmt: skip
def test_a_mistake_is_named_by_line_key_and_fix(file: Path, content: str, line: int | None, rule: str):
    with pytest.raises(AlertsFileError) as caught:
        channels(file, content)
    said = str(caught.value)
    assert rule in said
    assert "Fix: " in said
    assert str(file) in said
    assert line is None or f"line {line}" in said, said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("content", "rule"), [(b"a = = 1", "line 1"), (b"\xff", "not UTF-8"), (None, "cannot be read")]
)
def test_a_file_that_is_none(file: Path, content: bytes | None, rule: str):
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(AlertsFileError, match=rule):
        read_channels(Settings(alerts=file))
    assert rule in str(problem_of(Settings(alerts=file)))


def test_a_missing_variable_is_a_problem_before_anything_happens(file: Path):
    file.write_text('[channels.a]\nurl = "json://h/${NO_SUCH_VARIABLE}"\n')
    assert "NO_SUCH_VARIABLE, which is not set" in str(problem_of(Settings(alerts=file)))
    assert problem_of(Settings()) is None


def test_a_file_that_is_not_there_stops_no_command():
    assert Settings.from_environment({"LEDGER_ALERTS": "/nowhere/alerts.toml"}).alerts == Path("/nowhere/alerts.toml")


def test_the_address_of_the_ui_shows_no_password():
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"LEDGER_UI_URL": "https://me:hunter2@host/"})
    assert "hunter2" not in str(caught.value)
    assert Settings.from_environment({"LEDGER_UI_URL": "https://host/dagster/"}).ui_url == "https://host/dagster"


def test_apprise_understands_every_address_of_the_manual(file: Path, monkeypatch: pytest.MonkeyPatch):
    import apprise  # noqa: PLC0415

    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```toml\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    file.write_text("\n".join(examples), encoding="utf-8")
    found = read_channels(Settings(alerts=file)) or []
    assert len(found) >= 5
    for name in {name for channel in found for name in re.findall(r"\$\{(\w+)\}", channel.template)}:
        monkeypatch.setenv(name, "a1b2c3d4e5f6a1b2c3d4e5f6")
    for channel in found:
        if re.fullmatch(r"\$\{\w+\}", channel.template) is None:
            assert apprise.Apprise.instantiate(channel.address()) is not None, channel.name
