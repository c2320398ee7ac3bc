"""Faults planted in the ledger one at a time; the property run must catch each.

A fault is a change of the text of one function of the ledger, made by CREATE OR REPLACE in the database of a history.  It is caught
when the ledger then disagrees with the independent one; a fault that becomes an SQL error proves nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    name: str
    function: str
    old: str
    new: str
    history: tuple = None       # (seed, steps) of a history that is known to notice; otherwise some are tried
    steps: tuple = ()           # what these consist of, a name as often as it weighs; otherwise of everything

    def plant(self, database):
        definition = database.value("""SELECT pg_catalog.pg_get_functiondef(p.oid) FROM pg_catalog.pg_proc AS p
            WHERE p.pronamespace = 'billing'::regnamespace AND p.proname = %s ORDER BY p.oid LIMIT 1""", self.function)
        if self.old not in definition:
            raise LookupError(f"function {self.function} no longer says: {self.old}")
        database.command(definition.replace(self.old, self.new))


GAPS = ("price_gap",) * 3 + ("run", "finalize", "days_pass")
NEW_VERSIONS = ("price_gap",) * 3 + ("new_rating_version", "finalize", "days_pass")
LATE_FAILURES = ("record_tokens",) * 3 + ("poison",) * 4 + ("run", "finalize", "days_pass")
CARRIED = ("record_tokens",) * 3 + ("price_carried", "run", "days_pass")
SEALS = ("record_late",) * 3 + ("seal",) * 3 + ("run", "finalize", "days_pass") * 2
HELD_SEALS = ("record_late",) * 3 + ("price_backdated",) * 2 + ("seal",) * 3 + ("run", "finalize", "days_pass") * 2
SETTINGS = ("setting",) * 3 + ("record_late", "run", "days_pass")
CHANGED_AGREEMENTS = ("record_late",) * 4 + ("agreement",) + ("run", "days_pass")

FAULTS = (
    Fault("keys are taken only from what is owed", "rating_step",
          "FULL JOIN (SELECT x.* FROM billing.charge_key", "LEFT JOIN (SELECT x.* FROM billing.charge_key"),
    Fault("the watermark is the clock", "watermark", "billing.recording_floor()", "clock_timestamp()"),
    Fault("neighbours with equal prices are not merged", "rating_step", "lag(x.tariff) OVER w <> x.tariff", "true"),
    Fault("terms of an agreement cut segments", "rating_step", "t.list_id, t.consumer_id\n        ), island", "t.list_id, t.consumer_id, t.from_date\n        ), island",
          steps=CHANGED_AGREEMENTS),
    Fault("pins are ignored", "rating_step", "coalesce(r.closed_known_at, {known_at}) AS price_pin", "{known_at} AS price_pin"),
    Fault("advances of pins are ignored", "rating_step", "WHERE a.cause = 'price' AND", "WHERE a.cause = 'none' AND"),
    Fault("a price without a former one is not billed in closed periods", "rating_step",
          "WHERE k.at_pin OR k.after_pin", "WHERE k.at_pin"),
    Fault("where the pin knew no price, the latest counts", "rating_step", "CASE WHEN k.after_pin THEN lower(c.known) END,",
          "CASE WHEN k.after_pin THEN lower(c.known) END DESC,", steps=GAPS),
    Fault("a new rating version is compared with prices that came later", "rating_step",
          "ELSE billing.known(lower(pr.known), s.advance_at, s.advance_own) END", "ELSE billing.known(lower(pr.known), {known_at}, s.now_own) END", steps=NEW_VERSIONS),
    Fault("a period is closed although a charge of it fails", "finalize_drafts", "FROM pending AS q)", "FROM pending AS q WHERE false)"),
    Fault("what fails at its pin only is not held", "apply_differences", "(NOT d.failed OR d.failed_at_pin) AND d.key_id IS NOT NULL",
          "NOT d.failed AND d.key_id IS NOT NULL", steps=LATE_FAILURES),
    Fault("a late level of somebody in the tree touches its own period only", "touched_periods",
          "OR billing.reaches_on(f.meter_id))\n         WHERE f.account_id IN", "OR false)\n         WHERE f.account_id IN", (20261037, 250)),
    Fault("a preview begins after what is sealed", "preview_invoice", "e.event IN ('voided', 'cancelled')", "e.event = 'none'", (20261031, 250)),
    Fault("sealing overlooks facts that no run has seen", "seal_periods_of_run",
          "facts were recorded since the last run' WHERE EXISTS", "facts were recorded since the last run' WHERE false AND EXISTS", steps=SEALS),
    Fault("the list's price goes before the account's own", "rating_step", "c.own DESC, c.price_id DESC", "c.own, c.price_id DESC"),
    Fault("a charge taken back is not looked at again", "touched_periods", "e.event IN ('voided', 'cancelled')", "e.event = 'none'"),
    Fault("a decision is not looked at", "touched_periods", "WHERE d.recorded_at >= since AND d.recorded_at < until\n        UNION",
          "WHERE false\n        UNION"),
    Fault("the old place of changed usage is not looked at", "touched_periods", "FROM usage_change AS c WHERE c.recorded_at >= since",
          "FROM usage_change AS c WHERE false AND c.recorded_at >= since"),
    Fault("late usage of a looked-at period is not looked at", "touched_periods", "u.recorded_at >= %L", "u.recorded_at >= %L AND false"),
    Fault("facts recorded while a run reads the watermark are left out", "touched_periods", "c.recorded_at < until", "c.recorded_at < since"),
    Fault("an interim charge is cut by this run's day only", "scope_text", "greatest(p.interim_to, {through})::timestamp",
          "{through}::timestamp"),
    Fault("an older day un-looks a period", "scope_text", "p.looked_known_at IS NOT NULL OR (p.date_to", "(p.date_to"),
    Fault("voided usage counts", "rating_step", "AND x.account_id IS NULL AND p.part IS NOT NULL", "AND p.part IS NOT NULL"),
    Fault("usage counts where it ends, without clipping", "rating_step",
          "billing.clip(u.consumed, greatest(c.from_at, s.from_at), least(c.to_at, s.to_at)) AS part) AS p",
          "CASE WHEN u.ends_at > greatest(c.from_at, s.from_at) AND u.ends_at <= least(c.to_at, s.to_at) THEN u.consumed END AS part) AS p"),
    Fault("usage that no run may know counts", "rating_step", "AND billing.known(u.recorded_at, c.usage_at, c.usage_own)\n           AND s.plain",
          "AND s.plain"),
    Fault("amounts are rounded before they are added", "rating_step", "THEN amount(r.amount) ELSE amount(r.amount) * r.weight END AS part",
          "THEN round(amount(r.amount), 2) ELSE amount(r.amount) * r.weight END AS part"),
    Fault("the difference is not rounded", "rating_step", "max(billing.round(s.counted, s.rounding_mode)) FILTER (WHERE s.variant = 0)",
          "max(s.counted) FILTER (WHERE s.variant = 0)"),
    Fault("a charge that cannot be rated owes nothing", "rating_step", "coalesce(sum(s.failed) FILTER (WHERE s.variant >= 0), 0) > 0 AS failed",
          "false AS failed", steps=LATE_FAILURES),
    Fault("a stub is not prorated", "rating_step", "s.date_to - s.full_from)::numeric AS nominal_days",
          "s.date_to - s.from_date)::numeric AS nominal_days"),
    Fault("tiers never carry on", "rating_step", "CASE WHEN s.carries THEN coalesce", "CASE WHEN false THEN coalesce", steps=CARRIED),
    Fault("fixed prices are not owed without usage", "rating_step", "AND s.owes_at_zero AND", "AND false AND"),
    Fault("a period begins at its own midnight when the zone has changed", "store_periods", "w.ends_at AS starts_at",
          "(w.date_to::timestamp AT TIME ZONE s.time_zone) AS starts_at"),
    Fault("a cycle day changes periods that began before", "store_periods", "x.from_date <= w.date_to", "true", steps=SETTINGS),
    Fault("decisions are forgotten by the next run", "rating_step", "coalesce(c.decided, c.nothing) AS decided", "c.nothing AS decided"),
    Fault("what is held is billed", "correction_action", "THEN 'hold' ELSE 'ignore' END", "THEN 'bill' ELSE 'ignore' END"),
    Fault("what is held adds up", "apply_differences", "DELETE FROM billing.held AS h USING rated_difference AS d\n              WHERE",
          "DELETE FROM billing.held AS h USING rated_difference AS d\n              WHERE amount(h.amount) > 1 AND"),
    Fault("a draft of nothing stays", "apply_differences", "WHERE l.account_id = d.account_id AND l.key_id = d.key_id AND NOT d.failed AND d.frozen_at IS NULL'",
          "WHERE l.account_id = d.account_id AND l.key_id = d.key_id AND NOT d.failed AND d.frozen_at IS NULL AND d.target + d.decided <> d.booked'"),
    Fault("frozen charges are billed", "apply_differences", "d.frozen_at IS NULL", "true"),
    Fault("sealing overlooks what is held", "seal_periods_of_run", "held corrections wait for approval' WHERE EXISTS",
          "held corrections wait for approval' WHERE false AND EXISTS", steps=HELD_SEALS),
    Fault("finalising does not pin", "finalize_drafts", "SET closed_known_at = p.looked_known_at", "SET closed_known_at = NULL"),
    Fault("an older watermark comes after bill_account()", "bill_account", "UPDATE ledger_state AS s SET last_watermark = mark", "UPDATE ledger_state AS s SET last_watermark = last_watermark"),
    Fault("voided usage counts in the one pass", "rating_step", "WHEN x.contract_no IS NULL THEN t.quantity ELSE t.quantity - x.quantity END",
          "ELSE t.quantity END"),
)
