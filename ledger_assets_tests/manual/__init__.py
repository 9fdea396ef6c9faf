"""The manual, typed as it stands: every command of its pages is run, and what it shows is compared."""
