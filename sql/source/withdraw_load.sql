-- The new content_version makes every measurement of the rows void: a batch that staged them cannot be posted.
UPDATE source.load
SET status = 'WITHDRAWN', leaf = NULL, withdrawn_at = now(), withdrawn_by = %(by)s, withdrawal_reason = %(reason)s,
    content_version = content_version + 1
WHERE load_id = %(load_id)s
