-- Which of these were noted before.
SELECT occurrence FROM control.incident_history WHERE occurrence = ANY (%(occurrences)s)
