SELECT control.settle_delivery(%(delivery_id)s, %(error)s, %(performed_by)s)
