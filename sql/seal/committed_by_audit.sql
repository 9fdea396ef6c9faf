SELECT DISTINCT batch_id, period FROM audit.batch_operation
WHERE state_after = 'COMMITTED' AND outcome = 'SUCCESS' AND batch_id IS NOT NULL ORDER BY batch_id
