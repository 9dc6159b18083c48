// Package packaging is how packages are made (nfpm.yaml and the scripts of deb and rpm;
// scripts/packages builds them), and the tests of what is in deploy/ for containers. It is a
// module of its own, so that none of what it takes is a dependency of sttwall.
package packaging
