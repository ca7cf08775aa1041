package vm

import (
	"strings"
	"testing"
)

func TestVMRunsACommand(t *testing.T) {
	for _, kernel := range Kernels {
		t.Run(kernel, func(t *testing.T) {
			t.Parallel()
			runsACommand(t, kernel)
		})
	}
}

func runsACommand(t *testing.T, kernel string) {
	r, err := Run(t.Context(), Machine{
		Kernel:   kernel,
		Modules:  []string{"ip_vs"},
		Programs: []string{"ipvsadm"},
		Collect:  []string{"/tmp/*.txt"},
	}, "sh", "-c", "ipvsadm -A -t 192.0.2.1:80 -s wrr; ipvsadm -Sn >/tmp/a.txt; ipvsadm -Sn; exit 7")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("took %v on %s", r.Took, r.Release)
	want := "-A -t 192.0.2.1:80 -s wrr"
	if got := strings.TrimSpace(string(r.Output)); got != want || r.ExitCode != 7 {
		t.Errorf("output %q, exit %d", got, r.ExitCode)
	}
	if got := strings.TrimSpace(string(r.Files["/tmp/a.txt"])); got != want {
		t.Errorf("file %q", got)
	}
}
