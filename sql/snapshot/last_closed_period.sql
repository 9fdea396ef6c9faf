SELECT max(period) AS period FROM control.period WHERE status IN ('CLOSED', 'LOCKED')
