"""Messages about incidents: which channels there are, how a message is worded, how it is sent.

Nothing here is imported with the definitions or a command's help: apprise and jinja2 are heavy.
"""
