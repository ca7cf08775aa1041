package control

import "net/netip"

// Question is what `xvip explain` asks: a packet that might come. Fields may be
// added, never renamed.
type Question struct {
	Interface string         `json:"interface,omitempty"`
	Protocol  string         `json:"protocol"` // "tcp", "udp" or "sctp"
	Client    netip.AddrPort `json:"client"`
	Service   netip.AddrPort `json:"service"`
	Opening   bool           `json:"opening"` // the first packet of a connection
}

// Explanation is the answer: what becomes of the packet, and why.
type Explanation struct {
	Verdict string   `json:"verdict"`        // name of the counter
	Real    string   `json:"real,omitempty"` // real server ADDR:PORT
	Steps   []string `json:"steps"`
	Frame   []byte   `json:"frame,omitempty"` // what leaves, base64
}
