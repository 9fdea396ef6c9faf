"""The fault campaign: every operation of the close, disturbed in every way we know of, wherever it meets the server.

operations.py   what is disturbed: a list, one line for each
children.py     processes
client.py       the client that meets a fault, and the faults (runs in a child process)
books.py        databases to start from, and everything that a reader sees of the books
servers.py      servers that may be crashed, filled up, or live in another year
campaign.py     plan by seed, try, do it again, compare with an undisturbed run
__main__.py     the long campaign: `make torture`
"""
