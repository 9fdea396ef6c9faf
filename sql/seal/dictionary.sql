SELECT what, id, entry FROM ledger.dictionary_entries(%(batch_id)s) ORDER BY entry_number
