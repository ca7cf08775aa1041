// Package examples holds the configurations and scripts that the project was
// created from. The demo and the tests run them as they are.
package examples

import "embed"

// FS holds every example by its name.
//
//go:embed *.conf *.sh
var FS embed.FS
