-- FOR UPDATE: a posting transaction that takes the load meanwhile waits for us, or we for it.
SELECT l.status,
       (SELECT p.batch_id FROM control.load_batch p WHERE p.load_id = l.load_id) AS batch_id,
       (SELECT min(later.load_id) FROM source.load_overlap o JOIN source.load later USING (load_id)
        WHERE o.earlier_load_id = l.load_id AND later.status = 'LOADED') AS later_load_id
FROM source.load l
WHERE l.load_id = %(load_id)s
FOR UPDATE OF l
