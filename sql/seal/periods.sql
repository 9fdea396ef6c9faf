SELECT period, status, next_je_number FROM control.period ORDER BY period
