// Package vrrp elects the owner of virtual addresses (RFC 3768, RFC 5798, RFC
// 9568) and carries the decision out: a pure election machine (Step), the
// runners that give it packets and time, and the owner that takes and releases
// addresses and announces them.
package vrrp

// Role is the state of a virtual router.
type Role uint8

// Roles. RFC 9568 says Active for Master; files and scripts say MASTER.
// The numbers are those of keepalived's JSON (0 INIT .. 3 FAULT).
const (
	Initialize Role = iota
	Backup
	Master
	Fault
)

// String gives the word that files, scripts and status use.
func (r Role) String() string {
	switch r {
	case Initialize:
		return "INIT"
	case Backup:
		return "BACKUP"
	case Master:
		return "MASTER"
	case Fault:
		return "FAULT"
	}
	return "UNKNOWN"
}
