#!/usr/bin/env bash
# A test of a REST client in the shell, with curl and jq: the best prices after ten seconds.
set -euo pipefail

# The server ends with its input, which this program holds, however it ends.
coproc SERVER { tickerplant test-server --json --quiet; }
read -r ready <&"${SERVER[0]}"

rest=$(jq -r .venues.usdm.rest <<<"$ready")
control=$(jq -r .venues.usdm.control <<<"$ready")
token=$(jq -r .token <<<"$ready")

plant() {
  local path=$1
  shift
  curl --silent --show-error --fail-with-body -H "Authorization: Bearer $token" \
    -H 'Content-Type: application/json' "$control/$path" "$@"
}

plant clock -d '{"step": "10s"}' | jq -r '"market time \(.time)"'

# What the client sees …
seen=$(curl --silent "$rest/fapi/v1/depth?symbol=BTCUSDT&limit=5")
# … is what there is.
id=$(jq .lastUpdateId <<<"$seen")
truth=$(plant "truth/book?symbol=BTCUSDT&update_id=$id")
diff <(jq -c '.bids, .asks' <<<"$seen") <(jq -c '.bids[:5], .asks[:5]' <<<"$truth")
echo "the best 5 levels of BTCUSDT at update id $id are the exchange's"
