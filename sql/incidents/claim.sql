SELECT control.claim_delivery(%(channels)s)
