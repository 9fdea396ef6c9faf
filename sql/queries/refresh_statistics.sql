SELECT control.refresh_statistics()
