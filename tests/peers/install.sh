#!/bin/sh
# Installs the foreign programs that the tests, the demo and the benchmarks talk to: quickly done when all are there.
# System packages need root; without it, this prints what is missing, and the tests skip what they cannot start.
# The rest goes into .peers/ of the repository: ProFTPD (its package refuses to stand beside vsftpd's) and Azurite.
set -eu
cd "$(dirname "$0")/../.."
PATH="$PATH:/usr/sbin:/sbin:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)"
peers="$PWD/.peers"

has() { command -v "$1" >/dev/null 2>&1; }

missing=""
for pair in vsftpd:vsftpd lftp:lftp sshd:openssh-server ssh:openssh-client sftp:openssh-client psftp:putty-tools nginx:nginx-light \
    initdb:postgresql db5.3_load:db5.3-util curl:curl strace:strace tnftp:tnftp ip:iproute2 clamd:clamav-daemon clamdscan:clamdscan \
    zip:zip unzip:unzip zstd:zstd xz:xz-utils 7z:p7zip-full bsdtar:libarchive-tools xorriso:xorriso genisoimage:genisoimage gcab:gcab; do
    has "${pair%%:*}" || missing="$missing ${pair##*:}"
done
has npm || missing="$missing nodejs npm"
proftpd="$peers/proftpd/usr/sbin/proftpd"
azurite="$peers/node/node_modules/.bin/azurite-blob"

if [ -z "$missing" ] && [ -x "$proftpd" ] && [ -e "$azurite" ]; then
    exit 0
fi
if ! has apt-get; then
    echo "peers: missing:$missing; this machine has no apt-get: install them by hand" >&2
    exit 0
fi
mkdir -p "$peers"
echo '*' >"$peers/.gitignore"

if [ -n "$missing" ] && [ "$(id -u)" != 0 ]; then
    echo "peers: missing, and only root can install them:$missing (the tests that need them are skipped)" >&2
elif [ -n "$missing" ]; then
    # No service may start at its boot port because of us: the policy says no while apt runs, then it is as it was.
    policy=/usr/sbin/policy-rc.d
    kept=""
    if [ -e "$policy" ]; then
        kept="$(mktemp)"
        cp -p "$policy" "$kept"
    fi
    restore() { if [ -n "$kept" ]; then mv -f "$kept" "$policy"; else rm -f "$policy"; fi; }
    trap restore EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null
    trap - EXIT
    restore
fi

if [ ! -x "$proftpd" ]; then
    work="$(mktemp -d)"
    (
        cd "$work"
        apt-get download -qq proftpd-core >/dev/null 2>&1
        dpkg -x proftpd-core_*.deb "$peers/proftpd"
        # Its libraries, and theirs, where the machine has none of its own.
        if ldd "$proftpd" | grep -q 'not found'; then
            libraries="$(apt-cache depends proftpd-core | awk '/^ *Depends: lib/ { print $2 }')"
            # shellcheck disable=SC2086
            for library in $(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
                --no-enhances $libraries | grep -E '^lib(memcached|hashkit|hiredis|pcre2-posix|sodium|idn2|attr1|acl1)' | sort -u); do
                apt-get download -qq "$library" >/dev/null 2>&1 && dpkg -x "$library"_*.deb "$peers/proftpd"
            done
        fi
    ) || echo "peers: ProFTPD could not be fetched" >&2
    rm -rf "$work"
fi

if [ ! -e "$azurite" ] && has npm; then
    mkdir -p "$peers/node"
    (cd "$peers/node" && npm install --no-audit --no-fund --loglevel=error --prefix . azurite@3 >/dev/null) || echo "peers: Azurite could not be fetched" >&2
fi
