SELECT currency FROM source.book_currency
