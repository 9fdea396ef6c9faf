SELECT period FROM control.months_due(%(layer)s, %(active_months)s) AS due (period) ORDER BY 1
