# shellcheck shell=bash
# The other Debian releases, for "bash test/run all"; sourced by test/run.
run_on_other_releases() { :; }
