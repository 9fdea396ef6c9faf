"""How fast a close is, as a ratio to the fastest bare COPY of the same rows on the same server in the same run.

Belongs here: measuring. The steps that are measured are the code that the assets call; nothing of the close is done
differently for a benchmark. docs/benchmark.md says what each figure means.
"""

from ledger_assets.bench.rounds import run_bench

__all__ = ["run_bench"]
