SELECT control.plan_deliveries(%(channels)s)
