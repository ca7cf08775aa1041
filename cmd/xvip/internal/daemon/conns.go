package daemon

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"time"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
	"github.com/xvip-lb/xvip/dataplane/xdp"
)

// writeTime is how long a reader of connections may leave us waiting.
const writeTime = 30 * time.Second

// connections answers with a JSON line a connection of the XDP engine, as they
// are read. An answer that cannot be finished is broken off, so that the client
// never takes it for a whole one.
func (d *Daemon) connections(w http.ResponseWriter, r *http.Request) {
	d.engines.mu.Lock()
	eng := d.engines.xdp
	d.engines.mu.Unlock()
	if eng == nil {
		http.Error(w, "the XDP engine does not run; ipvsadm -Lcn lists the connections of IPVS", http.StatusServiceUnavailable)
		return
	}
	for _, a := range d.engines.chooser.Assignments() {
		if a.Engine == "ipvs" {
			w.Header().Set(control.HeaderIPVS, "1")
		}
	}
	w.Header().Set("Content-Type", "application/jsonl")
	enc, rc, n := json.NewEncoder(w), http.NewResponseController(w), 0
	var failed error
	err := eng.Connections(r.Context(), func(c xdp.Connection) bool {
		if n++; n%1024 == 1 {
			failed = rc.SetWriteDeadline(time.Now().Add(writeTime))
		}
		if failed == nil {
			failed = enc.Encode(connectionLine(c))
		}
		return failed == nil
	})
	if err != nil || failed != nil {
		d.log.Debug("connections were not delivered", "err", err, "write", failed)
		panic(http.ErrAbortHandler)
	}
}

func connectionLine(c xdp.Connection) control.Connection {
	return control.Connection{
		Protocol: c.Service.Protocol.String(), Client: c.Client, Service: netip.AddrPortFrom(c.Service.Address, c.Port),
		Real: netip.AddrPortFrom(c.Real.Address, c.Real.Port), State: c.State, Active: c.Active, IdleSeconds: c.Idle.Seconds(),
	}
}
