COPY source.rejected_row (load_id, row_number, txn_id, reasons, raw) FROM STDIN
