"""The month-end close of a takaful insurer; README.md says what it does.

Here: only what has to be so before Polars is imported.
"""

from ledger_assets.settings import let_polars_keep_memory

let_polars_keep_memory()
