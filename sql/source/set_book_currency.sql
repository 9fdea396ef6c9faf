-- Another currency can be chosen only while the books hold nothing in the present one.
INSERT INTO source.book_currency AS book (currency, set_by)
VALUES (%(currency)s, %(set_by)s)
ON CONFLICT (is_the_one) DO UPDATE SET currency = excluded.currency, set_by = excluded.set_by, set_at = now()
WHERE book.currency <> excluded.currency
  AND NOT EXISTS (SELECT FROM source.load WHERE status = 'LOADED' AND accepted_count > 0)
