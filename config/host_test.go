package config

import (
	"errors"
	"strings"
)

// lookupUser knows the users of the made-up host.
func lookupUser(name string) (User, error) {
	switch name {
	case "root", "0":
		return User{}, nil
	case "keepalived_script":
		return User{UID: 900, GID: 900}, nil
	case "haproxy", "nagios", "user":
		return User{UID: 1001, GID: 1001, Groups: []uint32{1001, 44}}, nil
	}
	return User{}, errors.New("no such user")
}

func lookupGroup(name string) (uint32, error) {
	switch name {
	case "root":
		return 0, nil
	case "adm", "group":
		return 4, nil
	}
	return 0, errors.New("no such group")
}

// checkScript: everything runs but what says otherwise in its name.
func checkScript(path string, uid, gid uint32) ScriptState {
	s := ScriptState{Path: path}
	switch {
	case strings.Contains(path, "missing"):
		s.Path, s.Fault = "", "it does not exist"
	case strings.Contains(path, "unsafe"):
		s.Unsafe = "/tmp"
	case !strings.Contains(path, "/"):
		s.Path = "/usr/bin/" + path
	}
	return s
}
