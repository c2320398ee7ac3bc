"""What must hold in a history: after each run the amounts of every charge, at the end what the reading functions say."""

from fractions import Fraction

from arithmetic import Unmatched, grouping, rate, to_minor
from oracle import Key, Watermark, agree
from world import EVERYTHING, METERS, SELLER, currency_of


class Checks:
    """Methods of History, which has the database and the independent ledger."""

    # ---------------------------------------------------------------- after a run

    def check_watermark(self, asof):
        """Never above what an open recorder has stamped, and never more than its second and the clock behind."""
        if self.slow_stamp is not None:
            agree(asof.known_at <= self.slow_stamp, "watermark {} is above the stamp {} of an open recorder", asof.known_at, self.slow_stamp)
        if self.last_known_at:
            agree(asof.known_at >= self.last_known_at, "watermark {} went back from {}", asof.known_at, self.last_known_at)
        self.last_known_at = asof.known_at

    def compare(self, keys=None):
        """Booked, drafted and held of every key, exactly."""
        keys = keys or self.database.keys()
        drafts, booked = self.database.drafts(keys), self.database.booked(keys)
        self.settle_open_changes(keys, drafts, booked)
        tables = (("booked", booked, self.ledger.booked), ("draft", drafts, self.ledger.drafts), ("held", self.database.held(keys), self.ledger.held))
        for name, found, expected in tables:
            for key in set(found) | set(expected):
                agree(found.get(key) == expected.get(key), "{} of {}: ledger {}, expected {}", name, key, show(found.get(key)), show(expected.get(key)))

    def settle_open_changes(self, keys, drafts, booked):
        """What was cancelled or unfrozen after the watermark: whether its charge was looked at is the ledger's business.

        Its draft is right when it is the difference to what is booked now; otherwise it is what it was, or stale, which finalising refuses.
        """
        stale = self.database.stale_drafts(keys) if self.unsettled else set()
        for key, (stamp, former) in list(self.unsettled.items()):
            if self.ledger.last_watermark and self.ledger.last_watermark.knows(stamp):
                del self.unsettled[key]
                continue
            if key in stale or drafts.get(key) == former:
                self.ledger.put(self.ledger.drafts, key, drafts.get(key))
            if key in self.ledger.progressive and booked.get(key, 0) == self.ledger.booked[key] - self.ledger.progressive[key]:
                self.ledger.progressive.pop(key)
                self.ledger.put(self.ledger.booked, key, booked.get(key))

    # ---------------------------------------------------------------- documents

    def check_invoice(self, number):
        """Total = lines + taxes, taxes by group, rounded once."""
        total, without_tax, taxes, kind, issued, payer, cancels = self.database.rows("""
            SELECT billing.amount(total), billing.amount(total_without_tax), billing.amount(tax_total), type, issue_date, a.key, cancels_id
              FROM billing.invoice JOIN billing.account AS a ON a.account_id = payer_id WHERE invoice_id = %s""", number)[0]
        lines = self.database.rows("SELECT billing.amount(amount), tax_code, tax_category, tax_rate FROM billing.line WHERE invoice_id = %s", number)
        groups = {}
        for amount, *group in lines:
            groups[tuple(group)] = groups.get(tuple(group), 0) + Fraction(amount)
        mode = self.ledger.accounts[payer].settings[-1].rounding_mode
        expected = {group: to_minor(amount * Fraction(group[2]) / 100, currency_of(payer), mode) for group, amount in groups.items()}
        agree(Fraction(without_tax) == sum(groups.values()), "invoice {} has {} without tax, its lines {}", number, without_tax, groups)
        agree(Fraction(taxes) == sum(expected.values()), "invoice {} has {} of tax, expected {}", number, taxes, expected)
        agree(Fraction(total) == Fraction(without_tax) + Fraction(taxes), "invoice {} has a total of {}", number, total)
        agree(kind == ("381" if without_tax < 0 or cancels else "380"), "invoice {} over {} is of type {}", number, without_tax, kind)

    def check_reversal(self, number, reversal):
        heads = [self.database.rows("""SELECT billing.amount(total_without_tax), billing.amount(tax_total), billing.amount(total), type, cancels_id
                                         FROM billing.invoice WHERE invoice_id = %s""", invoice)[0] for invoice in (number, reversal)]
        agree(heads[1][:3] == tuple(-amount for amount in heads[0][:3]) and heads[1][3] != heads[0][3] and heads[1][4] == number,
              "{} does not reverse {}", heads[1], heads[0])

    # ---------------------------------------------------------------- at the end

    def check_invariants(self):
        """Rule 3, charge by charge: billed and drafted = owed at the pins + decided; with what is held = owed as known now + decided.

        What a correction policy ignored is a decision that the price of today answers, not that of the pin, so the first of the two
        speaks of charges without it.
        """
        keys = self.database.keys()
        sums = [self.database.booked(keys), self.database.drafts(keys), {key: sum(held.values()) for key, held in self.database.held(keys).items()}]
        by_period = {}
        for key in {key for amounts in sums for key in amounts} | set(keys.values()):
            by_period.setdefault((key.buyer, key.period), set()).add(key)
        for account in self.ledger.accounts.values():
            for period in account.periods.values():
                if not period.sealed:
                    self.check_period(account, period, by_period.get((account.key, period.number), set()), sums)

    def check_period(self, account, period, keys, sums):
        known = EVERYTHING.with_own(period.own_stamps)
        owed = self.ledger.rate_views(account, period, known)
        for key in keys | {key for one in owed for key in one}:
            if key in self.ledger.failed or key in self.ledger.frozen or key in self.unsettled or not self.ledger.due(key, period, known):
                continue
            views = self.ledger.views(account, period, known, key)
            at_pin, now = (self.ledger.in_money(account, period, view, one[key].exact if key in one else Fraction(0))
                           for view, one in ((views[0], owed[0]), (views[-1], owed[-1])))
            booked, drafted, held = (amounts.get(key, 0) for amounts in sums)
            decided = self.ledger.decided(key, known)
            agree(any(cause for _, _, cause in self.ledger.decisions.get(key, ())) or booked + drafted == at_pin + decided,
                  "{}: booked {} and drafted {}, owed at the pin {} and decided {}", key, show(booked), show(drafted), show(at_pin), show(decided))
            agree(booked + drafted + held == now + decided, "{}: booked {}, drafted {} and held {}, owed as known now {} and decided {}",
                  key, show(booked), show(drafted), show(held), show(now), show(decided))

    def check_tables(self):
        """Numbers without gaps, never decreasing with the date; every chain from 0, link by link."""
        gaps = self.database.rows("""
            SELECT n.type, count(*), max(n.counter) FROM billing.invoice_number AS n GROUP BY n.seller_id, n.type, n.series
            HAVING count(*) <> max(n.counter)""")
        agree(not gaps, "gaps in the numbers: {}", gaps)
        disorder = self.database.rows("""
            SELECT * FROM (SELECT n.counter, i.issue_date, lag(i.issue_date) OVER (PARTITION BY n.seller_id, n.type, n.series ORDER BY n.counter) AS former
                             FROM billing.invoice_number AS n JOIN billing.invoice AS i USING (invoice_id)) AS x WHERE x.issue_date < x.former""")
        agree(not disorder, "dates run back: {}", disorder)
        retaxed = self.database.rows("""
            SELECT l.line_id FROM billing.line AS l JOIN billing.line AS f ON f.account_id = l.account_id AND f.key_id = l.key_id AND f.chain_no = 1
             WHERE (l.tax_code, l.tax_category, l.tax_rate, l.tax_point_date) IS DISTINCT FROM (f.tax_code, f.tax_category, f.tax_rate, f.tax_point_date)""")
        agree(not retaxed, "lines that do not keep the tax of their chain: {}", retaxed)
        for code, rate, point, known_at in self.database.rows("""
                SELECT DISTINCT l.tax_code, l.tax_rate, l.tax_point_date, l.known_at FROM billing.line AS l WHERE l.chain_no = 1"""):
            expected = self.ledger.tax_rate(code, point, Watermark(known_at))
            agree(rate == expected, "tax {} of {} on {} is {}, expected {}", code, known_at, point, rate, expected)

    def check_explanations(self, count=10):
        """Some lines, explained: the parts add up to the line."""
        numbers = [number for number, in self.database.rows("SELECT line_id FROM billing.line WHERE kind IN ('charge', 'correction') ORDER BY 1")]
        for number in self.rng.sample(numbers, min(count, len(numbers))):
            amount, explained, closed = self.database.rows("""
                SELECT billing.amount(l.amount), billing.amount(e.total), e.closed
                  FROM billing.line AS l
                 CROSS JOIN LATERAL (SELECT billing.sum(x.amount) AS total, bool_or(x.stage IN ('not reproduced', 'other rules')) AS closed FROM billing.explain_line(l.line_id) AS x) AS e
                 WHERE l.line_id = %s""", number)[0]
            agree(explained == amount, "line {} of {} is explained to {}", number, amount, explained)
            agree(not closed, "line {} of {} is not reproduced: explain_line() closes the gap", number, amount)


    def keyed(self, account, rows):
        """Rows of charges() and preview_invoice(), which begin with seller, period, item, subscription, consumer, group: {Key: rest}."""
        numbers = {period.date_from: number for number, period in account.periods.items()}
        return {Key(account.key, numbers[start], (account.key, seller, agreement), item, subscription, consumer, tuple(sorted(group.items())),
                    component): rest
                for seller, agreement, start, item, subscription, consumer, group, component, *rest in rows if start in numbers}

    def agreements_of(self, account):
        return [agreement for agreement in self.ledger.agreements if agreement[0] == account.key]

    def check_charges(self, account):
        """charges() of the stored periods, to the last digit."""
        if not account.periods or len(self.agreements_of(account)) > 1:
            return
        numbers = sorted(account.periods)
        span = f"[{account.periods[numbers[0]].date_from},{account.periods[numbers[-1]].date_to})"
        found = self.keyed(account, self.database.rows("""
            SELECT c.seller, %s, c.period_from, c.item, c.subscription, c.consumer, c.charge_group, c.component, billing.amount(c.owed_exact), c.problem
              FROM billing.charges(%s, %s::daterange) AS c""", self.agreements_of(account)[0][2], account.key, span))
        for period in account.periods.values():
            if period.sealed:
                continue
            known = EVERYTHING.with_own(period.own_stamps)
            owed = self.ledger.rate_views(account, period, known)[0]
            for key, one in owed.items():
                amount = found.get(key, (None, None))[0]
                agree(one.failed or key in self.ledger.failed or (amount is not None and Fraction(amount) == one.exact), "charges() says {} for {}, expected {}",
                      amount, key, one.exact)

    def check_preview(self, account):
        """A preview after a run with nothing new says what was drafted, of the periods that its dates reach."""
        agreements = self.agreements_of(account)
        if not account.periods or len(agreements) > 1:
            return
        found = self.keyed(account, self.database.rows("""
            SELECT p.seller, %s, p.period_from, p.item, p.subscription, p.consumer, p.charge_group, p.component, p.amount
              FROM billing.preview_invoice(%s, through => %s) AS p WHERE p.amount IS NOT NULL AND p.kind <> 'interim'""", agreements[0][2], account.key, self.today))
        drafts = {key: amount for key, amount in self.ledger.drafts.items()
                  if key.buyer == account.key and key not in self.ledger.frozen and key not in self.ledger.failed
                  and account.periods[key.period].date_from <= self.today}
        previewed = {key: Fraction(rest[0]) for key, rest in found.items()}
        for key in set(previewed) | set(drafts):
            agree(previewed.get(key) == drafts.get(key), "preview says {} for {}, expected {}", show(previewed.get(key)), key, show(drafts.get(key)))

    def check_unbilled(self):
        """Nothing is dropped: each usage of the account's own agreement is in a charge, or unbilled for the reason that is so."""
        rows = self.database.rows("""
            SELECT u.account_key, u.usage_key::text, u.revision, u.reason FROM billing.unbilled_usage('[2025-11-01,2027-01-01)') AS u
             WHERE u.agreement = 'default' AND u.starts_at = u.ends_at""")
        found = {tuple(row[:3]): row[3] for row in rows}
        agree(len(found) == len(rows), "usage is unbilled for two reasons at once")
        lined = set(self.database.booked(self.database.keys()))
        for usages in self.ledger.usage.values():
            for usage in usages:
                if usage.starts_at == usage.ends_at and self.reason(usage, lined):
                    expected, reason = self.reason(usage, lined), found.get((usage.account, usage.id, usage.revision))
                    agree(reason in expected, "{} is unbilled as {}, expected {}", usage, reason, expected)

    def reason(self, usage, lined):
        """Why usage is not billed under the account's own agreement: one of these words; None among them: it is billed.

        lined: charges that have final lines, be they over 0.  None alone: nothing is expected; progressive billing decides, or what a period owed when it was sealed.
        """
        account = self.ledger.accounts[usage.account]
        if usage.superseded:
            return {"superseded"}
        if not account.periods or usage.starts_at < account.periods[1].starts_at:
            return {"before_start", "not_due"}
        period = next((p for p in account.periods.values() if p.starts_at <= usage.starts_at < p.ends_at), None)
        if period is None or not period.arrears_due:
            return None if period and period.interim_to else {"not_due", "in_grace"}
        if period.sealed:
            return None
        agreement = (usage.account, SELLER, "default")
        known = EVERYTHING.with_own(period.own_stamps)
        view = self.ledger.views(account, period, known)[0]
        price = next((tariff for start, end, tariff, *_ in self.ledger.segments(
            usage.meter, usage.account, period, self.ledger.terms_of(agreement, period, view.plan), view, known) if start <= usage.starts_at < end), None)
        if price is None:
            return {"no_price"}
        try:
            if grouping(price):
                rate(price, usage.quantity, usage.dimensions)
        except Unmatched:
            return {"unmatched_cell"}
        group = tuple((d, usage.dimensions.get(d)) for d in sorted(METERS[usage.meter].dimensions))
        key = Key(usage.account, period.number, agreement, usage.meter, None, usage.account, group, "usage")
        # a draft that was left as it was counts what it knew
        billed = {None} if key in lined or key in self.ledger.drafts else set()
        if key in self.ledger.frozen:
            return {"on_hold"} | billed
        if key in self.ledger.failed:
            return {"rating_error", "negative_quantity"} | billed
        if any(amount for stamp, amount, cause in self.ledger.decisions.get(key, ()) if cause is None):
            return {None, "waived", "disputed"}
        return {None}


def show(value):
    return {cause: show(part) for cause, part in value.items()} if isinstance(value, dict) else "nothing" if value is None else str(float(value))
