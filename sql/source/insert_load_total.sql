INSERT INTO source.load_total (load_id, txn_type, row_count, gross_total, tabarru_total, tanahud_total, ujroh_total)
VALUES (%(load_id)s, %(txn_type)s, %(row_count)s, %(gross_total)s, %(tabarru_total)s, %(tanahud_total)s, %(ujroh_total)s)
