SELECT to_regclass('ledger.seal_chain') IS NOT NULL AS seal, to_regclass('audit.operation_chain') IS NOT NULL AS audit
