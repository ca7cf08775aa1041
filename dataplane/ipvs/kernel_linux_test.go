package ipvs

import (
	"strings"
	"testing"
)

// Where the kernel has no IPVS, the reason a user reads names the module.
func TestAKernelWithoutIPVSIsSaidSo(t *testing.T) {
	e, err := New(t.Context(), Options{})
	if err == nil {
		t.Cleanup(func() { e.Close() })
		if e.Version() == "" || !e.Info().Available {
			t.Errorf("IPVS is there: version %q, %+v", e.Version(), e.Info())
		}
		return
	}
	if !strings.Contains(err.Error(), "module ip_vs") && !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("error %v names neither the module nor the permission", err)
	}
	t.Log(err)
}

func TestAMissingNamespaceIsNamed(t *testing.T) {
	_, err := New(t.Context(), Options{NetNS: "/run/netns/there-is-none-of-this-name"})
	if err == nil || !strings.Contains(err.Error(), "there-is-none-of-this-name") {
		t.Errorf("error %v", err)
	}
}
