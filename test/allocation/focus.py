"""Export in FOCUS 1.2, read by the public validator: focus-validator of the Python Package Index, which needs Python 3.12.

Own charges: no failure and no error but InvoiceId-C-004, a rule of its model without the condition of the specification.  Imported cost: none
that the file does not give that was imported.  FOCUS_VALIDATOR names an installed one; otherwise it goes into a virtual environment in the
work folder.  Without it the test is skipped.
"""

import csv
import glob
import json
import os
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree

# What a provider may support, and we do not: columns of commitments and of reservations are there and always null.
NOT_SUPPORTED = {"CAPACITY_RESERVATION_SUPPORTED", "COMMITMENT_DISCOUNT_SUPPORTED"}
KNOWN = {"InvoiceId-C-004-C"}

OWN = """
CALL billing.maintain_partitions('[2026-09-01,2026-12-01)');
SELECT billing.set_seller('northwind', legal_name => 'Northwind GmbH', country => 'DE', currency => 'EUR');
SELECT billing.set_tax_rate('standard', rate => 19), billing.set_seller('northwind', default_tax_code => 'standard');
SELECT billing.set_account('acme', starts_on => '2026-09-01'), billing.set_account('team', parent => 'acme', starts_on => '2026-09-01'), billing.set_account('shop', starts_on => '2026-09-01');
SELECT billing.set_bill_to('team', 'acme');
SELECT billing.set_meter('tokens', unit => 'token', aggregation => 'sum'), billing.set_meter('storage', unit => 'GB', aggregation => 'max', dimensions => '{tier}'), billing.set_fee('support', in_advance => true);
SELECT billing.set_price('tokens', '{"model": "graduated", "currency": "EUR", "tiers": [{"up_to": "1000", "unit_price": "0.002"}, {"unit_price": "0.0015"}]}', valid_from => '2026-09-01'),
       billing.set_price('storage', '{"model": "per_unit", "currency": "EUR", "unit_price": "0.07"}', valid_from => '2026-09-01'),
       billing.set_price('support', '{"model": "flat", "currency": "EUR", "amount": "49"}', valid_from => '2026-09-01');
SELECT billing.set_subscription('acme', 'support', starts_on => '2026-09-01');
SELECT billing.record_usage((SELECT jsonb_agg(jsonb_build_object('id', concat(a, m, n), 'account', a, 'meter', m, 'at', '2026-09-12T10:00:00Z', 'quantity', '1234.5', 'dimensions', CASE m WHEN 'storage' THEN '{"tier": "hot, cold"}'::jsonb ELSE '{}' END))
    FROM unnest('{acme,team,shop}'::text[]) AS a, unnest('{tokens,storage}'::text[]) AS m, generate_series(1, 2) AS n));
CALL billing.run_invoicing('2026-10-01', NULL);
SELECT * FROM billing.finalize_invoices('2026-10-01', '2026-10-02');
SELECT billing.void_usage('acme', 'acmetokens1');
CALL billing.run_invoicing('2026-11-01', NULL);
SELECT * FROM billing.finalize_invoices('2026-11-01', '2026-11-02');
"""


class NoValidator(Exception):
    """It is not to be had here."""


def python_of_validator():
    named = sorted(glob.glob(os.path.join(os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv")), "versions", "3.12*", "bin", "python")))
    for candidate in ["/usr/bin/python3.12", *named, shutil.which("python3.12") or ""]:
        if os.path.exists(candidate) and subprocess.run([candidate, "-c", "import sys; sys.exit(sys.version_info < (3, 12))"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return candidate
    raise NoValidator("there is no Python 3.12")


def install(folder):
    """The program focus-validator."""
    if os.environ.get("FOCUS_VALIDATOR"):
        return os.environ["FOCUS_VALIDATOR"]
    venv = os.path.join(folder, "validator")
    pip = [os.path.join(venv, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "focus-validator==2.2.1", "pyarrow<20"]
    for command in ([python_of_validator(), "-m", "venv", venv], pip):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise NoValidator("it cannot be installed: " + (done.stderr.strip().splitlines() or ["no message"])[-1])
    return os.path.join(venv, "bin", "focus-validator")


def criteria(rules):
    with open(os.path.join(rules, "model-1.2.0.1.json"), encoding="utf-8") as file:
        return sorted(set(json.load(file)["ApplicabilityCriteria"]) - NOT_SUPPORTED)


def broken(program, path, supported="ALL"):
    """(how many checks, names of those that a file breaks).  The program's status is 0 whatever it finds, so its report is read."""
    packages, = glob.glob(os.path.join(os.path.dirname(program), "..", "lib", "python3*", "site-packages"))
    if supported != "ALL":
        supported = ",".join(criteria(os.path.join(packages, "focus_validator", "rules")))
    report = path + ".xml"
    done = subprocess.run([program, "--data-file", path, "--validate-version", "1.2.0.1", "--block-download", "--applicability-criteria", supported,
                           "--output-type", "unittest", "--output-destination", report], cwd=packages, capture_output=True, text=True, timeout=600, check=False)
    if not os.path.exists(report):
        raise RuntimeError("the validator wrote no report: " + done.stderr[-300:])
    cases = list(xml.etree.ElementTree.parse(report).iter("testcase"))
    return len(cases), {case.get("name").split(" ")[0] for case in cases if any(child.tag in ("failure", "error") for child in case)}


def export(ledger, path, period, what):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(row[0] + "\n" for row in ledger.rows("SELECT billing.export_focus(%s, %s)", period, what))


def bill(ledger):
    """Invoices with usage, fees, taxes and corrections; what is wrong with their export as a sum."""
    ledger.connection.autocommit = True
    for statement in OWN.strip().split(";\n"):
        ledger.rows(statement.rstrip(";"))
    ledger.connection.autocommit = False
    difference = """SELECT number, total, coalesce(exported, 0) FROM (SELECT i.number, i.total_numeric AS total FROM billing.invoices AS i) AS i
                      FULL JOIN (SELECT c ->> 'InvoiceId' AS number, sum((c ->> 'BilledCost')::numeric) AS exported FROM billing.focus_of_charges('[2026-10-01,2026-12-01)') AS c GROUP BY 1) AS e USING (number)
                     WHERE total IS DISTINCT FROM exported"""
    return [f"invoice {number} comes to {total}, its export to {exported}" for number, total, exported in ledger.rows(difference)]


def own_charges(ledger, program, folder):
    path = os.path.join(folder, "charges.csv")
    export(ledger, path, "[2026-10-01,2026-12-01)", "charges")
    checks, found = broken(program, path, supported="ours")
    return ([] if checks > 500 else [f"only {checks} checks"]) + sorted(found - KNOWN)


def imported_cost(ledger, program, folder, source):
    exported = os.path.join(folder, "cost.csv")
    export(ledger, exported, "[2024-09-01,2024-11-01)", "cost")
    given = os.path.join(folder, "source.csv")
    with open(source, encoding="utf-8-sig", newline="") as read, open(given, "w", encoding="utf-8", newline="") as written:
        csv.writer(written).writerows([["" if value == "NULL" else value for value in row] for row in csv.reader(read)])    # the word NULL is how the sample writes null
    (_, before), (checks, after) = broken(program, given), broken(program, exported)
    return ([] if checks > 500 else [f"only {checks} checks"]) + sorted(after - before), len(before), len(after)


def run(ledger, source, report):
    """After the sample was imported from source (None: it was not)."""
    report("allocation: exported charges add up to the invoices, taxes included", bill(ledger))
    with tempfile.TemporaryDirectory(prefix="billing.focus.") as folder:
        try:
            program = install(folder)
        except (NoValidator, subprocess.TimeoutExpired) as reason:
            print(f"skip allocation: the public FOCUS validator - {reason}")
            return
        report("allocation: the public FOCUS validator finds nothing in our own charges", own_charges(ledger, program, folder))
        if source:
            problems, before, after = imported_cost(ledger, program, folder, source)
            report(f"allocation: it finds nothing in exported cost that the imported file does not give ({before} rules broken before, {after} after)", problems)
