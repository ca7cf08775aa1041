package config

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// Print writes the effective configuration as one file: nothing is left to
// includes, definitions, defaults or inheritance. Parsing it gives an equal
// configuration (see Equal).
func Print(c *Config) []byte {
	var b bytes.Buffer
	writeNodes(&b, effective(c), 0)
	return b.Bytes()
}

func writeNodes(b *bytes.Buffer, nodes []node, depth int) {
	indent := strings.Repeat("    ", depth)
	for i, n := range nodes {
		if depth == 0 && i > 0 && n.open {
			b.WriteByte('\n')
		}
		b.WriteString(indent)
		b.WriteString(n.word)
		for _, a := range n.args {
			b.WriteByte(' ')
			b.WriteString(a)
		}
		if n.open {
			b.WriteString(" {\n")
			for _, l := range n.lines {
				b.WriteString(indent + "    " + l + "\n")
			}
			writeNodes(b, n.block, depth+1)
			b.WriteString(indent + "}")
		}
		b.WriteByte('\n')
	}
}

// PrintJSON writes the effective configuration as JSON with keepalived's words
// as keys. A keyword that may come more than once is an array; the arguments
// of a block are in "args".
func PrintJSON(c *Config) ([]byte, error) {
	return json.MarshalIndent(jsonBlock(effective(c)), "", "  ")
}

// repeatable are the keywords that are arrays even when there is one.
var repeatable = map[string]bool{"vrrp_instance": true, "vrrp_sync_group": true, "vrrp_script": true, "track_file": true,
	"vrrp_track_process": true, "bfd_instance": true, "virtual_server": true, "virtual_server_group": true, "real_server": true,
	"track_group": true, "garp_group": true, "url": true, "host": true, "key": true,
	HTTPGet: true, SSLGet: true, TCPCheck: true, SMTPCheck: true, DNSCheck: true, MiscCheck: true, BFDCheck: true, UDPCheck: true, PingCheck: true, FileCheck: true}

func jsonBlock(nodes []node) map[string]any {
	out := map[string]any{}
	for _, n := range nodes {
		v := jsonValue(n)
		if repeatable[n.word] {
			list, _ := out[n.word].([]any)
			out[n.word] = append(list, v)
			continue
		}
		out[n.word] = v
	}
	return out
}

func jsonValue(n node) any {
	switch {
	case n.open && n.block == nil && len(n.args) == 0:
		return n.lines
	case n.open:
		m := jsonBlock(n.block)
		if len(n.args) > 0 {
			m["args"] = n.args
		}
		if n.lines != nil {
			m["entries"] = n.lines
		}
		return m
	case n.value != nil:
		return n.value
	case len(n.args) == 0:
		return true
	}
	return strings.Join(n.args, " ")
}

// effective is the configuration as keywords, in an order in which names are
// defined before they are used.
func effective(c *Config) []node {
	t := &tree{sections: allSections()}
	blk := func(word, path string, obj any, args ...string) node {
		return node{word: word, args: args, block: t.children(path, obj), open: true}
	}
	out := t.top(c)
	out = append(out, blk("global_defs", "global_defs", &c.Global), blk("xvip", "xvip", &c.XVIP))
	out = append(out, staticNodes(c)...)
	for _, s := range c.VRRPScripts {
		out = append(out, blk("vrrp_script", "vrrp_script", s, quote(s.Name)))
	}
	for _, f := range c.TrackFiles {
		out = append(out, blk("track_file", "track_file", f, quote(f.Name)))
	}
	for _, p := range c.TrackProcesses {
		out = append(out, blk("vrrp_track_process", "vrrp_track_process", p, quote(p.Name)))
	}
	for _, d := range c.BFDInstances {
		out = append(out, blk("bfd_instance", "bfd_instance", d, quote(d.Name)))
	}
	for _, g := range c.GARPGroups {
		out = append(out, blk("garp_group", "garp_group", g))
	}
	for _, g := range c.VRRPSyncGroups {
		out = append(out, blk("vrrp_sync_group", "vrrp_sync_group", g, quote(g.Name)))
	}
	for _, v := range c.VRRPInstances {
		out = append(out, t.instance(v))
	}
	for _, g := range c.TrackGroups {
		out = append(out, blk("track_group", "track_group", g, quote(g.Name)))
	}
	if c.SSL != nil {
		out = append(out, blk("SSL", "SSL", c.SSL))
	}
	for _, g := range c.VirtualServerGroups {
		out = append(out, groupNode(g))
	}
	for _, vs := range c.VirtualServers {
		out = append(out, t.service(vs))
	}
	return out
}

// top are the single words of the top level.
func (t *tree) top(c *Config) []node {
	var out []node
	for _, n := range t.children("", c) {
		if !n.open {
			out = append(out, n)
		}
	}
	return out
}

func staticNodes(c *Config) []node {
	var out []node
	list := func(word string, lines []string) {
		if len(lines) > 0 {
			out = append(out, node{word: word, lines: lines, open: true})
		}
	}
	var l []string
	for _, b := range c.LinkbeatInterfaces {
		l = append(l, strings.TrimSpace(quote(b.Name)+" "+b.Type))
	}
	list("linkbeat_interfaces", l)
	l = nil
	for _, d := range c.InterfaceUpDownDelays {
		l = append(l, quote(d.Name)+" "+seconds(d.Down)+" "+seconds(d.Up))
	}
	list("interface_up_down_delays", l)
	l = nil
	for _, a := range c.StaticAddresses {
		l = append(l, addressLine(a))
	}
	list("static_ipaddress", l)
	l = nil
	for _, r := range c.StaticRoutes {
		l = append(l, routeLine(r))
	}
	list("static_routes", l)
	l = nil
	for _, r := range c.StaticRules {
		l = append(l, ruleLine(r))
	}
	list("static_rules", l)
	return out
}

func (t *tree) instance(v *VRRPInstance) node {
	n := node{word: "vrrp_instance", args: []string{quote(v.Name)}, block: t.children("vrrp_instance", v), open: true}
	if v.Authentication.Type != "" {
		n.block = append(n.block, node{word: "authentication", block: t.children("vrrp_instance.authentication", &v.Authentication), open: true})
	}
	if v.AuthHMAC != nil {
		n.block = append(n.block, node{word: "auth_hmac", block: t.children("vrrp_instance.auth_hmac", v.AuthHMAC), open: true})
	}
	return n
}

func groupNode(g *VirtualServerGroup) node {
	n := node{word: "virtual_server_group", args: []string{quote(g.Name)}, open: true}
	for _, a := range g.Addresses {
		n.lines = append(n.lines, rangeText(a))
	}
	for _, m := range g.FWMarks {
		l := "fwmark " + utoa(m.Mark)
		if m.Family != 0 {
			l += " " + familyName(m.Family)
		}
		n.lines = append(n.lines, l)
	}
	return n
}

func (t *tree) service(vs *VirtualServer) node {
	n := node{word: "virtual_server", open: true}
	switch {
	case vs.Group != "":
		n.args = []string{"group", quote(vs.Group)}
	case vs.FWMark != 0:
		n.args = []string{"fwmark", utoa(vs.FWMark)}
	default:
		n.args = []string{vs.Address.String(), strconv.Itoa(int(vs.Port))}
	}
	n.block = t.children("virtual_server", vs)
	for _, rs := range vs.RealServers {
		r := node{word: "real_server", args: []string{rs.Address.String(), strconv.Itoa(int(rs.Port))}, open: true,
			block: t.children("virtual_server.real_server", rs)}
		for _, k := range rs.Checkers {
			r.block = append(r.block, t.checker(k))
		}
		n.block = append(n.block, r)
	}
	return n
}

func (t *tree) checker(k *Checker) node {
	path := "virtual_server.real_server." + k.Type
	n := node{word: k.Type, block: t.children(path, k), open: true}
	if k.HTTP != nil {
		for i := range k.HTTP.URLs {
			n.block = append(n.block, node{word: "url", block: t.children(path+".url", &k.HTTP.URLs[i]), open: true})
		}
	}
	if k.SMTP != nil {
		for _, o := range k.SMTP.Hosts {
			n.block = append(n.block, hostNode(o))
		}
	}
	return n
}

// hostNode prints a deprecated host block with its own target only.
func hostNode(o ConnectOptions) node {
	n := node{word: "host", open: true}
	add := func(on bool, word, arg string) {
		if on {
			n.block = append(n.block, node{word: word, args: []string{arg}})
		}
	}
	add(true, "connect_ip", o.ConnectIP.String())
	add(o.ConnectPort != 0, "connect_port", utoa(uint32(o.ConnectPort)))
	add(o.BindTo.IsValid(), "bindto", o.BindTo.String())
	add(o.BindPort != 0, "bind_port", utoa(uint32(o.BindPort)))
	add(o.BindIf != "", "bind_if", quote(o.BindIf))
	add(true, "connect_timeout", seconds(o.ConnectTimeout))
	add(o.FWMark != 0, "fwmark", utoa(o.FWMark))
	return n
}
