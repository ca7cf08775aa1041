package ipvs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// loadWithin bounds the loading of the module.
const loadWithin = 10 * time.Second

// loadModule asks for the module ip_vs with the program that the kernel itself
// uses for that (/proc/sys/kernel/modprobe).
func loadModule(ctx context.Context) error {
	prog := "/sbin/modprobe"
	if b, err := os.ReadFile("/proc/sys/kernel/modprobe"); err == nil {
		if p := strings.TrimSpace(string(b)); p != "" {
			prog = p
		}
	}
	ctx, cancel := context.WithTimeout(ctx, loadWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, prog, "ip_vs")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("load module ip_vs: %s: %w", firstLine(string(out), prog), err)
	}
	return nil
}

func firstLine(s, otherwise string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if line == "" {
		return otherwise
	}
	return line
}
