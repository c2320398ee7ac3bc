#!/usr/bin/env python3
"""pgspot, a statement at a time:  pgspot_statements.py FOLDER_OF_INSTALLED_SCRIPTS

The command-line tool stops at the first statement it does not understand and then says that all is well, and it understands no
standard function body (BEGIN ATOMIC … END).  Here every statement is looked at, a standard body as if it stood in quotes, the text
that create_ledger() executes as a script of its own, and what cannot be analysed is a finding.

Functions that set no search_path must qualify every name in their bodies.  Two kinds may do so: those in SQL, because a SET clause
would keep them from being inlined, and procedures that commit, which cannot have one.  Others are listed in no_search_path.tsv.
"""
import argparse
import pathlib
import re
import sys

from pglast import ast, parse_sql
from pgspot.formatters import format_function, get_text
from pgspot.state import Counter, State
from pgspot.visitors import SQLVisitor

HERE = pathlib.Path(__file__).resolve().parent
LEDGER = re.compile(r"\$ledger_definition\$(.*?)\$ledger_definition\$", re.S)


# The parser knows no catalog and so no column of a variable whose type is a row of a table.  Under a safe search_path nothing else in
# a body is looked for than commands that make do with an object that is there already.
UNKNOWN_ROW = re.compile(r'"\w+\.\w+" is not a known variable')
TAKES_WHAT_IS_THERE = re.compile(r"\bIF\s+NOT\s+EXISTS\s+\w|\bOR\s+REPLACE\b", re.I)


class Findings(Counter):
    """Collects what pgspot prints."""

    def __init__(self, exempt):
        super().__init__(argparse.Namespace(ignore=[], ignore_lang=[], sql_fn=[], plpgsql=True, summary_only=False,
                                            proc_without_search_path=exempt))
        self.found = []

    def print_issue(self, code, context):
        self.found.append(f"{code} {context}")

    def unknown(self, message):
        self.found.append(message)


def may_do_without_search_path(function, text):
    """Whether a function is of a kind that needs no SET search_path; never one that runs with its owner's rights."""
    options = {option.defname: option.arg for option in function.options}
    if "security" in options and options["security"].boolval:
        return False
    language = options["language"].sval if "language" in options else "sql"
    return language == "sql" or (function.is_procedure and re.search(r"^\s*(COMMIT|ROLLBACK)\s*;", text, re.M | re.I) is not None)


def sets_safe_search_path(function):
    """Whether a function has SET search_path = pg_catalog, [billing,] pg_temp."""
    for option in function.options:
        if option.defname == "set" and option.arg.name == "search_path":
            return [get_text(schema) for schema in option.arg.args] in (["pg_catalog", "pg_temp"], ["pg_catalog", "billing", "pg_temp"])
    return False


def exempt_functions():
    """Names of no_search_path.tsv."""
    lines = (HERE / "no_search_path.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[0] for line in lines if line and not line.startswith("#")]


def with_quoted_body(function):
    """A function with a standard body resolved its names when it was created: the visitor walks that body with the statement around
    it, so an empty quoted one is put where pgspot looks for it."""
    function.options = function.options + (ast.DefElem(defname="as", arg=(ast.String(sval=""),)),)
    if "language" not in {option.defname for option in function.options}:
        function.options = function.options + (ast.DefElem(defname="language", arg=ast.String(sval="sql")),)


def statements(script):
    """(source file, text, tree) of each statement; marks "-- ==== FILE" say which source file a line comes from."""
    script = re.sub(r"^\\", "-- ", script, flags=re.M)
    marks = [(mark.end(), mark.group(1)) for mark in re.finditer(r"^-- ==== (.*)$", script, flags=re.M)]
    for statement in parse_sql(script):
        start = statement.stmt_location
        text = script[start:start + statement.stmt_len] if statement.stmt_len else script[start:]
        begins = start + re.match(r"(\s|--.*\n)*", text).end()
        files = [file for position, file in marks if position <= begins]
        yield files[-1] if files else "", text, statement


def scan(script, search_path_is_safe, exempt, used):
    """Findings in one script.  An extension's script runs with the search_path of whoever creates the extension behind it; the
    ledger's text runs under that of create_ledger(), which is safe."""
    findings = Findings(list(exempt))
    state = State(findings)
    state.created_schemas.append("billing")
    state.searchpath_secure = search_path_is_safe
    for file, text, statement in statements(script):
        before = len(findings.found)
        function = statement.stmt
        if isinstance(function, ast.CreateFunctionStmt):
            if may_do_without_search_path(function, text):
                findings.args.proc_without_search_path.append(format_function(function))
            elif format_function(function) in exempt:
                used.add(format_function(function))
            if function.sql_body is not None:
                with_quoted_body(function)
        try:
            SQLVisitor(state)(statement)
        except Exception as error:
            if not (UNKNOWN_ROW.search(str(error)) and sets_safe_search_path(function) and not TAKES_WHAT_IS_THERE.search(text)):
                findings.found.append(f"cannot be analysed: {error}")
        subject = " ".join(re.sub(r"--.*", "", text).split())[:70]
        findings.found[before:] = [f"{file}: {finding} in: {subject}" for finding in findings.found[before:]]
    return findings.found


def report(name, findings):
    for finding in findings:
        print("   ", " ".join(finding.split())[:300])
    if findings:
        print(f"not ok script: pgspot finds nothing in {name} - {len(findings)} findings, see above")
    else:
        print(f"ok script: pgspot finds nothing in {name}")


def main():
    exempt, used = exempt_functions(), set()
    for file in sorted(pathlib.Path(sys.argv[1]).glob("billing--*.sql")):
        script = file.read_text(encoding="utf-8")
        report(f"the script {file.name}", scan(LEDGER.sub("''", script), False, exempt, used))
        for ledger in LEDGER.findall(script):
            report(f"the ledger in {file.name}", scan(ledger, True, exempt, used))
    report("no_search_path.tsv, which names functions that exist", sorted(set(exempt) - used))
    return 0


if __name__ == "__main__":
    sys.exit(main())
