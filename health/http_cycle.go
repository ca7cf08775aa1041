package health

// cycle is the order in which a checker with several urls asks: one a probe,
// in turn. A url that fails is asked again until it passes, and then a server
// that is down has to pass all the others too before it comes up.
type cycle struct {
	n    int // urls
	at   int // the one to ask next
	left int // urls that have not passed since the start or the last failure
}

func newCycle(n int) cycle { return cycle{n: n, left: n} }

// pass moves on to the next url; it reports whether some have yet to pass.
func (c *cycle) pass() (partial bool) {
	c.at = (c.at + 1) % c.n
	if c.left > 0 {
		c.left--
	}
	return c.left > 0
}

// fail stays with the url.
func (c *cycle) fail() { c.left = c.n }
