package daemon

import (
	"encoding/json"
	"net/http"
	"net/netip"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
	"github.com/xvip-lb/xvip/dataplane"
	"github.com/xvip-lb/xvip/dataplane/xdp"
)

// explain answers what would become of a packet.
func (d *Daemon) explain(w http.ResponseWriter, r *http.Request) {
	d.engines.mu.Lock()
	eng := d.engines.xdp
	d.engines.mu.Unlock()
	if eng == nil {
		http.Error(w, "the XDP engine does not run: every packet goes to the stack, and to IPVS there", http.StatusServiceUnavailable)
		return
	}
	var q control.Question
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&q); err != nil {
		http.Error(w, "read the question: "+err.Error(), http.StatusBadRequest)
		return
	}
	protocol, ok := map[string]dataplane.Protocol{"tcp": dataplane.TCP, "udp": dataplane.UDP, "sctp": dataplane.SCTP}[q.Protocol]
	if !ok {
		http.Error(w, "protocol "+q.Protocol+" is none of tcp, udp and sctp", http.StatusBadRequest)
		return
	}
	a, err := eng.Explain(xdp.Question{Interface: q.Interface, Protocol: protocol, Client: q.Client, Service: q.Service, Opening: q.Opening})
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	out := control.Explanation{Verdict: a.Verdict, Steps: a.Steps, Frame: a.Out}
	if a.Real.Address.IsValid() {
		out.Real = netip.AddrPortFrom(a.Real.Address, a.Real.Port).String()
	}
	for key, as := range d.engines.chooser.Assignments() {
		if key.Address == q.Service.Addr() && (key.Port == q.Service.Port() || key.Port == 0) && key.Protocol == protocol && as.Engine != eng.Name() {
			out.Steps = append(out.Steps, "service "+key.String()+" is not on XDP but on "+as.Engine+": "+as.Reason)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(out); err != nil {
		d.log.Debug("an explanation was not delivered", "err", err)
	}
}
