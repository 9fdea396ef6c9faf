"""Papers for people: what a close looks like to those who answer for it.

Belongs here: gathering the figures of a paper, and rendering them. Not here: the figures (accounting/, sql/), nor when
a paper is written (assets/).
"""
