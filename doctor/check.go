package doctor

// Check is one thing that is looked at.
type Check struct {
	// ID is its number, which stays: STT-D and three digits.
	ID string
	// Name says in a few words what is looked at.
	Name     string
	Severity Severity
	// What is wrong if it finds something; Why that hurts; Reads what it looks at; Cure
	// what to do; Leave what comes of leaving it.
	What, Why, Reads, Cure, Leave string
	// Varies says when the severity is another one; "": never.
	Varies string
	// look returns what it found, or what it saw where nothing is wrong. An error is
	// about looking: it could not be made.
	look func(*host) (seen string, found []Finding, err error)
}
