package config

import "time"

// Options carries what depends on the host, so that Parse stays pure. Every
// field may be left zero.
type Options struct {
	ConfigID   string // -i; empty: the first label of HostName
	HostName   string // full host name, for router_id and mail addresses
	Now        time.Time
	RandomSeed int64 // for ${_RANDOM} without random_seed

	// LookupEnv answers ${_ENV NAME}; nil: nothing is set.
	LookupEnv func(name string) (value string, ok bool)
	// InterfaceExists answers whether the host has a network interface; nil:
	// interfaces are not checked.
	InterfaceExists func(name string) bool
	// LookupUser finds a user by name or number; nil: users are not checked.
	LookupUser func(name string) (User, error)
	// LookupGroup finds a group by name or number; nil: groups are not checked.
	LookupGroup func(name string) (gid uint32, err error)
	// CheckScript says why a program cannot run for the user, or which part of
	// its path a stranger could change; nil: scripts are not checked.
	CheckScript func(path string, uid, gid uint32) ScriptState

	// MaxInput bounds the bytes that all files and expansions may give
	// together; 0: 256 MiB. MaxDepth bounds nested includes; 0: 32.
	MaxInput int
	MaxDepth int
}

// User is what the user database knows.
type User struct {
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary
}

// ScriptState is the answer of Options.CheckScript.
type ScriptState struct {
	Path   string // where the program was found; empty: nowhere
	Fault  string // why it cannot run; empty: it can
	Unsafe string // the part of the path that somebody other than root can write; empty: none
}
