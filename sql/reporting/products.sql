-- What the posted batches of the month booked, by product and channel. A code that the rules do not name may be somebody's name:
-- it is not shown, but for the words that the trade has for its channels.
SELECT acct.shown_code(t.txn_type) AS txn_type, acct.shown_code(t.product_code) AS product_code,
       CASE WHEN t.channel = ANY (%(channels)s) THEN t.channel ELSE acct.shown_code(t.channel) END AS channel,
       sum(t.row_count)::bigint AS transactions, sum(t.gross_total) AS gross_amount
FROM source.load_product_total t
JOIN source.load l USING (load_id)
JOIN control.load_batch p USING (load_id)
JOIN control.batch b USING (batch_id)
WHERE b.period = %(period)s AND b.state = 'COMMITTED' AND l.status = 'LOADED'
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
