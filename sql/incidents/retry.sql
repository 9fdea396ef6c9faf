SELECT control.retry_deliveries(%(performed_by)s)
