SELECT load_id FROM control.loads_to_journal(%(period)s) ORDER BY load_id
