// Package rung is the rung of the tests that runs in virtual machines, on each
// of Debian's kernels: see docs/KERNELS.md for what it shows.
package rung
