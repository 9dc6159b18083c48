package main

// Programs of the desk in the place of those that would take a compiler, a screen, a
// service manager, a package manager or a cluster. They hold what is typed to what is there:
// units, files, objects of manifests, packages that CI installs. What they do not know ends
// with status 9.

// standIns are their scripts, by name. $ROOT is the checkout, $PROGRAM the program, $GO the
// real go.
var standIns = map[string]string{
	"sttwall":   asProgram + "=" + wholeProgram + ` exec "$PROGRAM" "$@"`, // the test binary is the program, compiled already
	"sudo":      `exec "$@"`,
	"wireshark": `exec tshark -l -r -`, // no screen; -k -i - is what it reads

	// `go list` and `go env` are the real ones. The test binary is what a build makes, and
	// a fuzz target finds nothing in no time.
	"go": `case "$*" in
"run ./cmd/sttwall "*) shift 2; exec sttwall "$@" ;;
"build -o "*" ./cmd/sttwall") exec cp ` + own + `/bin/sttwall "$3" ;;
"build -trimpath -o "*" ./cmd/sttwall") exec cp ` + own + `/bin/sttwall "$4" ;;
"list -f "* | "env "*) cd "$ROOT" && GOFLAGS="$GOFLAGS -buildvcs=false" GOCACHE=` + own + `/cache exec "$GO" "$@" ;;
"version -m "*) exec "$GO" version "$PROGRAM" ;;
"test -c -fuzz . -o "*)
	printf '#!/bin/sh\necho "fuzz: elapsed: 0s, execs: 7 (7/sec), new interesting: 2 (total: 9)"\necho PASS\n' >"$6" && exec chmod 755 "$6" ;;
esac`,

	// The units of deploy/ are installed in a root of their own, and are really enabled
	// there; no manager runs that --now could ask.
	"systemctl": `root=` + own + `/units
[ -d $root ] || { mkdir -p $root/etc/systemd/system && cp "$ROOT"/deploy/*.service $root/etc/systemd/system; }
case $1 in
enable | disable)
	verb=$1; shift
	[ "$1" != --now ] || shift
	exec /usr/bin/systemctl --root=$root $verb "$@" ;;
esac`,

	"apt-get": `[ "$1" = install ] || exit 9
shift
for package; do
	grep -qE "(^|[ :(])$package( |:|\)|\$)" "$ROOT/.ci/run" || { echo "CI installs no $package" >&2; exit 100; }
done; exit`,

	// The image: its description, and what that takes from the folder.
	"buildah": `images=` + own + `/images
case "$1 $2 $4 $#" in
"bud -f -t 6")
	cd "$6" && grep -q '^FROM ' "$3" || exit
	for file in $(sed -n 's/^COPY \([^ ]*\) .*/\1/p' "$3"); do
		[ -s "$file" ] || { echo "$3: no $file" >&2; exit 125; }
	done
	echo "$5" >>$images; exit ;;
esac
[ "$1 $#" = "push 2" ] && { grep -qxF "$2" $images || { echo "$2: no such image" >&2; exit 125; }; exit; }`,

	// The cluster has the objects of each manifest. What is executed in a pod of the
	// DaemonSet is the image's program.
	"kubectl": `namespace=default
[ "$1" != -n ] || { namespace=$2; shift 2; }
has() { # KIND NAME, in each manifest
	for file in deploy/kubernetes/*.yaml; do
		awk -v kind="$1" -v name="$2" -v namespace="$namespace" 'BEGIN { RS = "---\n" }
			$0 ~ "(^|\n)kind: " kind "\n" && $0 ~ "\nmetadata:\n  name: " name "\n  namespace: " namespace "\n" { found = 1 } END { exit !found }' "$file" ||
			{ echo "$file: no $1 $2 in $namespace" >&2; exit 1; }
	done
}
case "$1 $2" in
"apply -f" | "delete -f") [ $# = 3 ] && grep -q '^kind: DaemonSet$' "$3"; exit ;;
"rollout status") [ "${3%%/*}" = daemonset ] && has DaemonSet "${3#*/}"; exit ;;
"exec ds/"*)
	has DaemonSet "${2#ds/}"
	[ "$3" = -- ] && grep -qxF "ENTRYPOINT [\"$4\"]" deploy/oci/Dockerfile || exit
	shift 4; exec sttwall "$@" ;;
esac`,
}

// standsIn puts them into a folder.
func (d *desk) standsIn(folder string) {
	d.t.Helper()
	for name, body := range standIns {
		d.script(folder, name, body+"\necho \""+name+` $*: this test knows no such thing" >&2; exit 9`)
	}
}
