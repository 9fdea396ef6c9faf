SELECT archive_id FROM control.archive WHERE directory = %(directory)s
