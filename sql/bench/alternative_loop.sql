-- What is usually written first: for each transaction, for each entry, for each line.
CREATE FUNCTION alternative.post_by_loop(the_rules text, the_period text, how_many integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    txn        source.txn_source;
    this_entry smallint;
    l          alternative.template_line;
    amount     numeric(18, 2);
    number     integer := 0;
    debits     numeric(18, 2);
BEGIN
    FOR txn IN SELECT * FROM source.txn_source WHERE period = the_period ORDER BY load_id, row_number LIMIT how_many LOOP
        FOR this_entry IN 1..3 LOOP
            debits := 0;
            FOR l IN SELECT * FROM alternative.template_line t
                     WHERE t.rule_set = the_rules AND t.source_type = txn.txn_type AND t.entry = this_entry
                     ORDER BY t.line_number LOOP
                amount := CASE l.component WHEN 'gross_amount' THEN txn.gross_amount WHEN 'tabarru_amount' THEN txn.tabarru_amount
                                           WHEN 'tanahud_amount' THEN txn.tanahud_amount ELSE txn.ujroh_amount END;
                CONTINUE WHEN amount = 0;
                INSERT INTO alternative.line VALUES (number + 1, l.line_number, the_period, l.account_code, l.fund,
                    CASE l.side WHEN 'DR' THEN amount ELSE 0 END, CASE l.side WHEN 'CR' THEN amount ELSE 0 END);
                IF l.side = 'DR' THEN
                    debits := debits + amount;
                END IF;
            END LOOP;
            CONTINUE WHEN debits = 0;
            number := number + 1;
            INSERT INTO alternative.header VALUES
                (number, the_period, txn.bank_value_date, txn.txn_type, txn.txn_id, debits, debits);
        END LOOP;
    END LOOP;
END $$;
