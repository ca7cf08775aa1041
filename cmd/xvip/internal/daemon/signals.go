package daemon

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// Real-time signals as glibc numbers them; keepalived's users send these
// numbers (signal(7)).
const (
	sigRTMin = 34
	sigRTMax = 64
)

// Signals by the names of --signum.
var signals = map[string]syscall.Signal{
	"STOP": syscall.SIGTERM, "RELOAD": syscall.SIGHUP, "DATA": syscall.SIGUSR1, "STATS": syscall.SIGUSR2,
	"STATS_CLEAR": syscall.Signal(sigRTMax - 1), "JSON": syscall.Signal(sigRTMin + 2),
}

// Signum gives the number of the signal called name, in any case.
func Signum(name string) (int, error) {
	if s, ok := signals[strings.ToUpper(name)]; ok {
		return int(s), nil
	}
	var names []string
	for n := range signals {
		names = append(names, n)
	}
	slices.Sort(names)
	return 0, fmt.Errorf("signal %q is not known: want one of %s", name, strings.Join(names, ", "))
}

// handled are the signals the daemon listens to.
func handled() []os.Signal {
	return []os.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2,
		signals["STATS_CLEAR"], signals["JSON"]}
}
