package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xvip-lb/xvip/cmd/xvip/internal/control"
	"github.com/xvip-lb/xvip/dataplane/xdp"
)

// drops answers with a JSON line for each packet that the program drops, as they
// come, until the client goes.
func (d *Daemon) drops(w http.ResponseWriter, r *http.Request) {
	d.engines.mu.Lock()
	eng := d.engines.xdp
	d.engines.mu.Unlock()
	if eng == nil {
		http.Error(w, "the XDP engine does not run: it drops nothing", http.StatusServiceUnavailable)
		return
	}
	rate, err := strconv.Atoi(r.URL.Query().Get("rate"))
	if err != nil {
		http.Error(w, "read rate: "+err.Error(), http.StatusBadRequest)
		return
	}
	reason := r.URL.Query().Get("reason")
	if known := xdp.DropReasons(); reason != "" && !slices.Contains(known, reason) {
		http.Error(w, fmt.Sprintf("there is no reason %q; the reasons are %s", reason, strings.Join(known, ", ")), http.StatusBadRequest)
		return
	}
	enc, rc := json.NewEncoder(w), http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/jsonl")
	err = eng.Drops(r.Context(), rate, func(p xdp.Drop) bool {
		if reason != "" && p.Reason != reason {
			return true
		}
		err := errors.Join(rc.SetWriteDeadline(time.Now().Add(writeTime)), enc.Encode(control.Drop{
			Time: time.Now().Add(-p.Age), Reason: p.Reason, Meaning: p.Meaning, Interface: p.Interface, Length: p.Length, Packet: p.Text, Head: p.Head,
		}), rc.Flush())
		return err == nil
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}
