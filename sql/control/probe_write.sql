SELECT control.probe_write()
