"""The commands of `ledger-assets`, a file for each thing that people come for."""
