SELECT source.acknowledge_rejections(%(period)s, %(reason)s, %(by)s)
