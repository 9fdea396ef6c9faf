-- An unapproved version is a draft: its templates give way to those of the newer text. (Matches and lines go with them.)
WITH overrides AS (DELETE FROM acct.product_account_map WHERE rule_set = %(rule_set)s AND rule_version = %(version)s),
     products AS (DELETE FROM acct.product WHERE rule_set = %(rule_set)s AND rule_version = %(version)s)
DELETE FROM acct.journal_template WHERE rule_set = %(rule_set)s AND rule_version = %(version)s
