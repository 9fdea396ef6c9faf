"""The benchmark: what it says, and that it measures what it says."""

import json
import weakref
from typing import Any

import pytest
from click.testing import CliRunner
from psycopg import sql

from ledger_assets.accounting.posting import Expansion
from ledger_assets.bench import bare_copy, rounds, run_bench
from ledger_assets.bench.presentation import print_bench
from ledger_assets.bench.rounds import middle, spread
from ledger_assets.bench.server_processes import ServerProcesses
from ledger_assets.cli import main
from ledger_assets.settings import Settings
from ledger_assets.storage.database import connect, server_url

STEPS = ["load", "stage", "gates", "post", "snapshot"]
FACE = {"rows", "lines", "steps", "total_s", "bare_copy_s", "ratio", "peak_rss_mb"}
PROMISED = FACE | {
    "rule_set", "seed", "repeat", "entries", "transactions_per_s", "lines_per_s", "rows_per_s", "cpu_ratio",
    "bare_load_s", "load_ratio", "load_cpu_ratio", "server_peak_private_mb", "server_peak_pss_mb", "wal_bytes", "disk",
    "details", "bare_copy", "spread", "rounds", "surroundings",
}  # fmt: skip


def databases(settings: Settings) -> set[str]:
    with connect(server_url(settings)) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


@pytest.fixture(scope="session")
def two_rounds(quiet_server: Settings) -> dict[str, Any]:
    return run_bench(quiet_server, transactions=300, lines=2, seed=5, repeat=2)


def test_the_face_and_what_docs_benchmark_promises(two_rounds: dict[str, Any]) -> None:
    assert set(two_rounds) == PROMISED
    assert set(two_rounds["steps"]) == {"load", "expand", "stage", "seal", "gates", "post", "snapshot"}
    assert list(two_rounds["details"]) == STEPS
    assert (two_rounds["rows"], two_rounds["seed"], two_rounds["rule_set"]) == (300, 5, "three_entries")
    json.dumps(two_rounds)


def test_each_step_says_what_it_cost(two_rounds: dict[str, Any]) -> None:
    for step in STEPS:
        detail = two_rounds["details"][step]
        assert set(detail) == {
            "seconds", "share_pct", "transactions_per_s", "lines_per_s", "rows_per_s", "client_cpu_s", "server_cpu_s",
            "wal_bytes", "client_peak_mb", "page_reads",
        }  # fmt: skip
        assert detail["seconds"] == two_rounds["steps"][step]
        assert detail["wal_bytes"] > 0
        assert detail["client_peak_mb"] > 50
        assert detail["server_cpu_s"] >= 0
    assert sum(one["share_pct"] for one in two_rounds["rounds"][0]["details"].values()) == pytest.approx(100, abs=0.5)


def test_what_the_figures_are_made_of(two_rounds: dict[str, Any]) -> None:
    for one in two_rounds["rounds"]:
        steps = one["steps"]
        assert one["total_s"] == pytest.approx(sum(steps[step] for step in STEPS), abs=0.001)
        after_loading = one["total_s"] - steps["load"]
        assert one["bare_copy_s"] == min(one["bare_copy"]["before_s"], one["bare_copy"]["after_s"])
        # In milliseconds and hundredths, as they are told: of a COPY that takes three, half a millisecond is much.
        assert one["bare_copy_s"] * one["ratio"] == pytest.approx(after_loading, rel=0.01, abs=0.001 * one["ratio"])
        assert one["bare_load_s"] * one["load_ratio"] == pytest.approx(
            steps["load"], rel=0.01, abs=0.001 * one["load_ratio"]
        )
        assert one["rows_per_s"] == pytest.approx((one["entries"] + one["lines"]) / one["total_s"], rel=0.01)
        assert one["wal_bytes"] == sum(one["details"][step]["wal_bytes"] for step in STEPS)
        assert one["disk"]["line"]["rows"] == one["lines"]
        assert one["disk"]["header"]["rows"] == one["entries"]
        assert one["disk"]["source"]["rows"] == 300


def test_rounds_are_done_anew_and_the_figures_are_their_medians(two_rounds: dict[str, Any]) -> None:
    first, second = two_rounds["rounds"]
    assert (first["entries"], first["lines"]) == (second["entries"], second["lines"])
    assert first["steps"] != second["steps"]
    for name in ("total_s", "bare_copy_s", "ratio"):
        low, high = sorted([first[name], second[name]])
        assert two_rounds["spread"][name] | {"min": low, "max": high} == two_rounds["spread"][name]
        assert two_rounds[name] == pytest.approx((low + high) / 2, abs=0.0001)


def test_the_ratios_of_cpu_seconds_are_known_here(quiet_server: Settings) -> None:
    """With rows enough that the bare COPY takes more than one tick of the clock."""
    result = run_bench(quiet_server, transactions=20_000, lines=8)
    assert result["cpu_ratio"] > 0
    assert result["load_cpu_ratio"] > 0
    used = sum(result["details"][step][side] for step in STEPS[1:] for side in ("client_cpu_s", "server_cpu_s"))
    assert result["cpu_ratio"] == pytest.approx(used / result["bare_copy"]["cpu_s"], rel=0.02)


def test_the_memory_of_the_server_is_seen(two_rounds: dict[str, Any]) -> None:
    assert 0 < two_rounds["server_peak_private_mb"] < two_rounds["server_peak_pss_mb"] < 4096


def test_the_surroundings_are_those_of_the_server(two_rounds: dict[str, Any], quiet_server: Settings) -> None:
    settings = two_rounds["surroundings"]["server"]
    assert (settings["autovacuum"], settings["wal_level"]) == ("off", "minimal")
    with connect(server_url(quiet_server)) as connection:
        assert (
            settings["server_version"].split()[0] == connection.execute("SHOW server_version").fetchone()[0].split()[0]
        )  # type: ignore[index]


def test_medians_of_mappings() -> None:
    one = {"a": 1, "b": {"c": 1.5, "d": None}, "e": "x"}
    other = {"a": 4, "b": {"c": 2.5, "d": 3}, "e": "y"}
    third = {"a": 2, "b": {"c": 9.5, "d": 4}, "e": "z"}
    assert middle([one, other, third]) == {"a": 2, "b": {"c": 2.5, "d": 4}, "e": "z"}
    assert isinstance(middle([one, other])["a"], int)


def test_a_ratio_that_no_round_knows_has_no_spread() -> None:
    one = {"steps": {"load": 1.0}, "total_s": 1.0, "bare_copy_s": 1.0, "ratio": 1.0, "cpu_ratio": None}
    one |= {"bare_load_s": 1.0, "load_ratio": 1.0, "load_cpu_ratio": None}
    assert "cpu_ratio" not in spread([one])


def test_nothing_is_left_of_it_even_when_it_fails(quiet_server: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = databases(quiet_server)

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(rounds, "measured_close", fails)
    with pytest.raises(RuntimeError, match="in the middle"):
        run_bench(quiet_server, transactions=10, lines=8)
    assert databases(quiet_server) == before


def test_the_bare_copy_holds_two_shards_at_most(quiet_server: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Expansion]] = []
    held: list[int] = []
    expand, write = bare_copy.expand, bare_copy._write_tables

    def expanding(*arguments: Any, **named: Any) -> Expansion:
        held.append(1 + sum(one() is not None for one in made))
        expansion = expand(*arguments, **named)
        made.append(weakref.ref(expansion))
        return expansion

    def writing(*arguments: Any) -> None:
        held.append(sum(one() is not None for one in made))
        write(*arguments)

    monkeypatch.setattr(bare_copy, "expand", expanding)
    monkeypatch.setattr(bare_copy, "_write_tables", writing)
    result = run_bench(quiet_server, transactions=1_000, lines=8, rows_per_worker=200)
    assert len(made) == 2 * 5  # before and after the close
    assert max(held) == 2
    assert result["disk"]["line"]["leaves"] == 5


def test_a_bare_copy_of_other_rows_is_noticed(quiet_server: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    expand = bare_copy.expand
    monkeypatch.setattr(bare_copy, "expand", lambda rows, *_, **named: expand(rows[1:], *_, **named))
    with pytest.raises(RuntimeError, match="the bare COPY wrote other rows"):
        run_bench(quiet_server, transactions=20, lines=8)


def test_the_bare_leaf_is_like_the_one_of_the_load(quiet_server: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[str]] = {}
    drop = "DROP TABLE {}"
    real = sql.SQL

    def looking(text: str) -> sql.SQL:
        return real(f"CREATE TABLE source.kept (LIKE source.bare_leaf INCLUDING ALL); {drop}" if text == drop else text)

    def described(connection: Any, table: str) -> set[str]:
        query = """SELECT concat(indisunique, regexp_replace(pg_get_indexdef(indexrelid), '^.* USING', ''))
                   FROM pg_index WHERE indrelid = %s::regclass
                   UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint
                   WHERE conrelid = %s::regclass AND contype = 'c'"""
        return {text for (text,) in connection.execute(query, [table, table])}

    close = rounds.measured_close

    def closing(administrator_url: str, *arguments: Any, **named: Any) -> Any:
        result = close(administrator_url, *arguments, **named)
        with connect(administrator_url) as connection:
            (leaf,) = connection.execute("SELECT leaf::text FROM source.load").fetchone() or ("",)
            seen.update(own=described(connection, leaf), bare=described(connection, "source.kept"))
        return result

    monkeypatch.setattr(bare_copy.sql, "SQL", looking)
    monkeypatch.setattr(rounds, "measured_close", closing)
    run_bench(quiet_server, transactions=20, lines=8)
    assert len(seen["own"]) > 6
    assert seen["own"] == seen["bare"]


def test_a_server_on_another_machine(
    quiet_server: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ServerProcesses, "of", lambda _: None)
    result = run_bench(quiet_server, transactions=50, lines=8)
    assert (result["server_peak_pss_mb"], result["server_peak_private_mb"], result["cpu_ratio"]) == (None, None, None)
    assert result["details"]["stage"]["server_cpu_s"] is None
    print_bench(result)
    assert "not to be seen from here" in capsys.readouterr().out


def test_the_oldest_server(postgres15: str) -> None:
    result = run_bench(Settings(database_url=postgres15), transactions=100, lines=8, comparing=True)
    assert result["surroundings"]["server"]["server_version"].startswith("15")
    assert result["ratio"] > 0


def test_the_command(quiet_server: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_HOME", str(quiet_server.home))
    words = ["bench", "--rows", "200", "--lines", "2", "--repeat", "2", "--seed", "9"]
    asked = CliRunner().invoke(main, [*words, "--json"], catch_exceptions=False)
    assert asked.exit_code == 0
    result = json.loads(asked.stdout)
    assert (result["rows"], result["seed"], result["repeat"], len(result["rounds"])) == (200, 9, 2, 2)


def test_the_command_for_people(quiet_server: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_HOME", str(quiet_server.home))
    shown = CliRunner().invoke(main, ["bench", "--rows", "200", "--compare"], catch_exceptions=False)
    assert shown.exit_code == 0
    for part in (
        "200 transactions became 200 entries with 1,600 lines",
        "share",
        "ratio",
        "load ratio",
        "memory at most",
        "on disk, bytes per row",
        "what a team would otherwise do",
    ):
        assert part in shown.output
