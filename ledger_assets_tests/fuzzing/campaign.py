"""Coverage-guided campaigns: `python -m ledger_assets_tests.fuzzing.campaign TARGET [FOLDER] [-max_total_time=300]`.

Needs atheris, which is no dependency of the project: install it into an environment of its own beside the project's
(docs/bad-input.md says how). FOLDER keeps what was found interesting; a crash is written beside it.
"""

import sys
import tempfile
import warnings
from pathlib import Path

try:
    import atheris
except ImportError:
    atheris = None

INSTRUMENTED = ("ledger_assets.accounting", "ledger_assets.storage.source_files", "sqlglot", "tomllib")


def main() -> None:
    """Fuzz one target until libFuzzer's own options say stop."""
    if atheris is None:
        sys.exit("atheris is missing: pip install atheris==3.0.0")
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        from ledger_assets_tests.fuzzing.seeds import SEEDS  # noqa: PLC0415 - instrumented as it is imported
        from ledger_assets_tests.fuzzing.targets import TARGETS  # noqa: PLC0415
    warnings.simplefilter("ignore")
    folder = Path(next((option for option in options if not option.startswith("-")), tempfile.mkdtemp()))
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (folder / f"seed-{number}").write_bytes(seed)
    flags = [option for option in options if option.startswith("-")]
    atheris.Setup([sys.argv[0], str(folder), *flags], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
