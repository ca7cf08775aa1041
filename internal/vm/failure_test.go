package vm

import (
	"strings"
	"testing"
	"time"
)

func TestVMThatHangsIsKilledAtItsLimit(t *testing.T) {
	t.Parallel()
	start := time.Now()
	r, err := Run(t.Context(), Machine{Kernel: "6.1", Limit: 15 * time.Second}, "sleep", "3600")
	if err == nil || !strings.Contains(err.Error(), "not off 15s after power on: killed") {
		t.Errorf("error %v", err)
	}
	if r == nil || r.Took > time.Minute || r.ExitCode != -1 {
		t.Errorf("result %+v after %v", r, time.Since(start))
	}
}

func TestVMThatPanicsSaysItsConsole(t *testing.T) {
	t.Parallel()
	_, err := Run(t.Context(), Machine{Kernel: "6.12"}, "sh", "-c", "echo c >/proc/sysrq-trigger; sleep 3600")
	if err == nil || !strings.Contains(err.Error(), "the machine ended before its command") || !strings.Contains(err.Error(), "sysrq_handle_crash") {
		t.Errorf("error %v", err)
	}
}

func TestVMNamesWhatIsMissing(t *testing.T) {
	for want, m := range map[string]Machine{
		`fetch kernel "4.4": want one of 5.10, 6.1, 6.12`: {Kernel: "4.4"},
		`find module "there_is_none"`:                     {Kernel: "6.1", Modules: []string{"there_is_none"}},
		`add program "there-is-none"`:                     {Kernel: "6.1", Programs: []string{"there-is-none"}},
		`add file "relative": want an absolute path`:      {Kernel: "6.1", Files: []File{{Path: "relative"}}},
	} {
		if _, err := Run(t.Context(), m, "true"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

// The names of kernels and the suites are one list.
func TestEveryKernelHasASuite(t *testing.T) {
	if len(Kernels) != len(suites) {
		t.Errorf("%d kernels, %d suites", len(Kernels), len(suites))
	}
	for _, k := range Kernels {
		if suites[k] == "" {
			t.Errorf("kernel %s has no suite", k)
		}
	}
}
