package main

import (
	"fmt"
	"strings"
)

// list is docs/checks.md.
func list() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Safety checks, and the tests that notice when one is missing

`+"`make checks`"+` switches the %d checks below off, one at a time, in a copy of the repository: where a check is made twice, as in the
general and in the quick way of the core, in both places at once. Then it runs the test that stands beside it, which must
fail; that the copy does not compile is no success, nor is another test that fails. With all checks on all these tests must
pass first. It prints what was not noticed, and then ends with status 1.

They stand in the order in which a packet meets them. The %d most important are bold: without one of these something denied
leaves by itself, or one endpoint has its way with others. `+"`go run ./scripts/mutate checks important`"+` tries them alone,
`+"`go run ./scripts/mutate checks '^(outer|frame):'`"+` those whose name or test the expression matches.

On 2026-11-27 all of them were switched off, and each was noticed by its test.

This list is made from scripts/mutate by `+"`make docs`"+`.

| switched off | noticed by |
| --- | --- |
`, len(safetyChecks), len(mostImportant))
	for _, c := range safetyChecks {
		what := c.what
		if c.important() {
			what = "**" + what + "**"
		}
		folder, name := c.test()
		fmt.Fprintf(&b, "| %s | %s, `%s` |\n", what, folder, name)
	}
	return b.String()
}
