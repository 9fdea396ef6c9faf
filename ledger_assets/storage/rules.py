"""Rule sets in PostgreSQL: stored from files, read back for posting, approved by a second person (B2).

The tables are the record; files are one way to write them, SQL another. Whatever posts is read from the tables, and
only a version whose content is still exactly what was approved is used.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from ledger_assets.accounting.amounts import parse_amount
from ledger_assets.accounting.chart import Account
from ledger_assets.accounting.conditions import parse_condition
from ledger_assets.accounting.errors import RuleError
from ledger_assets.accounting.posting import CompiledRules, compile_rules
from ledger_assets.accounting.rule_files import load_approvals, load_rule_set, rule_sets_in
from ledger_assets.accounting.rule_findings import Finding
from ledger_assets.accounting.rule_proofs import check_approval
from ledger_assets.accounting.templates import AccountOverride, Approval, RuleSet, Template, TemplateLine, TemplateMatch
from ledger_assets.accounting.waiting_rules import Change, WaitingVersion, changes_in
from ledger_assets.storage.audit import attempting
from ledger_assets.storage.database import statement


@dataclass(frozen=True)
class StoredRules:
    """A rule set as the tables have it, with the ids that lines and headers store, and its approval if it has one."""

    rule_set: RuleSet
    template_ids: Mapping[tuple[str, int], int]
    account_ids: Mapping[str, int]
    approval: Approval | None

    def objections(self) -> list[Finding]:
        """What keeps it from posting: no approval, or an edit of the tables after it. Empty = it may post."""
        return check_approval(self.rule_set, [self.approval] if self.approval else [])

    def compiled(self) -> CompiledRules:
        """The rules in the form that expands transactions."""
        return compile_rules(self.rule_set, self.template_ids, self.account_ids)


def store(connection: psycopg.Connection, rules: RuleSet) -> bool:
    """Write a version of a rule set; False when it is there already with the same content.

    Raises RuleError when that version is there with other content and approved: a change is a new version then.
    """
    key: dict[str, Any] = {"rule_set": rules.name, "version": rules.version}
    with attempting(connection, "STORE_RULES", performed_by=rules.prepared_by, **key), connection.transaction():
        known = connection.execute(statement("acct/rule_set"), key).fetchone()
        if known is not None:
            content_hash, approved_by = known[3], known[4]
            if content_hash == rules.content_hash():
                return False
            if approved_by is not None:
                raise RuleError(
                    rules.title,
                    f"it was approved by {approved_by} with other content",
                    "give the changed rules the next version number",
                )
        connection.execute(statement("acct/store_rule_set"), {"rules": Jsonb(_document(rules))})
    return True


def store_directory(connection: psycopg.Connection, directory: Path) -> list[str]:
    """Store every rule set of a directory and the approvals that lie beside them; says what was new.

    Raises RuleError (RuleFileError, ExpressionError) for the first thing that is wrong; nothing is stored then.
    """
    with connection.transaction():
        rule_sets = [load_rule_set(name, directory) for name in rule_sets_in(directory)]
        new = [rule_set for rule_set in rule_sets if store(connection, rule_set)]
        news = [f"{rule_set.title} stored, content {rule_set.content_hash()[:12]}" for rule_set in new]
        for approval in load_approvals(directory):
            version = {"approved_by": approval.approved_by, "content_hash": approval.sha256}
            if approve(connection, approval.rule_set, approval.version, **version):
                news.append(f"rule set {approval.rule_set} v{approval.version} approved by {approval.approved_by}")
    return news


def approve(connection: psycopg.Connection, name: str, version: int, *, approved_by: str, content_hash: str) -> bool:
    """Record the approval of exactly this content; False when it is approved already.

    Raises RuleError for an unknown version, other content, or an approver who prepared it.
    """
    key = {"rule_set": name, "version": version}
    culprit = f"rule set {name} v{version}"
    with (
        attempting(connection, "APPROVE_RULES", performed_by=approved_by, rule_set=name, version=version),
        connection.transaction(),
    ):
        known = connection.execute(statement("acct/rule_set"), key).fetchone()
        if known is None:
            raise RuleError(culprit, "there is no such version", "store it first: materialize journal_templates")
        _, _, prepared_by, stored_hash, already, _ = known
        if approved_by == prepared_by:
            raise RuleError(culprit, f"{approved_by} prepared it", "let a second person approve it")
        if stored_hash != content_hash:
            raise RuleError(
                culprit,
                f"its content is {stored_hash[:12]}…, the approval is for {content_hash[:12]}…",
                "review and approve what is stored",
            )
        if already is not None:
            return False
        connection.execute(statement("acct/approve"), key | {"approved_by": approved_by, "content_hash": content_hash})
    return True


def in_use(connection: psycopg.Connection, name: str) -> StoredRules:
    """The newest approved version of a rule set; while none is approved, the newest one.

    Raises RuleError when there is no version at all.
    """
    row = connection.execute(statement("acct/version_in_use"), {"rule_set": name}).fetchone()
    if row is None or row[0] is None:
        raise RuleError(f"rule set {name}", "it is not stored", "materialize journal_templates, or set LEDGER_RULE_SET")
    return load(connection, name, row[0])


def usable(connection: psycopg.Connection, name: str) -> StoredRules:
    """The version in use. Raises RuleError when it is not approved, or its tables were edited after the approval."""
    stored = in_use(connection, name)
    for objection in stored.objections():
        raise RuleError(objection.culprit, objection.message, objection.fix)
    return stored


def waiting(connection: psycopg.Connection, name: str, period: str | None = None) -> WaitingVersion | None:
    """The newest version that waits for approval while an older one posts, and what it changes in the month.

    None when none waits. Rows of it that are no valid rules are told as its change: it is nobody's to post yet.
    """
    row = connection.execute(statement("acct/waiting_version"), {"rule_set": name}).fetchone()
    if row is None:
        return None
    version, used, prepared_by, stored_at = row
    try:
        changes = changes_in(load(connection, name, used).rule_set, load(connection, name, version).rule_set, period)
    except RuleError as fault:
        changes = (Change(f"something that is no rule ({fault})", None),)
    return WaitingVersion(name, version, used, prepared_by, stored_at, changes)


def load(connection: psycopg.Connection, name: str, version: int) -> StoredRules:
    """Read one version from the tables. Raises RuleError (ExpressionError) when a row of them is no valid rule."""
    key = {"rule_set": name, "version": version}

    def rows(what: str) -> list[tuple[Any, ...]]:
        return connection.execute(statement(f"acct/{what}"), key).fetchall()

    header = connection.execute(statement("acct/rule_set"), key).fetchone()
    if header is None:
        raise RuleError(f"rule set {name} v{version}", "there is no such version", "see acct.rule_set")
    accounts = rows("accounts")
    matches: dict[int, list[TemplateMatch]] = defaultdict(list)
    for template_id, product, channel, condition, priority in rows("matches"):
        matches[template_id].append(
            TemplateMatch(product, channel, parse_condition(condition) if condition else None, priority)
        )
    lines: dict[int, list[TemplateLine]] = defaultdict(list)
    for template_id, number, entry, side, account, fund, amount, remainder in rows("lines"):
        lines[template_id].append(TemplateLine(number, entry, side, account, fund, parse_amount(amount), remainder))
    template_ids: dict[tuple[str, int], int] = {}
    templates = []
    for (
        template_id,
        code,
        template_version,
        source_type,
        description,
        first,
        last,
        requires_approval,
        is_enabled,
    ) in rows("templates"):
        template_ids[code, template_version] = template_id
        templates.append(
            Template(
                code=code,
                version=template_version,
                source_type=source_type,
                description=description,
                effective_from=first,
                effective_to=last,
                requires_approval=requires_approval,
                is_enabled=is_enabled,
                matches=tuple(matches[template_id]),
                lines=tuple(lines[template_id]),
            )
        )
    rule_set = RuleSet(
        name=name,
        version=version,
        prepared_by=header[2],
        accounts=tuple(_account(row[1:]) for row in accounts),
        products=tuple(code for (code,) in rows("products")),
        templates=tuple(templates),
        overrides=tuple(AccountOverride(*row) for row in rows("overrides")),
    )
    _, _, _, content_hash, approved_by, approved_on = header
    approval = Approval(name, version, content_hash, approved_by, approved_on) if approved_by else None
    return StoredRules(rule_set, template_ids, {row[1]: row[0] for row in accounts}, approval)


def _account(row: tuple[Any, ...]) -> Account:
    code, description, account_type, fund, is_open, mirror, source_type, component = row
    recognises = None if source_type is None else (source_type, component)
    return Account(code, description, account_type, fund, is_open, mirror, recognises)


def _document(rules: RuleSet) -> dict[str, Any]:
    """What acct.store_rule_set takes: rows with the columns of the tables, those of templates within the template."""
    return {
        "rule_set": rules.name,
        "version": rules.version,
        "prepared_by": rules.prepared_by,
        "content_hash": rules.content_hash(),
        "accounts": [_account_row(account) for account in rules.accounts],
        "products": list(rules.products),
        "overrides": [asdict(override) for override in rules.overrides],
        "templates": [_template_row(template) for template in rules.templates],
    }


def _account_row(account: Account) -> dict[str, Any]:
    recognised_type, recognised_component = account.recognises or (None, None)
    return asdict(account) | {"recognised_type": recognised_type, "recognised_component": recognised_component}


def _template_row(template: Template) -> dict[str, Any]:
    return {
        "template_code": template.code,
        "version": template.version,
        "source_type": template.source_type,
        "description": template.description,
        "effective_from": template.effective_from.isoformat(),
        "effective_to": template.effective_to.isoformat() if template.effective_to else None,
        "requires_approval": template.requires_approval,
        "is_enabled": template.is_enabled,
        "matches": [
            {
                "match_number": number,
                "product_code": match.product_code,
                "channel": match.channel,
                "condition_expression": match.condition.text if match.condition else None,
                "priority": match.priority,
            }
            for number, match in enumerate(template.matches, start=1)
        ],
        "lines": [
            {
                "entry_number": line.entry,
                "line_number": line.line_number,
                "side": line.side.value,
                "account_code": line.account_code,
                "fund": line.fund,
                "amount_expression": line.amount.text,
                "takes_remainder": line.takes_remainder,
            }
            for line in template.lines
        ],
    }
