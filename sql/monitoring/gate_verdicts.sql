-- What each gate last said of the newest batch of each of the newest 24 months, in the latest attempt. Not of rehearsals, nor of what was given up or taken out.
SELECT DISTINCT ON (b.period, r.gate) b.period, r.gate, r.passed
FROM control.batch b JOIN control.batch_validation_result r USING (batch_id, attempt)
WHERE b.period IN (SELECT period FROM control.period ORDER BY period DESC LIMIT 24)
  AND b.kind <> 'DRYRUN' AND b.state NOT IN ('ABORTED', 'ROLLED_BACK')
  AND NOT EXISTS (SELECT FROM control.batch later
                  WHERE later.period = b.period AND later.kind <> 'DRYRUN' AND later.state NOT IN ('ABORTED', 'ROLLED_BACK')
                    AND later.initiated_at > b.initiated_at)
ORDER BY b.period, r.gate, r.validation_id DESC
