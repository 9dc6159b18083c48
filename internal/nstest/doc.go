// Package nstest gives tests network namespaces, and to an ordinary user's the right to
// make them: by a second process, in a user namespace of its own, since a process with
// several threads cannot change its user namespace.
//
//	TestMain -> Main:  all tests of the package again, as root of that namespace
//	a test -> Isolate: this one alone again, the others stay as they are
//	       -> Enter:   its thread is in a new network namespace
//
// Where namespaces cannot be made tests are skipped with a sentence that says why; with
// CI=true they fail. Programs are not to import it: it carries package testing.
//
// Main and Isolate change nothing but their own process; Enter binds the calling goroutine
// to its thread for good.
package nstest
