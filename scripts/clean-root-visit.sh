#!/usr/bin/env bash
# What a newcomer does in a clean root (see clean-root.sh): npm start, the curl line it prints, Ctrl-C.
set -euo pipefail
export PATH=/usr/local/bin:/usr/bin:/bin HOME=/home/newcomer
cafile=$(cat /cafile)
npm config set registry "$(cat /registry)"
[ "$cafile" = null ] || npm config set cafile /etc/ssl/certs/ca-certificates.crt
cd "$HOME/modelserve"

# A session of its own, so that SIGINT reaches npm and all below it, as Ctrl-C does.
setsid npm start >"$HOME/start.log" 2>&1 &
leader=$!
for _ in $(seq 1 1800); do
  grep -q 'curl ' "$HOME/start.log" && break
  kill -0 "$leader" 2>/dev/null || { cat "$HOME/start.log"; echo 'npm start ended before it was ready'; exit 1; }
  sleep 0.1
done
cat "$HOME/start.log"
python3 - <<'PYTHON'
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
left=$(ls /proc | grep -E '^[0-9]+$' | while read -r pid; do tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -F "$HOME" || true; done)
[ -z "$left" ] || { echo "processes left after Ctrl-C: $left"; exit 1; }
echo 'ok: the set-up in a clean root'
