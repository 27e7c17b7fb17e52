#!/usr/bin/env bash
# What a newcomer does in a clean root (see clean-root.sh): npm start, the curl line it prints, Ctrl-C.
set -euo pipefail
export PATH=/usr/local/bin:/usr/bin:/bin HOME=/home/newcomer
npm config set registry "$(cat /registry)"
[ "$(cat /cafile)" = null ] || npm config set cafile /etc/ssl/certs/ca-certificates.crt
cd "$HOME/modelserve"

fail() { cat "$HOME/start.log"; echo "FAIL: the set-up in a clean root: $1"; exit 1; }

# A session of its own, so that SIGINT reaches npm and all below it, as Ctrl-C does.
setsid npm start >"$HOME/start.log" 2>&1 &
leader=$!
for _ in $(seq 1 3000); do
  grep -q 'curl ' "$HOME/start.log" && break
  kill -0 "$leader" 2>/dev/null || fail 'npm start ended before it was ready'
  sleep 0.1
done
grep -q 'curl ' "$HOME/start.log" || fail 'npm start was not ready within 300 s'
grep -q '^store: embedded' "$HOME/start.log" || fail 'no word of the embedded store'
# Debian's python3 makes no virtual environments: what to install is said, and the other packages are served.
grep -q 'apt install python3-venv' "$HOME/start.log" || fail 'no word of what Digits lacks'
python3 - <<'PYTHON' || fail 'the curl line does not answer'
import json, re, shlex, urllib.request
line = re.search(r'curl .*', open('/home/newcomer/start.log').read()).group(0)
words = shlex.split(line)
url = next(word for word in words if word.startswith('http'))
body = words[words.index('-d') + 1].encode()
request = urllib.request.Request(url, data=body, method='GET', headers={'content-type': 'application/json'})
answer = json.load(urllib.request.urlopen(request, timeout=30))
print('answer of the curl line:', answer)
assert answer['status'] == 1, answer
PYTHON
kill -INT -- "-$leader"
for _ in $(seq 1 600); do
  kill -0 "$leader" 2>/dev/null || break
  sleep 0.1
done
kill -0 "$leader" 2>/dev/null && fail 'npm start does not end on Ctrl-C'
commands=$(for pid in /proc/[0-9]*; do tr '\0' ' ' <"$pid/cmdline" 2>/dev/null || true; echo; done)
left=$(grep -F "$HOME" <<<"$commands" || true)
[ -z "$left" ] || fail "processes left after Ctrl-C: $left"
echo 'ok: the set-up in a clean root'
