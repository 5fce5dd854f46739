#!/usr/bin/env bash
# Chromium for the tests of the documentation site: Debian's package. Installs it if it is missing;
# where that cannot be, says why in one line and exits with 1. Needs root.
set -euo pipefail

command -v chromium >/dev/null && exit 0
command -v apt-get >/dev/null || { echo "there is no chromium here, and no apt-get to install it"; exit 1; }
log=$(mktemp)
{
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium
} >"$log" 2>&1 || { echo "apt-get could not install chromium, see $log"; exit 1; }
rm "$log"
