#!/usr/bin/env bash
# Gets the source of a Debian package, with Debian's patches, once, and prints its folder.
# Usage: tools/debian_source.sh [--upstream] PACKAGE...   --upstream: as its authors made it, without the patches.
# Needs dpkg-dev; no root: the lists of sources are the script's own, made from the machine's lists of binary packages. Kept in $RINGLET_CACHE, or $XDG_CACHE_HOME/ringlet, or ~/.cache/ringlet.
set -euo pipefail
cache=${RINGLET_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringlet}/debian

# Each line "deb URI SUITE main" of this machine, as one of sources.
source_lines() {
    local file
    [ ! -f /etc/apt/sources.list ] ||
        sed -nE 's/^deb (\[[^]]*\] )?(\S*debian\S*) (.*)/deb-src \1\2 \3/p' /etc/apt/sources.list
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        awk -v RS= '/Types:[^\n]*deb/ && /[Dd]ebian/ {
            uris = suites = components = key = ""
            n = split($0, lines, "\n")
            for (i = 1; i <= n; ++i) {
                if (lines[i] ~ /^URIs:/) uris = substr(lines[i], 6)
                if (lines[i] ~ /^Suites:/) suites = substr(lines[i], 8)
                if (lines[i] ~ /^Components:/) components = substr(lines[i], 12)
                if (lines[i] ~ /^Signed-By:/) key = substr(lines[i], 12)
            }
            if (uris !~ /debian/) next
            m = split(uris, u, " "); k = split(suites, s, " ")
            for (i = 1; i <= m; ++i) for (j = 1; j <= k; ++j)
                print "deb-src" (key != "" ? " [signed-by=" key "]" : "") " " u[i] " " s[j] components
        }' "$file"
    done
}

fetch() {  # PACKAGE FOLDER
    local work
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    mkdir -p "$work/lists/partial" "$work/unpacked"
    source_lines | sed 's/signed-by= */signed-by=/' >"$work/sources.list"
    local options=(-o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$work/lists"
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User= -o Debug::NoLocking=1)
    (cd "$work/unpacked" && apt-get "${options[@]}" -qq update && apt-get "${options[@]}" -qq source ${upstream:+--tar-only} "$1" &&
        if [ -n "$upstream" ]; then tar -xf ./*.orig.tar.*; fi) >"$2.log" 2>&1 || { tail -n 5 "$2.log" >&2; rm -rf "$work"; return 1; }
    mv "$(find "$work/unpacked" -mindepth 1 -maxdepth 1 -type d | head -n 1)" "$2"
    rm -rf "$work"
}

upstream=
[ "${1:-}" != --upstream ] || { upstream=.upstream; shift; }
[ $# -gt 0 ] || { sed -n '2,5s/^# //p' "$0"; exit 2; }
mkdir -p "$cache"
for package in "$@"; do
    folder=$cache/$package$upstream
    [ -d "$folder" ] || fetch "$package" "$folder"
    echo "$folder"
done
