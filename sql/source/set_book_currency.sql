SELECT source.set_book_currency(%(currency)s, %(set_by)s)
