#!/bin/sh
# setup/audit.sh PYTHON: asks pip-audit whether a vulnerability is known in a package that requirements.txt pins. It
# needs a network. Without one, or after two minutes, it says so, and succeeds. AUDIT names another version of
# pip-audit, which is installed into an environment of its own, beside PYTHON.
set -eu
me=audit
setup=$(cd "$(dirname "$0")" && pwd -P)
. "$setup/shell_common.sh"
requirements=$setup/../requirements.txt
seconds=120

main() {
  [ $# -eq 1 ] || fail "one argument, not $#" "usage: setup/audit.sh PYTHON"
  python=$1
  venv=$(dirname "$python")/../pip-audit
  report=$(mktemp)
  trap 'rm -f "$report"' EXIT
  get_pip_audit 2>"$report" || not_now "pip-audit could not be installed"
  timeout "$seconds" "$venv/bin/pip-audit" --require-hashes --disable-pip --progress-spinner off --timeout 10 \
    -f json -r "$requirements" >"$report" 2>/dev/null || :
  [ -s "$report" ] || not_now "its service did not answer"
  status=0
  summarize || status=$?
  [ "$status" -ne 3 ]
}

get_pip_audit() {
  [ ! -x "$venv/bin/pip-audit" ] || return 0
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || return 1
  PIP_USER=0 timeout "$seconds" "$venv/bin/python" -m pip install -q --no-input --disable-pip-version-check \
    "${AUDIT:-pip-audit==2.10.1}"
}

not_now() {
  say "not done: $1"
  exit 0
}

# Prints the vulnerabilities; exit 3 if there are any. Says how many packages the service knows.
summarize() {
  "$venv/bin/python" - "$report" <<'EOF'
import json
import sys

packages = json.load(open(sys.argv[1]))["dependencies"]
unknown = [package["name"] for package in packages if "skip_reason" in package]
found = [(package, fault) for package in packages for fault in package.get("vulns", [])]
for package, fault in found:
    fixed = ", ".join(fault["fix_versions"]) or "no version yet"
    print(f"audit: {package['name']} {package['version']}: {fault['id']}, mended in {fixed}", file=sys.stderr)
if len(unknown) == len(packages):
    sys.exit("audit: not done: its service knows none of the packages")
known = len(packages) - len(unknown)
print(f"audit: {known} of {len(packages)} packages looked up, {len(found)} vulnerabilities known")
sys.exit(3 if found else 0)
EOF
}

main "$@"
