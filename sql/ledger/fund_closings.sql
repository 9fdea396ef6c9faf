SELECT fund, (closing_balance * 100)::numeric(38, 0) FROM ledger.fund_balance WHERE period = %(period)s
