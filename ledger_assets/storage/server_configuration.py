"""The settings of the embedded server, each with its reason.

Written anew at every start, so that a newer version of the package brings its settings along. What an
installation wants otherwise goes in with ALTER SYSTEM: PostgreSQL reads that file last.
"""

from pathlib import Path

import psutil

_MEGABYTE = 1024 * 1024
_CONTROL_GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")

_TEMPLATE = """\
# Written by ledger_assets at every start of the server: change nothing here, use ALTER SYSTEM.

# No TCP. The one door is a socket in a directory that only the server's account can enter, so that
# no other user of the machine gets as far as an authentication, and no port can collide with another.
listen_addresses = ''
port = 5432                          # only the socket's name; set so that PGPORT cannot change it
unix_socket_directories = '{socket_directory}'
unix_socket_permissions = 0700
max_connections = 100

# Durability is what a ledger is for: a committed batch survives a crash and a power failure.
fsync = on
synchronous_commit = on
full_page_writes = on

# One database server beside one Dagster on one machine.
shared_buffers = {shared_buffers_mb}MB   # a quarter of the memory; beyond 2 GB the file cache serves as well
work_mem = 64MB                      # the sums of a month sort and hash in memory
maintenance_work_mem = 512MB         # the indexes of a leaf are built in one pass
max_locks_per_transaction = 256      # a posting locks every leaf of its batch, their indexes and their parents
dynamic_shared_memory_type = mmap    # in containers /dev/shm has 64 MB, too little for one parallel hash join
jit = off                            # compiling costs more than our short statements and wide scans win

# A close writes gigabytes in minutes and then rests: let checkpoints be rare and wide.
max_wal_size = 8GB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9

# Nothing replicates from this server, so COPY into a table made in the same transaction may skip the
# WAL: the table's file is flushed at commit instead, which is as durable. COPY FREEZE of 4 million lines
# and their key: 1.7 s and no WAL, against 2.0 s and 246 MB with wal_level = replica.
wal_level = minimal
max_wal_senders = 0
wal_compression = off                # pglz, the only method in this build, slowed the key from 0.8 to 2.3 s

# The same answers on every machine.
timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, ymd'
lc_messages = 'C'

# One log file per weekday, begun anew a week later.
logging_collector = on
log_directory = '../log'
log_filename = 'postgresql-%a.log'
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
log_line_prefix = '%m [%p] %q%a %u@%d '
log_checkpoints = off

# Rows may hold personal data: the log says what was refused and why, and quotes neither row nor statement.
log_error_verbosity = terse
log_min_error_statement = panic
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
"""


def configuration(socket_directory: Path) -> str:
    """The text of the file that postgresql.conf includes. The directory must need no quoting."""
    shared_buffers_mb = max(64, min(2048, _memory() // 4 // _MEGABYTE))
    return _TEMPLATE.format(socket_directory=socket_directory, shared_buffers_mb=shared_buffers_mb)


def _memory() -> int:
    """The bytes this process may use: a container is often allowed less than the machine has."""
    total: int = psutil.virtual_memory().total
    try:
        return min(total, int(_CONTROL_GROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # not in a container, or one without a limit ("max")
        return total
